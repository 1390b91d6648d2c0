//! Waits with a deadline, and reports progress to the client meanwhile.

use std::future::Future;
use std::time::{Duration, Instant};

use mcpmqtt_protocol::client::Listen;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::SubscribeFilter;
use smol::future;

use super::access::{Access, Denied, Follow, Reader};
use crate::local::time;
use crate::mcp::{Caller, Peer, Progress};
use crate::mqtt::{Arrival, Tap, TooLarge};

/// A call's deadline and its progress reports.
pub(super) struct Deadline {
    /// When the call began.
    start: Instant,
    until: Instant,
    timeout: Duration,
    progress: Progress,
    caller: Caller,
}

/// The result of waiting for a message.
pub(super) enum Waited {
    Message(Message),
    /// A message arrived and was not kept.
    TooLarge(TooLarge),
    Timeout,
    /// No more messages will come, for this reason.
    Ended(String),
}

impl Deadline {
    pub(super) fn new(timeout: Duration, progress: Progress, client: &Peer) -> Self {
        let start = time::now();
        Self {
            start,
            until: start + timeout,
            timeout,
            progress,
            caller: client.caller().clone(),
        }
    }

    /// The deadline of a part of the same call, `timeout` from now.
    pub(super) fn part(&self, timeout: Duration) -> Deadline {
        Deadline {
            start: self.start,
            until: time::now() + timeout,
            timeout,
            progress: self.progress.clone(),
            caller: self.caller.clone(),
        }
    }

    /// The deadline of the same call whose time begins now.
    pub(super) fn anew(&self) -> Deadline {
        self.part(self.timeout)
    }

    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// The time limit in seconds, for messages.
    pub(super) fn seconds(&self) -> f64 {
        self.timeout.as_secs_f64()
    }

    /// Runs `work`; `None` when the deadline passes first.
    pub(super) async fn until_deadline<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let deadline = async {
            time::at(self.until).await;
            None
        };
        future::or(async { Some(work.await) }, deadline).await
    }

    /// Subscribes before the deadline.
    pub(super) async fn subscribe(
        &self,
        access: &Access,
        listen: Listen,
    ) -> Result<Reader, Denied> {
        self.subscribed(access, access.subscribe(&self.caller, listen))
            .await
    }

    /// Follows a filter before the deadline.
    pub(super) async fn follow(
        &self,
        access: &Access,
        filter: SubscribeFilter,
        tap: Tap,
    ) -> Result<Follow, Denied> {
        self.subscribed(access, access.follow(&self.caller, filter, tap))
            .await
    }

    async fn subscribed<T>(
        &self,
        access: &Access,
        subscribing: impl Future<Output = Result<T, Denied>>,
    ) -> Result<T, Denied> {
        if let Some(subscribed) = self.until_deadline(subscribing).await {
            if subscribed.is_ok() {
                self.report("subscribed, waiting");
            }
            return subscribed;
        }
        let seconds = self.seconds();
        Err(Denied::Broker(match access.is_connected() {
            true => {
                format!("the broker did not acknowledge the subscription within {seconds} s")
            }
            false => format!(
                "no connection to the broker within {seconds} s: {}",
                access.last_reason()
            ),
        }))
    }

    /// Returns the next message. Reports progress at intervals, so that the client does not time out.
    ///
    /// # Errors
    /// [`Denied::Withdrawn`].
    pub(super) async fn next(
        &self,
        reader: &mut Reader,
        status: impl Fn() -> String,
    ) -> Result<Waited, Denied> {
        let reading = self.with_reports(reader.next(), &status);
        Ok(match self.until_deadline(reading).await.transpose()? {
            Some(Arrival::Message(message)) => Waited::Message(message),
            Some(Arrival::TooLarge(large)) => Waited::TooLarge(large),
            Some(Arrival::Ended(reason)) => Waited::Ended(reason.to_string()),
            None => Waited::Timeout,
        })
    }

    /// Runs `work`, and reports its status as progress at intervals, so that the client does not time out.
    pub(super) async fn with_reports<T>(
        &self,
        work: impl Future<Output = T>,
        status: impl Fn() -> String,
    ) -> T {
        if !self.progress.is_wanted() {
            return work.await;
        }
        future::or(work, async {
            loop {
                time::after(REPORT_EVERY).await;
                self.report(&status());
            }
        })
        .await
    }

    /// Reports progress in seconds.
    fn report(&self, message: &str) {
        let elapsed = time::now()
            .saturating_duration_since(self.start)
            .as_secs_f64();
        let whole = self.until.saturating_duration_since(self.start);
        let whole = Some(whole.as_secs_f64());
        self.progress.report(elapsed, whole, message);
    }
}

const REPORT_EVERY: Duration = Duration::from_secs(2);
