//! The operator's topics on the broker: the halt topic, which stays subscribed, and what this program's account can do there.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant, SystemTime};

use mcpmqtt_config::OperatorTopic;
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{ListenError, Reason};
use mcpmqtt_protocol::topic::{Shown, SubscribeFilter};
use smol::future;

use super::halt::{Halt, Source};
use super::message::{Said, Signature};
use super::{HALT, MOST_LIFTED, Operator, State, TEST_TIME, TopicFailure};
use crate::local::time;
use crate::logger;
use crate::mqtt::{Client, ListenFailure, Status, Tap, Tapped};

/// Keeps the halt topic subscribed, and asks for it anew on each connection: only then does the broker say what it holds,
/// also where it kept the session.
pub(super) async fn halt_topic(state: Weak<State>, client: Client, topic: OperatorTopic) {
    let Ok(filter) = SubscribeFilter::parse(&format!("{}/{HALT}", topic.as_str())) else {
        return;
    };
    let mut changes = client.changes();
    // The subscription of an earlier connection stays until the new one is granted, so that nothing is missed.
    let mut observing = None;
    let mut is_refused = false;
    loop {
        let next = async { Some(changes.next().await) };
        let again = async {
            match is_refused {
                true => time::after(AGAIN).await,
                false => future::pending().await,
            }
            None
        };
        match future::or(next, again).await {
            Some(Status::Connected { .. }) | None => {}
            Some(Status::Disconnected { retry_in: None, .. }) => return,
            Some(Status::Disconnected { .. }) => {
                is_refused = false;
                continue;
            }
        }
        let subscribed = client.observe_reserved(filter.clone(), tap(&state)).await;
        match subscribed {
            Ok(new) => {
                observing.replace(new);
                let breaks = interruptions(&state);
                // What the broker had to say on it stands before its answer to a ping.
                let answered = client.ping().await;
                let Some(state) = state.upgrade() else { return };
                if answered && breaks == Some(state.breaks.get()) {
                    state.topic_is_known();
                }
                is_refused = false;
            }
            Err(ListenFailure::Refused(ListenError::NotConnected(_)) | ListenFailure::Ended) => {}
            Err(failure) => {
                let Some(state) = state.upgrade() else { return };
                if client.is_connected() {
                    state.topic_is_refused(&filter, &failure.to_string());
                    is_refused = true;
                }
            }
        }
    }
}

fn interruptions(state: &Weak<State>) -> Option<u64> {
    state.upgrade().map(|state| state.breaks.get())
}

fn tap(state: &Weak<State>) -> Tap {
    let state = state.clone();
    Rc::new(move |_, tapped| {
        let Some(state) = state.upgrade() else { return };
        match tapped {
            Tapped::Message { message, .. } => state.hear(message.topic.as_str(), &message.payload),
            Tapped::TooLarge(_) => {
                state.hear_halt(b"", None, "the message is too large to be read");
            }
            Tapped::Interrupted => {
                state.breaks.set(state.breaks.get() + 1);
                state.halts.borrow_mut().forget_topic();
                state.judge();
            }
            Tapped::Ended(Reason::ShuttingDown) => {}
            Tapped::Ended(reason) => {
                let mut halts = state.halts.borrow_mut();
                halts.topic_is_refused(reason.to_string());
                drop(halts);
                state.judge();
            }
        }
    })
}

impl State {
    fn hear(&self, topic: &str, payload: &[u8]) {
        let said = Said::parse(payload);
        let secret = self.secret.borrow().clone();
        match (said, secret) {
            (Said::Halt { by, reason }, _) => self.hear_halt(payload, by.as_deref(), &reason),
            (Said::Lift(None), None) => self.lift(Source::Topic),
            (Said::Lift(Some(_)), None) => {
                self.ignore("there is no `operator.secret_file` to check its signature with; an empty message lifts");
            }
            (Said::Lift(None), Some(_)) => self.ignore("it is not signed"),
            (Said::Lift(Some(signature)), Some(secret)) => {
                let Signature { nonce, tag } = &signature;
                let halting = self.halting.borrow();
                let parts: [&[u8]; 4] =
                    [LIFT, topic.as_bytes(), nonce.as_bytes(), halting.as_slice()];
                let is_signed = !nonce.contains('\n') && secret.verifies(&parts, tag);
                let tag = tag.to_ascii_lowercase();
                if !is_signed {
                    self.ignore("its signature is not that of a lift of this halt");
                } else if self.lifted.borrow().contains(&tag) {
                    self.ignore("it has lifted a halt before");
                } else {
                    let of_ended = self.kept.take_lifted(&halting);
                    drop(halting);
                    let mut lifted = self.lifted.borrow_mut();
                    lifted.retain(|it| !of_ended.contains(it));
                    lifted.splice(0..0, of_ended);
                    lifted.push(tag);
                    let too_many = lifted.len().saturating_sub(MOST_LIFTED);
                    lifted.drain(..too_many);
                    drop(lifted);
                    self.lift(Source::Topic);
                }
            }
        }
    }

    fn hear_halt(&self, payload: &[u8], by: Option<&str>, reason: &str) {
        self.halting.replace(payload.to_vec());
        self.halt(Source::Topic, Halt::new(SystemTime::now(), by, reason));
    }

    /// A lift that does not count. Where nothing is halted there is nothing to say.
    fn ignore(&self, why: &str) {
        if self.halts.borrow().of(Source::Topic).is_some() {
            logger::warning(format_args!(
                "a message on the operator's topic would lift the halt, and does not count: {why}"
            ));
        }
    }

    fn topic_is_known(&self) {
        let must_be_lifted = self.secret.borrow().is_some();
        let lifted = self.halts.borrow_mut().topic_is_known(must_be_lifted);
        self.lifted(lifted);
    }

    fn topic_is_refused(&self, filter: &SubscribeFilter, why: &str) {
        let mut halts = self.halts.borrow_mut();
        if !halts.topic_is_refused(why.to_owned()) {
            return;
        }
        drop(halts);
        logger::error(format_args!(
            "the broker does not let this program subscribe to {}: {why}; nothing is written, since no operator could halt it",
            Shown(filter.as_str())
        ));
        self.judge();
    }
}

/// See [`Operator::can_write`].
pub(super) async fn can_write(
    operator: &Operator,
    levels: &str,
    payload: &[u8],
) -> Result<bool, TopicFailure> {
    let came = Rc::new(Cell::new(false));
    let (seen, own) = (Rc::clone(&came), payload.to_vec());
    let tap: Tap = Rc::new(move |_, tapped| {
        if let Tapped::Message { message, .. } = tapped {
            seen.set(seen.get() || *message.payload == *own);
        }
    });
    let test = async {
        let _observing = operator.listen(levels, tap).await?;
        let deadline = Instant::now() + TEST_TIME;
        match operator
            .publish(levels, payload, QoS::AtLeastOnce, deadline)
            .await
        {
            // A broker may end the connection for what it does not permit.
            Err(TopicFailure::Broker(_)) if !operator.0.client.is_connected() => return Ok(false),
            published => published?,
        }
        // What the broker passes on of it stands before its answer to a ping; not every broker keeps to that.
        for _ in 0..PINGS {
            if !operator.0.client.ping().await {
                let why = "the connection to the broker ended meanwhile";
                return Err(TopicFailure::Broker(why.into()));
            }
            if came.get() {
                return Ok(true);
            }
            time::after(PAUSE).await;
        }
        Ok(came.get())
    };
    let late = async {
        time::after(TEST_TIME).await;
        Err(TopicFailure::Broker(
            "the broker did not answer in time".into(),
        ))
    };
    future::or(test, late).await
}

/// What the tag of a lift is made of: this, the halt topic, the lift's text and the message that halted.
const LIFT: &[u8] = b"mcpmqtt lift";

/// The pause before a refused topic is asked for again: the operator may have mended the broker's access list.
const AGAIN: Duration = Duration::from_secs(30);

/// How often it is looked whether a message came back.
const PINGS: u32 = 3;

const PAUSE: Duration = Duration::from_millis(100);
