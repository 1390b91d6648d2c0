//! Agents served over HTTP.

use std::pin::pin;
use std::rc::Rc;

use mcpmqtt_config::{Config, Limits};
use mcpmqtt_protocol::topic::ShownPath;
use smol::LocalExecutor;
use smol::future::{self, FutureExt as _};

use super::admission::{NO_SECTION, admission, advise_on_key, tls};
use super::listeners::listen;
use super::reload::{Reload, keys};
use super::signals::HaltSwitch;
use super::{App, Front, HTTP, signals, status};
use crate::app::cli::Settings;
use crate::app::descriptors;
use crate::app::execute::execute;
use crate::app::service::Service;
use crate::http::{self, Admission, Server};
use crate::logger;
use crate::mcp::Places;

/// Serves agents over HTTP until a signal comes. At SIGHUP the configuration is looked at again, as `settings` name
/// it.
///
/// # Errors
/// The reason why the program could not start.
pub fn over_http(config: Config, settings: &Settings) -> Result<(), String> {
    let executor = Rc::new(LocalExecutor::new());
    let serving = serve(&executor, config, settings);
    execute(&executor, serving.boxed_local())
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
    let switch = HaltSwitch::default();
    let mut stop = pin!(signals::stop(executor, Some(hangup), &switch)?);
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
    let origin = settings.config.as_deref();
    let origin = origin.map(|path| ShownPath(path).to_string());
    let front = Front {
        transport: HTTP,
        places: Places::shared,
        origin: &origin.unwrap_or_default(),
    };
    let app = App::open(&mut config, executor, &front)?;
    switch.connect(&app.operator);
    advise_on_key(&remote);
    let (connections, too_many) = descriptors::connections(config.limits.connections)?;
    if let Some(warning) = too_many {
        logger::warning(format_args!("{warning}"));
    }
    let mut wanted = http_settings(&app, admission(remote, tls)?, &config.limits);
    wanted.limits.connections = connections;
    let mut server = Server::new(listener, wanted).map_err(|error| error.to_string())?;
    if let Some(listener) = operators {
        server = server.with_operators(listener);
    }
    announce(executor, &service, &app, &config);
    let reload = Reload {
        keys: keys(&config),
        running: config,
        audit: app.audit.clone(),
        settings: settings.clone(),
        context: Rc::clone(&app.context),
        operator: app.operator.clone(),
        reload_handle: server.reload_handle(),
        service: Rc::clone(&service),
    };
    executor.spawn(reload.at_each(hangups)).detach();
    let stopping = async {
        stop.await;
        service.stopping().await;
    };
    server.serve(executor, stopping).await;
    app.close().await;
    Ok(())
}

/// Notifies the service manager that the listener is open, and from then on of the program's state.
fn announce(executor: &LocalExecutor<'static>, service: &Rc<Service>, app: &App, config: &Config) {
    if !service.is_managed() {
        return;
    }
    let living = Rc::clone(service);
    executor.spawn(async move { living.live().await }).detach();
    let (service, broker) = (Rc::clone(service), app.broker.clone());
    let operator = app.operator.clone();
    let sessions = app.metrics.sessions();
    let place = crate::mqtt::place(&config.mqtt.host, config.mqtt.port);
    executor
        .spawn(async move {
            service.ready().await;
            status::tell(&service, &broker, &operator, &place, &sessions).await;
        })
        .detach();
}

fn http_settings(app: &App, admission: Admission, limits: &Limits) -> http::ServerSettings {
    let (broker, metrics) = (app.broker.clone(), app.metrics.clone());
    let (reported, counted) = (broker.clone(), metrics.clone());
    let (operator, halting) = (app.operator.clone(), app.operator.clone());
    http::ServerSettings {
        engine: app.engine.clone(),
        mqtt_connected: Box::new(move || broker.is_connected()),
        halted: Box::new(move || operator.halted().is_some()),
        admission,
        metrics,
        report: Box::new(move || counted.render(&reported, halting.halted().is_some())),
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
