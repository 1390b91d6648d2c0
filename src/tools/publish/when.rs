//! `when`: the condition on which a message is published.

use std::time::{Duration, Instant};

use mcpmqtt_config::In;
use mcpmqtt_protocol::topic::{Shown, SubscribeFilter};
use serde::Serialize;
use smol::future;

use super::NOT_YET;
use crate::local::time;
use crate::mcp::Peer;
use crate::observe::condition::Condition;
use crate::observe::watcher::{ConditionWatch, Live, Met};
use crate::tools::access::Access;
use crate::tools::arguments::Arguments;
use crate::tools::condition_result::ConditionResult;
use crate::tools::condition_wait::{ConditionWait, WaitEnd};
use crate::tools::deadline::Deadline;
use crate::tools::sighting::milliseconds;

pub(super) struct When {
    filter: SubscribeFilter,
    condition: Condition,
    live: Live,
    timeout: Duration,
}

/// What came of the wait for the condition.
pub(super) enum Reaction {
    /// With the wait, whose subscription ends after the publish: the broker would answer its end first.
    Met(Box<Met>, WhenResult, Box<ConditionWait>),
    NotMet(WhenResult),
}

/// The condition's part of the result.
#[derive(Serialize)]
pub(super) struct WhenResult {
    #[serde(flatten)]
    condition: ConditionResult,
    /// From the moment when the condition was met until the message was handed to the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    reaction_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl When {
    pub(super) fn parse(mut arguments: Arguments) -> Result<When, String> {
        let in_place = |why: String| format!("`when`: {why}");
        let mut parsed = || {
            let already = arguments.text("already")?;
            Ok(When {
                filter: arguments.filter("topic")?,
                timeout: arguments.timeout()?,
                live: match already.as_str() {
                    "act" => Live::NotRequired,
                    "cross" => Live::AfterNotMet,
                    _ => Live::Required,
                },
                condition: arguments.condition()?,
            })
        };
        parsed().map_err(in_place)
    }

    pub(super) fn filter(&self) -> &SubscribeFilter {
        &self.filter
    }

    /// The condition, and how long it is waited for.
    pub(super) fn in_words(&self) -> String {
        let already = match self.live {
            Live::Required => "",
            Live::NotRequired => ", or does so already",
            Live::AfterNotMet => ", after it did not",
        };
        format!(
            "{} {}{already}, within {} s",
            Shown(self.filter.as_str()),
            In(&self.condition),
            self.timeout.as_secs_f64()
        )
    }

    /// Waits for the condition.
    ///
    /// # Errors
    /// When the condition cannot be watched, or the client leaves: nothing is published for a client that has gone.
    pub(super) async fn run(
        &self,
        access: &Access,
        call: &Deadline,
        client: &Peer,
    ) -> Result<Reaction, String> {
        let deadline = call.part(self.timeout);
        let now = time::now();
        let watch = ConditionWatch::new(self.condition.clone(), self.live, now, deadline.until());
        let begun =
            ConditionWait::begin(access, &deadline, self.filter.clone(), watch, |_| {}).await;
        let waiting = begun.map_err(|denied| format!("`when`: {}", denied.tell(&NOT_YET)))?;
        let gone = async {
            client.left().await;
            None
        };
        let ended = future::or(gone, async { Some(waiting.end(&deadline).await) }).await;
        let ended = ended.ok_or("not published: the client has left. Nothing was sent.")?;
        let end = ended.map_err(|denied| denied.tell(&NOT_YET))?;
        let result = WhenResult {
            condition: ConditionResult::of(&waiting, &end, now),
            reaction_ms: None,
            reason: None,
        };
        Ok(match end {
            WaitEnd::Met(met) => Reaction::Met(met, result, Box::new(waiting)),
            WaitEnd::NotMet => Reaction::NotMet(result),
            WaitEnd::Lost(reason) => Reaction::NotMet(WhenResult {
                reason: Some(reason),
                ..result
            }),
        })
    }
}

impl Reaction {
    /// The result after the publish was handed to the connection.
    pub(super) fn fired(self, sent: Instant) -> WhenResult {
        match self {
            Reaction::Met(met, result, waiting) => {
                drop(waiting);
                WhenResult {
                    reaction_ms: Some(milliseconds(sent.saturating_duration_since(met.at))),
                    ..result
                }
            }
            Reaction::NotMet(result) => result,
        }
    }
}
