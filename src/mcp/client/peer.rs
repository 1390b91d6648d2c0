//! The client of one call, as its handler sees it: what it can do, and how to ask it.
//!
//! Promises: a handler is written once for both eras. In versions with a handshake a question is a
//! request to the client and its answer comes while the handler waits; in 2026-07-28 the call ends
//! with the questions (`input_required`) and the handler runs *again from its beginning* when the
//! client comes back, with the answers at hand. So whatever a handler does before it asks, it does
//! once a round: ask first, act afterwards, and ask the same questions each time.
//! Does not: ask for what the client did not declare.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_io::Timer;
use serde_json::{Map, Value, json};
use smol::future::{self, BoxedLocal};

use super::caller::Caller;
use super::join;
use super::session::Session;
use super::sink::ClientSink;
use crate::mcp::version::Version;
use crate::mcp::version::log_level::Level;
use crate::mcp::version::question::{Abilities, Answers, Kind, Question};

/// The client of one call. Cheap to clone.
#[derive(Clone)]
pub struct Peer(Rc<Inner>);

/// Why a question has no answer. In 2026-07-28 none of these comes about: the call ends instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// The client did not say that it can answer such a question.
    Unable(Kind),
    /// There is no way to ask it, or too much on the way already.
    Unreachable,
    /// It took too long.
    TimedOut(Kind),
    /// It answered with an error; its words.
    Refused(String),
    /// It answered something else than was asked.
    Malformed(Kind),
}

pub(in crate::mcp) struct Inner {
    pub(in crate::mcp) version: Version,
    pub(in crate::mcp) caller: Caller,
    pub(in crate::mcp) abilities: Abilities,
    pub(in crate::mcp) sink: ClientSink,
    pub(in crate::mcp) session: Rc<Session>,
    /// Below this nothing is logged; `None` for nothing at all.
    pub(in crate::mcp) log_level: Option<Level>,
    /// Of the stateless era.
    pub(in crate::mcp) rounds: Option<InputRounds>,
}

/// What is known from earlier rounds of a call, and the way to end this one with questions.
pub(in crate::mcp) struct InputRounds {
    /// Sealed by us.
    settled: RefCell<Map<String, Value>>,
    /// As the client sent them.
    given: RefCell<Map<String, Value>>,
    demand: Sender<InputRequest>,
}

/// Why a handler cannot go on in this round.
#[derive(Debug)]
pub(in crate::mcp) enum InputRequest {
    /// These have to be answered; those are.
    Input(Vec<Question>, Map<String, Value>),
    /// These the client has to be capable of.
    Capability(Vec<Kind>),
}

impl Peer {
    pub(in crate::mcp) fn new(inner: Inner) -> Peer {
        Peer(Rc::new(inner))
    }

    /// The version that is spoken.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Who calls.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }

    /// Whether the client said that it can answer this kind of question.
    #[must_use]
    pub fn can(&self, kind: Kind) -> bool {
        let known = kind != Kind::Form || self.0.version.shape().titles;
        known && self.0.abilities.has(kind)
    }

    /// Asks, and waits for all the answers.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(&self, questions: Vec<Question>) -> Result<Answers, AskError> {
        match &self.0.rounds {
            Some(rounds) => Ok(self.ask_in_rounds(rounds, questions).await),
            // Its catalog does not say that it asks.
            None if self.0.version.shape().stateless => Err(AskError::Unreachable),
            None => self.ask_at_once(questions).await,
        }
    }

    /// Sends a log message, if the server offers logging and the client wants this level.
    pub fn log(&self, level: Level, data: &Value) {
        if self.0.log_level.is_none_or(|wanted| level < wanted) {
            return;
        }
        let note = json!({
            "jsonrpc": "2.0",
            "method": "notifications/message",
            "params": {"level": level.name(), "data": data},
        });
        // Like progress: no harm is done when it does not get through.
        self.0.sink.offer_progress(note.to_string().into_bytes());
    }

    async fn ask_in_rounds(&self, rounds: &InputRounds, questions: Vec<Question>) -> Answers {
        let mut missing: Vec<Kind> = Vec::new();
        for kind in questions.iter().map(|question| question.kind) {
            if !self.can(kind) && !missing.contains(&kind) {
                missing.push(kind);
            }
        }
        if !missing.is_empty() {
            return rounds.end(InputRequest::Capability(missing)).await;
        }
        let (mut answers, mut open) = (Map::new(), Vec::new());
        for question in questions {
            match rounds.answer(&question) {
                Some(answer) => drop(answers.insert(question.key, answer)),
                None => open.push(question),
            }
        }
        if open.is_empty() {
            return Answers(answers);
        }
        let settled = rounds.settled.borrow().clone();
        rounds.end(InputRequest::Input(open, settled)).await
    }

    async fn ask_at_once(&self, questions: Vec<Question>) -> Result<Answers, AskError> {
        let unable = questions.iter().find(|question| !self.can(question.kind));
        if let Some(question) = unable {
            return Err(AskError::Unable(question.kind));
        }
        let asking = questions.into_iter().map(|question| {
            let client = self.clone();
            let asked = async move { client.ask_one(question).await };
            Box::pin(asked) as BoxedLocal<_>
        });
        let answers = join::all(asking.collect()).await;
        answers.into_iter().collect::<Result<_, _>>().map(Answers)
    }

    async fn ask_one(&self, question: Question) -> Result<(String, Value), AskError> {
        let Question { key, kind, params } = question;
        let asked = self.0.session.ask().ok_or(AskError::Unreachable)?;
        let id = asked.id();
        let method = kind.method();
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        if !self.send(request.to_string()) {
            return Err(AskError::Unreachable);
        }
        let withdraw = Withdraw(self, Some(id));
        let late = async {
            Timer::after(ANSWER_TIMEOUT).await;
            Err(AskError::TimedOut(kind))
        };
        let outcome = future::or(async { Ok(asked.answer().await) }, late).await?;
        withdraw.not();
        match outcome.map_err(|error| AskError::Refused(words(&error)))? {
            result if kind.accepts(&result) => Ok((key, result)),
            _ => Err(AskError::Malformed(kind)),
        }
    }

    /// On the call's own stream, or else on the session's.
    fn send(&self, text: String) -> bool {
        let text = text.into_bytes();
        self.0.sink.offer(text.clone()) || self.0.session.sink().offer(text)
    }
}

impl InputRounds {
    /// `settled` comes from our own seal, `given` from the client.
    pub(in crate::mcp) fn new(
        settled: Map<String, Value>,
        given: Map<String, Value>,
    ) -> (InputRounds, Receiver<InputRequest>) {
        let (demand, demands) = async_channel::bounded(1);
        let rounds = InputRounds {
            settled: RefCell::new(settled),
            given: RefCell::new(given),
            demand,
        };
        (rounds, demands)
    }

    /// An answer that is none to this question is asked for again.
    fn answer(&self, question: &Question) -> Option<Value> {
        let key = &question.key;
        if let Some(settled) = self.settled.borrow().get(key) {
            return question.kind.accepts(settled).then(|| settled.clone());
        }
        let given = self.given.borrow_mut().remove(key)?;
        if !question.kind.accepts(&given) {
            return None;
        }
        self.settled.borrow_mut().insert(key.clone(), given.clone());
        Some(given)
    }

    /// The engine drops the handler, which therefore never goes on.
    async fn end<T>(&self, demand: InputRequest) -> T {
        // Full when two parts of one handler ask at once: the first demand stands.
        let _ = self.demand.try_send(demand);
        future::pending().await
    }
}

/// Tells the client, when dropped, that its answer is not wanted any more.
struct Withdraw<'a>(&'a Peer, Option<u64>);

impl Withdraw<'_> {
    fn not(mut self) {
        self.1 = None;
    }
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.1 {
            let note = json!({
                "jsonrpc": "2.0",
                "method": "notifications/cancelled",
                "params": {"requestId": id, "reason": "the answer is no longer needed"},
            });
            self.0.send(note.to_string());
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({})", self.0.version.name())
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Unable(kind) => {
                let capability = kind.capability();
                write!(
                    f,
                    "the client did not declare the capability `{capability}`, which this needs"
                )
            }
            AskError::Unreachable => f.write_str("the client cannot be asked anything now"),
            AskError::TimedOut(kind) => {
                let seconds = ANSWER_TIMEOUT.as_secs();
                write!(f, "the client did not answer `{kind}` within {seconds} s")
            }
            AskError::Refused(why) => write!(f, "the client answered with an error: {why}"),
            AskError::Malformed(kind) => write!(f, "the client's answer is none to `{kind}`"),
        }
    }
}

impl std::error::Error for AskError {}

fn words(error: &Value) -> String {
    let message = error.get("message").and_then(Value::as_str);
    crate::mcp::jsonrpc::strict::cut(message.unwrap_or("no message"), 200)
}

/// Time enough for a person.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
