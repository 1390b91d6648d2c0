//! What the program offers to agents: four tools, two resources and every readable topic as a
//! resource, over one broker connection.
//!
//! It promises: every filter and topic passes the policy before it reaches the broker, and every
//! message that comes passes it again; whatever goes wrong is told in a sentence that says what
//! happened to the caller's message. It does not know who calls, or over what.

mod arguments;
mod describe;
mod message;
mod publish;
mod query;
mod rate;
mod resources;
mod rules;
mod subscribe;
mod turns;
mod wait;

use std::fmt;
use std::future::Future;
use std::rc::{Rc, Weak};
use std::time::Duration;

use async_io::Timer;
use mcpmqtt_config::Policy;
use smol::LocalExecutor;
use smol::future::{self, FutureExt as _};

use self::rate::Rates;
use self::resources::Seen;
use self::rules::Rules;
use self::turns::Turns;
use crate::mcp::catalog::{Catalog, ServerInfo, Tool, ToolCall, ToolHandler, ToolResult};
use crate::mcp::{Notifier, Places};
use crate::metrics::Metrics;
use crate::mqtt;

pub use self::resources::BrokerInfo;

/// Everything the tools need.
#[derive(Clone)]
pub struct Access {
    broker: mqtt::Client,
    rules: Rules,
    result_bytes: usize,
    turns: Turns,
    rates: Rates,
    listeners: Places,
    notifier: Notifier,
    seen: Seen,
    metrics: Metrics,
    /// Runs what watches topics. Weak: its tasks hold this.
    executor: Weak<LocalExecutor<'static>>,
}

impl Access {
    /// Access to `broker` within `policy`; one result holds `result_bytes` of topics and payloads.
    /// What goes on between calls runs on `executor`.
    #[must_use]
    pub fn new(
        broker: mqtt::Client,
        policy: Policy,
        result_bytes: usize,
        executor: &Rc<LocalExecutor<'static>>,
    ) -> Self {
        Self {
            broker,
            rules: Rules::new(policy),
            result_bytes,
            turns: Turns::default(),
            rates: Rates::new(0),
            listeners: Places::alone(LISTENERS),
            notifier: Notifier::default(),
            seen: Seen::default(),
            metrics: Metrics::default(),
            executor: Rc::downgrade(executor),
        }
    }

    /// Shares out what waits for messages: calls and watched topics.
    #[must_use]
    pub fn sharing(self, listeners: Places, watches: Places) -> Self {
        Self {
            listeners,
            notifier: Notifier::new(watches),
            ..self
        }
    }

    /// Counts calls there.
    #[must_use]
    pub fn counting(self, metrics: &Metrics) -> Self {
        let metrics = metrics.clone();
        Self { metrics, ..self }
    }

    /// Lets each caller publish so often in a second; 0 for any number.
    #[must_use]
    pub fn limiting(self, publishes_per_second: usize) -> Self {
        let rates = Rates::new(publishes_per_second);
        Self { rates, ..self }
    }

    /// Puts another policy in force, for what is under way too. When this returns, nothing goes on that it does not
    /// permit.
    pub async fn replace_policy(&self, policy: Policy) {
        self.rules.replace(policy);
        self.notifier
            .withdraw(|uri| resources::is_withdrawn(self, uri));
        for uri in resources::ABOUT_TOPICS {
            self.notifier.resource_updated(uri);
        }
        let settled = async {
            self.rules.settled().await;
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

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("broker", &self.broker)
            .finish_non_exhaustive()
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
pub fn catalog(access: &Access, broker: BrokerInfo) -> Catalog {
    Catalog {
        tools: vec![
            tool(access, describe::publish(), publish::call),
            tool(access, describe::subscribe(), subscribe::subscribe),
            tool(access, describe::read(), subscribe::read),
            tool(access, describe::query(), query::call),
        ],
        resources: resources::all(&access.rules, broker),
        templates: resources::templates(access),
        notifier: access.notifier.clone(),
        ..Catalog::default()
    }
}

/// Who the server is, and what a model should know before it reads anything else.
#[must_use]
pub fn server_info(policy: &Policy) -> ServerInfo {
    ServerInfo {
        name: env!("CARGO_PKG_NAME").into(),
        title: "MQTT broker access".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        instructions: instructions(policy),
    }
}

/// The part of [`server_info`] that depends on the policy.
#[must_use]
pub fn instructions(policy: &Policy) -> String {
    describe::instructions(policy)
}

fn tool<F>(access: &Access, tool: Tool, call: fn(Rc<Access>, ToolCall) -> F) -> Tool
where
    F: Future<Output = Result<ToolResult, String>> + 'static,
{
    let access = Rc::new(access.clone());
    let calls = access.metrics.tool(&tool.name);
    let handler: ToolHandler = Box::new(move |arguments| {
        let called = call(Rc::clone(&access), arguments);
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

/// Calls that listen at the same time, unless somebody says otherwise.
const LISTENERS: usize = 256;
/// For calls to be judged by new rules.
const SETTLING: Duration = Duration::from_secs(1);
