//! HTTPS: TLS on connections that came in over TCP.
//!
//! Promises: plain HTTP is distinguished from TLS.
//! Does not: know deadlines, or decide about requests. Who the subject of a client certificate is, `guard` says.

mod load;
mod session;
mod subject;

use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use async_io::Async;
use rustls::ServerConfig;

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
    /// TLS.
    Secure(Box<TlsSession>),
    /// Plain HTTP where TLS is wanted.
    PlainHttp(Async<TcpStream>),
}

impl Tls {
    /// Shakes hands on a connection.
    ///
    /// # Errors
    /// The handshake failed, or the connection.
    pub(in crate::http) async fn handshake(
        &self,
        socket: Async<TcpStream>,
    ) -> io::Result<Handshake> {
        let mut first = [0];
        socket.peek(&mut first).await?;
        // A handshake begins with 22 (RFC 8446 §5.1), a request with the letters of its method.
        if first.iter().all(u8::is_ascii_uppercase) {
            return Ok(Handshake::PlainHttp(socket));
        }
        let config = Arc::clone(&self.config);
        let session = TlsSession::new(socket, config).map_err(io::Error::other)?;
        poll_fn(|context| session.poll_handshake(context)).await?;
        Ok(Handshake::Secure(Box::new(session)))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}
