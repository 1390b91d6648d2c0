//! One TLS connection on one socket.
//!
//! Promises: bytes count as written when the socket has taken them, not when they are encrypted, so that publish
//! outcomes are as exact as without TLS.

use std::io;
use std::net::TcpStream;
use std::task::{Context, Poll, ready};

use async_io::Async;
use rustls::{ClientConnection, Error, ProtocolVersion};

use super::{Tls, words};
use crate::io_error::describe;

pub(crate) struct TlsStream {
    socket: Async<TcpStream>,
    tls: ClientConnection,
    /// The number of plain bytes that are encrypted but not completely taken by the socket.
    taken: usize,
    has_certificate: bool,
}

impl TlsStream {
    /// Performs the TLS handshake on a connected socket.
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

    /// Reads into `buffer`; 0 is the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, String>> {
        loop {
            match io::Read::read(&mut self.tls.reader(), buffer) {
                Ok(n) => return Poll::Ready(Ok(n)),
                // The peer sent no `close_notify`. MQTT packets carry their length, so a truncated stream cannot pass
                // for a complete one.
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

    /// Writes as much of `bytes` as the socket takes. Until it returns how many bytes are written, the caller must pass
    /// the same bytes again, with more appended if there are more. 0 does not mean closed: only records of TLS itself
    /// were written.
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

    /// Whether TLS has records of its own to send.
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

    /// Sends `close_notify`, as far as the socket takes it at once, and returns the socket.
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

    /// The error message; the peer gets an alert, if the socket takes it at once.
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
        "the TLS handshake with the broker failed: {} (is `mqtt.port` the broker's TLS port?)",
        describe(error)
    )
}

/// The bytes encrypted at once: the longest TLS record. A larger amount would hide the socket's progress from the
/// write-stall timeout.
const RECORD_BYTES: usize = 16 * 1024;
