//! The record's lines as messages below the operator's topic, for those who follow along.
//!
//! Promises: nothing waits for the feed, and it is bounded in rate and in what waits for the broker; what it skips is
//! counted, and the next message tells it. A message has the hash of its line, so that who keeps messages has anchors.
//! Does not: record what it publishes, or wait for a broker that is away.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use mcpmqtt_config::AuditFeed;
use mcpmqtt_protocol::QoS;
use smol::LocalExecutor;

use super::chain::Head;
use super::members::Members;
use crate::clock;
use crate::local::queue::{self, Receiver, Sender};
use crate::local::time;
use crate::operator::Operator;

/// Publishes lines.
#[derive(Debug)]
pub struct Feed {
    settings: AuditFeed,
    lines: Sender<String>,
    /// The lines that were skipped since the last message.
    skipped: Rc<Cell<u64>>,
    /// When the rate has room for all that it permits in a second.
    full_at: Cell<Option<Instant>>,
}

impl Feed {
    /// Publishes below the operator's topic; messages go out on `executor`.
    #[must_use]
    pub fn start(
        settings: AuditFeed,
        operator: Operator,
        executor: &LocalExecutor<'static>,
    ) -> Feed {
        let (lines, waiting) = queue::unbounded();
        let skipped = Rc::<Cell<u64>>::default();
        let counted = Rc::clone(&skipped);
        executor.spawn(publish(waiting, operator, counted)).detach();
        Feed {
            settings,
            lines,
            skipped,
            full_at: Cell::default(),
        }
    }

    /// Whether payloads are published, too.
    pub(super) fn has_payloads(&self) -> bool {
        self.settings.payload
    }

    /// Publishes a line that was written, unless there are too many.
    pub(super) fn offer(
        &self,
        (now, time): (Instant, SystemTime),
        head: &Head,
        event: &str,
        members: &Members,
    ) {
        if self.lines.len() >= MOST_WAITING || !self.has_room(now) {
            self.skipped.set(self.skipped.get() + 1);
            return;
        }
        let mut own = Members::default();
        own.append(members);
        match self.skipped.take() {
            0 => {}
            skipped => {
                own.plain("skipped", skipped);
            }
        }
        let line = format!(
            "{{\"n\":{},\"time\":\"{}\",\"event\":\"{event}\"{},\"hash\":\"{}\"}}",
            head.n,
            clock::rfc3339(time),
            own.as_str(),
            head.hash
        );
        let _ = self.lines.send(line);
    }

    /// Takes one message of the rate.
    fn has_room(&self, now: Instant) -> bool {
        let cost = Duration::from_secs(1) / self.settings.per_second;
        let full_at = self.full_at.get().unwrap_or(now).max(now) + cost;
        let has_room = full_at <= now + Duration::from_secs(1);
        if has_room {
            self.full_at.set(Some(full_at));
        }
        has_room
    }
}

async fn publish(waiting: Receiver<String>, operator: Operator, skipped: Rc<Cell<u64>>) {
    while let Some(line) = waiting.recv().await {
        let deadline = time::now() + PATIENCE;
        let publishing = operator.publish(TOPIC, line.as_bytes(), QoS::AtLeastOnce, deadline);
        if publishing.await.is_err() {
            skipped.set(skipped.get() + 1);
        }
    }
}

/// Below the operator's topic.
const TOPIC: &str = "record";
/// How long the broker has for its acknowledgement.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines that wait for the broker.
const MOST_WAITING: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_rate_and_told() {
        let (lines, waiting) = queue::unbounded();
        let feed = Feed {
            settings: AuditFeed {
                payload: false,
                per_second: 2,
            },
            lines,
            skipped: Rc::default(),
            full_at: Cell::default(),
        };
        let start = Instant::now();
        let offer = |millis| {
            let at = (
                start + Duration::from_millis(millis),
                SystemTime::UNIX_EPOCH,
            );
            feed.offer(at, &Head::default(), "read", &Members::default());
        };
        let told = || -> Vec<String> { std::iter::from_fn(|| waiting.try_recv()).collect() };
        for _ in 0..5 {
            offer(0);
        }
        assert_eq!(told().len(), 2);
        offer(499);
        assert!(told().is_empty());
        offer(500);
        let lines = told();
        assert_eq!(lines.len(), 1);
        assert!(
            lines
                .concat()
                .contains("\"event\":\"read\",\"skipped\":4,\"hash\"")
        );
        offer(60_000);
        assert!(!told().concat().contains("skipped"));
    }
}
