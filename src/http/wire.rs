//! One connection's bytes: the socket and the one buffer of what was read from it.
//!
//! Promises: no byte read is ever lost between two requests; an idle connection holds no buffer; what is ready to
//! be sent together leaves in one write.
//! Does not: know HTTP or time.

use std::future::poll_fn;
use std::io::{self, Read as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_io::Async;
use smol::io::{AsyncRead, AsyncWrite};

use super::tls::Session;

/// A connected socket.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(Async<TcpStream>),
    Unix(Async<UnixStream>),
    Tls(Box<Session>),
}

/// What was read and not yet used.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Stream {
    /// Writes all of it.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|context| self.poll_write(context, bytes)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Tells the peer that nothing more will come.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.get_ref().shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.get_ref().shutdown(Shutdown::Write),
            Stream::Tls(session) => session.finish(),
        }
    }

    /// Reads and forgets until the peer has closed or `most` bytes came.
    pub(super) async fn drain(&self, most: usize) -> io::Result<()> {
        let mut total = 0;
        while total < most {
            let count = poll_fn(|context| {
                let mut room = [0; READ_BYTES];
                self.poll_read(context, &mut room)
            })
            .await?;
            if count == 0 {
                break;
            }
            total += count;
        }
        Ok(())
    }

    /// Waits before it reads: between two requests there mostly is nothing yet, and an attempt is a system call.
    fn poll_read(&self, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let read = match self {
                Stream::Tcp(stream) => {
                    ready!(stream.poll_readable(context))?;
                    stream.get_ref().read(room)
                }
                Stream::Unix(stream) => {
                    ready!(stream.poll_readable(context))?;
                    stream.get_ref().read(room)
                }
                Stream::Tls(session) => return session.poll_read(context, room),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return Poll::Ready(read),
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
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// Takes `count` bytes away from the front.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.bytes.len() {
            // Freed, not kept: most connections are idle most of the time.
            *self = Buffer::default();
        }
    }

    /// Reads what is there, at least one byte; 0 means that the peer sends no more.
    pub(super) async fn fill(&mut self, stream: &Stream) -> io::Result<usize> {
        poll_fn(|context| {
            // On the stack, so that a connection that waits holds nothing.
            let mut room = [0; READ_BYTES];
            let count = ready!(stream.poll_read(context, &mut room))?;
            self.bytes.drain(..self.start);
            self.start = 0;
            self.bytes
                .extend_from_slice(room.get(..count).unwrap_or_default());
            Poll::Ready(Ok(count))
        })
        .await
    }

    /// Returns when the peer sends no more or is gone. What it sends before that is kept, until there is so much
    /// that it is left in the socket and the end cannot be seen.
    pub(super) async fn until_closed(&mut self, stream: &Stream) {
        while self.bytes().len() < READ_BYTES {
            match self.fill(stream).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Appends what `encoder` has ready to `out`, at least one byte; false at its end.
pub(super) async fn gather(
    encoder: &mut (impl AsyncRead + Unpin),
    out: &mut Vec<u8>,
) -> io::Result<bool> {
    poll_fn(|context| {
        loop {
            let mut room = [0; GATHER_BYTES];
            match Pin::new(&mut *encoder).poll_read(context, &mut room) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(false)),
                Poll::Ready(Ok(count)) => {
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
/// Copied at a time: most answers are smaller, and the room for them is cleared each time.
const GATHER_BYTES: usize = 2 * 1024;
/// As much as is gathered before it is written: an answer of usual size leaves in one write.
const WRITE_BYTES: usize = 32 * 1024;
