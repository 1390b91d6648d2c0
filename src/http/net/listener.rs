//! Where connections come in: a socket file, a TCP port, or what systemd hands over.
//!
//! Promises: a socket file has its mode from the first moment; only a file that no server listens on is replaced,
//! and only if it is a socket; at the end the file is removed if it is still the one made here. A socket handed
//! over by systemd stays systemd's. Nothing here waits for another process but for a moment: neither for a lock that
//! one holds, nor for a server that takes no connections in.

use std::fmt;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_io::{Async, Timer};
use mcpmqtt_protocol::topic::ShownPath;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::activation;
use super::io::Stream;
use super::remote_addr::RemoteAddr;
use crate::logger;
use crate::mqtt::resolve;

/// An open listener.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    place: String,
    /// Removes the socket file.
    _file: Option<SocketFile>,
}

/// Why there is no listener.
#[derive(Debug)]
pub enum ListenError {
    /// At the path there is something else than a socket.
    NotASocket(PathBuf),
    /// Another server listens there.
    Taken(String),
    /// The system refuses, for this reason.
    Failed(String, io::Error),
    /// What systemd handed over cannot be used.
    Activation(String),
}

/// How clients reach the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Reach {
    /// Through a socket file: no browser can.
    File,
    /// From this machine: a browser on it can be tricked into it by DNS rebinding.
    Loopback,
    /// From other machines.
    Network,
}

#[derive(Debug)]
enum Socket {
    Tcp(Async<TcpListener>),
    Unix(Async<UnixListener>),
}

/// The file that was made here.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Listener {
    /// Listens on a socket file with these permission bits.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn unix(path: &Path, mode: u32) -> Result<Listener, ListenError> {
        let failed = |error| ListenError::Failed(path.display().to_string(), error);
        // Two of us that start together must not both take the file for a stale one.
        let _lock = lock_directory_of(path).await.map_err(failed)?;
        remove_stale(path)?;
        let listener = bind_with_mode(path, mode).map_err(failed)?;
        let file = SocketFile::made_at(path).map_err(failed)?;
        let socket = Socket::Unix(Async::new(listener).map_err(failed)?);
        Ok(Listener {
            socket,
            place: path.display().to_string(),
            _file: Some(file),
        })
    }

    /// Listens on a TCP port; 0 is any free one. The first address of `host` that can be had is taken.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn tcp(host: &str, port: u16) -> Result<Listener, ListenError> {
        let place = format!("{host}:{port}");
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::Taken(place.clone()),
            _ => ListenError::Failed(place.clone(), error),
        };
        let addresses = resolve(host, port).await.map_err(failed)?;
        let listener = TcpListener::bind(addresses.as_slice()).map_err(failed)?;
        rustix::net::listen(&listener, BACKLOG).map_err(|error| failed(error.into()))?;
        Listener::over_tcp(listener).map_err(failed)
    }

    /// The socket that systemd handed to this process, if it did.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn activated() -> Result<Option<Listener>, ListenError> {
        let wrong = |error: io::Error| ListenError::Activation(error.to_string());
        let listener = match activation::take().map_err(ListenError::Activation)? {
            None => return Ok(None),
            Some(activation::Handed::Tcp(listener)) => {
                Listener::over_tcp(listener).map_err(wrong)?
            }
            Some(activation::Handed::Unix(listener)) => Listener {
                socket: Socket::Unix(Async::new(listener).map_err(wrong)?),
                place: "a socket from systemd".into(),
                _file: None,
            },
        };
        Ok(Some(listener))
    }

    fn over_tcp(listener: TcpListener) -> io::Result<Listener> {
        let place = listener.local_addr()?.to_string();
        let socket = Socket::Tcp(Async::new(listener)?);
        Ok(Listener {
            socket,
            place,
            _file: None,
        })
    }

    /// Where it is: a path, or an address and port.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether it is a TCP port.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        matches!(self.socket, Socket::Tcp(_))
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.reach() != Reach::Network
    }

    pub(in crate::http) fn reach(&self) -> Reach {
        match &self.socket {
            Socket::Unix(_) => Reach::File,
            Socket::Tcp(socket) => match socket.get_ref().local_addr() {
                Ok(address) if address.ip().to_canonical().is_loopback() => Reach::Loopback,
                _ => Reach::Network,
            },
        }
    }

    pub(in crate::http) async fn accept(&self) -> io::Result<(Stream, RemoteAddr)> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                // Else a second small write waits for the first one's acknowledgement, up to 40 ms.
                stream.get_ref().set_nodelay(true)?;
                Ok((Stream::Tcp(stream), RemoteAddr::at(address.ip())))
            }
            Socket::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                let peer = rustix::net::sockopt::socket_peercred(&stream)
                    .map_or(RemoteAddr::Unknown, |peer| {
                        RemoteAddr::of(peer.uid.as_raw(), peer.pid.as_raw_nonzero().get())
                    });
                Ok((Stream::Unix(stream), peer))
            }
        }
    }
}

/// Opens and locks the directory of this path; without the lock if another process holds it for longer than a start
/// takes. Any user who can open the directory can lock it, and must not prevent a start by that.
async fn lock_directory_of(path: &Path) -> io::Result<OwnedFd> {
    let parent = path.parent();
    let directory = parent.filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let lock = rustix::fs::open(
        directory,
        OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Timer::after(LOCK_PAUSE).await,
            Err(error) => return Err(error.into()),
        };
    }
    logger::warning(format_args!(
        "another program keeps the directory of {} locked; starting without the lock",
        ShownPath(path)
    ));
    Ok(lock)
}

/// Clears the path of a socket that nobody listens on.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let failed = |error| ListenError::Failed(path.display().to_string(), error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match connect(path) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(failed),
        // Anything else means that there may be someone: a full queue, a lack of permission.
        _ => Err(ListenError::Taken(path.display().to_string())),
    }
}

/// Tries to reach the server there. One whose queue is full would be waited for by a socket that blocks.
fn connect(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

/// A later `chmod` would leave a moment in which everybody can connect.
fn bind_with_mode(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let before = rustix::process::umask(Mode::from_raw_mode(0o777 & !mode));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let bound = bound?;
    rustix::net::listen(&bound, BACKLOG)?;
    Ok(bound)
}

impl SocketFile {
    fn made_at(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile {
            path: std::path::absolute(path)?,
            identity: identity(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // A failure cannot be reported any more, and the next start replaces the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::NotASocket(path) => write!(
                f,
                "{} exists and is not a socket; remove it or change `remote_server.uds`",
                ShownPath(path)
            ),
            ListenError::Taken(place) => {
                write!(
                    f,
                    "another server listens on {}; stop it or choose another place",
                    ShownPath(Path::new(place))
                )
            }
            ListenError::Failed(place, why) => {
                write!(
                    f,
                    "cannot listen on {}: {}",
                    ShownPath(Path::new(place)),
                    crate::io_error::describe(why)
                )?;
                if why.kind() != io::ErrorKind::PermissionDenied {
                    return Ok(());
                }
                // The path of a socket may be relative.
                let port = place.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
                f.write_str(match port {
                    Some(Ok(_)) => "; set the port to one from 1024 on, which every user may take",
                    _ => "; set `remote_server.uds` to a path in a directory where this user may make files",
                })
            }
            ListenError::Activation(why) => write!(f, "socket activation: {why}"),
        }
    }
}

impl std::error::Error for ListenError {}

/// Connections that the system keeps until they are taken in. The standard library's 128 are full in a burst, and
/// TCP clients then try again only after a second.
const BACKLOG: i32 = 4096;

/// A start of ours holds the lock for less than a millisecond.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
