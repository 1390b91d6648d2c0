//! An HTTP server in a thread of its own, and a client that speaks to it in raw bytes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mcpmqtt::http::{Admission, Deadlines, Limits, Listener, Server as HttpServer, ServerSettings};
use mcpmqtt::mcp::catalog::Catalog;
use mcpmqtt::metrics::Metrics;
use mcpmqtt_config::{ApiKey, Config, Host, Origin, Secret};
use rustix::net::{AddressFamily, SocketType};
use serde_json::{Value, json};
use smol::LocalExecutor;

use super::engine_with;

/// The right key of every server here.
pub const KEY: &str = "the-right-key";

/// A key as `--genkey` makes it.
pub fn generated(memory_cost: u32) -> (ApiKey, String) {
    let before =
        json!({"remote_server": {"api_key_kdf": {"memory_cost": memory_cost, "time_cost": 1}}});
    let rotation = mcpmqtt_config::rotate(&before.to_string(), [7; 48]).unwrap();
    let (config, _) = Config::parse(&rotation.text).unwrap();
    (
        config.remote_server.unwrap().api_key,
        rotation.key.expose().to_owned(),
    )
}

/// The record of an older version, or of the original program: it has a slow hash and nothing else.
pub fn hashed(memory_cost: u32) -> (ApiKey, String) {
    let before =
        json!({"remote_server": {"api_key_kdf": {"memory_cost": memory_cost, "time_cost": 1}}});
    let rotation = mcpmqtt_config::rotate(&before.to_string(), [7; 48]).unwrap();
    let mut file: Value = serde_json::from_str(&rotation.text).unwrap();
    let server = file["remote_server"].as_object_mut().unwrap();
    server.remove("api_key_check").unwrap();
    let (config, _) = Config::parse(&file.to_string()).unwrap();
    (
        config.remote_server.unwrap().api_key,
        rotation.key.expose().to_owned(),
    )
}

/// What a test wants to differ from the usual.
pub struct Wanted {
    pub key: ApiKey,
    pub hosts: &'static [&'static str],
    pub origins: &'static [&'static str],
    pub limits: Limits,
    pub deadlines: Deadlines,
    /// What the catalog has beside the usual.
    pub catalog: fn(&mut Catalog),
    /// Where to listen; none: a free port of loopback.
    pub file: Option<PathBuf>,
    /// The address of a TCP port.
    pub host: &'static str,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted {
            key: ApiKey::Plain(Secret::new(KEY)),
            hosts: &[],
            origins: &[],
            limits: Limits::default(),
            deadlines: Deadlines {
                // No test waits for it unless it means to.
                linger: Duration::from_secs(20),
                ..Deadlines::default()
            },
            catalog: |_| {},
            file: None,
            host: "127.0.0.1",
        }
    }
}

/// A server; dropping it stops it and waits for its end.
pub struct Server {
    place: String,
    file: Option<PathBuf>,
    pub gate: async_channel::Sender<()>,
    pub mqtt_connected: Arc<AtomicBool>,
    stop: async_channel::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start() -> Server {
        Server::with(Wanted::default())
    }

    pub fn with(wanted: Wanted) -> Server {
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let (ready, started) = std::sync::mpsc::channel();
        let mqtt_connected = Arc::new(AtomicBool::new(false));
        let connected = Arc::clone(&mqtt_connected);
        let file = wanted.file.clone();
        let thread = std::thread::spawn(move || {
            let listener = match &wanted.file {
                Some(path) => smol::block_on(Listener::unix(path, 0o600)).unwrap(),
                None => smol::block_on(Listener::tcp(wanted.host, 0)).unwrap(),
            };
            let (engine, gate) = engine_with(wanted.catalog);
            let metrics = Metrics::default();
            let counted = metrics.clone();
            ready.send((listener.place().to_owned(), gate)).unwrap();
            let settings = ServerSettings {
                engine,
                mqtt_connected: Box::new(move || connected.load(Ordering::Relaxed)),
                admission: Admission {
                    api_key: wanted.key,
                    allowed_hosts: wanted
                        .hosts
                        .iter()
                        .map(|name| Host::parse(name).unwrap())
                        .collect(),
                    allowed_origins: wanted
                        .origins
                        .iter()
                        .map(|name| Origin::parse(name).unwrap())
                        .collect(),
                    tls: None,
                },
                metrics,
                report: Box::new(move || counted.key_hashes().to_string()),
                limits: wanted.limits,
                deadlines: wanted.deadlines,
            };
            let until = async {
                let _ = stopped.recv().await;
            };
            let server = HttpServer::new(listener, settings).unwrap();
            let executor = Rc::new(LocalExecutor::new());
            async_io::block_on(executor.run(server.serve(&executor, until)));
        });
        let (place, gate) = started.recv().unwrap();
        Server {
            place,
            file,
            gate,
            mqtt_connected,
            stop,
            thread: Some(thread),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.place.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        let socket = match &self.file {
            Some(path) => Socket::Unix(UnixStream::connect(path).unwrap()),
            None => Socket::Tcp(TcpStream::connect(("127.0.0.1", self.port())).unwrap()),
        };
        Client::over(socket)
    }

    /// A new connection from another address of loopback, if it is by TCP.
    pub fn connect_from(&self, number: u32) -> Client {
        if self.file.is_some() {
            return self.connect();
        }
        let address = Ipv4Addr::from_bits(0x7f01_0000 + number);
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrV4::new(address, 0)).unwrap();
        let server = SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port());
        rustix::net::connect(&socket, &server).unwrap();
        Client::over(Socket::Tcp(TcpStream::from(socket)))
    }

    /// One exchange on a connection of its own.
    pub fn ask(&self, request: &[u8]) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    /// How many slow hashes were begun, as whoever has this key is told.
    pub fn key_hashes(&self, key: &str) -> u64 {
        let request =
            format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n\r\n");
        let answer = self.ask(request.as_bytes());
        std::str::from_utf8(&answer.body).unwrap().parse().unwrap()
    }

    /// Lets the thread end, and waits for it.
    pub fn stop(&mut self) {
        self.stop.close();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// Begins to stop, without waiting.
    pub fn ask_to_stop(&self) {
        self.stop.close();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.close();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A client's end of one connection.
pub struct Client {
    socket: Socket,
    bytes: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// With the date masked.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.split("\r\n").skip(1);
        let mut found = fields.filter_map(|line| {
            let (found, value) = line.split_once(": ")?;
            (found == name).then_some(value)
        });
        let value = found.next();
        assert_eq!(found.next(), None, "`{name}` is there twice: {}", self.head);
        value
    }

    pub fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }

    /// The sentence of a refusal.
    pub fn sentence(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }
}

impl Client {
    /// A connection to the server on this socket file.
    pub fn unix(path: &std::path::Path) -> Client {
        Client::over(Socket::Unix(UnixStream::connect(path).unwrap()))
    }

    fn over(socket: Socket) -> Client {
        let patience = Some(Duration::from_secs(30));
        match &socket {
            Socket::Tcp(socket) => socket.set_read_timeout(patience).unwrap(),
            Socket::Unix(socket) => socket.set_read_timeout(patience).unwrap(),
        }
        let bytes = Vec::new();
        Client { socket, bytes }
    }

    /// False when the server has closed. It may have refused already: what it answered is what counts.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = match &mut self.socket {
            Socket::Tcp(socket) => socket.write_all(bytes),
            Socket::Unix(socket) => socket.write_all(bytes),
        };
        sent.is_ok()
    }

    /// Sends as much as the system takes without waiting; how much that was.
    pub fn write_some(&mut self, bytes: &[u8]) -> usize {
        let set = |on| match &self.socket {
            Socket::Tcp(socket) => socket.set_nonblocking(on).unwrap(),
            Socket::Unix(socket) => socket.set_nonblocking(on).unwrap(),
        };
        set(true);
        let mut sent = 0;
        while sent < bytes.len() {
            let wrote = match &self.socket {
                Socket::Tcp(socket) => (&mut &*socket).write(&bytes[sent..]),
                Socket::Unix(socket) => (&mut &*socket).write(&bytes[sent..]),
            };
            match wrote {
                Ok(count @ 1..) => sent += count,
                _ => break,
            }
        }
        set(false);
        sent
    }

    pub fn finish(&mut self) {
        let _ = match &self.socket {
            Socket::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Socket::Unix(socket) => socket.shutdown(Shutdown::Write),
        };
    }

    /// Reads more; false at the end.
    pub fn fill(&mut self) -> bool {
        let mut room = [0; 65536];
        let read = match &mut self.socket {
            Socket::Tcp(socket) => socket.read(&mut room),
            Socket::Unix(socket) => socket.read(&mut room),
        };
        let count = match read {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("no answer: {error}"),
        };
        self.bytes.extend_from_slice(&room[..count]);
        count > 0
    }

    /// Whether nothing comes for so long.
    pub fn is_silent(&mut self, patience: Duration) -> bool {
        let Socket::Tcp(socket) = &mut self.socket else {
            panic!("only over TCP");
        };
        let before = socket.read_timeout().unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        let silent = socket.peek(&mut [0]).is_err();
        socket.set_read_timeout(before).unwrap();
        silent
    }

    /// Everything until the server closes, answers taken by [`Client::answer`] not included.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.bytes)
    }

    /// Bytes up to and including `end`.
    pub fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self.bytes.windows(end.len()).position(|part| part == end);
            if let Some(at) = found {
                return self.bytes.drain(..at + end.len()).collect();
            }
            assert!(
                self.fill(),
                "closed before {:?}; so far {:?}",
                String::from_utf8_lossy(end),
                String::from_utf8_lossy(&self.bytes)
            );
        }
    }

    /// The head of the next answer.
    pub fn head(&mut self) -> Answer {
        let head = String::from_utf8(self.until(b"\r\n\r\n")).unwrap();
        let status = head[9..12].parse().unwrap();
        let masked: Vec<_> = head
            .split("\r\n")
            .map(|line| {
                if line.starts_with("date: ") {
                    "date: {DATE}"
                } else {
                    line
                }
            })
            .collect();
        Answer {
            status,
            head: masked.join("\r\n"),
            body: Vec::new(),
        }
    }

    /// The next answer, whole.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        match answer.field("content-length") {
            Some(length) => {
                let length: usize = length.parse().unwrap();
                while self.bytes.len() < length {
                    assert!(self.fill(), "the body is cut off");
                }
                answer.body = self.bytes.drain(..length).collect();
            }
            // RFC 9110 §8.6: it has neither a body nor a length.
            None if answer.status == 204 => {
                assert_eq!(answer.field("transfer-encoding"), None);
            }
            None => {
                assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
                while let Some(chunk) = self.chunk() {
                    answer.body.extend_from_slice(&chunk);
                }
            }
        }
        answer
    }

    /// The status of the next answer; `None` when the connection ends without one.
    pub fn status(&mut self) -> Option<u16> {
        while !self.bytes.windows(2).any(|it| it == b"\r\n") {
            if !self.fill() {
                return None;
            }
        }
        let line = std::str::from_utf8(self.bytes.get(..12)?).ok()?;
        line.strip_prefix("HTTP/1.1 ")?.parse().ok()
    }

    /// The next chunk of a stream; `None` after the last one.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = String::from_utf8(self.until(b"\r\n")).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        while self.bytes.len() < size + 2 {
            assert!(self.fill(), "the chunk is cut off");
        }
        let chunk = self.bytes.drain(..size).collect();
        assert_eq!(self.bytes.drain(..2).collect::<Vec<_>>(), b"\r\n");
        (size > 0).then_some(chunk)
    }

    /// The message of the next event of a stream; comments and what begins a stream are passed over.
    pub fn event(&mut self) -> Value {
        loop {
            let frame = self.frame().expect("the stream has ended");
            if let Some(message) = frame.message {
                return message;
            }
        }
    }

    /// The next event of a stream, comments passed over; `None` at its end.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut text = String::new();
        loop {
            text.push_str(&String::from_utf8(self.chunk()?).unwrap());
            match text.strip_suffix("\n\n") {
                Some(":") => text.clear(),
                Some(event) => return Some(Frame::read(event)),
                None => {}
            }
        }
    }

    /// Whether another request is still answered here.
    pub fn is_served(&mut self) -> bool {
        self.send(b"GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.answer().status == 200
    }
}

/// One event.
#[derive(Debug)]
pub struct Frame {
    pub id: Option<String>,
    pub retry: Option<u64>,
    pub message: Option<Value>,
    pub bytes: usize,
}

impl Frame {
    fn read(text: &str) -> Frame {
        let field = |name: &str| {
            let mut found = text
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let value = found.next().map(str::trim_start);
            assert_eq!(found.next(), None, "`{name}` twice: {text}");
            value
        };
        let data = field("data").expect("an event without data");
        let message = (!data.is_empty()).then(|| serde_json::from_str(data).unwrap());
        assert_eq!(field("event"), message.as_ref().map(|_| "message"));
        Frame {
            id: field("id").map(str::to_owned),
            retry: field("retry").map(|it| it.parse().unwrap()),
            message,
            bytes: text.len() + 2,
        }
    }
}

/// A POST to `/mcp` with the right key, the usual fields and these lines.
pub fn post(fields: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         content-length: {}\r\n{fields}\r\n{body}",
        body.len()
    )
    .into_bytes()
}
