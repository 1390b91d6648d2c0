//! Why a rule on writes does not permit a write now, in words that a model can act on.

use std::fmt;
use std::time::Duration;

use mcpmqtt_config::{HIDDEN, In, MaxChange, Policy, Requirement, TopicTemplate};
use mcpmqtt_protocol::topic::{Shown, TopicName};

use super::fact::{About, Known, Unknown};
use super::writes::TooSoon;
use crate::observe::reading::Reading;

/// A limit that a write does not meet.
#[derive(Debug)]
pub(in crate::tools) enum Broken {
    /// The condition on another topic does not hold.
    Requires {
        condition: String,
        topic: Named,
        present: Present,
    },
    /// Whether the condition on another topic holds is unknown.
    RequiresUnknown {
        condition: String,
        topic: Named,
        why: Unknown,
    },
    /// The number is too far from the present one.
    Change {
        number: f64,
        most: f64,
        topic: Named,
        /// None where the caller may not read it.
        present: Option<(f64, Present)>,
    },
    /// The present number is unknown.
    ChangeUnknown {
        most: f64,
        topic: Named,
        why: Unknown,
    },
    /// The present value is not a number.
    StateNoNumber { topic: Named, most: f64 },
    /// The payload holds no number to compare.
    NoNumber { field: Option<String> },
    /// The payload has its value at two places, and receivers differ in which of them counts.
    Ambiguous,
    /// The topic was written to less than the interval ago.
    Interval { least: Duration, soon: TooSoon },
    /// The topic was written to as often as is permitted.
    Rate { most: usize, soon: TooSoon },
    /// The effect could not be seen.
    EffectUnseen { topic: Named, why: Unknown },
    /// The payload does not hold the value whose effect has to show.
    NoValue { field: Option<String> },
    /// No topic can be made of the levels of the written topic.
    NoTopic { template: Named },
    /// The operator changed the rules while the message waited to be sent.
    RulesChanged,
    /// Too many writes are remembered, or too many topics are watched.
    NoRoom,
}

/// A topic of a rule, for a message: without its name where the caller may not read it.
#[derive(Debug)]
pub(in crate::tools) struct Named(Option<String>);

impl Named {
    pub(super) fn new(topic: &TopicName, policy: &Policy) -> Named {
        let is_readable = policy.may_receive(topic.as_str());
        Named(is_readable.then(|| topic.as_str().to_owned()))
    }

    pub(super) fn template(template: &TopicTemplate, policy: &Policy) -> Named {
        let is_readable = template.is_readable(policy);
        Named(is_readable.then(|| template.to_string()))
    }

    fn is_hidden(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => Shown(name).fmt(f),
            None => f.write_str(HIDDEN),
        }
    }
}

/// A present value, for a message.
#[derive(Debug)]
pub(in crate::tools) struct Present {
    /// None where the caller may not read it.
    value: Option<String>,
    age: Option<Duration>,
}

impl Present {
    pub(super) fn new(reading: Option<&Reading>, known: &Known, is_readable: bool) -> Present {
        Present {
            value: reading.filter(|_| is_readable).map(in_words),
            age: known.age,
        }
    }
}

impl Broken {
    pub(super) fn requires(it: &Requirement, topic: Named, present: Present) -> Broken {
        Broken::Requires {
            condition: In(&it.condition).to_string(),
            topic,
            present,
        }
    }

    pub(super) fn requires_unknown(it: &Requirement, topic: Named, why: Unknown) -> Broken {
        Broken::RequiresUnknown {
            condition: In(&it.condition).to_string(),
            topic,
            why,
        }
    }

    pub(super) fn change_unknown(it: &MaxChange, topic: Named, why: Unknown) -> Broken {
        Broken::ChangeUnknown {
            most: it.most,
            topic,
            why,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Requires {
                condition,
                topic,
                present,
            } => {
                match &present.value {
                    Some(value) => write!(f, "{topic} is {value}{}", Ago(present.age))?,
                    None => write!(f, "{topic} does not have the required value")?,
                }
                match topic.is_hidden() {
                    true => Ok(()),
                    false => write!(f, "; to write here needs {topic} {condition}"),
                }
            }
            Broken::RequiresUnknown {
                condition,
                topic,
                why,
            } => {
                let (about, hint) = (About(topic, why), Hint(why));
                match topic.is_hidden() {
                    true => write!(f, "{about}, and to write here needs its value{hint}"),
                    false => write!(f, "{about}; to write here needs {topic} {condition}{hint}"),
                }
            }
            Broken::Change {
                number,
                most,
                topic,
                present,
            } => {
                let Some((value, present)) = present else {
                    return write!(
                        f,
                        "{number} is more than {most} away from {topic}, the limit for one write"
                    );
                };
                let ago = Ago(present.age);
                let away = rounded((number - value).abs());
                let (low, high) = (rounded(value - most), rounded(value + most));
                write!(
                    f,
                    "{number} is {away} away from {topic}, which is {value}{ago}; one write may change it by {most} at \
                     most, so {low} to {high} now"
                )
            }
            Broken::ChangeUnknown { most, topic, why } => {
                let (about, hint) = (About(topic, why), Hint(why));
                write!(
                    f,
                    "{about}, and a write may be at most {most} away from it{hint}"
                )
            }
            Broken::StateNoNumber { topic, most } => write!(
                f,
                "the last value of {topic} is not a number, and a write may be at most {most} away from it"
            ),
            Broken::NoNumber { field: None } => {
                f.write_str("the payload is not a number, which the limit on its change needs")
            }
            Broken::NoNumber { field: Some(field) } => {
                write!(
                    f,
                    "the payload has no number at {}, which the limit on its change needs",
                    Shown(field)
                )
            }
            Broken::Ambiguous => f.write_str(
                "the payload can be read in two ways (a member named twice, or `a.b` beside a `b` in `a`), so that the \
                 rule on its value cannot be checked",
            ),
            Broken::Interval { least, soon } => write!(
                f,
                "the topic was written to {:.1} s ago, and one write is permitted in {} s; try again in {}",
                soon.last.as_secs_f64(),
                least.as_secs_f64(),
                Wait(soon.wait)
            ),
            Broken::Rate { most, soon } => write!(
                f,
                "the topic was written to {most} times within a minute, which is the limit; try again in {}",
                Wait(soon.wait)
            ),
            Broken::EffectUnseen { topic, why } => {
                write!(
                    f,
                    "{}, and the effect of a write has to show there",
                    About(topic, why)
                )
            }
            Broken::NoValue { field: None } => {
                f.write_str("the payload cannot be read, and its value has to show afterwards")
            }
            Broken::NoValue { field: Some(field) } => {
                write!(
                    f,
                    "the payload has no field {}, whose value has to show afterwards",
                    Shown(field)
                )
            }
            Broken::NoTopic { template } => {
                write!(
                    f,
                    "a rule names {template}, and no topic can be made of that here"
                )
            }
            Broken::RulesChanged => f.write_str(
                "the operator changed the rules on writes to the topic meanwhile; try again",
            ),
            Broken::NoRoom => f.write_str(
                "too many topics with limits on writes are in use; try again when the limits on some have passed",
            ),
        }
    }
}

/// A value in a sentence.
pub(super) fn in_words(reading: &Reading) -> String {
    match reading.to_json(SHOWN_BYTES).value {
        serde_json::Value::String(text) => Shown(&text).to_string(),
        serde_json::Value::Null => "no text".into(),
        other => other.to_string(),
    }
}

/// Without what binary fractions add.
fn rounded(number: f64) -> f64 {
    let rounded = (number * 1e9).round() / 1e9;
    if rounded.is_finite() { rounded } else { number }
}

/// When a value came.
pub(super) struct Ago(pub(super) Option<Duration>);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(age) => write!(f, " ({:.1} s ago)", age.as_secs_f64()),
            None => f.write_str(" (retained)"),
        }
    }
}

/// What to do about an unknown value.
struct Hint<'a>(&'a Unknown);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unknown::NotWatched(_) | Unknown::TooLarge(_) => Ok(()),
            _ => {
                f.write_str("; the program goes on watching it: try again when it has sent a value")
            }
        }
    }
}

/// A time to wait, rounded up, so that who tries again after it is permitted.
struct Wait(Duration);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.as_millis().div_ceil(100).max(1);
        write!(f, "{}.{} s", tenths / 10, tenths % 10)
    }
}

/// The most bytes of a value in a message.
const SHOWN_BYTES: usize = 60;
