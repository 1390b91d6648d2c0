//! Why something that a caller asked of the broker is not done, or not known to be done.
//!
//! Every refusal on the way to the broker is one of these, and is put into words here.

use std::fmt;

use mcpmqtt_config::Refusal;
use mcpmqtt_protocol::client::{ListenError, Outcome, PublishError, Reason};

use super::rate::TooMany;
use crate::mcp::NoPlace;
use crate::mqtt::ListenFailure;

/// Why not.
#[derive(Debug)]
pub(in crate::tools) enum Denied {
    /// The policy does not permit it; nothing was begun.
    Policy(Refusal),
    /// It was permitted when it began, and is not any more.
    Withdrawn(Refusal),
    /// The caller publishes too often.
    Rate(TooMany),
    /// Too many wait for messages.
    Listeners(NoPlace),
    /// The broker, or the way to it: nothing was done.
    Broker(String),
    /// A message was sent, and it is not known whether the broker took it.
    Unknown(String),
}

/// What a tool says of something that was not done.
#[derive(Clone, Copy, Debug)]
pub(in crate::tools) struct Wording {
    /// What was not done: `not published`.
    pub(in crate::tools) not_done: &'static str,
    /// What that means: `Nothing was received.` May be empty.
    pub(in crate::tools) meaning: &'static str,
    /// What it means when the permission was withdrawn meanwhile.
    pub(in crate::tools) withdrawn: &'static str,
}

impl Denied {
    /// The error of a publish that was not taken.
    pub(super) fn publish(error: &PublishError) -> Denied {
        Denied::Broker(error.to_string())
    }

    /// The error of a subscription that was not granted.
    pub(super) fn subscribe(failure: &ListenFailure) -> Denied {
        Denied::Broker(match failure {
            ListenFailure::Refused(ListenError::NotConnected(reason)) => not_connected(reason),
            failure => failure.to_string(),
        })
    }

    /// In words for a model: what was not done, why, and what that means.
    pub(in crate::tools) fn tell(&self, wording: &Wording) -> String {
        let Wording {
            not_done,
            meaning,
            withdrawn,
        } = wording;
        match self {
            Denied::Policy(refusal) => refusal.to_string(),
            Denied::Withdrawn(refusal) => {
                format!("the operator withdrew the permission meanwhile: {refusal}. {withdrawn}")
            }
            Denied::Unknown(_) => self.to_string(),
            _ if meaning.is_empty() => format!("{not_done}: {self}"),
            _ => format!("{not_done}: {self}. {meaning}"),
        }
    }
}

/// The reason alone.
impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::Policy(refusal) | Denied::Withdrawn(refusal) => refusal.fmt(f),
            Denied::Rate(too_many) => too_many.fmt(f),
            Denied::Listeners(full) => write!(
                f,
                "of the calls that can wait for messages at the same time (`limits.listeners`), {full}; \
                 try again when one has ended"
            ),
            Denied::Broker(why) => f.write_str(why),
            Denied::Unknown(why) => write!(
                f,
                "outcome unknown: {why}. The message was sent and may have reached the broker; \
                 it is not sent again. Check its effect before you repeat it."
            ),
        }
    }
}

/// What the broker made of a message that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) enum Published {
    /// It was sent; at QoS 0 nothing more is told.
    Sent,
    /// The broker acknowledged it.
    Delivered,
}

impl Published {
    /// As results name it.
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
            Outcome::NotSent(reason) => Err(Denied::Broker(reason.to_string())),
            Outcome::Unknown(reason) => Err(Denied::Unknown(reason.to_string())),
        }
    }
}

fn not_connected(reason: &Reason) -> String {
    format!("not connected to the broker: {reason}")
}
