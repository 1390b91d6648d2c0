//! What the rules say of a write before it is done, for `dry_run`.

use mcpmqtt_config::{Counts, Policy, WriteLimit};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::Shown;
use serde::Serialize;

use super::broken::{Ago, Named, in_words};
use super::fact::About;
use super::{Write, WriteRules};
use crate::local::time;
use crate::observe::reading::Reading;

/// A rule and its limits.
#[derive(Debug, Serialize)]
pub(in crate::tools) struct RuleReport {
    /// The place in the file.
    rule: String,
    limits: Vec<LimitReport>,
}

#[derive(Debug, Serialize)]
struct LimitReport {
    limit: String,
    /// The present value that it is judged by.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<String>,
    holds: bool,
}

impl RuleReport {
    /// The present values that the limits are judged by.
    pub(in crate::tools) fn present(&self) -> impl Iterator<Item = String> + use<'_> {
        self.limits.iter().filter_map(|limit| limit.now.clone())
    }
}

impl WriteRules {
    /// What each rule on a write of `message` says now.
    pub(in crate::tools::access) fn report(
        &self,
        policy: &Policy,
        message: &Message,
    ) -> Vec<RuleReport> {
        let now = time::now();
        let write = Write {
            policy,
            message,
            now,
        };
        let rules = policy.write_rules(&message.topic);
        let reported = rules.iter().map(|rule| RuleReport {
            rule: rule.place.clone(),
            limits: rule
                .limits
                .iter()
                .map(|limit| LimitReport {
                    limit: limit.told(policy),
                    now: self.present(limit, write),
                    holds: self.judge(limit, write).is_ok(),
                })
                .collect(),
        });
        reported.collect()
    }

    /// The present value by which a limit is judged, as far as the caller may read it.
    fn present(&self, limit: &WriteLimit, write: Write<'_>) -> Option<String> {
        let topic = &write.message.topic;
        let writes = self.writes.borrow();
        let (source, field) = match limit {
            WriteLimit::Requires(it) => (&it.source, it.condition.field()),
            WriteLimit::MaxChange(it) => (&it.state, it.state_field.as_ref()),
            WriteLimit::MinInterval(_) => {
                let last = writes.last(topic, write.now)?;
                return Some(format!("written to {:.1} s ago", last.as_secs_f64()));
            }
            WriteLimit::MaxPerMinute(_) => {
                let count = writes.in_a_minute(topic, write.now);
                return Some(format!("{count} in the last minute"));
            }
            WriteLimit::Confirm(_) => return None,
        };
        let topic = source.topic.fill(topic)?;
        if !write.policy.may_receive(topic.as_str()) {
            return None;
        }
        let known = |counts| {
            let known = self.known(&topic, counts, write.now);
            known.and_then(|known| known.at(field))
        };
        let known = match known(source.counts) {
            Ok(known) => known,
            // A value that does not count is still the last one.
            Err(why) => match known(Counts::Last) {
                Ok(known) => known,
                Err(_) => return Some(About(&Named::new(&topic, write.policy), &why).to_string()),
            },
        };
        let reading = Reading::of(&known.payload, field).ok()?;
        let (value, ago) = (in_words(&reading), Ago(known.age));
        Some(format!("{} is {value}{ago}", Shown(topic.as_str())))
    }
}
