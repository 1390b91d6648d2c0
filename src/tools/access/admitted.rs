//! A publish from its admission to its outcome.
//!
//! Promises: the rules on writes are judged in the step in which the message is handed over, and as long as it waits
//! there; what comes of it is recorded.

use std::task::Context;
use std::time::Instant;

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::client::PublishError;
use mcpmqtt_protocol::message::Message;

use super::denied::{Denied, Published};
use super::live_policy::CallerPolicy;
use super::rules::{Effects, Pending};
use super::write_record::WriteRecord;
use super::{Access, may_publish};
use crate::local::time;

/// A message that passed the checks of [`Access::admit`].
pub(in crate::tools) struct Admitted<'a> {
    pub(super) access: &'a Access,
    pub(super) policy: CallerPolicy,
    pub(super) message: &'a Message,
    pub(super) record: WriteRecord<'a>,
}

/// A message that was handed to the connection, and its outcome.
#[derive(Debug)]
pub(in crate::tools) struct Sent {
    pub(in crate::tools) published: Published,
    /// The effects that have to show.
    pub(in crate::tools) effects: Effects,
}

impl Admitted<'_> {
    /// Publishes the message and waits for its outcome, until `deadline` at the latest. Dropping the future takes the
    /// message back if it was not sent yet. The rules on writes are judged in the step that hands the message over.
    ///
    /// # Errors
    /// [`Denied::Withdrawn`]; [`Denied::Rule`] and [`Denied::Broker`] when nothing was sent; [`Denied::Unknown`] when it
    /// is not known whether the message was delivered.
    pub(in crate::tools) async fn publish(&self, deadline: Instant) -> Result<Sent, Denied> {
        let Admitted {
            access,
            policy: own,
            message,
            record,
        } = self;
        let permitted = |policy: &Policy| may_publish(policy, message);
        let rules = &access.rules;
        let sending = async {
            let policy = own.current();
            let begun = rules.begin(&policy, message, time::now());
            let begun = begun.map_err(Denied::Rule)?;
            record.begins();
            let mut pending = Pending::new(policy);
            let holds =
                |context: &mut Context<'_>| pending.holds(rules, &own.current(), message, context);
            let sending = access
                .client
                .publish_while((*message).clone(), deadline, holds);
            let outcome = sending.await.map_err(|error| match pending.broken() {
                Some(broken) if error == PublishError::TakenBack => Denied::Rule(broken),
                _ => Denied::publish(&error),
            });
            match outcome.and_then(Published::of) {
                Ok(published) => Ok(Sent {
                    published,
                    effects: begun.effects,
                }),
                Err(denied) => {
                    if matches!(denied, Denied::Broker(_) | Denied::Rule(_)) {
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
}
