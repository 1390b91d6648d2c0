//! The running program: the broker link, the dispatcher and a front door on one thread.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use async_io::Timer;
use async_signal::{Signal, Signals};
use mcpmqtt_config::{Config, Limits, Listen, RemoteServer};
use smol::LocalExecutor;
use smol::future;
use smol::stream::StreamExt as _;

use crate::broker::Broker;
use crate::http::{self, Listener};
use crate::mcp::Engine;
use crate::tools::{self, Access, BrokerInfo};
use crate::{demo, link, logger, startup, stdio};

/// Serves one agent on standard input and output until it leaves or a signal comes.
///
/// # Errors
/// What kept it from starting.
pub fn over_stdio(config: Config) -> Result<(), String> {
    let executor = Rc::new(LocalExecutor::new());
    let serving = serve(Rc::clone(&executor), config, None);
    async_io::block_on(executor.run(serving))
}

/// Serves agents over HTTP until a signal comes.
///
/// # Errors
/// What kept it from starting.
pub fn over_http(config: Config) -> Result<(), String> {
    let Some(server) = config.remote_server.clone() else {
        return Err(
            "there is no `remote_server` section; run `mcpmqtt --genkey` to make a key".into(),
        );
    };
    let executor = Rc::new(LocalExecutor::new());
    let door = (listen(&server)?, server);
    logger::started();
    async_io::block_on(executor.run(serve(Rc::clone(&executor), config, Some(door))))
}

/// As [`over_stdio`], with the broker and the plant inside.
///
/// # Errors
/// What kept it from starting.
pub fn demo_over_stdio() -> Result<(), String> {
    let executor = Rc::new(LocalExecutor::new());
    async_io::block_on(executor.run(async {
        let running = demo::start(&executor).await;
        let demo = running.map_err(|error| format!("cannot start the demo broker: {error}"))?;
        let text = demo::config_text(demo.port());
        let loaded = startup::parse(&text, "of the demo")?;
        logger::info(format_args!(
            "demo broker on 127.0.0.1:{port}; watch it: mosquitto_sub -p {port} -v -t '#'",
            port = demo.port()
        ));
        serve(Rc::clone(&executor), loaded.config, None).await
    }))
}

/// The HTTP front door; without it agents come in by stdio.
type HttpDoor = (Listener, RemoteServer);

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

async fn serve(
    executor: Rc<LocalExecutor<'static>>,
    config: Config,
    door: Option<HttpDoor>,
) -> Result<(), String> {
    let stop =
        stop_signal(&executor).map_err(|error| format!("cannot watch for signals: {error}"))?;
    let options = startup::client_options(&config)?;
    let (broker, pump) = link::open(
        options,
        startup::target(&config)?,
        startup::inbox_limits(&config),
        startup::seed()?,
    );
    let link = executor.spawn(pump);
    let limits = config.limits.clone();
    let engine = engine(config, broker.clone(), &executor)?;
    let served = match door {
        None => {
            let limits = stdio::Limits {
                line_bytes: limits.line_bytes,
                requests: limits.requests,
                request_bytes: limits.request_bytes,
                ..stdio::Limits::default()
            };
            stdio::serve(engine, Rc::clone(&executor), limits, stop).await;
            Ok(())
        }
        Some((listener, server)) => {
            let settings = http_settings(engine, broker.clone(), server, &limits);
            http::serve(listener, settings, stop)
                .await
                .map_err(|error| error.to_string())
        }
    };
    broker.shut_down();
    // The client gives its DISCONNECT a second of its own; this only guards against a mistake there.
    future::or(link, async {
        Timer::after(LINK_GRACE).await;
    })
    .await;
    served
}

fn engine(
    config: Config,
    broker: Broker,
    executor: &Rc<LocalExecutor<'static>>,
) -> Result<Engine, String> {
    let info = BrokerInfo {
        host: config.mqtt.host.clone(),
        port: config.mqtt.port,
        requires_auth: config.mqtt.credentials.is_some(),
    };
    let server_info = tools::server_info(&config.policy);
    let result_bytes = config.limits.result_bytes;
    let access = Access::new(broker, Rc::new(config.policy), result_bytes, executor);
    Engine::new(tools::catalog(&access, info), server_info)
        .map_err(|error| format!("the catalog of tools is wrong: {error}"))
}

fn http_settings(
    engine: Engine,
    broker: Broker,
    server: RemoteServer,
    limits: &Limits,
) -> http::Settings {
    http::Settings {
        engine,
        mqtt_connected: Box::new(move || broker.is_connected()),
        api_key: server.api_key,
        allowed_hosts: server.allowed_hosts,
        allowed_origins: server.allowed_origins,
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

/// Ready when the first signal to stop comes. The second ends the program on the spot.
fn stop_signal(executor: &LocalExecutor<'static>) -> io::Result<impl Future<Output = ()> + use<>> {
    let mut signals = Signals::new([Signal::Int, Signal::Term, Signal::Hup])?;
    let (first, stop) = async_channel::bounded::<()>(1);
    executor
        .spawn(async move {
            while let Some(signal) = signals.next().await {
                if first.is_closed() {
                    logger::warning(format_args!("second signal, ending at once"));
                    logger::flush();
                    std::process::exit(1);
                }
                if let Ok(signal) = signal {
                    logger::info(format_args!("{signal:?} received, stopping"));
                }
                first.close();
            }
        })
        .detach();
    Ok(async move {
        let _ = stop.recv().await;
    })
}

const LINK_GRACE: Duration = Duration::from_secs(2);
