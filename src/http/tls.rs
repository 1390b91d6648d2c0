//! HTTPS: TLS on connections that came in over TCP.
//!
//! Promises: a handshake has the time that a head has; whoever speaks plain HTTP is told so and sent away.
//! Does not: decide about requests. A client certificate comes on top of the key, not in its place.

mod load;
mod session;

use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use async_io::Async;
use rustls::ServerConfig;

use super::peer::Peer;
use super::seats::Seat;
use super::site::Site;
use super::wire::Stream;
use crate::logger;

pub(super) use self::session::Session;

/// What the server proves itself with, and whom it lets shake hands. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    /// What an operator should look at.
    pub warnings: Vec<String>,
}

impl Tls {
    /// Shakes hands on a connection, if it is one over TCP; `None` when nothing comes of it.
    pub(super) async fn secure(
        &self,
        stream: Stream,
        peer: Peer,
        seat: &Seat,
        site: &Site,
    ) -> Option<Stream> {
        let Stream::Tcp(socket) = stream else {
            return Some(stream);
        };
        let opening = Opened::on(socket, self);
        match seat.within(site.deadlines.head, opening).await {
            Ok(Ok(Opened::Secure(session))) => Some(Stream::Tls(session)),
            Ok(Ok(Opened::Plain(socket))) => {
                logger::debug(format_args!("{peer}: plain HTTP where HTTPS is spoken"));
                refuse(Stream::Tcp(socket), seat, site).await;
                None
            }
            Ok(Err(error)) => {
                logger::debug(format_args!("{peer}: the TLS handshake failed: {error}"));
                None
            }
            Err(_) => {
                logger::debug(format_args!(
                    "{peer}: the TLS handshake did not end in time"
                ));
                None
            }
        }
    }
}

/// What a client wants to speak.
enum Opened {
    Secure(Box<Session>),
    Plain(Async<TcpStream>),
}

impl Opened {
    async fn on(socket: Async<TcpStream>, tls: &Tls) -> io::Result<Opened> {
        let mut first = [0];
        socket.peek(&mut first).await?;
        // A handshake begins with 22 (RFC 8446 §5.1), a request with the letters of its method.
        if first.iter().all(u8::is_ascii_uppercase) {
            return Ok(Opened::Plain(socket));
        }
        let session = Session::new(socket, Arc::clone(&tls.config)).map_err(io::Error::other)?;
        poll_fn(|context| session.poll_handshake(context)).await?;
        Ok(Opened::Secure(Box::new(session)))
    }
}

async fn refuse(stream: Stream, seat: &Seat, site: &Site) {
    let limit = site.deadlines.linger;
    let _ = seat.within(limit, stream.write_all(PLAIN)).await;
    if stream.finish().is_ok() {
        let _ = seat.within(limit, stream.drain(64 * 1024)).await;
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 36\r\n\r\nthis port speaks HTTPS; use https://";
