//! An HTTP server in a thread of its own.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mcpmqtt::http::{
    Admission, Deadlines, Limits, ListenError, Listener, NamedCallers, Server as HttpServer,
    ServerSettings,
};
use mcpmqtt::mcp::catalog::Catalog;
use mcpmqtt::metrics::Metrics;
use mcpmqtt_config::{ApiKey, Config, Host, KeyRequest, Origin, Secret, add_key};
use serde_json::{Value, json};
use smol::LocalExecutor;

use super::addresses::{another_address, connect_from};
use super::engine::engine_with;
use super::http_client::{Answer, Client};
use super::requests::KEY;
use super::scratch::under_one_umask;

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

/// Listens on a socket file.
pub fn listen(path: &Path, mode: u32) -> Result<Listener, ListenError> {
    under_one_umask(|| smol::block_on(Listener::unix(path, mode)))
}

/// What a test wants to differ from the usual.
pub struct Wanted {
    pub key: ApiKey,
    pub callers: NamedCallers,
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
            callers: NamedCallers::default(),
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

/// `count` keys, each with a name of its own, and their texts.
pub fn named(count: u8) -> (NamedCallers, Vec<String>) {
    let mut file = String::from("{}");
    let mut texts = Vec::new();
    for number in 0..count {
        let name = format!("key-{number}");
        let request = KeyRequest {
            name: &name,
            profile: "default",
            today: "2026-11-28",
        };
        let made = add_key(file.as_bytes(), [number; 32], request, None).unwrap();
        file = made.text;
        texts.push(made.key.expose().to_owned());
    }
    let server = Config::parse(&file).unwrap().0.remote_server.unwrap();
    let callers = NamedCallers {
        keys: server.keys,
        is_complete: true,
        ..NamedCallers::default()
    };
    (callers, texts)
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
                Some(path) => listen(path, 0o600).unwrap(),
                None => smol::block_on(Listener::tcp(wanted.host, 0)).unwrap(),
            };
            let (engine, gate) = engine_with(wanted.catalog);
            let metrics = Metrics::default();
            let counted = metrics.clone();
            ready.send((listener.place().to_owned(), gate)).unwrap();
            let settings = ServerSettings {
                engine,
                mqtt_connected: Box::new(move || connected.load(Ordering::Relaxed)),
                halted: Box::new(|| false),
                admission: Admission {
                    api_key: wanted.key,
                    callers: wanted.callers,
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
        match &self.file {
            Some(path) => Client::unix(path),
            None => Client::tcp(TcpStream::connect(("127.0.0.1", self.port())).unwrap()),
        }
    }

    /// A new connection from another address of loopback, if it is by TCP.
    pub fn connect_from(&self, number: u32) -> Client {
        if self.file.is_some() {
            return self.connect();
        }
        Client::tcp(connect_from(another_address(number), self.port()))
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
