//! The tools and resources that agents use: seven tools, two fixed resources and every readable topic as a resource,
//! over one broker connection.
//!
//! Promises: every filter and topic is checked against the policy before it reaches the broker, and every received
//! message is checked again; every error message says what happened to the caller's message. Does not: know the
//! transport.

mod access;
mod arguments;
mod call_log;
mod condition_result;
mod condition_wait;
mod consent;
mod deadline;
mod describe;
mod effects;
mod message;
mod observation;
mod own_reply;
mod publish;
mod query;
mod query_queue;
mod read;
mod resources;
mod sighting;
mod stats;
mod subscribe;
mod topics;
mod wait;

use std::future::Future;
use std::rc::{Rc, Weak};
use std::time::Duration;

use async_io::Timer;
use mcpmqtt_config::{Observe, Profiles};
use smol::LocalExecutor;
use smol::future::{self, FutureExt as _};

use self::access::Access;
use self::call_log::CallLog;
use self::observation::Observation;
use self::query_queue::QueryQueue;
use crate::audit::Audit;
use crate::mcp::catalog::{
    Catalog, Instructions, ServerInfo, Tool, ToolCall, ToolHandler, ToolResult,
};
use crate::mcp::{Notifier, Places};
use crate::metrics::Metrics;
use crate::mqtt;
use crate::observe::room::Rooms;
use crate::operator::Operator;

pub use self::resources::BrokerInfo;

/// The shared state of all tools.
#[derive(Debug)]
pub struct Context {
    access: Access,
    /// The limit on topic and payload bytes in one result.
    result_bytes: usize,
    queries: QueryQueue,
    observation: Observation,
    statistics_rooms: Rooms,
    notifier: Notifier,
    metrics: Metrics,
    /// Runs the tasks that watch topics. Weak, because those tasks hold this context.
    executor: Weak<LocalExecutor<'static>>,
}

/// The limits on what callers may use.
#[derive(Clone, Debug)]
pub struct ToolLimits {
    /// The limit on topic and payload bytes in one result.
    pub result_bytes: usize,
    /// The places of calls that wait for messages.
    pub listeners: Places,
    /// The places of topics that are watched for subscribers.
    pub watches: Places,
    /// The places of filters that are observed because callers ask for an overview; see [`MOST_OBSERVED`].
    pub observed: Places,
    /// What is observed for the overview of topics.
    pub observe: Observe,
}

impl Context {
    /// Creates the tools' state over `client` and `profiles`. Calls are counted in `metrics`, writes are recorded in
    /// `audit`; `operator` may halt them; background tasks run on `executor`.
    #[must_use]
    pub fn new(
        client: mqtt::Client,
        profiles: Profiles,
        bounds: ToolLimits,
        metrics: &Metrics,
        operator: Operator,
        audit: Option<Audit>,
        executor: &Rc<LocalExecutor<'static>>,
    ) -> Rc<Self> {
        let ToolLimits {
            result_bytes,
            listeners,
            watches,
            observed,
            observe,
        } = bounds;
        let executor = Rc::downgrade(executor);
        let own = executor.clone();
        let access = Access::new(client, profiles, listeners, metrics, operator, audit, own);
        Rc::new(Self {
            observation: Observation::new(access.clone(), observe, observed, executor.clone()),
            access,
            result_bytes,
            queries: QueryQueue::default(),
            statistics_rooms: Rooms::default(),
            notifier: Notifier::new(watches),
            metrics: metrics.clone(),
            executor,
        })
    }

    /// Replaces the profiles, also for calls in progress. When this returns, no work continues that the new profile of
    /// its caller does not permit.
    pub async fn replace_profiles(&self, profiles: Profiles) {
        self.access.replace_profiles(profiles);
        self.observation.replace_policy();
        self.notifier
            .withdraw(|uri, caller| resources::is_withdrawn(&self.access, caller, uri));
        for uri in resources::ABOUT_TOPICS {
            self.notifier.resource_updated(uri);
        }
        let settled = async {
            self.access.settled().await;
            // The driver is awake by now and takes back publishes that were cancelled before they were sent.
            future::yield_now().await;
        };
        // Work that gets no turn, because its client does not read, has no effect either.
        let late = async {
            Timer::after(SETTLING).await;
        };
        future::or(settled, late).await;
    }
}

/// The limits of a program with a single caller.
impl Default for ToolLimits {
    fn default() -> Self {
        Self {
            result_bytes: 1 << 20,
            listeners: Places::alone(256),
            watches: Places::alone(256),
            observed: Places::alone(MOST_OBSERVED),
            observe: Observe::default(),
        }
    }
}

/// The most filters that are observed because callers ask; a caller that may read only some topics needs several.
pub const MOST_OBSERVED: usize = 1024;

/// What the tools subscribe to beside the places of [`ToolLimits::listeners`] and [`ToolLimits::watches`], at most: for
/// overviews, for `observe.always`, and for rules on writes.
pub const MOST_OWN_LISTENERS: usize = MOST_OBSERVED + observation::MOST_ALWAYS + access::MOST_FACTS;

/// The tools' descriptions, with handlers that do nothing.
#[must_use]
pub fn described() -> Vec<Tool> {
    vec![
        describe::publish(),
        describe::subscribe(),
        describe::read(),
        describe::query(),
        describe::topics(),
        describe::wait(),
        describe::stats(),
    ]
}

/// Builds the catalog that the engine serves.
#[must_use]
pub fn catalog(context: &Rc<Context>, broker: BrokerInfo) -> Catalog {
    let (offering, dismissing) = (Rc::clone(context), Rc::clone(context));
    Catalog {
        tools: vec![
            tool(context, describe::publish(), publish::call),
            tool(context, describe::subscribe(), subscribe::subscribe),
            tool(context, describe::read(), read::read),
            tool(context, describe::query(), query::call),
            tool(context, describe::topics(), topics::call),
            tool(context, describe::wait(), wait::call),
            tool(context, describe::stats(), stats::call),
        ],
        resources: resources::all(context, broker),
        templates: resources::templates(context),
        notifier: context.notifier.clone(),
        asks: context.access.asks_clients(),
        offers: Some(Box::new(move |caller, tool| {
            offering.access.offers(caller, tool)
        })),
        dismiss: Some(Box::new(move |whose| dismissing.access.dismiss(whose))),
        ..Catalog::default()
    }
}

/// The server's identity and its instructions to the model.
#[must_use]
pub fn server_info(context: &Rc<Context>) -> ServerInfo {
    let context = Rc::clone(context);
    ServerInfo {
        name: env!("CARGO_PKG_NAME").into(),
        title: "MQTT broker access".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        instructions: Instructions::new(move |caller| {
            let profiles = context.access.profiles();
            let profile = profiles.get(caller.profile());
            describe::instructions(&profile.cloned().unwrap_or_default())
        }),
    }
}

fn tool<F>(context: &Rc<Context>, tool: Tool, call: fn(Rc<Context>, ToolCall) -> F) -> Tool
where
    F: Future<Output = Result<ToolResult, String>> + 'static,
{
    let context = Rc::clone(context);
    let calls = context.metrics.tool(&tool.name);
    let name: Rc<str> = tool.name.as_str().into();
    let handler: ToolHandler = Rc::new(move |arguments| {
        let mut logged = CallLog::begin(&name, &arguments);
        let called = call(Rc::clone(&context), arguments);
        let counted = calls.begin();
        async move {
            let ended = called.await;
            counted.end(ended.is_err());
            logged.end(ended.is_err());
            ended.unwrap_or_else(ToolResult::Error)
        }
        .boxed_local()
    });
    Tool { handler, ..tool }
}

/// The time that calls get to be checked against a new policy.
const SETTLING: Duration = Duration::from_secs(1);
