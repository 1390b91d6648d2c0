//! The listeners of the remote server: the agents' and the operator's own.

use std::net::SocketAddr;

use async_io::block_on;
use mcpmqtt_config::{Listen, MetricsListen, RemoteServer};

use crate::app::descriptors;
use crate::http::Listener;
use crate::logger;

/// The agents' listener and the operator's own. To look up a name for it may take long.
pub(super) async fn listen(
    server: &RemoteServer,
    secure: bool,
) -> Result<(Listener, Option<Listener>), String> {
    let listener = agents(server, secure).await?;
    let operators = match &server.metrics {
        Some(place) => Some(watched(place).await?),
        None => None,
    };
    Ok((listener, operators))
}

/// What systemd handed over, or what the configuration says.
async fn agents(server: &RemoteServer, secure: bool) -> Result<Listener, String> {
    let listener = open(server).await?;
    let secure = secure && listener.is_tcp();
    logger::info(format_args!(
        "serving MCP over {} on `{}`{}",
        if secure { "HTTPS" } else { "HTTP" },
        listener.place(),
        url(&listener, secure)
    ));
    if let Some(warning) = in_the_clear(&listener, secure) {
        logger::warning(format_args!("{warning}"));
    }
    Ok(listener)
}

/// The address by which clients on this machine reach a TCP listener, as text.
fn url(listener: &Listener, secure: bool) -> String {
    let scheme = if secure { "https" } else { "http" };
    match listener.place().parse::<SocketAddr>() {
        Ok(place) if place.ip().is_unspecified() => {
            format!(": {scheme}://localhost:{}/mcp", place.port())
        }
        Ok(place) => format!(": {scheme}://{place}/mcp"),
        Err(_) => String::new(),
    }
}

/// The agents' listener, opened by systemd, or by this process at the place of the configuration.
async fn open(server: &RemoteServer) -> Result<Listener, String> {
    let opened = match (Listener::activated(), &server.listen) {
        (Err(error), _) => Err(error),
        (Ok(Some(listener)), _) => Ok(listener),
        (Ok(None), Listen::Unix(path)) => Listener::unix(path, server.uds_mode).await,
        (Ok(None), Listen::Tcp { host, port }) => Listener::tcp(host, *port).await,
    };
    opened.map_err(|error| error.to_string())
}

fn in_the_clear(listener: &Listener, secure: bool) -> Option<String> {
    let is_safe = listener.is_local() || (secure && listener.is_tcp());
    (!is_safe).then(|| {
        format!(
            "`{}` can be reached from other machines, and the API key travels unencrypted; set `remote_server.tls`, put a proxy with TLS in front or listen on 127.0.0.1",
            listener.place()
        )
    })
}

/// Opens the listeners as a start does, and closes them at once. What a start would warn of.
///
/// # Errors
/// What keeps a start from it.
pub fn try_listening(server: &RemoteServer, connections: usize) -> Result<Vec<String>, String> {
    block_on(async {
        let listener = open(server).await?;
        let operators = match &server.metrics {
            Some(place) => Some(operators(place).await?),
            None => None,
        };
        let (_, too_many) = descriptors::connections(connections)?;
        let exposed = in_the_clear(&listener, server.tls.is_some());
        drop(operators);
        Ok(exposed.into_iter().chain(too_many).collect())
    })
}

/// The operator's own listener.
async fn watched(place: &MetricsListen) -> Result<Listener, String> {
    let listener = operators(place).await?;
    logger::info(format_args!("metrics on `{}`", listener.place()));
    Ok(listener)
}

async fn operators(place: &MetricsListen) -> Result<Listener, String> {
    let listener = Listener::tcp(&place.host, place.port)
        .await
        .map_err(|error| format!("remote_server.metrics: {error}"))?;
    if !listener.is_local() {
        let place = listener.place();
        return Err(format!(
            "remote_server.metrics: `{place}` can be reached from other machines; use 127.0.0.1"
        ));
    }
    Ok(listener)
}
