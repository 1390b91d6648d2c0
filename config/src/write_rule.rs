//! Rules on writes: how much, how often, and under which condition a permitted topic is written to.
//!
//! Each limit is judged by whoever knows the present: this crate keeps no state and reads no clock.

mod read;

use std::fmt;
use std::time::Duration;

use mcpmqtt_protocol::topic::Shown;

use crate::ambiguous::is_ambiguous_at;
use crate::condition::{Condition, is_near};
use crate::path::Path;
use crate::policy::Policy;
use crate::reading::Reading;
use crate::topic_template::TopicTemplate;

pub(crate) use self::read::read;

/// The limits on writes of one entry of `topics`.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteRule {
    /// The place in the file, as in `topics[2].write`.
    pub place: String,
    /// The limits; all of them hold.
    pub limits: Vec<WriteLimit>,
}

/// One limit on writes.
#[derive(Clone, Debug, PartialEq)]
pub enum WriteLimit {
    /// A condition on another topic.
    Requires(Requirement),
    /// How far a written number may be from the present one.
    MaxChange(MaxChange),
    /// The least time between two writes to a topic.
    MinInterval(Duration),
    /// The most writes to a topic in any 60 seconds.
    MaxPerMinute(usize),
    /// The effect that has to show after a write.
    Confirm(Effect),
}

/// A condition on another topic that has to hold at the moment of a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// The topic.
    pub source: Source,
    /// The condition on its last value.
    pub condition: Condition,
}

/// A topic, and which of its values count.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The topic.
    pub topic: TopicTemplate,
    /// The values that count.
    pub counts: Counts,
}

/// Which values of a topic count as its present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// A live one that is not older than this.
    Live(Duration),
    /// The last one, also one that the broker retained: right for what is published when it changes.
    Last,
}

/// The most that a number may change in one write.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxChange {
    /// The most.
    pub most: f64,
    /// The field of the payload that holds the number; the whole payload without one.
    pub field: Option<Path>,
    /// The topic that says the present number.
    pub state: Source,
    /// The field there.
    pub state_field: Option<Path>,
    /// Whether a write is permitted while the present number is unknown.
    pub may_be_unknown: bool,
}

/// The effect that has to show after a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// The topic on which it shows.
    pub state: TopicTemplate,
    /// The time in which it has to show.
    pub within: Duration,
    /// What has to show.
    pub shows: Shows,
}

/// What shows the effect of a write.
#[derive(Clone, Debug, PartialEq)]
pub enum Shows {
    /// The value that was written.
    Written {
        /// The field of the payload that holds it.
        field: Option<Path>,
        /// The field of the state.
        state_field: Option<Path>,
        /// How far a number may be away.
        tolerance: f64,
    },
    /// A value that meets this.
    Meets(Condition),
}

impl MaxChange {
    /// Whether `number` is near enough to the present one.
    pub fn permits(&self, number: f64, present: f64) -> bool {
        is_near(number, present, self.most)
    }
}

impl Shows {
    /// The field of the payload whose value has to show.
    pub fn field(&self) -> Option<&Path> {
        match self {
            Self::Written { field, .. } => field.as_ref(),
            Self::Meets(_) => None,
        }
    }

    /// What to expect on the state after `payload` was written. None where the payload lacks the field.
    pub fn expected(&self, payload: &[u8]) -> Option<Expected> {
        Some(match self {
            Self::Meets(condition) => Expected::Meets(condition.clone()),
            Self::Written {
                field,
                state_field,
                tolerance,
            } => Expected::Written {
                written: Reading::of(payload, field.as_ref()).ok()?,
                field: state_field.clone(),
                tolerance: *tolerance,
            },
        })
    }
}

/// What is expected on the state after one write.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// This value.
    Written {
        /// The value.
        written: Reading,
        /// The field of the state.
        field: Option<Path>,
        /// How far a number may be away.
        tolerance: f64,
    },
    /// A value that meets this.
    Meets(Condition),
}

impl Expected {
    /// What a message on the state says, and whether it is what is expected. None when it says nothing of it.
    pub fn judge(&self, payload: &[u8]) -> Option<(Reading, bool)> {
        let field = match self {
            Self::Meets(condition) => condition.field(),
            Self::Written { field, .. } => field.as_ref(),
        };
        match self {
            _ if is_ambiguous_at(payload, field) => None,
            // A value that was deleted: `!=` would take it for another one.
            Self::Meets(_) if payload.is_empty() => None,
            Self::Meets(condition) => {
                let judged = condition.judge(payload, None);
                let met = judged.verdict == crate::condition::Verdict::Met;
                judged.reading.map(|reading| (reading, met))
            }
            Self::Written {
                written,
                field,
                tolerance,
            } => {
                let reading = Reading::of(payload, field.as_ref()).ok()?;
                let is_near = |tolerance: f64| match (reading.number(), written.number()) {
                    (Some(shown), Some(written)) => is_near(shown, written, tolerance),
                    _ => false,
                };
                let shows = reading.same(written) || (*tolerance > 0.0 && is_near(*tolerance));
                Some((reading, shows))
            }
        }
    }
}

impl WriteRule {
    /// Whether what it counts or compares is known to one process alone.
    pub(crate) fn counts(&self) -> bool {
        let counts = |limit: &WriteLimit| {
            matches!(
                limit,
                WriteLimit::MaxChange(_) | WriteLimit::MinInterval(_) | WriteLimit::MaxPerMinute(_)
            )
        };
        self.limits.iter().any(counts)
    }
}

/// The limits in words, for the operator.
impl fmt::Display for WriteRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, limit) in self.limits.iter().enumerate() {
            let between = if n > 0 { "; " } else { "" };
            write!(f, "{between}{limit}")?;
        }
        Ok(())
    }
}

impl WriteRule {
    /// The limits in words for a caller with this policy, without the topics that it may not read.
    pub fn told(&self, policy: &Policy) -> String {
        let limits: Vec<_> = self.limits.iter().map(|limit| limit.told(policy)).collect();
        limits.join("; ")
    }
}

impl WriteLimit {
    /// The limit in words for a caller with this policy, without a topic that it may not read.
    pub fn told(&self, policy: &Policy) -> String {
        match self {
            Self::Requires(it) if !it.source.topic.is_readable(policy) => {
                format!("only while {HIDDEN} has the required value")
            }
            Self::MaxChange(it) if !it.state.topic.is_readable(policy) => {
                format!("at most {} away from {HIDDEN}", it.most)
            }
            Self::Confirm(it) if !it.state.is_readable(policy) => {
                let within = it.within.as_secs_f64();
                format!("the effect shows on {HIDDEN} within {within} s")
            }
            _ => self.to_string(),
        }
    }
}

/// What a caller is told in the place of a topic that it may not read.
pub const HIDDEN: &str = "a topic that you may not read";

impl fmt::Display for WriteLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requires(Requirement { source, condition }) => {
                let topic = source.topic.to_string();
                write!(f, "only while {} {}", Shown(&topic), In(condition))
            }
            Self::MaxChange(change) => {
                let topic = change.state.topic.to_string();
                write!(f, "at most {} away from {}", change.most, Shown(&topic))
            }
            Self::MinInterval(least) => write!(f, "once in {} s", least.as_secs_f64()),
            Self::MaxPerMinute(most) => write!(f, "{most} times in a minute"),
            Self::Confirm(effect) => {
                let topic = effect.state.to_string();
                write!(f, "the effect shows on {} ", Shown(&topic))?;
                if let Shows::Meets(condition) = &effect.shows {
                    write!(f, "({condition}) ")?;
                }
                write!(f, "within {} s", effect.within.as_secs_f64())
            }
        }
    }
}

/// A condition after the topic that it is on.
#[derive(Debug)]
pub struct In<'a>(pub &'a Condition);

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.op() {
            crate::condition::Op::Any if self.0.field().is_none() => f.write_str("sends"),
            _ => self.0.fmt(f),
        }
    }
}
