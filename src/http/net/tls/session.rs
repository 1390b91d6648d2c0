//! One TLS connection on one socket, the server's end.
//!
//! Promises: bytes count as written when the socket has taken them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_io::Async;
use rustls::{Error, ServerConfig, ServerConnection};

use super::subject;

pub(in crate::http) struct TlsSession {
    socket: Async<TcpStream>,
    tls: RefCell<ServerConnection>,
    /// Bytes that are encrypted and that the socket has not taken whole.
    taken: Cell<usize>,
    /// The subject of the client's certificate, once the handshake is over.
    subject: RefCell<Option<Rc<str>>>,
}

impl TlsSession {
    pub(super) fn new(
        socket: Async<TcpStream>,
        config: Arc<ServerConfig>,
    ) -> Result<TlsSession, Error> {
        Ok(TlsSession {
            socket,
            tls: RefCell::new(ServerConnection::new(config)?),
            taken: Cell::new(0),
            subject: RefCell::default(),
        })
    }

    pub(super) fn poll_handshake(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(context))?;
            if !self.tls.borrow().is_handshaking() {
                self.note_subject();
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_receive(context))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    fn note_subject(&self) {
        let tls = self.tls.borrow();
        let own = tls.peer_certificates().and_then(<[_]>::first);
        let subject = own.and_then(|certificate| subject::of(certificate));
        self.subject.replace(subject.map(Into::into));
    }

    /// The subject of the client's certificate, which the handshake verified.
    pub(in crate::http) fn subject(&self) -> Option<Rc<str>> {
        self.subject.borrow().clone()
    }

    /// Reads into `room`; 0 is the end.
    pub(in crate::http) fn poll_read(
        &self,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.tls.borrow_mut().reader().read(room) {
                // No farewell. A request says how long it is, so a cut cannot pass for an end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(0));
                }
                Err(error) if is_transient(&error) => {}
                read => return Poll::Ready(read),
            }
            ready!(self.poll_receive(context))?;
        }
    }

    /// Writes of `bytes` what it can; always called with the same bytes until it says how many are written.
    pub(in crate::http) fn poll_write(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_flush(context))?;
            if self.taken.get() > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(self.taken.take()));
            }
            let record = bytes.get(..RECORD_BYTES).unwrap_or(bytes);
            let taken = self.tls.borrow_mut().writer().write(record)?;
            self.taken.set(taken);
        }
    }

    /// Sends `close_notify`, so that the client sees the end.
    pub(in crate::http) fn finish(&self) -> io::Result<()> {
        let mut tls = self.tls.borrow_mut();
        tls.send_close_notify();
        // As far as the socket takes it at once.
        let _ = tls.write_tls(&mut self.socket.get_ref());
        self.socket.get_ref().shutdown(Shutdown::Write)
    }

    /// Takes bytes from the socket; 0 is its end.
    fn poll_receive(&self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_readable(context))?;
            let mut tls = self.tls.borrow_mut();
            match tls.read_tls(&mut self.socket.get_ref()) {
                Err(error) if is_transient(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    if let Err(error) = tls.process_new_packets() {
                        // The alert goes to the client if the socket takes it at once.
                        let _ = tls.write_tls(&mut self.socket.get_ref());
                        return Poll::Ready(Err(io::Error::other(error)));
                    }
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }

    /// Writes what is encrypted, or what TLS itself has to say.
    fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.borrow().wants_write() {
            let written = self.tls.borrow_mut().write_tls(&mut self.socket.get_ref());
            match written {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_writable(context))?;
                }
                Err(error) if is_transient(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(_) => {}
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsSession")
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// The longest TLS record.
const RECORD_BYTES: usize = 16 * 1024;
