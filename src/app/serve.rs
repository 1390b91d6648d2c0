//! The running program: the connection to the broker, the dispatcher and a transport on one thread.

mod admission;
mod failed_start;
mod listeners;
mod one_call;
mod output;
mod over_http;
mod reload;
mod signals;
mod status;
mod terminal;

use std::rc::Rc;
use std::time::Duration;

use async_io::Timer;
use mcpmqtt_config::Config;
use smol::future::{self, FutureExt as _};
use smol::{LocalExecutor, Task};

use self::signals::HaltSwitch;
use super::execute::execute;
use super::startup::{self, Loaded};
use crate::audit::{self, Audit, Feed};
use crate::mcp::{Engine, Places};
use crate::metrics::Metrics;
use crate::mqtt;
use crate::operator::{Kept, Operator};
use crate::tools::{self, BrokerInfo, Context, MOST_OBSERVED, ToolLimits};
use crate::{demo, logger, stdio};

pub use self::admission::{doubts_about_keys, has_key};
pub use self::failed_start::tell_client;
pub use self::listeners::try_listening;
pub use self::one_call::{as_visitor, call_once};
pub use self::over_http::over_http;

/// How serving ended, after a start that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeEnd {
    /// Until the client left or a signal came.
    ToTheEnd,
    /// Until standard input or output broke; the log says how.
    InVain,
}

/// Serves one agent on standard input and output until it leaves or a signal comes. Calls in flight may go on for
/// `drain` after the end of input, or the usual second.
///
/// # Errors
/// The reason why the program could not start.
pub fn over_stdio(loaded: Loaded, drain: Option<Duration>) -> Result<ServeEnd, String> {
    let executor = Rc::new(LocalExecutor::new());
    let serving = serve_stdio(&executor, loaded, drain);
    execute(&executor, serving.boxed_local())
}

/// As [`over_stdio`], with the broker and the plant inside.
///
/// # Errors
/// The reason why the program could not start.
pub fn demo_over_stdio(drain: Option<Duration>) -> Result<ServeEnd, String> {
    let executor = Rc::new(LocalExecutor::new());
    let serving = async {
        let running = demo::start(&executor).await;
        let demo = running.map_err(|error| format!("cannot start the demo broker: {error}"))?;
        let text = demo::config_text(demo.port());
        let loaded = startup::parse(&text, "of the demo")?;
        logger::info(format_args!(
            "demo broker on 127.0.0.1:{port}; watch it: mosquitto_sub -p {port} -v -t '#'",
            port = demo.port()
        ));
        terminal::say_how_to_watch(demo.port());
        serve_stdio(&executor, loaded, drain).boxed_local().await
    };
    execute(&executor, serving.boxed_local())
}

async fn serve_stdio(
    executor: &Rc<LocalExecutor<'static>>,
    loaded: Loaded,
    drain: Option<Duration>,
) -> Result<ServeEnd, String> {
    let Loaded {
        mut config, origin, ..
    } = loaded;
    if output::is_closed() {
        return Ok(output::say_that_it_is_closed());
    }
    let switch = HaltSwitch::default();
    let stop = signals::stop(executor, None, &switch)?;
    let app = App::open(&mut config, executor, &Front::stdio(&origin))?;
    switch.connect(&app.operator);
    let usual = stdio::StdioLimits::default();
    let limits = stdio::StdioLimits {
        line_bytes: config.limits.line_bytes,
        requests: config.limits.requests,
        request_bytes: config.limits.request_bytes,
        drain: drain.unwrap_or(usual.drain),
        ..usual
    };
    terminal::say_that_it_waits();
    // Whatever waits for the broker then ends with a word on what it came to; nothing is sent any more.
    let cut = || app.broker.shut_down();
    let ending = stdio::serve(app.engine.clone(), Rc::clone(executor), limits, stop, cut).await;
    app.close().await;
    Ok(output::judge(ending))
}

/// What every transport serves: the engine and the connection to the broker.
struct App {
    broker: mqtt::Client,
    driver: Task<()>,
    context: Rc<Context>,
    engine: Engine,
    metrics: Metrics,
    operator: Operator,
    audit: Option<Audit>,
}

/// What comes in front of the program's core.
struct Front<'a> {
    /// Its name in the record.
    transport: &'static str,
    /// For one caller or several.
    places: fn(usize) -> Places,
    /// Where the configuration is from.
    origin: &'a str,
}

impl Front<'_> {
    fn stdio(origin: &str) -> Front<'_> {
        Front {
            transport: "stdio",
            places: Places::alone,
            origin,
        }
    }
}

impl App {
    /// Takes the profiles out of the configuration, begins the record of writes, and begins to connect to the broker.
    fn open(
        config: &mut Config,
        executor: &Rc<LocalExecutor<'static>>,
        front: &Front<'_>,
    ) -> Result<App, String> {
        let places = front.places;
        let options = startup::client_options(config)?;
        let (broker, driver) = mqtt::connect(
            options,
            startup::target(config)?,
            startup::inbox_limits(config),
            startup::seed()?,
        );
        let driver = executor.spawn(driver);
        let info = BrokerInfo {
            host: config.mqtt.host.clone(),
            port: config.mqtt.port,
            requires_auth: config.mqtt.credentials.is_some(),
        };
        let profiles = std::mem::take(&mut config.profiles);
        let metrics = Metrics::default();
        let bounds = ToolLimits {
            result_bytes: config.limits.result_bytes,
            listeners: places(config.limits.listeners),
            watches: places(config.limits.watches),
            observed: places(MOST_OBSERVED),
            observe: config.observe.clone(),
        };
        let operator = Operator::new(
            broker.clone(),
            config.operator.clone(),
            startup::operator_secret(&config.operator)?,
            Kept::from_environment(),
            executor,
        );
        let audit = record(config, front, &operator, &metrics, executor)?;
        let context = Context::new(
            broker.clone(),
            profiles,
            bounds,
            &metrics,
            operator.clone(),
            audit.clone(),
            executor,
        );
        let engine = Engine::new(tools::catalog(&context, info), tools::server_info(&context))
            .map_err(|error| format!("the catalog of tools is wrong: {error}"))?;
        Ok(App {
            broker,
            driver,
            context,
            engine,
            metrics,
            operator,
            audit,
        })
    }

    /// Disconnects from the broker in good order, and ends the record.
    async fn close(self) {
        self.broker.shut_down();
        // The client gives its DISCONNECT a second of its own; this only guards against a mistake there.
        future::or(self.driver, async {
            Timer::after(DISCONNECT_GRACE).await;
        })
        .await;
        if let Some(audit) = self.audit {
            // Calls learn what came of their messages.
            future::yield_now().await;
            audit.stop().await;
        }
    }
}

/// Begins the record of writes, if the configuration has one.
fn record(
    config: &Config,
    front: &Front<'_>,
    operator: &Operator,
    metrics: &Metrics,
    executor: &Rc<LocalExecutor<'static>>,
) -> Result<Option<Audit>, String> {
    let Some(settings) = config.audit.clone() else {
        return Ok(None);
    };
    let keys = match front.transport {
        HTTP => reload::keys(config),
        _ => Vec::new(),
    };
    let start = audit::Start {
        transport: front.transport,
        origin: front.origin.to_owned(),
        keys: keys.into_iter().map(|(name, _)| name).collect(),
    };
    let feed = settings.feed;
    let feed = feed.map(|feed| Feed::start(feed, operator.clone(), executor));
    let audit = Audit::start(settings, &start, feed, metrics, executor)?;
    let (halting, told) = (operator.clone(), audit.clone());
    let look = move || told.halts(&halting.verdict());
    look();
    operator.on_change(look);
    executor.spawn(audit.clone().tell_hourly()).detach();
    Ok(Some(audit))
}

/// The transport's name in the record.
const HTTP: &str = "http";

const DISCONNECT_GRACE: Duration = Duration::from_secs(2);
