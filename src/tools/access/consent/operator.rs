//! The way to the operator over MQTT: questions go to `ask/<number>` below `operator.topic`, answers come from
//! `answer/<number>`, and what became of a question goes to `ask/<number>/closed`. None of it is retained.
//!
//! Promises: nothing is subscribed to until a question needs it; a retained answer, one without the operator's tag where
//! there is a secret, and one to no open question change nothing; where agents could use this program's own account to
//! answer, nobody is asked unless the operator's file says so.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mcpmqtt_config::OperatorTopic;
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::Shown;
use serde_json::Value;
use smol::future;

use super::answer::Said;
use super::questions::{Ignored, Number, Questions};
use super::random;
use crate::local::notify::NotifyAll;
use crate::local::time;
use crate::local::watch::Watch;
use crate::logger;
use crate::metrics::Metrics;
use crate::mqtt::{self, Observing, Tap, Tapped};
use crate::operator::{Operator, TopicFailure};

/// The way to the operator.
#[derive(Debug)]
pub(super) struct Channel {
    client: mqtt::Client,
    operator: Operator,
    answers: Rc<Answers>,
    /// The subscription to the answers, below which topic.
    listening: RefCell<Option<(OperatorTopic, Observing)>>,
    /// The topic below which this program's own account cannot answer.
    protected: RefCell<Option<OperatorTopic>>,
    /// The topic below which it could when that was tested last, what to do about it, and when it was tested.
    open_to_agents: RefCell<Option<(OperatorTopic, String, Instant)>>,
    /// Whether somebody prepares it.
    preparing: Watch<bool>,
}

/// What comes from the operator.
#[derive(Debug)]
struct Answers {
    operator: Operator,
    questions: Rc<RefCell<Questions>>,
    /// Notified when something came.
    came: Rc<NotifyAll>,
    is_listening: Cell<bool>,
    metrics: Metrics,
}

impl Channel {
    pub(super) fn new(
        client: mqtt::Client,
        operator: Operator,
        questions: &Rc<RefCell<Questions>>,
        came: &Rc<NotifyAll>,
        metrics: &Metrics,
    ) -> Channel {
        let answers = Answers {
            operator: operator.clone(),
            questions: Rc::clone(questions),
            came: Rc::clone(came),
            is_listening: Cell::new(false),
            metrics: metrics.clone(),
        };
        Channel {
            client,
            operator,
            answers: Rc::new(answers),
            listening: RefCell::default(),
            protected: RefCell::default(),
            open_to_agents: RefCell::default(),
            preparing: Watch::new(false),
        }
    }

    /// The operator at the other end.
    pub(super) fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Subscribes to the answers, and makes sure that they can be trusted.
    ///
    /// # Errors
    /// Why the operator cannot be asked.
    pub(super) async fn prepare(&self) -> Result<(), String> {
        while self.preparing.get() {
            self.preparing.until(|preparing| !preparing).await;
        }
        self.preparing.set(true);
        let _done = Preparing(&self.preparing);
        let topic = self.operator.topic();
        let topic = topic.ok_or_else(|| TopicFailure::NoTopic.to_string())?;
        self.connected().await;
        self.listen(&topic).await?;
        self.protect(topic).await
    }

    /// As [`prepare`](Self::prepare), but an account that could answer is not tested again.
    ///
    /// # Errors
    /// Why the operator cannot be asked.
    pub(super) async fn look(&self) -> Result<(), String> {
        self.preparing.until(|preparing| !preparing).await;
        let topic = self.operator.topic();
        let known = self.open_to_agents.borrow().clone();
        let counts = |(open, _, found): &(OperatorTopic, _, Instant)| {
            let is_recent = time::now().saturating_duration_since(*found) < COUNTS_FOR;
            topic.as_ref() == Some(open) && is_recent && !self.is_trusted()
        };
        match known.filter(counts) {
            Some((_, why, _)) => Err(why),
            None => self.prepare().await,
        }
    }

    /// Whether answers count whoever could write them.
    fn is_trusted(&self) -> bool {
        self.operator.secret().is_some() || self.operator.is_unprotected()
    }

    /// Puts a question to the operator.
    ///
    /// # Errors
    /// Why the question did not reach the broker, as far as is known.
    pub(super) async fn ask(&self, number: Number, question: &Value) -> Result<(), String> {
        let asked = self.publish(&format!("ask/{number}"), question).await;
        asked.map_err(|failure| failure.to_string())
    }

    /// Tells what became of a question.
    pub(super) async fn tell_closed(&self, number: Number, outcome: &Value) {
        // The operator's view may miss it; no agent depends on it.
        let _ = self.publish(&format!("ask/{number}/closed"), outcome).await;
    }

    /// Waits, as a publish does, for a connection that is about to be made.
    async fn connected(&self) {
        let mut states = self.client.changes();
        let connected = async {
            states.connected().await;
        };
        future::or(connected, time::after(PATIENCE)).await;
    }

    async fn listen(&self, topic: &OperatorTopic) -> Result<(), String> {
        let is_same = |(own, _): &(OperatorTopic, _)| own == topic;
        let listens = self.listening.borrow().as_ref().is_some_and(is_same);
        if listens && self.answers.is_listening.get() {
            return Ok(());
        }
        let answers = Rc::clone(&self.answers);
        let tap: Tap = Rc::new(move |now, tapped| answers.tapped(now, &tapped));
        let listening = in_time(self.operator.listen("answer/+", tap)).await;
        let listening = listening.map_err(|failure| {
            let filter = format!("{}/answer/+", topic.as_str());
            format!("{} cannot be subscribed to: {failure}", Shown(&filter))
        })?;
        self.listening.replace(Some((topic.clone(), listening)));
        self.answers.is_listening.set(true);
        Ok(())
    }

    /// Whether nobody who has this program's account can answer in the operator's place.
    async fn protect(&self, topic: OperatorTopic) -> Result<(), String> {
        let is_known = || self.protected.borrow().as_ref() == Some(&topic);
        if self.is_trusted() || is_known() {
            return Ok(());
        }
        let levels = format!("answer/{}", Number::first(&random()?));
        let lost = || self.client.counts().connections_lost;
        let mut was_cut = false;
        let can_answer = loop {
            let before = lost();
            let failure = match self.operator.can_write(&levels, TEST).await {
                Ok(can_answer) => break can_answer,
                Err(failure) => failure,
            };
            match (lost() > before, was_cut) {
                // A broker may end the connection for what it does not permit; twice is no chance.
                (true, true) => break false,
                (true, false) => was_cut = true,
                (false, _) => {
                    return Err(format!(
                        "whether this program's own account could answer is not known: {failure}; try again"
                    ));
                }
            }
            self.connected().await;
        };
        if can_answer {
            let answers = format!("{}/answer/#", topic.as_str());
            let why = format!(
                "this program's own account may publish to {}, so that an answer proves nothing. Forbid it on the broker, set \
                 `operator.secret_file`, or accept it with `operator.unprotected`",
                Shown(&answers)
            );
            let found = (topic, why.clone(), time::now());
            self.open_to_agents.replace(Some(found));
            return Err(why);
        }
        self.open_to_agents.take();
        self.protected.replace(Some(topic));
        Ok(())
    }

    async fn publish(&self, levels: &str, content: &Value) -> Result<(), TopicFailure> {
        let (text, deadline) = (content.to_string(), time::now() + PATIENCE);
        let operator = &self.operator;
        let publish = operator.publish(levels, text.as_bytes(), QoS::AtLeastOnce, deadline);
        publish.await
    }
}

/// Ends the preparation, however it ends.
struct Preparing<'a>(&'a Watch<bool>);

impl Drop for Preparing<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Answers {
    fn tapped(&self, now: Instant, tapped: &Tapped<'_>) {
        match tapped {
            Tapped::Message { message, .. } => {
                if let Err(why) = self.arrived(now, message) {
                    self.metrics.answer_ignored();
                    let topic = Shown(message.topic.as_str());
                    logger::debug(format_args!(
                        "an operator's answer on {topic} is ignored: {why}"
                    ));
                }
                self.came.notify_all();
            }
            Tapped::Ended(_) => self.is_listening.set(false),
            Tapped::TooLarge(_) => self.metrics.answer_ignored(),
            Tapped::Interrupted => {}
        }
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// Why it changes nothing.
    fn arrived(&self, now: Instant, message: &Message) -> Result<(), &'static str> {
        // This program's own, which tests its account.
        if *message.payload == *TEST {
            return Ok(());
        }
        // After a reload the old topic is anybody's.
        let topic = self.operator.topic().ok_or(NOT_BELOW)?;
        let levels = message.topic.as_str().strip_prefix(topic.as_str());
        let number = levels.and_then(|levels| levels.strip_prefix("/answer/"));
        let number = number.ok_or(NOT_BELOW)?;
        let number = Number::parse(number).ok_or("it names no question")?;
        // It was sent before this program listened, and who sent it may mean another question.
        if message.retain {
            return Err("it is retained");
        }
        let said = Said::parse(&message.payload).ok_or("it is neither `allow` nor `deny`")?;
        let mut questions = self.questions.borrow_mut();
        if let Some(secret) = &self.operator.secret() {
            let attempt = questions.attempt(number).ok_or(NOT_OPEN)?;
            if !said.is_signed(secret, number, &attempt) {
                return Err("its `mac` is missing or wrong");
            }
        }
        let taken = questions.answer(number, said.answer, now);
        taken.map_err(|ignored| match ignored {
            Ignored::NotOpen => NOT_OPEN,
            Ignored::Answered => "its question has an answer",
        })
    }
}

/// Waits for a subscription for a time that a broker needs at most.
async fn in_time<T>(
    work: impl Future<Output = Result<T, TopicFailure>>,
) -> Result<T, TopicFailure> {
    let late = async {
        time::after(PATIENCE).await;
        Err(TopicFailure::Broker(
            "the broker did not acknowledge it".into(),
        ))
    };
    future::or(work, late).await
}

const NOT_BELOW: &str = "its topic is not below `operator.topic`";
const NOT_OPEN: &str = "no such question is open";
/// What is published to see whether this program's own account could answer.
const TEST: &[u8] = b"a test of mcpmqtt: whether its own account may answer";
/// How long the broker has for each step.
const PATIENCE: Duration = Duration::from_secs(5);
/// So long a dry run takes the last test for the truth: an operator may forbid it on the broker meanwhile.
const COUNTS_FOR: Duration = Duration::from_secs(60);
