//! A client that speaks HTTP in raw bytes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

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
    pub fn unix(path: &Path) -> Client {
        Client::over(Socket::Unix(UnixStream::connect(path).unwrap()))
    }

    pub fn tcp(socket: TcpStream) -> Client {
        Client::over(Socket::Tcp(socket))
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
