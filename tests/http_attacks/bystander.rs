//! An undisturbed agent with the right key, which calls one after the other while something else attacks the server.
//! What counts of an attack is how many of its calls fail: none.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::requests::{BOTH, modern_post};

/// Where the server is.
#[derive(Clone, Debug)]
pub enum Place {
    /// A port of 127.0.0.1.
    Tcp(u16),
    /// A socket file.
    Unix(PathBuf),
}

/// Three callers, each in a thread: calls on a new connection each, calls on one kept connection, and `/healthz` on a
/// new connection each.
pub struct Bystander {
    stop: Arc<AtomicBool>,
    tallies: Arc<[Mutex<Tally>; 3]>,
    done: Arc<[AtomicUsize; 3]>,
    threads: Vec<JoinHandle<()>>,
}

/// What the calls of one caller came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub succeeded: usize,
    /// What was wrong with each of the others.
    pub failures: Vec<String>,
    /// The longest that a call took.
    pub longest: Duration,
}

/// What all calls came to.
#[derive(Clone, Debug)]
pub struct Report {
    pub anew: Tally,
    pub kept: Tally,
    pub health: Tally,
}

impl Bystander {
    /// Begins to call `tools/list` of MCP 2026-07-28 with this key.
    pub fn start(place: Place, key: &str) -> Bystander {
        let call = tools_list(key);
        let health = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec();
        Bystander::with(place, call, health)
    }

    /// Begins to make these calls; a call succeeds with 200 and an answer without `error`.
    pub fn with(place: Place, call: Vec<u8>, health: Vec<u8>) -> Bystander {
        let stop = Arc::<AtomicBool>::default();
        let tallies = Arc::<[Mutex<Tally>; 3]>::default();
        let done = Arc::<[AtomicUsize; 3]>::default();
        let callers = [(call.clone(), false), (call, true), (health, false)];
        let threads = callers.into_iter().enumerate().map(|(number, caller)| {
            let (request, keeps) = caller;
            let (place, stop) = (place.clone(), Arc::clone(&stop));
            let (tallies, done) = (Arc::clone(&tallies), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut kept = None;
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let ended = exchange(&place, &mut kept, &request);
                    if !keeps || ended.is_err() {
                        kept = None;
                    }
                    let mut tally = tallies[number].lock().unwrap();
                    tally.longest = tally.longest.max(began.elapsed());
                    match ended {
                        Ok(()) => tally.succeeded += 1,
                        Err(why) => tally.failures.push(why),
                    }
                    drop(tally);
                    done[number].fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(PAUSE);
                }
            })
        });
        let threads = threads.collect();
        Bystander {
            stop,
            tallies,
            done,
            threads,
        }
    }

    /// Waits until each caller has made so many more calls, successful or not.
    pub fn after(&self, calls: usize) {
        let before: Vec<_> = self
            .done
            .iter()
            .map(|it| it.load(Ordering::Relaxed))
            .collect();
        let start = Instant::now();
        for (done, before) in self.done.iter().zip(before) {
            while done.load(Ordering::Relaxed) < before + calls {
                assert!(
                    start.elapsed() < PATIENCE * 4,
                    "the bystander is stuck: {:?}",
                    self.report()
                );
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Whether each caller has made so many calls, successful or not.
    pub fn has_made(&self, calls: usize) -> bool {
        self.done
            .iter()
            .all(|it| it.load(Ordering::Relaxed) >= calls)
    }

    /// What the calls came to so far.
    pub fn report(&self) -> Report {
        let tally = |number: usize| self.tallies[number].lock().unwrap().clone();
        Report {
            anew: tally(0),
            kept: tally(1),
            health: tally(2),
        }
    }

    /// Makes no more calls; what they came to.
    pub fn stop(mut self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        self.report()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Report {
    pub fn succeeded(&self) -> usize {
        self.anew.succeeded + self.kept.succeeded + self.health.succeeded
    }

    /// What was wrong with each call that failed.
    pub fn failures(&self) -> Vec<String> {
        let all = [
            ("anew", &self.anew),
            ("kept", &self.kept),
            ("health", &self.health),
        ];
        let all = all.iter().flat_map(|(name, tally)| {
            let failures = tally.failures.iter();
            failures.map(move |why| format!("{name}: {why}"))
        });
        all.collect()
    }

    /// Each caller got at least so many calls through and none failed.
    pub fn assert_undisturbed(&self, least: usize) {
        let failures = self.failures();
        println!(
            "bystander: {} calls succeeded, {} failed",
            self.succeeded(),
            failures.len()
        );
        assert!(
            failures.is_empty(),
            "{} of {} calls failed, the first with: {}",
            failures.len(),
            failures.len() + self.succeeded(),
            failures[0]
        );
        for tally in [&self.anew, &self.kept, &self.health] {
            assert!(tally.succeeded >= least, "{self:?}");
        }
    }
}

/// `tools/list` of MCP 2026-07-28 with this key.
pub fn tools_list(key: &str) -> Vec<u8> {
    modern_post(key, BOTH, "tools/list", json!({}))
}

trait Socket: Read + Write + Send {}
impl<T: Read + Write + Send> Socket for T {}

fn connect(place: &Place) -> std::io::Result<Box<dyn Socket>> {
    match place {
        Place::Tcp(port) => {
            let socket = TcpStream::connect(("127.0.0.1", *port))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(socket))
        }
        Place::Unix(path) => {
            let socket = UnixStream::connect(path)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(socket))
        }
    }
}

/// One call; what went wrong with it.
fn exchange(
    place: &Place,
    kept: &mut Option<Box<dyn Socket>>,
    request: &[u8],
) -> Result<(), String> {
    let mut socket = match kept.take() {
        Some(socket) => socket,
        None => connect(place).map_err(|why| format!("connect: {why}"))?,
    };
    // It may be refused before it was read: what came back counts.
    let sent = socket.write_all(request);
    let mut bytes = Vec::new();
    loop {
        let mut room = [0; 16384];
        let count = socket
            .read(&mut room)
            .map_err(|why| format!("read: {why} (write: {sent:?})"))?;
        bytes.extend_from_slice(&room[..count]);
        if let Some(whole) = judge(&bytes) {
            let closes = whole?;
            *kept = (!closes).then_some(socket);
            return Ok(());
        }
        if count == 0 {
            let text = String::from_utf8_lossy(&bytes);
            return Err(format!("the connection was closed after {text:?}"));
        }
    }
}

/// What to think of an answer, when it is whole: whether the connection closes with it.
fn judge(bytes: &[u8]) -> Option<Result<bool, String>> {
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |it| it.trim().parse().unwrap());
    let body = bytes[end..].get(..length)?;
    let text = String::from_utf8_lossy(body);
    if !head.starts_with("http/1.1 200") || text.contains(r#""error":"#) {
        let line = head.lines().next().unwrap_or_default();
        return Some(Err(format!("{line}: {text}")));
    }
    Some(Ok(head.contains("\r\nconnection: close\r\n")))
}

/// For one call.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two calls, and between two looks.
const PAUSE: Duration = Duration::from_millis(5);
