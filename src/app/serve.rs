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
use super::startup;
use crate::mcp::{Engine, Places};
use crate::metrics::Metrics;
use crate::mqtt;
use crate::operator::{Kept, Operator};
use crate::tools::{self, BrokerInfo, Context, ToolLimits};
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
pub fn over_stdio(config: Config, drain: Option<Duration>) -> Result<ServeEnd, String> {
    let executor = Rc::new(LocalExecutor::new());
    let serving = serve_stdio(&executor, config, drain);
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
        serve_stdio(&executor, loaded.config, drain)
            .boxed_local()
            .await
    };
    execute(&executor, serving.boxed_local())
}

async fn serve_stdio(
    executor: &Rc<LocalExecutor<'static>>,
    mut config: Config,
    drain: Option<Duration>,
) -> Result<ServeEnd, String> {
    if output::is_closed() {
        return Ok(output::say_that_it_is_closed());
    }
    let switch = HaltSwitch::default();
    let stop = signals::stop(executor, None, &switch)?;
    let app = App::open(&mut config, executor, Places::alone)?;
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
}

impl App {
    /// Takes the profiles out of the configuration, and begins to connect to the broker. `places` says whether there
    /// will be one caller or several.
    fn open(
        config: &mut Config,
        executor: &Rc<LocalExecutor<'static>>,
        places: fn(usize) -> Places,
    ) -> Result<App, String> {
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
            observe: config.observe.clone(),
        };
        let operator = Operator::new(
            broker.clone(),
            config.operator.clone(),
            startup::operator_secret(&config.operator)?,
            Kept::from_environment(),
            executor,
        );
        let held = operator.clone();
        let context = Context::new(broker.clone(), profiles, bounds, &metrics, held, executor);
        let engine = Engine::new(tools::catalog(&context, info), tools::server_info(&context))
            .map_err(|error| format!("the catalog of tools is wrong: {error}"))?;
        Ok(App {
            broker,
            driver,
            context,
            engine,
            metrics,
            operator,
        })
    }

    /// Disconnects from the broker in good order.
    async fn close(self) {
        self.broker.shut_down();
        // The client gives its DISCONNECT a second of its own; this only guards against a mistake there.
        future::or(self.driver, async {
            Timer::after(DISCONNECT_GRACE).await;
        })
        .await;
    }
}

const DISCONNECT_GRACE: Duration = Duration::from_secs(2);
