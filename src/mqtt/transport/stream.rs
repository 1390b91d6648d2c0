//! The open byte stream to the broker, plain or in TLS.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::task::{Context, Poll, ready};

use async_io::Async;

use super::tls::TlsStream;
use crate::io_error::describe;

/// An open connection. Its errors are sentences.
pub(crate) enum BrokerStream {
    Plain(Async<TcpStream>),
    Tls(Box<TlsStream>),
}

impl BrokerStream {
    /// Reads into `buffer`; 0 is the end of the stream. The socket is read only when the reactor has reported it
    /// readable: a read in every turn would cost a system call each.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, String>> {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(session) => return session.poll_read(cx, buffer),
        };
        loop {
            let readable = ready!(stream.poll_readable(cx));
            match readable.and_then(|()| stream.get_ref().read(buffer)) {
                Err(error) if is_transient(&error) => {}
                read => return Poll::Ready(read.map_err(|error| describe(&error))),
            }
        }
    }

    /// Writes as much of `bytes` as the socket takes at once. Until it returns how many bytes are written, the caller
    /// must pass the same bytes again, with more appended if there are more. 0 does not mean closed.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, String>> {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(session) => return session.poll_write(cx, bytes),
        };
        loop {
            match stream.get_ref().write(bytes) {
                Ok(0) => return Poll::Ready(Err("it takes no more bytes".into())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let writable = ready!(stream.poll_writable(cx));
                    writable.map_err(|error| describe(&error))?;
                }
                Err(error) if is_transient(&error) => {}
                written => return Poll::Ready(written.map_err(|error| describe(&error))),
            }
        }
    }

    /// Whether the stream has bytes of its own to write.
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(session) => session.wants_write(),
        }
    }

    /// The protocol under MQTT, for the log.
    pub(crate) fn protocol(&self) -> &'static str {
        match self {
            Self::Plain(_) => "TCP",
            Self::Tls(session) => session.protocol(),
        }
    }

    /// Shuts down the write direction, as far as that goes at once, and returns the socket: the caller must read what
    /// the peer still sends before dropping it.
    pub(crate) fn close(self) -> Async<TcpStream> {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(session) => session.close(),
        };
        // Fails when the peer has closed already, which does no harm.
        let _ = socket.get_ref().shutdown(std::net::Shutdown::Write);
        socket
    }

    /// Lets the system acknowledge received bytes at once. Brokers that do not set TCP_NODELAY (mosquitto by default)
    /// hold a message back until the packet before it is acknowledged, which the system delays by up to 40 ms: a
    /// retained message behind its SUBACK would come that late. The call has to be repeated, because the system goes
    /// back to delaying by itself. The option is a hint, so its failure changes nothing.
    pub(crate) fn acknowledge_now(&self) {
        let socket = match self {
            Self::Plain(stream) => stream,
            Self::Tls(session) => session.socket(),
        };
        let _ = rustix::net::sockopt::set_tcp_quickack(socket, true);
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
