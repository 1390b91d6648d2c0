//! The operator: a person who holds agents back, over topics that no agent can reach, and by signals.
//!
//! Promises: from the moment at which writing is halted, nothing more of any caller's is handed to the system, but for what
//! `operator.safe` names; reading goes on. What the operator's topics say reaches this module alone.
//! Does not: judge permissions (`tools::access` does), nor know tools or transports.
//!
//! This is the one place that a page for operators will need: whether writing is halted and why ([`Operator::verdict`]), a
//! halt and its end ([`Operator::halt`], [`Operator::lift`]), and the operator's topics, on which questions are asked and
//! answered and the record is told ([`Operator::listen`], [`Operator::publish`]).

mod halt;
mod kept;
mod message;
mod secret;
mod watch;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant, SystemTime};

use mcpmqtt_config::{Operator as Settings, OperatorTopic};
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{Outcome, PublishError, Sending};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};
use smol::{LocalExecutor, Task};

use self::halt::Halts;
pub use self::halt::{Halt, Source, Verdict};
pub use self::kept::Kept;
use self::kept::KeptHalts;
pub use self::secret::Secret;
use crate::local::watch::Watch;
use crate::logger;
use crate::mqtt::{Client, ListenFailure, Observing, Tap};

/// The operator's side of this program. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Operator(Rc<State>);

struct State {
    client: Client,
    settings: RefCell<Settings>,
    secret: RefCell<Option<Secret>>,
    kept: Kept,
    halts: RefCell<Halts>,
    /// The message that halts, for which a lift has to be signed.
    halting: RefCell<Vec<u8>>,
    /// The tags of lifts, none of which counts twice.
    lifted: RefCell<Vec<String>>,
    /// How often the connection was lost.
    breaks: Cell<u64>,
    /// What follows from all that.
    verdict: Watch<Verdict>,
    /// Called after each change of it.
    on_change: RefCell<Vec<Box<dyn Fn()>>>,
    executor: Weak<LocalExecutor<'static>>,
    /// Keeps the halt topic subscribed.
    watching: RefCell<Option<Task<()>>>,
}

/// Why something cannot be said or heard on a topic of the operator's.
#[derive(Debug)]
pub enum TopicFailure {
    /// The configuration names no topic.
    NoTopic,
    /// The broker or the connection refused it.
    Broker(String),
}

impl Operator {
    /// Takes up what an earlier process kept, and begins to watch the halt topic where there is one: nothing is written
    /// before it is known what that holds. Background tasks run on `executor`.
    #[must_use]
    pub fn new(
        client: Client,
        settings: Settings,
        secret: Option<Secret>,
        kept: Kept,
        executor: &Rc<LocalExecutor<'static>>,
    ) -> Operator {
        let mut halts = Halts::new(settings.topic.is_some());
        let KeptHalts {
            signal,
            topic,
            lifted,
        } = kept.load(secret.is_some());
        let mut halting = Vec::new();
        if let Some(halt) = signal {
            halts.halt(Source::Signal, halt);
        }
        if let (Some((halt, payload)), true) = (topic, secret.is_some()) {
            halts.halt(Source::Topic, halt);
            halts.forget_topic();
            halting = payload;
        }
        let operator = Operator(Rc::new(State {
            verdict: Watch::new(Verdict::Open),
            client,
            settings: RefCell::new(settings),
            secret: RefCell::new(secret),
            kept,
            halts: RefCell::new(halts),
            halting: RefCell::new(halting),
            lifted: RefCell::new(lifted),
            breaks: Cell::new(0),
            on_change: RefCell::default(),
            executor: Rc::downgrade(executor),
            watching: RefCell::default(),
        }));
        operator.0.judge();
        if let Verdict::Halted(halt) = operator.verdict() {
            logger::warning(format_args!("{halt}; this was so before this start"));
        }
        operator.0.keep();
        operator.watch();
        operator
    }

    /// No operator, but for what a caller of [`halt`](Self::halt) does.
    #[must_use]
    pub fn none(client: Client, executor: &Rc<LocalExecutor<'static>>) -> Operator {
        Operator::new(client, Settings::default(), None, Kept::default(), executor)
    }

    /// Replaces the settings. Another topic is watched anew: nothing is written before it is known what that holds.
    pub fn replace(&self, settings: Settings, secret: Option<Secret>) {
        let state = &self.0;
        let topic = settings.topic.clone();
        let is_same = state.settings.borrow().topic == topic;
        state.settings.replace(settings);
        state.secret.replace(secret);
        if !is_same {
            state.watching.take();
            state.halts.borrow_mut().replace_topic(topic.is_some());
            self.watch();
        }
        // Also for callers whose safe messages are others now.
        state.judge();
        state.keep();
    }

    /// Whether anything may be written, and if not, why.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.0.verdict.get()
    }

    /// Why writing is halted, if it is. While it only waits it is not.
    #[must_use]
    pub fn halted(&self) -> Option<Verdict> {
        Some(self.verdict()).filter(Verdict::is_halted)
    }

    /// The verdict, for those who wait for another one.
    #[must_use]
    pub fn changes(&self) -> Watch<Verdict> {
        self.0.verdict.clone()
    }

    /// Calls `look` whenever the verdict or what is safe may have changed.
    pub fn on_change(&self, look: impl Fn() + 'static) {
        self.0.on_change.borrow_mut().push(Box::new(look));
    }

    /// Whether this message may be written although writing is halted.
    #[must_use]
    pub fn is_safe(&self, message: &Message) -> bool {
        let settings = self.0.settings.borrow();
        settings.is_safe(&message.topic, &message.payload)
    }

    /// Whether such a message to `topic` may be written although writing is halted; `is_payload` knows its payload.
    #[must_use]
    pub fn has_safe(&self, topic: &TopicName, is_payload: impl Fn(&[u8]) -> bool) -> bool {
        let settings = self.0.settings.borrow();
        let mut safe = settings.safe.iter();
        safe.any(|it| it.topic == *topic && is_payload(&it.payload))
    }

    /// Halts writing, for one source. `by` is who says so, where that is known.
    pub fn halt(&self, source: Source, by: Option<&str>, reason: &str) {
        self.0
            .halt(source, Halt::new(SystemTime::now(), by, reason));
    }

    /// Lifts the halt of one source. Writing stays halted while the other says so.
    pub fn lift(&self, source: Source) {
        self.0.lift(source);
    }

    /// The secret that signs what the operator says, if there is one.
    #[must_use]
    pub fn secret(&self) -> Option<Secret> {
        self.0.secret.borrow().clone()
    }

    /// Whether the operator's answers count although this program's own account could write them.
    #[must_use]
    pub fn is_unprotected(&self) -> bool {
        self.0.settings.borrow().unprotected
    }

    /// The operator's topic.
    #[must_use]
    pub fn topic(&self) -> Option<OperatorTopic> {
        self.0.settings.borrow().topic.clone()
    }

    /// Calls `tap` with each message on the topics of the filter at `levels` below the operator's topic (`answer/+`), as it
    /// arrives, retained ones included, until what this returns is dropped.
    ///
    /// # Errors
    /// There is no such topic, or the broker refused it.
    pub async fn listen(&self, levels: &str, tap: Tap) -> Result<Observing, TopicFailure> {
        let topic = self.topic().ok_or(TopicFailure::NoTopic)?;
        let filter = format!("{}/{levels}", topic.as_str());
        let filter = SubscribeFilter::parse(&filter);
        let filter = filter.map_err(|error| TopicFailure::Broker(error.to_string()))?;
        let observing = self.0.client.observe_reserved(filter, tap).await;
        observing.map_err(TopicFailure::of)
    }

    /// Publishes at `levels` below the operator's topic (`ask/…`), halted or not.
    ///
    /// # Errors
    /// There is no such topic, or the message did not reach the broker, or is not known to.
    pub async fn publish(
        &self,
        levels: &str,
        payload: &[u8],
        qos: QoS,
        deadline: Instant,
    ) -> Result<(), TopicFailure> {
        let message = Message {
            topic: self.name(levels)?,
            payload: payload.into(),
            qos,
            retain: false,
        };
        let published = self.0.client.publish_exempt(message, deadline).await;
        match published {
            Ok(Outcome::Sent | Outcome::Delivered) => Ok(()),
            Ok(Outcome::NotSent(reason) | Outcome::Unknown(reason)) => {
                Err(TopicFailure::Broker(reason.to_string()))
            }
            Err(error) => Err(TopicFailure::refused(&error)),
        }
    }

    /// Whether this program's own account on the broker can write at `levels` below the operator's topic: it publishes
    /// `payload` there, not retained, and looks whether the broker passes it on.
    ///
    /// # Errors
    /// It could not be found out.
    pub async fn can_write(&self, levels: &str, payload: &[u8]) -> Result<bool, TopicFailure> {
        watch::can_write(self, levels, payload).await
    }

    fn name(&self, levels: &str) -> Result<TopicName, TopicFailure> {
        let topic = self.topic().ok_or(TopicFailure::NoTopic)?;
        let name = topic.below(levels);
        name.map_err(|error| TopicFailure::Broker(error.to_string()))
    }

    fn watch(&self) {
        let Some(topic) = self.topic() else { return };
        let Some(executor) = self.0.executor.upgrade() else {
            return;
        };
        // Weak: the task must not keep alive what keeps the task.
        let watching = watch::halt_topic(Rc::downgrade(&self.0), self.0.client.clone(), topic);
        self.0.watching.replace(Some(executor.spawn(watching)));
    }
}

impl State {
    fn halt(&self, source: Source, halt: Halt) {
        let was = self.halts.borrow().of(source).cloned();
        self.halts.borrow_mut().halt(source, halt);
        self.judge();
        let halts = self.halts.borrow();
        let now = halts.of(source);
        if now == was.as_ref() {
            return;
        }
        if let Some(halt) = now {
            logger::warning(format_args!("{halt}; nothing more is written"));
        }
        drop(halts);
        self.keep();
    }

    fn lift(&self, source: Source) {
        let lifted = self.halts.borrow_mut().lift(source);
        self.lifted(lifted);
    }

    /// Tells of a halt that is no more.
    fn lifted(&self, lifted: Option<Halt>) {
        self.judge();
        if lifted.is_none() {
            return;
        }
        match self.verdict.get() {
            Verdict::Open => logger::warning(format_args!("the halt is lifted; writing goes on")),
            other => logger::warning(format_args!(
                "the halt is lifted, and another stays: {other}"
            )),
        }
        self.keep();
    }

    /// Puts in force what the sources say.
    fn judge(&self) {
        let verdict = self.halts.borrow().verdict();
        self.client.set_sending(match &verdict {
            Verdict::Open => Sending::Allowed,
            Verdict::Waiting => Sending::Held,
            halted => Sending::Halted(halted.to_string().into()),
        });
        self.verdict.set(verdict);
        for look in &*self.on_change.borrow() {
            look();
        }
    }

    fn keep(&self) {
        let halts = self.halts.borrow();
        let topic = halts.of(Source::Topic).cloned();
        let topic = topic.map(|halt| (halt, self.halting.borrow().clone()));
        let kept = KeptHalts {
            signal: halts.of(Source::Signal).cloned(),
            // Without a secret the topic itself says so at the next start.
            topic: topic.filter(|_| self.secret.borrow().is_some()),
            lifted: self.lifted.borrow().clone(),
        };
        if let Err(why) = self.kept.store(&kept) {
            logger::error(format_args!("{why}"));
        }
    }
}

impl Verdict {
    /// Whether nothing is written until somebody lifts or mends something.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        matches!(self, Verdict::Halted(_) | Verdict::Deaf(_))
    }
}

impl TopicFailure {
    fn of(failure: ListenFailure) -> TopicFailure {
        TopicFailure::Broker(failure.to_string())
    }

    fn refused(error: &PublishError) -> TopicFailure {
        TopicFailure::Broker(error.to_string())
    }
}

impl fmt::Display for TopicFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicFailure::NoTopic => f.write_str("there is no `operator.topic`"),
            TopicFailure::Broker(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TopicFailure {}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator")
            .field("verdict", &self.verdict())
            .finish_non_exhaustive()
    }
}

/// Whether this payload halts writing on the operator's halt topic, and does not lift a halt.
#[must_use]
pub fn halts(payload: &[u8]) -> bool {
    matches!(message::Said::parse(payload), message::Said::Halt { .. })
}

/// The last level of the topic on which an operator halts writing.
pub const HALT: &str = "halt";

/// The most lifts that are remembered.
const MOST_LIFTED: usize = 1000;

/// How long a test of what this program's account can write waits for its own message.
const TEST_TIME: Duration = Duration::from_secs(5);
