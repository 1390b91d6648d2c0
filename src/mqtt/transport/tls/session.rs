//! One TLS connection on one socket.
//!
//! Promises: bytes count as written when the socket has taken them, not when they are encrypted, so
//! that an outcome told from it is as true as without TLS.

use std::io;
use std::net::TcpStream;
use std::task::{Context, Poll, ready};

use async_io::Async;
use rustls::{ClientConnection, Error, ProtocolVersion};

use super::{Tls, words};
use crate::io_error::describe;

/// An open connection.
pub(crate) struct Session {
    socket: Async<TcpStream>,
    tls: ClientConnection,
    /// Bytes that are encrypted and that the socket has not taken whole.
    taken: usize,
    has_certificate: bool,
}

impl Session {
    /// Shakes hands on a connected socket.
    pub(crate) async fn open(tls: &Tls, socket: Async<TcpStream>) -> Result<Self, String> {
        let connection = ClientConnection::new(tls.config.clone(), tls.name.clone());
        let mut session = Self {
            socket,
            tls: connection.map_err(|error| words::of(&error, false))?,
            taken: 0,
            has_certificate: tls.config.client_auth_cert_resolver.has_certs(),
        };
        while session.tls.is_handshaking() || session.tls.wants_write() {
            session.step().await?;
        }
        Ok(session)
    }

    async fn step(&mut self) -> Result<(), String> {
        let socket = &mut self.socket.get_ref();
        if self.tls.wants_write() {
            return match self.tls.write_tls(socket) {
                Err(error) if is_transient(&error) => self.socket.writable().await,
                written => written.map(drop),
            }
            .map_err(|error| io_message(&error));
        }
        match self.tls.read_tls(socket) {
            Ok(0) => Err(words::CLOSED.into()),
            Ok(_) => self.process(),
            Err(error) if is_transient(&error) => {
                let readable = self.socket.readable().await;
                readable.map_err(|error| io_message(&error))
            }
            Err(error) => Err(io_message(&error)),
        }
    }

    /// Reads into `buffer`; 0 is the end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, String>> {
        loop {
            match io::Read::read(&mut self.tls.reader(), buffer) {
                Ok(n) => return Poll::Ready(Ok(n)),
                // No farewell. MQTT packets carry their length, so a cut cannot pass for an end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(0));
                }
                Err(error) if is_transient(&error) => {}
                Err(error) => return Poll::Ready(Err(describe(&error))),
            }
            let readable = ready!(self.socket.poll_readable(cx));
            let read = readable.and_then(|()| self.tls.read_tls(&mut self.socket.get_ref()));
            match read {
                Ok(_) => self.process()?,
                Err(error) if is_transient(&error) => {}
                Err(error) => return Poll::Ready(Err(describe(&error))),
            }
        }
    }

    /// Writes of `bytes` what it can; always called with the same bytes, and perhaps more, until it
    /// says how many are written. 0 is no end: what TLS itself had to say is written.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, String>> {
        loop {
            if !self.tls.wants_write() {
                if self.taken > 0 || bytes.is_empty() {
                    return Poll::Ready(Ok(std::mem::take(&mut self.taken)));
                }
                let record = bytes.get(..RECORD_BYTES).unwrap_or(bytes);
                let taken = io::Write::write(&mut self.tls.writer(), record);
                self.taken = taken.map_err(|error| describe(&error))?;
            }
            match self.tls.write_tls(&mut self.socket.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let writable = ready!(self.socket.poll_writable(cx));
                    writable.map_err(|error| describe(&error))?;
                }
                Err(error) if is_transient(&error) => {}
                Ok(0) => return Poll::Ready(Err("it takes no more bytes".into())),
                Err(error) => return Poll::Ready(Err(describe(&error))),
                Ok(_) => {}
            }
        }
    }

    /// Whether TLS has something to say itself.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    pub(crate) fn protocol(&self) -> &'static str {
        match self.tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS",
        }
    }

    /// Takes leave, as far as the socket lets us at once, and returns the socket.
    pub(crate) fn close(mut self) -> Async<TcpStream> {
        self.tls.send_close_notify();
        let _ = self.tls.write_tls(&mut self.socket.get_ref());
        self.socket
    }

    pub(crate) fn socket(&self) -> &Async<TcpStream> {
        &self.socket
    }

    fn process(&mut self) -> Result<(), String> {
        match self.tls.process_new_packets() {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// The error in words; the peer is told, too, if its system takes it at once.
    fn fault(&mut self, error: &Error) -> String {
        let _ = self.tls.write_tls(&mut self.socket.get_ref());
        words::of(error, self.has_certificate)
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn io_message(error: &io::Error) -> String {
    format!(
        "the TLS handshake broke: {} (is `mqtt.port` the broker's TLS port?)",
        describe(error)
    )
}

/// Bytes encrypted at once: the longest TLS record. More would hide how the socket takes them from
/// the one who watches for stalls.
const RECORD_BYTES: usize = 16 * 1024;
