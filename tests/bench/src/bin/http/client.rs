//! One connection that asks one thing after the other, and the requests that are asked.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, UnixStream};

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

pub struct Connection {
    stream: Box<dyn Duplex>,
    buffer: Vec<u8>,
}

pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A body as it came, chunks included.
#[derive(Debug)]
pub struct Answer(String);

/// What makes a request a request to one server.
#[derive(Clone)]
pub struct Manner {
    pub path: &'static str,
    pub key: String,
    pub session: Option<String>,
}

impl Connection {
    pub async fn open(place: &Place) -> io::Result<Self> {
        Self::open_from(place, None).await
    }

    /// Opens it from this address, over TCP.
    pub async fn open_from(place: &Place, from: Option<SocketAddr>) -> io::Result<Self> {
        let stream: Box<dyn Duplex> = match place {
            Place::Tcp(address) => {
                let socket = TcpSocket::new_v4()?;
                if let Some(from) = from {
                    socket.bind(from)?;
                }
                let stream = socket.connect(*address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
        };
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Asks, and returns when the answer is there in whole; its status.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        self.send(request).await?;
        loop {
            if measure(&self.buffer).is_some_and(|(_, whole)| whole <= self.buffer.len()) {
                return Ok(status(&self.buffer));
            }
            self.fill().await?;
        }
    }

    /// The answer of the last exchange.
    pub fn answer(&self) -> Answer {
        let (head, whole) = measure(&self.buffer).expect("an answer");
        Answer(String::from_utf8_lossy(&self.buffer[head..whole]).into_owned())
    }

    /// Bytes of the last exchange's answer.
    pub fn length(&self) -> usize {
        self.buffer.len()
    }

    /// The session that the last exchange's answer names.
    pub fn session_id(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.buffer);
        let lines = text.lines().take_while(|line| !line.is_empty());
        let mut found = lines.filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("mcp-session-id")
                .then(|| value.to_owned())
        });
        found.next()
    }

    /// Asks, and returns when as much of a stream's beginning is there as holds `mark`.
    pub async fn begin(&mut self, request: &[u8], mark: &str) -> io::Result<()> {
        self.send(request).await?;
        loop {
            let text = String::from_utf8_lossy(&self.buffer);
            if text.contains(mark) {
                return Ok(());
            }
            if text.contains("\r\n\r\n") && !text.starts_with("HTTP/1.1 200") {
                return Err(io::Error::other(text));
            }
            self.fill().await?;
        }
    }

    pub async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        self.stream.write_all(request).await
    }

    /// Reads until the server closes.
    pub async fn rest(&mut self) -> io::Result<()> {
        while self.stream.read_buf(&mut self.buffer).await? > 0 {
            self.buffer.clear();
        }
        Ok(())
    }

    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Bytes of the head and of the whole answer, as soon as they can be told.
fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let mut lines = bytes[..head].split(|byte| *byte == b'\n');
    let length = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(15)?;
        let digits = name
            .eq_ignore_ascii_case(b"content-length:")
            .then_some(value)?;
        std::str::from_utf8(digits)
            .ok()?
            .trim()
            .parse::<usize>()
            .ok()
    });
    match length {
        Some(length) => Some((head, head + length)),
        // Chunks: no JSON ends in such a way.
        None if bytes.ends_with(b"\r\n0\r\n\r\n") => Some((head, bytes.len())),
        None => None,
    }
}

fn status(bytes: &[u8]) -> u16 {
    let digits = bytes
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_default()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

impl Answer {
    /// Its JSON, alone or as the last event of a stream.
    pub fn json(&self) -> Value {
        let start = self.0.rfind("data: ").map_or(0, |at| at + 6);
        let text = self.0[start..].lines().next().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }
}

impl Manner {
    pub fn post(&self, fields: &str, body: &Value) -> Vec<u8> {
        let Self { path, key, session } = self;
        let body = body.to_string();
        let session = session
            .as_ref()
            .map_or(String::new(), |id| format!("mcp-session-id: {id}\r\n"));
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost:80\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
             content-length: {}\r\n{session}{fields}\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// The same call in a session, whose requests name its version.
    pub fn call(&self, id: usize, topic: &str) -> Vec<u8> {
        self.post(
            "mcp-protocol-version: 2025-06-18\r\n",
            &call(id, publish(topic)),
        )
    }

    /// The same call in the version without sessions.
    pub fn stateless_call(&self, id: usize, topic: &str) -> Vec<u8> {
        let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: mqtt_publish\r\n";
        let mut params = publish(topic);
        params["_meta"] = meta();
        self.post(fields, &call(id, params))
    }

    pub fn listen(&self, id: usize, topic: &str) -> Vec<u8> {
        let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: subscriptions/listen\r\n";
        let params = json!({
            "notifications": {"resourceSubscriptions": [format!("mqtt://topic/{topic}")]},
            "_meta": meta(),
        });
        self.post(fields, &json!({"jsonrpc": "2.0", "id": id, "method": "subscriptions/listen", "params": params}))
    }

    pub fn initialize(&self) -> Vec<u8> {
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"}});
        self.post(
            "",
            &json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}),
        )
    }

    pub fn get_stream(&self) -> Vec<u8> {
        let Self { path, key, session } = self;
        let session = session.as_deref().expect("a session");
        format!(
            "GET {path} HTTP/1.1\r\nhost: localhost:80\r\nauthorization: Bearer {key}\r\n\
             accept: text/event-stream\r\nmcp-protocol-version: 2025-06-18\r\nmcp-session-id: {session}\r\n\r\n"
        )
        .into_bytes()
    }
}

fn call(id: usize, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

fn publish(topic: &str) -> Value {
    json!({"name": "mqtt_publish", "arguments": {"topic": topic, "payload": "21.5", "qos": 0}})
}

fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    })
}

pub const STATUS: &[u8] = b"GET /status HTTP/1.1\r\nhost: localhost:80\r\n\r\n";
