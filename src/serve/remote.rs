//! Agents served over HTTP.

use std::rc::Rc;

use async_io::block_on;
use mcpmqtt_config::{Config, Limits, Listen, RemoteServer};
use smol::LocalExecutor;

use super::{House, signals, status};
use crate::gauge::Gauge;
use crate::http::{self, Listener};
use crate::logger;
use crate::service::Service;

/// Serves agents over HTTP until a signal comes.
///
/// # Errors
/// What kept it from starting.
pub fn over_http(config: Config) -> Result<(), String> {
    let executor = Rc::new(LocalExecutor::new());
    block_on(executor.run(serve(&executor, config)))
}

async fn serve(executor: &Rc<LocalExecutor<'static>>, mut config: Config) -> Result<(), String> {
    let Some(server) = config.remote_server.clone() else {
        return Err(
            "there is no `remote_server` section; run `mcpmqtt --genkey` to make a key".into(),
        );
    };
    let listener = listen(&server)?;
    logger::started();
    let stop = signals::stop(executor, None)?;
    let service = Rc::new(Service::from_environment());
    let house = House::open(&mut config, executor)?;
    let sessions = Gauge::default();
    let settings = settings(&house, server, &config.limits, sessions.clone());
    announce(executor, &service, &house, &config, sessions);
    let stopping = async {
        stop.await;
        service.stopping().await;
    };
    let served = http::serve(listener, settings, stopping).await;
    house.close().await;
    served.map_err(|error| error.to_string())
}

/// Tells the service manager that the listener is there, and from then on how it goes.
fn announce(
    executor: &LocalExecutor<'static>,
    service: &Rc<Service>,
    house: &House,
    config: &Config,
    sessions: Gauge,
) {
    if !service.is_managed() {
        return;
    }
    let living = Rc::clone(service);
    executor.spawn(async move { living.live().await }).detach();
    let (service, broker) = (Rc::clone(service), house.broker.clone());
    let place = format!("{}:{}", config.mqtt.host, config.mqtt.port);
    executor
        .spawn(async move {
            service.ready().await;
            status::tell(&service, &broker, &place, &sessions).await;
        })
        .detach();
}

/// What systemd handed over, or what the configuration says.
fn listen(server: &RemoteServer) -> Result<Listener, String> {
    let opened = match (Listener::activated(), &server.listen) {
        (Err(error), _) => Err(error),
        (Ok(Some(listener)), _) => Ok(listener),
        (Ok(None), Listen::Unix(path)) => Listener::unix(path, server.uds_mode),
        (Ok(None), Listen::Tcp { host, port }) => Listener::tcp(host, *port),
    };
    let listener = opened.map_err(|error| error.to_string())?;
    logger::info(format_args!(
        "serving MCP over HTTP on `{}`",
        listener.place()
    ));
    if !listener.is_local() {
        logger::warning(format_args!(
            "`{}` can be reached from other machines, and the API key travels unencrypted; put a proxy with TLS in front or listen on 127.0.0.1",
            listener.place()
        ));
    }
    Ok(listener)
}

fn settings(
    house: &House,
    server: RemoteServer,
    limits: &Limits,
    sessions: Gauge,
) -> http::Settings {
    let broker = house.broker.clone();
    http::Settings {
        engine: house.engine.clone(),
        mqtt_connected: Box::new(move || broker.is_connected()),
        api_key: server.api_key,
        allowed_hosts: server.allowed_hosts,
        allowed_origins: server.allowed_origins,
        sessions,
        limits: http::Limits {
            connections: limits.connections,
            body_bytes: limits.body_bytes,
            bodies_bytes: limits.bodies_bytes,
            sessions: limits.sessions,
            ..http::Limits::default()
        },
        deadlines: http::Deadlines::default(),
    }
}
