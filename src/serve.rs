//! The running program: the broker link, the dispatcher and a front door on one thread.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use async_io::Timer;
use async_signal::{Signal, Signals};
use mcpmqtt_config::Config;
use smol::LocalExecutor;
use smol::future;
use smol::stream::StreamExt as _;

use crate::mcp::Engine;
use crate::tools::{self, Access, BrokerInfo};
use crate::{demo, link, logger, startup, stdio};

/// Serves one agent on standard input and output until it leaves or a signal comes.
///
/// # Errors
/// What kept it from starting.
pub fn over_stdio(config: Config) -> Result<(), String> {
    let executor = Rc::new(LocalExecutor::new());
    async_io::block_on(executor.run(serve(Rc::clone(&executor), config)))
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
        serve(Rc::clone(&executor), loaded.config).await
    }))
}

async fn serve(executor: Rc<LocalExecutor<'static>>, config: Config) -> Result<(), String> {
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
    let info = BrokerInfo {
        host: config.mqtt.host.clone(),
        port: config.mqtt.port,
        requires_auth: config.mqtt.credentials.is_some(),
    };
    let server_info = tools::server_info(&config.policy);
    let access = Access::new(
        broker.clone(),
        Rc::new(config.policy),
        config.limits.result_bytes,
    );
    let engine = Engine::new(tools::catalog(&access, info), server_info)
        .map_err(|error| format!("the catalog of tools is wrong: {error}"))?;
    let limits = stdio::Limits {
        line_bytes: config.limits.line_bytes,
        requests: config.limits.requests,
        request_bytes: config.limits.request_bytes,
        ..stdio::Limits::default()
    };
    stdio::serve(engine, Rc::clone(&executor), limits, stop).await;
    broker.shut_down();
    // The client gives its DISCONNECT a second of its own; this only guards against a mistake there.
    future::or(link, async {
        Timer::after(LINK_GRACE).await;
    })
    .await;
    Ok(())
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
