//! One connection's bytes: the socket and the one buffer of what was read from it.
//!
//! Promises: no byte read is ever lost between two requests; an idle connection holds no buffer; what is ready to
//! be sent together leaves in one write.
//! Does not: know HTTP or time.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use async_io::Async;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use smol::io::{AsyncRead, AsyncWrite};

use super::tls::TlsSession;

/// A connected socket.
#[derive(Debug)]
pub(in crate::http) enum Stream {
    Tcp(Async<TcpStream>),
    Unix(Async<UnixStream>),
    Tls(Box<TlsSession>),
}

/// What was read and not yet used.
#[derive(Default)]
pub(in crate::http) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Stream {
    /// Writes all of it.
    pub(in crate::http) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|context| self.poll_write(context, bytes)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Shuts the write side down, so that the peer sees the end.
    pub(in crate::http) fn finish(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.get_ref().shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.get_ref().shutdown(Shutdown::Write),
            Stream::Tls(session) => session.finish(),
        }
    }

    /// The subject of the certificate that the client has shown.
    pub(in crate::http) fn subject(&self) -> Option<Rc<str>> {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => None,
            Stream::Tls(session) => session.subject(),
        }
    }

    /// Reads and forgets until the peer has closed or `most` bytes came.
    pub(in crate::http) async fn drain(&self, most: usize) -> io::Result<()> {
        let mut total = 0;
        while total < most {
            let mut forgotten = Vec::new();
            let count = poll_fn(|context| self.poll_read(context, &mut forgotten)).await?;
            if count == 0 {
                break;
            }
            total += count;
        }
        Ok(())
    }

    /// Appends what is there to `bytes`.
    fn poll_read(&self, context: &mut Context<'_>, bytes: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => poll_receive(stream, context, bytes),
            Stream::Unix(stream) => poll_receive(stream, context, bytes),
            Stream::Tls(session) => {
                let mut room = [0; READ_BYTES];
                let count = ready!(session.poll_read(context, &mut room))?;
                bytes.extend_from_slice(room.get(..count).unwrap_or_default());
                Poll::Ready(Ok(count))
            }
        }
    }

    fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(&mut &*stream).poll_write(context, bytes),
            Stream::Unix(stream) => Pin::new(&mut &*stream).poll_write(context, bytes),
            Stream::Tls(session) => session.poll_write(context, bytes),
        }
    }
}

impl Buffer {
    pub(in crate::http) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(in crate::http) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// Takes `count` bytes away from the front.
    pub(in crate::http) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.bytes.len() {
            // Freed, not kept: most connections are idle most of the time.
            *self = Buffer::default();
        }
    }

    /// Reads what is there, at least one byte; 0 means that the peer sends no more.
    pub(in crate::http) async fn fill(&mut self, stream: &Stream) -> io::Result<usize> {
        self.bytes.drain(..self.start);
        self.start = 0;
        poll_fn(|context| stream.poll_read(context, &mut self.bytes)).await
    }

    /// Takes what is there already, without a wait.
    pub(in crate::http) fn take(&mut self, stream: &Stream) {
        // The next wait on the socket sees the error again.
        let _ = match stream {
            Stream::Tcp(stream) => receive(stream, &mut self.bytes),
            Stream::Unix(stream) => receive(stream, &mut self.bytes),
            Stream::Tls(_) => return,
        };
    }

    /// Returns when the peer sends no more or is gone. What it sends before that is kept, until there is so much
    /// that it is left in the socket and the end cannot be seen.
    pub(in crate::http) async fn until_closed(&mut self, stream: &Stream) {
        while self.bytes().len() < READ_BYTES {
            match self.fill(stream).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Waits before it reads: between two requests there mostly is nothing yet, and an attempt is a system call.
fn poll_receive<T: AsFd>(
    stream: &Async<T>,
    context: &mut Context<'_>,
    bytes: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_readable(context))?;
        match receive(stream, bytes) {
            Ok(count) => return Poll::Ready(Ok(count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Poll::Ready(Err(error.into())),
        }
    }
}

fn receive(stream: &impl AsFd, bytes: &mut Vec<u8>) -> Result<usize, Errno> {
    // On the stack, so that a connection that waits holds nothing; and not cleared, which would take longer than
    // most of what happens to a request.
    let mut room = [const { MaybeUninit::uninit() }; READ_BYTES];
    let ((read, _), count) = recv(stream, room.as_mut_slice(), RecvFlags::empty())?;
    bytes.extend_from_slice(read);
    Ok(count)
}

/// Appends what `encoder` has ready to `out`, at least one byte; false at its end.
pub(in crate::http) async fn gather(
    encoder: &mut (impl AsyncRead + Unpin),
    out: &mut Vec<u8>,
) -> io::Result<bool> {
    poll_fn(|context| {
        let mut room = [0; GATHER_BYTES];
        loop {
            match Pin::new(&mut *encoder).poll_read(context, &mut room) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(false)),
                Poll::Ready(Ok(count)) => {
                    if out.is_empty() {
                        out.reserve(ANSWER_BYTES);
                    }
                    out.extend_from_slice(room.get(..count).unwrap_or_default());
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if out.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(true)),
            }
            if out.len() >= WRITE_BYTES {
                return Poll::Ready(Ok(true));
            }
        }
    })
    .await
}

const READ_BYTES: usize = 8 * 1024;
/// Copied at a time: most answers are smaller, and the room for them is cleared first.
const GATHER_BYTES: usize = 2 * 1024;
/// Room that an answer of usual size needs.
const ANSWER_BYTES: usize = 512;
/// As much as is gathered before it is written: an answer of usual size leaves in one write.
const WRITE_BYTES: usize = 32 * 1024;
