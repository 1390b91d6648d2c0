//! HTTPS: TLS on connections that came in over TCP.
//!
//! Promises: plain HTTP is distinguished from TLS.
//! Does not: know deadlines, or decide about requests. A client certificate comes on top of the key, not in its place.

mod load;
mod session;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;

use super::io::Stream;

pub(in crate::http) use self::session::TlsSession;

/// The server's certificate and key, and the client certificates that it accepts. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    /// What an operator should look at.
    pub warnings: Vec<String>,
}

/// What a client speaks.
pub(in crate::http) enum Handshake {
    /// The stream is what it was, or in TLS now.
    Secure(Stream),
    /// Plain HTTP where TLS is wanted.
    PlainHttp(Stream),
}

impl Tls {
    /// Shakes hands on a connection over TCP; others have no need of it.
    ///
    /// # Errors
    /// The handshake failed, or the connection.
    pub(in crate::http) async fn handshake(&self, stream: Stream) -> io::Result<Handshake> {
        let Stream::Tcp(socket) = stream else {
            return Ok(Handshake::Secure(stream));
        };
        let mut first = [0];
        socket.peek(&mut first).await?;
        // A handshake begins with 22 (RFC 8446 §5.1), a request with the letters of its method.
        if first.iter().all(u8::is_ascii_uppercase) {
            return Ok(Handshake::PlainHttp(Stream::Tcp(socket)));
        }
        let config = Arc::clone(&self.config);
        let session = TlsSession::new(socket, config).map_err(io::Error::other)?;
        poll_fn(|context| session.poll_handshake(context)).await?;
        Ok(Handshake::Secure(Stream::Tls(Box::new(session))))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}
