//! Agents served over HTTP.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;

use async_io::block_on;
use mcpmqtt_config::{ApiKey, Config, Limits, Listen, MetricsListen, RemoteServer};
use mcpmqtt_protocol::topic::ShownPath;
use smol::LocalExecutor;
use smol::future::{self, FutureExt as _};

use super::reload::Reload;
use super::{House, signals, status};
use crate::cli::Settings;
use crate::http::{self, Admission, Listener, Server, Tls};
use crate::mcp::Places;
use crate::service::Service;
use crate::{descriptors, logger};

/// Serves agents over HTTP until a signal comes. At SIGHUP the configuration is looked at again, as `settings` name
/// it.
///
/// # Errors
/// What kept it from starting.
pub fn over_http(config: Config, settings: &Settings) -> Result<(), String> {
    let executor = Rc::new(LocalExecutor::new());
    block_on(executor.run(serve(&executor, config, settings).boxed_local()))
}

async fn serve(
    executor: &Rc<LocalExecutor<'static>>,
    mut config: Config,
    settings: &Settings,
) -> Result<(), String> {
    let Some(remote) = config.remote_server.clone() else {
        return Err(NO_SECTION.into());
    };
    // First: who sees the listener may send a signal. One hangup that waits is enough, since the file is looked at
    // after it came.
    let (hangup, hangups) = async_channel::bounded(1);
    let mut stop = pin!(signals::stop(executor, Some(hangup))?);
    let tls = tls(&remote)?;
    let opening = async { Some(listen(&remote, tls.is_some()).await) };
    let stopped = async {
        stop.as_mut().await;
        None
    };
    let Some(opened) = future::or(stopped, opening).await else {
        return Ok(());
    };
    let (listener, operators) = opened?;
    logger::started();
    let service = Rc::new(Service::from_environment());
    let house = House::open(&mut config, executor, Places::shared)?;
    advise_on_key(&remote);
    let (connections, too_many) = descriptors::connections(config.limits.connections)?;
    if let Some(warning) = too_many {
        logger::warning(format_args!("{warning}"));
    }
    let mut wanted = http_settings(&house, remote, tls, &config.limits);
    wanted.limits.connections = connections;
    let mut server = Server::new(listener, wanted).map_err(|error| error.to_string())?;
    if let Some(listener) = operators {
        server = server.with_operators(listener);
    }
    announce(executor, &service, &house, &config);
    let reload = Reload {
        running: config,
        settings: settings.clone(),
        engine: house.engine.clone(),
        access: house.access.clone(),
        steward: server.steward(),
        service: Rc::clone(&service),
    };
    executor.spawn(reload.at_each(hangups)).detach();
    let stopping = async {
        stop.await;
        service.stopping().await;
    };
    server.serve(executor, stopping).await;
    house.close().await;
    Ok(())
}

/// Tells the service manager that the listener is there, and from then on how it goes.
fn announce(
    executor: &LocalExecutor<'static>,
    service: &Rc<Service>,
    house: &House,
    config: &Config,
) {
    if !service.is_managed() {
        return;
    }
    let living = Rc::clone(service);
    executor.spawn(async move { living.live().await }).detach();
    let (service, broker) = (Rc::clone(service), house.broker.clone());
    let sessions = house.metrics.sessions();
    let place = format!("{}:{}", config.mqtt.host, config.mqtt.port);
    executor
        .spawn(async move {
            service.ready().await;
            status::tell(&service, &broker, &place, &sessions).await;
        })
        .detach();
}

/// The agents' listener and the operator's own. To look up a name for it may take long.
async fn listen(
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

/// Where clients on this machine find a TCP listener, in words.
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

/// The agents' listener, whoever opens it: systemd, or we at the place of the configuration.
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

/// Whether there is a key, without which the remote server must not open. `named` is the file of `--config`.
///
/// # Errors
/// What is missing, and the command that makes it.
pub fn has_key(config: &Config, named: Option<&Path>) -> Result<(), String> {
    // Within the quotation of the whole command.
    let named = named.map(|path| {
        format!(
            " --config {}",
            ShownPath(path).to_string().trim_matches('`')
        )
    });
    let named = named.unwrap_or_default();
    let remedy = format!("run `mcpmqtt --genkey{named}` to make a key");
    match config.remote_server.as_ref().map(|server| &server.api_key) {
        None => Err(format!("there is no `remote_server` section; {remedy}")),
        Some(ApiKey::None) => Err(format!("remote_server: there is no API key; {remedy}")),
        Some(ApiKey::Unusable(why)) => Err(format!("remote_server: {why}; {remedy}")),
        Some(ApiKey::Hashed(_) | ApiKey::Plain(_)) => Ok(()),
    }
}

/// A key that is known by its slow hash alone can be kept waiting by strangers after every start.
pub(super) fn advise_on_key(server: &RemoteServer) {
    if matches!(&server.api_key, ApiKey::Hashed(record) if record.digest().is_none()) {
        logger::info(format_args!(
            "remote_server: the API key has no `api_key_check`, so that after a start strangers with wrong keys can keep it waiting; `--genkey` makes one that they cannot"
        ));
    }
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

fn http_settings(
    house: &House,
    server: RemoteServer,
    tls: Option<Tls>,
    limits: &Limits,
) -> http::Settings {
    let (broker, metrics) = (house.broker.clone(), house.metrics.clone());
    let (reported, counted) = (broker.clone(), metrics.clone());
    http::Settings {
        engine: house.engine.clone(),
        mqtt_connected: Box::new(move || broker.is_connected()),
        admission: admission(server, tls),
        metrics,
        report: Box::new(move || counted.render(&reported)),
        limits: http::Limits {
            connections: limits.connections,
            body_bytes: limits.body_bytes,
            bodies_bytes: limits.bodies_bytes,
            answers_bytes: limits.answers_bytes,
            sessions: limits.sessions,
            ..http::Limits::default()
        },
        deadlines: http::Deadlines::default(),
    }
}

/// Reads the files that HTTPS needs, and warns of what is wrong with them.
pub(super) fn tls(server: &RemoteServer) -> Result<Option<Tls>, String> {
    let tls = server.tls.as_ref().map(Tls::load).transpose()?;
    for warning in tls.iter().flat_map(|tls| &tls.warnings) {
        logger::warning(format_args!("{warning}"));
    }
    Ok(tls)
}

pub(super) fn admission(server: RemoteServer, tls: Option<Tls>) -> Admission {
    Admission {
        tls,
        api_key: server.api_key,
        allowed_hosts: server.allowed_hosts,
        allowed_origins: server.allowed_origins,
    }
}

pub(super) const NO_SECTION: &str =
    "there is no `remote_server` section; run `mcpmqtt --genkey` to make a key";
