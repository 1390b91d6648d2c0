//! A publish from its beginning over its admission to its outcome.
//!
//! Promises: where the operator requires a record, nothing is sent before it has the attempt; the rules on writes are judged
//! in the step in which the message is handed over, and as long as it waits there; what comes of it is recorded.

use std::cell::Cell;
use std::task::Context;
use std::time::Instant;

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::client::{Outcome, PublishError, Reason};
use mcpmqtt_protocol::message::Message;

use super::consent::{Agreed, Unagreed};
use super::denied::{Denied, Published};
use super::live_policy::CallerPolicy;
use super::rules::{Effects, Pending};
use super::write_record::WriteRecord;
use super::{Access, may_publish};
use crate::local::time;
use crate::mcp::Caller;

/// An attempt to publish that is not judged yet.
pub(in crate::tools) struct Begun<'a> {
    pub(super) access: &'a Access,
    pub(super) caller: &'a Caller,
    pub(super) policy: CallerPolicy,
    pub(super) message: &'a Message,
    pub(super) agreed: Agreed,
    pub(super) record: WriteRecord<'a>,
    /// The number of halts when it began: one that comes later ends it.
    pub(super) halts: u64,
}

/// A message that passed the checks of [`Begun::admit`].
pub(in crate::tools) struct Admitted<'a> {
    pub(super) access: &'a Access,
    pub(super) caller: &'a Caller,
    pub(super) policy: CallerPolicy,
    pub(super) message: &'a Message,
    /// Taken when the message is handed over: an agreement is to one message.
    pub(super) agreed: Cell<Option<Agreed>>,
    pub(super) record: WriteRecord<'a>,
    pub(super) halts: u64,
}

/// A message that was handed to the connection, and its outcome.
#[derive(Debug)]
pub(in crate::tools) struct Sent {
    pub(in crate::tools) published: Published,
    /// The effects that have to show.
    pub(in crate::tools) effects: Effects,
}

impl<'a> Begun<'a> {
    /// Checks the message against the caller's policy, rate and quota, and that it has the consent that it needs.
    ///
    /// # Errors
    /// [`Denied::Policy`], [`Denied::Halted`], [`Denied::Consent`], [`Denied::Rate`] or [`Denied::Quota`], and then the
    /// message is not counted; [`Denied::Unrecorded`].
    pub(in crate::tools) fn admit(self) -> Result<Admitted<'a>, Denied> {
        let Begun {
            access,
            caller,
            policy,
            message,
            agreed,
            record,
            halts,
        } = self;
        let now = policy.current();
        let permitted = may_publish(&now, message).map_err(Denied::Policy);
        let permitted = permitted.and_then(|()| access.may_write_since(halts, message));
        let agreed_to = || agreed.permits(&now, message).map_err(Denied::Consent);
        let counted = permitted.and_then(|()| agreed_to());
        let counted = counted.and_then(|()| access.take_share(caller));
        match counted.and_then(|()| record.write()) {
            Ok(()) => Ok(Admitted {
                access,
                caller,
                policy,
                message,
                agreed: Cell::new(Some(agreed)),
                record,
                halts,
            }),
            Err(denied) => {
                record.refused(&denied);
                Err(denied)
            }
        }
    }

    /// Records the attempt before it waits to be admitted.
    ///
    /// # Errors
    /// [`Denied::Unrecorded`].
    pub(in crate::tools) fn write(&self) -> Result<(), Denied> {
        self.record.write()
    }

    /// It was refused before its turn to be admitted came.
    pub(in crate::tools) fn refused(self, denied: &Denied) {
        self.record.refused(denied);
    }

    /// It was given up: nothing is sent.
    pub(in crate::tools) fn given_up(self, words: &'static str) {
        self.record.not_sent(words);
    }
}

impl Admitted<'_> {
    /// Publishes the message and waits for its outcome, until `deadline` at the latest. Dropping the future takes the
    /// message back if it was not sent yet. The rules on writes are judged in the step that hands the message over.
    ///
    /// # Errors
    /// [`Denied::Withdrawn`]; [`Denied::Rule`], [`Denied::Consent`], [`Denied::Halted`], [`Denied::Unrecorded`] and
    /// [`Denied::Broker`] when nothing was sent; [`Denied::Unknown`] when it is not known whether the message was delivered.
    pub(in crate::tools) async fn publish(&self, deadline: Instant) -> Result<Sent, Denied> {
        let Admitted {
            access,
            caller,
            policy: own,
            message,
            agreed,
            record,
            halts,
        } = self;
        let permitted = |policy: &Policy| may_publish(policy, message);
        let rules = &access.rules;
        let sending = async {
            record.synced(deadline).await?;
            access.may_write_since(*halts, message)?;
            let policy = own.current();
            let agreed = agreed.take().ok_or(Denied::Consent(Unagreed::Another))?;
            agreed.permits(&policy, message).map_err(Denied::Consent)?;
            let begun = rules.begin(caller.name(), &policy, message, time::now());
            let begun = begun.map_err(Denied::Rule)?;
            record.begins();
            let mut pending = Pending::new(policy);
            // What the connection does not halt may be safe no longer.
            let is_exempt = access.operator.is_safe(message);
            let holds = |context: &mut Context<'_>| {
                (!is_exempt || access.may_write_now(message).is_ok())
                    && pending.holds(rules, &own.current(), message, context)
            };
            let sending =
                access
                    .client
                    .publish_while((*message).clone(), deadline, is_exempt, holds);
            let outcome = sending.await.map_err(|error| match pending.broken() {
                Some(broken) if error == PublishError::TakenBack => Denied::Rule(broken),
                None if error == PublishError::TakenBack => access.halted_meanwhile(message),
                _ => Denied::publish(&error),
            });
            let published = outcome.and_then(|outcome| match outcome {
                Outcome::NotSent(Reason::Timeout(_)) if access.waits_for_operator() => {
                    Err(Denied::Halted(access.operator.verdict().to_string()))
                }
                outcome => Published::of(outcome),
            });
            match published {
                Ok(published) => Ok(Sent {
                    published,
                    effects: begun.effects,
                }),
                Err(denied) => {
                    if matches!(
                        denied,
                        Denied::Broker(_) | Denied::Rule(_) | Denied::Halted(_)
                    ) {
                        begun.was_not_sent();
                    }
                    Err(denied)
                }
            }
        };
        // Pinned here so that the future is not moved into each future around it: see the module docs of `http`.
        let sending = std::pin::pin!(sending);
        let ended = own.while_permitted(permitted, sending).await;
        let ended = ended.and_then(|ended| ended);
        record.ended(ended.as_ref().map(|sent| &sent.published));
        ended
    }

    /// Records that the message was refused after it was admitted, before it was handed over.
    pub(in crate::tools) fn refused(&self, denied: Denied) -> Denied {
        self.record.ended(Err(&denied));
        denied
    }
}
