//! Waiting with a deadline, and telling the client meanwhile that we still wait.

use std::cell::Cell;
use std::future::Future;
use std::time::{Duration, Instant};

use async_io::Timer;
use mcpmqtt_protocol::client::{Listen, ListenError};
use mcpmqtt_protocol::message::Message;
use smol::future;

use super::Access;
use crate::mcp::{CallerId, Peer, Place, Progress};
use crate::mqtt::{Arrival, Inbox, ListenFailure, TooLarge};

/// The time a call has, and whom to tell how it goes.
pub(super) struct Wait {
    start: Instant,
    timeout: Duration,
    progress: Progress,
    caller: CallerId,
    /// Among those who listen.
    place: Cell<Option<Place>>,
}

/// What a wait for a message ended with.
pub(super) enum Waited {
    Message(Message),
    /// A message came and was not kept.
    TooLarge(TooLarge),
    Timeout,
    /// There will be no more messages, for this reason.
    Ended(String),
}

impl Wait {
    pub(super) fn new(timeout: Duration, progress: Progress, client: &Peer) -> Self {
        Self {
            start: Instant::now(),
            timeout,
            progress,
            caller: client.caller().clone(),
            place: Cell::default(),
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.start + self.timeout
    }

    pub(super) fn seconds(&self) -> f64 {
        self.timeout.as_secs_f64()
    }

    /// `None` when the deadline comes first.
    pub(super) async fn until_deadline<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let deadline = async {
            Timer::at(self.deadline()).await;
            None
        };
        future::or(async { Some(work.await) }, deadline).await
    }

    /// Sets up a listener, or says why not.
    pub(super) async fn listen(&self, access: &Access, listen: Listen) -> Result<Inbox, String> {
        let place = access.listeners.enter(&self.caller).map_err(|full| {
            format!(
                "of the calls that can wait for messages at the same time (`limits.listeners`), {full}; \
                 try again when one has ended"
            )
        })?;
        self.place.set(Some(place));
        match self.until_deadline(access.broker.listen(listen)).await {
            Some(Ok(inbox)) => {
                self.report("subscribed, waiting");
                Ok(inbox)
            }
            Some(Err(ListenFailure::Refused(ListenError::NotConnected(reason)))) => {
                Err(format!("not connected to the broker: {reason}"))
            }
            Some(Err(failure)) => Err(failure.to_string()),
            None if access.broker.is_connected() => Err(format!(
                "the broker did not acknowledge the subscription within {} s",
                self.seconds()
            )),
            None => Err(format!(
                "no connection to the broker within {} s: {}",
                self.seconds(),
                access.broker.last_reason()
            )),
        }
    }

    /// The next message that the policy lets through. Reports progress now and then, so that a
    /// client that would lose patience does not.
    pub(super) async fn next(
        &self,
        access: &Access,
        inbox: &mut Inbox,
        status: impl Fn() -> String,
    ) -> Waited {
        loop {
            let arrival = self
                .until_deadline(self.with_reports(inbox.next(), &status))
                .await;
            match arrival {
                // A broker may send what nobody asked for; the permission is on the topic it came on.
                Some(Arrival::Message(message))
                    if access.rules.policy().may_receive(message.topic.as_str()) =>
                {
                    access.seen.note(&message.topic);
                    return Waited::Message(message);
                }
                Some(Arrival::TooLarge(large))
                    if access.rules.policy().may_receive(large.topic.as_str()) =>
                {
                    return Waited::TooLarge(large);
                }
                Some(Arrival::Message(_) | Arrival::TooLarge(_)) => {}
                Some(Arrival::Ended(reason)) => return Waited::Ended(reason.to_string()),
                None => return Waited::Timeout,
            }
        }
    }

    async fn with_reports<T>(
        &self,
        work: impl Future<Output = T>,
        status: impl Fn() -> String,
    ) -> T {
        if !self.progress.is_wanted() {
            return work.await;
        }
        future::or(work, async {
            loop {
                Timer::after(REPORT_EVERY).await;
                self.report(&status());
            }
        })
        .await
    }

    /// The unit of progress is the second.
    fn report(&self, message: &str) {
        let elapsed = self.start.elapsed().as_secs_f64();
        self.progress.report(elapsed, Some(self.seconds()), message);
    }
}

const REPORT_EVERY: Duration = Duration::from_secs(2);
