//! Why a caller's publish or subscription was not done, or is not known to be done.
//!
//! Every refusal on the way to the broker is a [`Denied`], and gets its error message here.

use std::fmt;

use mcpmqtt_config::Refusal;
use mcpmqtt_protocol::client::{ListenError, Outcome, PublishError, Reason};

use super::consent::Unagreed;
use super::quota::Exhausted;
use super::rate::TooMany;
use super::rules::Broken;
use crate::audit::Unrecorded;
use crate::mcp::NoPlace;
use crate::mqtt::ListenFailure;

/// The reason of a refusal.
#[derive(Debug)]
pub(in crate::tools) enum Denied {
    /// The policy does not permit the request; nothing was sent.
    Policy(Refusal),
    /// The permission was withdrawn after the request began.
    Withdrawn(Refusal),
    /// The caller exceeds its publish rate.
    Rate(TooMany),
    /// The caller has used up its quota.
    Quota(Exhausted),
    /// A rule on writes does not permit it now; nothing was sent.
    Rule(Broken),
    /// An operator has halted writing, in these words; nothing was sent.
    Halted(String),
    /// It cannot be recorded, which the operator requires; nothing was sent.
    Unrecorded(Unrecorded),
    /// Nobody agreed; nothing was sent.
    Consent(Unagreed),
    /// Too many calls wait for messages.
    Listeners(NoPlace),
    /// The broker or the connection failed; nothing was published or subscribed.
    Broker(String),
    /// The message was sent, and the broker has not confirmed it.
    Unknown(String),
}

/// A tool's part of the error message.
#[derive(Clone, Copy, Debug)]
pub(in crate::tools) struct Wording {
    /// The action that failed: `not published`.
    pub(in crate::tools) not_done: &'static str,
    /// Its consequence: `Nothing was received.` May be empty.
    pub(in crate::tools) meaning: &'static str,
    /// The consequence when the permission was withdrawn meanwhile.
    pub(in crate::tools) withdrawn: &'static str,
}

impl Denied {
    /// Whether its words may have the value of the payload: those of a limit have what is beyond it.
    pub(super) fn quotes_payload(&self) -> bool {
        match self {
            Denied::Policy(_) | Denied::Withdrawn(_) | Denied::Rule(_) => true,
            Denied::Consent(unagreed) => matches!(unagreed, Unagreed::Withdrawn(_)),
            Denied::Rate(_)
            | Denied::Quota(_)
            | Denied::Halted(_)
            | Denied::Unrecorded(_)
            | Denied::Listeners(_)
            | Denied::Broker(_)
            | Denied::Unknown(_) => false,
        }
    }

    pub(super) fn publish(error: &PublishError) -> Denied {
        match error {
            PublishError::Halted(words) => Denied::Halted(words.to_string()),
            error => Denied::Broker(error.to_string()),
        }
    }

    pub(super) fn subscribe(failure: &ListenFailure) -> Denied {
        Denied::Broker(match failure {
            ListenFailure::Refused(ListenError::NotConnected(reason)) => not_connected(reason),
            failure => failure.to_string(),
        })
    }

    /// The error message for the model: what was not done, why, and the consequence.
    pub(in crate::tools) fn tell(&self, wording: &Wording) -> String {
        let Wording {
            not_done,
            meaning,
            withdrawn,
        } = wording;
        match self {
            // A model that mends the payload has to know that it may send it.
            Denied::Policy(refusal) if refusal.is_limit() => format!("{refusal}; nothing was sent"),
            Denied::Policy(refusal) => refusal.to_string(),
            Denied::Withdrawn(refusal) => {
                format!("the operator withdrew the permission meanwhile: {refusal}. {withdrawn}")
            }
            Denied::Unknown(_) => self.to_string(),
            Denied::Rule(_) | Denied::Halted(_) | Denied::Consent(_) => {
                format!("{not_done}: {self}. Nothing was sent.")
            }
            _ if meaning.is_empty() => format!("{not_done}: {self}"),
            _ => format!("{not_done}: {self}. {meaning}"),
        }
    }
}

/// Displays the reason alone.
impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::Policy(refusal) | Denied::Withdrawn(refusal) => refusal.fmt(f),
            Denied::Rate(too_many) => too_many.fmt(f),
            Denied::Quota(exhausted) => exhausted.fmt(f),
            Denied::Rule(broken) => broken.fmt(f),
            Denied::Unrecorded(unrecorded) => unrecorded.fmt(f),
            Denied::Consent(why) => why.fmt(f),
            Denied::Listeners(full) => write!(
                f,
                "of the calls that can wait for messages at the same time (`limits.listeners`), {full}; \
                 try again when one has ended"
            ),
            Denied::Broker(why) | Denied::Halted(why) => f.write_str(why),
            Denied::Unknown(why) => write!(
                f,
                "outcome unknown: {why}. The message was sent and may have reached the broker; \
                 it is not sent again. Check its effect before you repeat it."
            ),
        }
    }
}

/// How far a published message got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) enum Published {
    /// The message was sent; at QoS 0 the broker confirms nothing.
    Sent,
    Delivered,
}

impl Published {
    /// The name in results.
    pub(in crate::tools) fn name(self) -> &'static str {
        match self {
            Published::Sent => "sent",
            Published::Delivered => "delivered",
        }
    }

    pub(super) fn of(outcome: Outcome) -> Result<Published, Denied> {
        match outcome {
            Outcome::Sent => Ok(Published::Sent),
            Outcome::Delivered => Ok(Published::Delivered),
            Outcome::NotSent(Reason::Halted(words)) => Err(Denied::Halted(words.to_string())),
            Outcome::NotSent(reason) => Err(Denied::Broker(reason.to_string())),
            Outcome::Unknown(reason) => Err(Denied::Unknown(reason.to_string())),
        }
    }
}

fn not_connected(reason: &Reason) -> String {
    format!("not connected to the broker: {reason}")
}
