//! A question from its beginning to its end.
//!
//! Promises: it ends when this is dropped, unless the client answers it in another call; whoever was asked over MQTT is
//! told what became of it.

use std::cell::Cell;
use std::future::{Future, pending};
use std::rc::Rc;

use serde_json::{Value, json};
use smol::future;

use super::digest::Digest;
use super::questions::{Asked, Number};
use super::{AgreedBy, Consents, Request, Unagreed, question_text, random};
use crate::local::time;
use crate::mcp::{Caller, Question};
use mcpmqtt_config::{Consent, Policy};
use mcpmqtt_protocol::message::Message;

/// A question that is open until this is dropped.
pub(super) struct Open {
    consents: Consents,
    asked: Asked,
    /// It stays open, because the client answers it in another call.
    stays: Cell<bool>,
}

/// What a client says.
pub(super) enum Says {
    Yes,
    No,
    /// The person closed the question.
    Nothing,
}

/// What became of a question.
#[derive(Clone, Debug)]
pub(super) enum Closing {
    /// Somebody agreed.
    Allowed(AgreedBy),
    /// A person at the client did not agree.
    DeniedByClient,
    /// The operator did not agree.
    DeniedByOperator(Option<String>),
    /// Nobody answered in time.
    Expired,
    /// The call, its permission or its client ended.
    Withdrawn,
}

impl Consents {
    /// Opens a question about an attempt.
    ///
    /// # Errors
    /// Too many are open, or were asked in the last minute.
    pub(super) fn open(
        &self,
        caller: &Caller,
        attempt: Digest,
        message: &Message,
        policy: &Rc<Policy>,
    ) -> Result<Open, Unagreed> {
        let (state, now) = (&self.0, time::now());
        self.may_ask(caller)?;
        let random = random().map_err(Unagreed::NoRandom)?;
        let mut questions = state.questions.borrow_mut();
        let opened = questions.open(caller, attempt, message, policy, now, random);
        let asked = opened.map_err(Unagreed::NoRoom)?;
        state.asked.take(caller.name(), MOST_PER_MINUTE, now);
        Ok(self.opened(asked))
    }

    /// Whether one more question may be asked for this caller now.
    ///
    /// # Errors
    /// Too many are open, or were asked in the last minute.
    pub(super) fn may_ask(&self, caller: &Caller) -> Result<(), Unagreed> {
        let (state, now) = (&self.0, time::now());
        let few = state.asked.check(caller.name(), MOST_PER_MINUTE, now);
        few.map_err(Unagreed::TooMany)?;
        let has_room = state.questions.borrow().has_room(caller, now);
        has_room.map_err(Unagreed::NoRoom)
    }

    /// The question that the client answers with this call, if it answers one.
    ///
    /// # Errors
    /// [`Unagreed::NotOpen`], or [`Unagreed::Withdrawn`] where the question was asked under other rules.
    pub(super) fn answered(
        &self,
        request: &Request<'_>,
        attempt: &Digest,
        policy: &Policy,
    ) -> Result<Option<Open>, Unagreed> {
        let keys = request.client.answered(KEY);
        if keys.is_empty() {
            return Ok(None);
        }
        let (questions, now) = (self.0.questions.borrow(), time::now());
        let mut keys = keys
            .iter()
            .filter_map(|key| Number::parse(key.get(KEY.len()..)?));
        let open = keys.find_map(|key| questions.keyed(key, attempt, now));
        let (asked, earlier) = open.ok_or(Unagreed::NotOpen)?;
        let same = policy.asks_the_same(&earlier, &request.message.topic);
        same.map_err(Unagreed::Withdrawn)?;
        Ok(Some(self.opened(asked)))
    }

    fn opened(&self, asked: Asked) -> Open {
        Open {
            consents: self.clone(),
            asked,
            stays: Cell::new(false),
        }
    }
}

impl Open {
    /// Asks a person at the client.
    ///
    /// # Errors
    /// [`Unagreed::Client`].
    pub(super) async fn client_says(
        &self,
        request: &Request<'_>,
        policy: &Policy,
    ) -> Result<Says, Unagreed> {
        let client = request.client;
        let key = format!("{KEY}{}", self.asked.key);
        let text = question_text::question(request, policy);
        // The call may end with the question, and the next one brings the answer.
        self.stays.set(client.asks_in_rounds());
        let form = Question::form(key.clone(), &text, form());
        let answers = client.ask(vec![form]).await;
        self.stays.set(false);
        let answers = answers.map_err(Unagreed::Client)?;
        let action = answers.result(&key).and_then(|answer| answer.get("action"));
        let agrees = answers.accepted(&key).and_then(|fields| fields.get(AGREE));
        Ok(match action.and_then(Value::as_str) {
            Some("accept") if agrees == Some(&Value::Bool(true)) => Says::Yes,
            Some("cancel") => Says::Nothing,
            _ => Says::No,
        })
    }

    /// Puts the question to the operator.
    ///
    /// # Errors
    /// Why the operator cannot be asked.
    pub(super) async fn ask_operator(
        &self,
        request: &Request<'_>,
        policy: &Policy,
    ) -> Result<(), String> {
        let state = &self.consents.0;
        let channel = &state.channel;
        channel.prepare().await?;
        let number = self.asked.number;
        let attempt = {
            let mut questions = state.questions.borrow_mut();
            questions.ask_operator(number);
            questions.attempt(number)
        };
        let Some(attempt) = attempt else {
            return Err("its time is over".into());
        };
        let question = question_text::for_operator(request, policy, &attempt);
        channel.ask(number, &question).await
    }

    /// Whether the operator is asked.
    pub(super) fn asks_operator(&self) -> bool {
        let questions = self.consents.0.questions.borrow();
        questions.asks_operator(self.asked.number)
    }

    /// Waits for what the operator says. The question ends with it.
    ///
    /// # Errors
    /// [`Unagreed::OperatorDenied`], or [`Unagreed::NotOpen`] when another call used the answer.
    pub(super) async fn operator_says(&self) -> Result<AgreedBy, Unagreed> {
        let state = &self.consents.0;
        let said = || state.questions.borrow().said(self.asked.number).cloned();
        let answer = state.came.find(said).await;
        let by = AgreedBy::Operator(answer.by.clone());
        let closing = match answer.allows {
            true => Closing::Allowed(by.clone()),
            false => Closing::DeniedByOperator(answer.by.clone()),
        };
        match (self.close(closing), answer.allows) {
            (true, true) => Ok(by),
            (_, false) => Err(Unagreed::OperatorDenied(answer.by)),
            (false, true) => Err(Unagreed::NotOpen),
        }
    }

    /// The person at the client agrees. The question ends with it.
    ///
    /// # Errors
    /// The operator has said no before, or another call used the answer.
    pub(super) fn client_agrees(&self) -> Result<AgreedBy, Unagreed> {
        let said = {
            let questions = self.consents.0.questions.borrow();
            questions.said(self.asked.number).cloned()
        };
        match said {
            Some(answer) if !answer.allows => {
                self.close(Closing::DeniedByOperator(answer.by.clone()));
                Err(Unagreed::OperatorDenied(answer.by))
            }
            _ if self.close(Closing::Allowed(AgreedBy::Client)) => Ok(AgreedBy::Client),
            _ => Err(Unagreed::NotOpen),
        }
    }

    /// The person at the client says no. The question ends with it.
    pub(super) fn client_declines(&self) -> Unagreed {
        self.close(Closing::DeniedByClient);
        Unagreed::Declined
    }

    /// Waits for an answer as long as the question is open.
    pub(super) async fn in_time(
        &self,
        need: Consent,
        answer: impl Future<Output = Result<AgreedBy, Unagreed>>,
    ) -> Result<AgreedBy, Unagreed> {
        let until = self.consents.0.questions.borrow().until(self.asked.number);
        let late = async {
            match until {
                Some(until) => time::at(until).await,
                None => pending().await,
            }
            self.close(Closing::Expired);
            Err(Unagreed::TimedOut(need))
        };
        let state = &self.consents.0;
        let gone = async {
            let is_open = || state.questions.borrow().until(self.asked.number).is_some();
            state.came.find(|| (!is_open()).then_some(())).await;
            Err(Unagreed::NotOpen)
        };
        // The end of its time counts before an answer of the same moment.
        future::or(late, future::or(gone, answer)).await
    }

    /// Ends the question at its time, also when nobody waits for it then.
    pub(super) fn ends_in_time(&self) {
        let state = &self.consents.0;
        let until = state.questions.borrow().until(self.asked.number);
        let (Some(until), Some(executor)) = (until, state.executor.upgrade()) else {
            return;
        };
        let (consents, asked) = (self.consents.clone(), self.asked);
        let ending = async move {
            time::at(until).await;
            consents.close(asked, &Closing::Expired);
        };
        executor.spawn(ending).detach();
    }

    /// Ends the question. False when it has ended before.
    fn close(&self, closing: Closing) -> bool {
        self.consents.close(self.asked, &closing)
    }
}

impl Consents {
    /// Ends a question. False when it has ended before.
    pub(super) fn close(&self, asked: Asked, closing: &Closing) -> bool {
        let state = &self.0;
        let (was_open, asks_operator) = {
            let mut questions = state.questions.borrow_mut();
            let asks_operator = questions.asks_operator(asked.number);
            (questions.close(asked.number), asks_operator)
        };
        let executor = state.executor.upgrade().filter(|_| asks_operator);
        if let Some(executor) = executor.filter(|_| was_open) {
            let (state, outcome) = (Rc::clone(state), closing.to_json());
            let telling = async move {
                state.channel.tell_closed(asked.number, &outcome).await;
            };
            executor.spawn(telling).detach();
        }
        // Another call may wait for the same answer.
        state.came.notify_all();
        was_open
    }
}

impl Closing {
    fn to_json(&self) -> Value {
        let (outcome, by) = match self {
            Closing::Allowed(by) => ("allowed", Some(by)),
            Closing::DeniedByClient => ("denied", Some(&AgreedBy::Client)),
            Closing::DeniedByOperator(name) => {
                return json!({"outcome": "denied", "by": "operator", "name": name});
            }
            Closing::Expired => ("expired", None),
            Closing::Withdrawn => ("withdrawn", None),
        };
        match by {
            None => json!({"outcome": outcome}),
            Some(AgreedBy::Client) => json!({"outcome": outcome, "by": "client"}),
            Some(AgreedBy::Operator(name) | AgreedBy::Both(name)) => {
                json!({"outcome": outcome, "by": "operator", "name": name})
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.stays.get() {
            self.close(Closing::Withdrawn);
        }
    }
}

/// The form holds one question.
fn form() -> Value {
    json!({
        "type": "object",
        "properties": {AGREE: {"type": "boolean", "title": "I agree that this message is published once"}},
        "required": [AGREE],
    })
}

/// What the key of a question to a client begins with.
const KEY: &str = "consent-";
/// The field of the form.
const AGREE: &str = "agree";
/// The most questions of one caller in a minute.
const MOST_PER_MINUTE: usize = 30;
