//! One POST to the running server, and its answer.
//!
//! Promises: the request is written once and never repeated; an answer without its whole length is an error; all waits
//! end.
//! Does not: speak TLS, follow anything, or keep the connection.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use mcpmqtt_config::Listen;
use mcpmqtt_protocol::topic::disturbs;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::Value;

use super::CallRequest;
use crate::io_error::describe;
use crate::mcp::Version;

/// Where the server is and what it wants to see.
pub(super) struct RunningServer {
    pub(super) listen: Listen,
    /// The value of `Host`, if the server allows only listed hosts.
    pub(super) host: Option<String>,
    pub(super) key: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// No server accepted the connection, so that no request was sent.
    NotThere(String),
    /// The request was sent, and failed for this reason.
    Said(String),
}

trait ServerStream: Read + Write {}
impl<T: Read + Write> ServerStream for T {}

/// Sends the request and waits for the answer: the text of a JSON-RPC message.
pub(super) fn call(server: &RunningServer, request: &CallRequest) -> Result<Vec<u8>, Failed> {
    let (place, mut wire) = connect(&server.listen)?;
    let broken = |error: &io::Error| {
        Failed::Said(format!(
            "the connection to the running server at `{place}` broke: {}; the call may have been carried out",
            describe(error)
        ))
    };
    let head = head(server, request, &place);
    let sent = wire.write_all(&[head.as_bytes(), &request.body].concat());
    sent.and_then(|()| wire.flush())
        .map_err(|error| broken(&error))?;
    let mut answer = Vec::new();
    let reading = wire.take(ANSWER_BYTES).read_to_end(&mut answer);
    reading.map_err(|error| broken(&error))?;
    let (status, body) = split(&answer).ok_or_else(|| {
        Failed::Said(format!(
            "what answers at `{place}` is not mcpmqtt, or its answer was cut off; the call may \
             have been carried out"
        ))
    })?;
    let is_rpc = serde_json::from_slice::<Value>(body)
        .is_ok_and(|message| message.get("id").is_some_and(|id| !id.is_null()));
    if is_rpc {
        return Ok(body.to_vec());
    }
    Err(Failed::Said(format!(
        "the running server at `{place}` refused the call with status {status}: {}",
        sentence(body)
    )))
}

fn connect(listen: &Listen) -> Result<(String, Box<dyn ServerStream>), Failed> {
    match listen {
        Listen::Unix(path) => {
            let place = path.display().to_string();
            let stream = dial_file(path).map_err(|error| absent(&place, &error))?;
            let timed = stream.set_read_timeout(Some(PATIENCE));
            timed
                .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
                .map_err(|error| absent(&place, &error))?;
            Ok((place, Box::new(stream)))
        }
        Listen::Tcp { host, port } => {
            // What listens everywhere is reached here.
            let host = match host.as_str() {
                "0.0.0.0" => "127.0.0.1",
                "::" | "[::]" => "::1",
                host => host,
            };
            let place = crate::mqtt::place(host, *port);
            let stream = dial(&place).map_err(|error| absent(&place, &error))?;
            Ok((place, Box::new(stream)))
        }
    }
}

/// A server whose queue is full is waited for, but not without end (unix(7), SO_SNDTIMEO).
fn dial_file(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(CONNECT))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn dial(place: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn absent(place: &str, error: &io::Error) -> Failed {
    Failed::NotThere(format!("`{place}`: {}", describe(error)))
}

fn head(server: &RunningServer, request: &CallRequest, place: &str) -> String {
    let host = match (&server.host, &server.listen) {
        (Some(host), _) => host,
        (None, Listen::Unix(_)) => "localhost",
        (None, Listen::Tcp { .. }) => place,
    };
    format!(
        "POST /mcp HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\naccept: application/json\r\ncontent-length: {}\r\n\
         mcp-protocol-version: {}\r\nmcp-method: tools/call\r\nmcp-name: {}\r\nconnection: close\r\n\r\n",
        server.key,
        request.body.len(),
        Version::MODERN.name(),
        request.tool
    )
}

/// Status and body of a whole answer.
fn split(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = answer.split_at_checked(end)?;
    let body = body.get(4..)?;
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let status = lines
        .next()?
        .strip_prefix("HTTP/1.1 ")?
        .get(..3)?
        .parse()
        .ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    })?;
    (body.len() == length).then_some((status, body))
}

/// The server's error message, escaped to one line.
fn sentence(body: &[u8]) -> String {
    let message: Option<Value> = serde_json::from_slice(body).ok();
    let words = message
        .as_ref()
        .and_then(|message| message.get("error")?.get("message")?.as_str());
    let words: String = words
        .unwrap_or("it gives no reason")
        .chars()
        .take(500)
        .collect();
    words.chars().flat_map(plain).collect()
}

fn plain(letter: char) -> Vec<char> {
    match disturbs(letter) {
        true => letter.escape_default().collect(),
        false => vec![letter],
    }
}

/// The server is on this machine, or near.
const CONNECT: Duration = Duration::from_secs(5);
/// Longer than the server takes for any call.
const PATIENCE: Duration = Duration::from_secs(16 * 60);
/// More than the largest answer that a server gives in the default configuration, with room for others.
const ANSWER_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_or_none() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(split(whole), Some((200, &b"{}"[..])));
        for bad in [
            &whole[..whole.len() - 1],
            b"HTTP/1.1 200 OK\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{}",
            b"HTTP/1.1 2\r\ncontent-length: 0\r\n\r\n",
            b"SSH-2.0-x\r\n",
            b"",
        ] {
            assert_eq!(split(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn words_of_a_server_stay_on_one_line() {
        let body = br#"{"error": {"message": "a\nb\u001b[1m"}}"#;
        assert_eq!(sentence(body), "a\\nb\\u{1b}[1m");
        assert_eq!(sentence(b"<html>"), "it gives no reason");
    }
}
