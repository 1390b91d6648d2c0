//! Opening the byte stream to the broker.

mod stream;
#[cfg_attr(not(feature = "tls"), path = "transport/no_tls.rs")]
mod tls;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use async_io::{Async, Timer};
use mcpmqtt_protocol::topic::Shown;
use smol::future;

pub(crate) use self::stream::BrokerStream;
pub use self::tls::Tls;
use self::tls::TlsStream;
use crate::io_error;

/// The address of the broker and the settings of the connection.
#[derive(Debug, Clone)]
pub struct Target {
    /// The host name or literal address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The TLS settings; `None` for a plain connection.
    pub tls: Option<Tls>,
    /// How long sent bytes may stay unacknowledged by the peer's system before the connection counts as broken; zero
    /// leaves it to the system.
    pub user_timeout: Duration,
    /// The time limit for opening, name lookup included. The protocol's own deadline is the same.
    pub connect_timeout: Duration,
}

impl Target {
    /// The address in messages.
    fn shown(&self) -> String {
        Shown(&self.place()).to_string()
    }

    /// The address, for people.
    pub(crate) fn place(&self) -> String {
        place(&self.host, self.port)
    }

    /// A broker without TLS, with the default timeouts.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            tls: None,
            user_timeout: Duration::from_secs(90),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// A host and a port as one word. RFC 3986 §3.2.2: an IPv6 address beside a port has brackets.
pub(crate) fn place(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{}]:{port}", host.trim_matches(['[', ']'])),
        false => format!("{host}:{port}"),
    }
}

/// Opens a connection, with TLS if the target has TLS settings.
///
/// # Errors
/// A sentence that names the address and the cause.
pub(crate) async fn open(target: Target) -> Result<BrokerStream, String> {
    let socket = reach(&target).await?;
    let Some(tls) = &target.tls else {
        return Ok(BrokerStream::Plain(socket));
    };
    match TlsStream::open(tls, socket).await {
        Ok(session) => Ok(BrokerStream::Tls(Box::new(session))),
        Err(why) => Err(format!(
            "cannot connect to the broker at {}: {why}",
            target.shown()
        )),
    }
}

/// Tries each address of the host in turn.
async fn reach(target: &Target) -> Result<Async<TcpStream>, String> {
    let place = target.shown();
    let addresses = resolve(&target.host, target.port).await.map_err(|error| {
        format!(
            "the broker's name in {place} cannot be resolved: {}",
            io_error::describe(&error)
        )
    })?;
    let share = target.connect_timeout / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut failure = String::from("the name has no address");
    for address in addresses {
        match connect(address, share).await {
            Ok(stream) => match prepare(stream, target) {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = describe(&error),
            },
            Err(error) => failure = describe(&error),
        }
    }
    Err(format!(
        "cannot connect to the broker at {place}: {failure}"
    ))
}

/// Resolves a host. A literal address and `localhost` (RFC 6761) need no lookup, no thread and no `/etc/hosts`.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = literal.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if host.eq_ignore_ascii_case("localhost") {
        let loopback = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    async_net::resolve((host, port)).await
}

async fn connect(address: SocketAddr, limit: Duration) -> io::Result<Async<TcpStream>> {
    future::or(Async::<TcpStream>::connect(address), async {
        Timer::after(limit).await;
        Err(io::ErrorKind::TimedOut.into())
    })
    .await
}

/// Sets the socket options. Without TCP_NODELAY a small packet waits for the acknowledgement of the previous one, up to
/// 40 ms.
fn prepare(stream: Async<TcpStream>, target: &Target) -> io::Result<Async<TcpStream>> {
    stream.get_ref().set_nodelay(true)?;
    let millis = u32::try_from(target.user_timeout.as_millis()).unwrap_or(u32::MAX);
    if millis > 0 {
        rustix::net::sockopt::set_tcp_user_timeout(&stream, millis)?;
    }
    Ok(stream)
}

/// Describes why an address cannot be reached.
fn describe(error: &io::Error) -> String {
    let what = io_error::describe(error);
    match error.kind() {
        io::ErrorKind::ConnectionRefused => what + " (is the broker running?)",
        _ => what,
    }
}
