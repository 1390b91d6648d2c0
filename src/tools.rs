//! What the program offers to agents: four tools, two resources and every readable topic as a
//! resource, over one broker connection.
//!
//! It promises: every filter and topic passes the policy before it reaches the broker, and every
//! message that comes passes it again; whatever goes wrong is told in a sentence that says what
//! happened to the caller's message. It does not know who calls, or over what.

mod access;
mod arguments;
mod describe;
mod message;
mod publish;
mod query;
mod query_queue;
mod resources;
mod subscribe;
mod wait;

use std::future::Future;
use std::rc::{Rc, Weak};
use std::time::Duration;

use async_io::Timer;
use mcpmqtt_config::Policy;
use smol::LocalExecutor;
use smol::future::{self, FutureExt as _};

use self::access::Access;
use self::query_queue::QueryQueue;
use crate::mcp::catalog::{
    Catalog, Instructions, ServerInfo, Tool, ToolCall, ToolHandler, ToolResult,
};
use crate::mcp::{Notifier, Places};
use crate::metrics::Metrics;
use crate::mqtt;

pub use self::resources::BrokerInfo;

/// Everything the tools need.
#[derive(Debug)]
pub struct Context {
    access: Access,
    /// Bytes of topics and payloads in one result.
    result_bytes: usize,
    queries: QueryQueue,
    notifier: Notifier,
    metrics: Metrics,
    /// Runs what watches topics. Weak: its tasks hold this.
    executor: Weak<LocalExecutor<'static>>,
}

/// ToolLimits of what callers may use.
#[derive(Clone, Debug)]
pub struct ToolLimits {
    /// Bytes of topics and payloads in one result.
    pub result_bytes: usize,
    /// Publishes of each caller in a second; 0 for any number.
    pub publishes_per_second: usize,
    /// Places of calls that wait for messages.
    pub listeners: Places,
    /// Places of topics that are watched for subscribers.
    pub watches: Places,
}

impl Context {
    /// Has the tools use `client` within `policy`. Calls are counted in `metrics`; what goes on between calls runs on
    /// `executor`.
    #[must_use]
    pub fn new(
        client: mqtt::Client,
        policy: Policy,
        bounds: ToolLimits,
        metrics: &Metrics,
        executor: &Rc<LocalExecutor<'static>>,
    ) -> Rc<Self> {
        let ToolLimits {
            result_bytes,
            publishes_per_second,
            listeners,
            watches,
        } = bounds;
        Rc::new(Self {
            access: Access::new(client, policy, publishes_per_second, listeners),
            result_bytes,
            queries: QueryQueue::default(),
            notifier: Notifier::new(watches),
            metrics: metrics.clone(),
            executor: Rc::downgrade(executor),
        })
    }

    /// Puts another policy in force, for what is under way too. When this returns, nothing goes on that it does not
    /// permit.
    pub async fn replace_policy(&self, policy: Policy) {
        self.access.replace_policy(policy);
        self.notifier
            .withdraw(|uri, _| resources::is_withdrawn(&self.access, uri));
        for uri in resources::ABOUT_TOPICS {
            self.notifier.resource_updated(uri);
        }
        let settled = async {
            self.access.settled().await;
            // The driver is awake by now, and takes back what was given up and not sent.
            future::yield_now().await;
        };
        // Work that does not get its turn, because its client takes nothing, does nothing either.
        let late = async {
            Timer::after(SETTLING).await;
        };
        future::or(settled, late).await;
    }
}

/// For a program with one caller.
impl Default for ToolLimits {
    fn default() -> Self {
        Self {
            result_bytes: 1 << 20,
            publishes_per_second: 0,
            listeners: Places::alone(256),
            watches: Places::alone(256),
        }
    }
}

/// The tools as they are described, without anything that could do their work.
#[must_use]
pub fn described() -> Vec<Tool> {
    vec![
        describe::publish(),
        describe::subscribe(),
        describe::read(),
        describe::query(),
    ]
}

/// The catalog that the dispatcher serves.
#[must_use]
pub fn catalog(context: &Rc<Context>, broker: BrokerInfo) -> Catalog {
    Catalog {
        tools: vec![
            tool(context, describe::publish(), publish::call),
            tool(context, describe::subscribe(), subscribe::subscribe),
            tool(context, describe::read(), subscribe::read),
            tool(context, describe::query(), query::call),
        ],
        resources: resources::all(&context.access, broker),
        templates: resources::templates(context),
        notifier: context.notifier.clone(),
        ..Catalog::default()
    }
}

/// Who the server is, and what a model should know before it reads anything else.
#[must_use]
pub fn server_info(context: &Rc<Context>) -> ServerInfo {
    let context = Rc::clone(context);
    ServerInfo {
        name: env!("CARGO_PKG_NAME").into(),
        title: "MQTT broker access".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        instructions: Instructions::new(move |_| describe::instructions(&context.access.policy())),
    }
}

fn tool<F>(context: &Rc<Context>, tool: Tool, call: fn(Rc<Context>, ToolCall) -> F) -> Tool
where
    F: Future<Output = Result<ToolResult, String>> + 'static,
{
    let context = Rc::clone(context);
    let calls = context.metrics.tool(&tool.name);
    let handler: ToolHandler = Rc::new(move |arguments| {
        let called = call(Rc::clone(&context), arguments);
        let counted = calls.begin();
        async move {
            let ended = called.await;
            counted.end(ended.is_err());
            ended.unwrap_or_else(ToolResult::Error)
        }
        .boxed_local()
    });
    Tool { handler, ..tool }
}

/// For calls to be judged by new rules.
const SETTLING: Duration = Duration::from_secs(1);
