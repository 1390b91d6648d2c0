//! The client of one call from the handler's view: its capabilities, and how to ask it.
//!
//! Promises: a handler is written once for both eras. In versions with a handshake a question is a request to the
//! client, and the handler waits for the answer. In 2026-07-28 the call ends with the questions (`input_required`), and
//! the handler runs *again from its beginning* when the client sends the answers. So every action before a question is
//! repeated in each round trip: a handler asks first, acts afterwards, and asks the same questions each time.
//! Does not: ask a question whose capability the client did not declare.

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
use super::session::{Cancel, Session};
use super::sink::ClientSink;
use crate::mcp::version::Version;
use crate::mcp::version::log_level::Level;
use crate::mcp::version::question::{Abilities, Answers, Kind, Question};

/// The client of one call. Cheap to clone.
#[derive(Clone)]
pub struct Peer(Rc<Inner>);

/// Why a question got no answer. In 2026-07-28 none of these errors occurs, because the call ends instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// The client did not declare the capability to answer this kind of question.
    Unable(Kind),
    /// The session has no stream to the client, or too many questions are open.
    Unreachable,
    /// The client did not answer in time.
    TimedOut(Kind),
    /// The client answered with an error; the text is its error message.
    Refused(String),
    /// The client's answer does not fit the question.
    Malformed(Kind),
}

pub(in crate::mcp) struct Inner {
    pub(in crate::mcp) version: Version,
    pub(in crate::mcp) caller: Caller,
    pub(in crate::mcp) abilities: Abilities,
    pub(in crate::mcp) sink: ClientSink,
    pub(in crate::mcp) session: Rc<Session>,
    /// The lowest level that is logged to the client; `None` disables logging.
    pub(in crate::mcp) log_level: Option<Level>,
    /// The round trips of the call; only in the stateless era.
    pub(in crate::mcp) rounds: Option<InputRounds>,
    pub(in crate::mcp) cancel: Rc<Cancel>,
}

/// The answers from earlier round trips, and the channel that ends this one with questions.
pub(in crate::mcp) struct InputRounds {
    /// The answers from the signed `requestState`.
    settled: RefCell<Map<String, Value>>,
    /// The answers in this request, not yet checked.
    given: RefCell<Map<String, Value>>,
    demand: Sender<InputRequest>,
}

/// Why a handler cannot continue in this round trip.
#[derive(Debug)]
pub(in crate::mcp) enum InputRequest {
    /// The questions that need an answer, and the answers so far.
    Input(Vec<Question>, Map<String, Value>),
    /// The capabilities that the client has to declare.
    Capability(Vec<Kind>),
}

impl Peer {
    pub(in crate::mcp) fn new(inner: Inner) -> Peer {
        Peer(Rc::new(inner))
    }

    /// The protocol version of the call.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// The caller of the call.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }

    /// Whether the client has left: its connection, its input or its session has ended, and the call goes on because
    /// the protocol does not take that for a cancellation.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.0.cancel.has_left()
    }

    /// Waits until the client has left; see [`has_left`](Self::has_left). Of several waits the last one ends.
    pub async fn left(&self) {
        self.0.cancel.left().await;
    }

    /// Whether the client declared the capability to answer this kind of question.
    #[must_use]
    pub fn can(&self, kind: Kind) -> bool {
        let known = kind != Kind::Form || self.0.version.shape().titles;
        known && self.0.abilities.has(kind)
    }

    /// Whether a question ends the call, which the client makes again with the answer.
    #[must_use]
    pub fn asks_in_rounds(&self) -> bool {
        self.0.rounds.is_some()
    }

    /// The keys of the answers that came with the call, of those that begin with `prefix`.
    #[must_use]
    pub fn answered(&self, prefix: &str) -> Vec<String> {
        let rounds = self.0.rounds.as_ref();
        rounds.map_or_else(Vec::new, |rounds| rounds.answered(prefix))
    }

    /// Asks the client and waits for all answers.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(&self, questions: Vec<Question>) -> Result<Answers, AskError> {
        match &self.0.rounds {
            Some(rounds) => Ok(self.ask_in_rounds(rounds, questions).await),
            // The catalog does not declare that its handlers ask (`asks`).
            None if self.0.version.shape().stateless => Err(AskError::Unreachable),
            None => self.ask_at_once(questions).await,
        }
    }

    /// Sends a log message when the server declares logging and the client wants this level.
    pub fn log(&self, level: Level, data: &Value) {
        if self.0.log_level.is_none_or(|wanted| level < wanted) {
            return;
        }
        let note = json!({
            "jsonrpc": "2.0",
            "method": "notifications/message",
            "params": {"level": level.name(), "data": data},
        });
        // Sent like progress, because a lost log message does no harm.
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

    /// Sends on the call's own stream, or on the session's when the call has none.
    fn send(&self, text: String) -> bool {
        let text = text.into_bytes();
        self.0.sink.offer(text.clone()) || self.0.session.sink().offer(text)
    }
}

impl InputRounds {
    /// `settled` comes from a signed `requestState`, `given` from the client.
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

    fn answered(&self, prefix: &str) -> Vec<String> {
        let (settled, given) = (self.settled.borrow(), self.given.borrow());
        let keys = settled.keys().chain(given.keys());
        keys.filter(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// The answer to a question. An answer that does not fit its question is dropped, and the question is asked again.
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

    /// Ends the round trip: the engine drops the handler, so this future never resolves.
    async fn end<T>(&self, demand: InputRequest) -> T {
        // The channel is full when two parts of one handler ask at once: the first demand counts.
        let _ = self.demand.try_send(demand);
        future::pending().await
    }
}

/// When dropped, tells the client that its answer is no longer needed.
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
            AskError::Malformed(kind) => write!(f, "the client's answer does not fit `{kind}`"),
        }
    }
}

impl std::error::Error for AskError {}

fn words(error: &Value) -> String {
    let message = error.get("message").and_then(Value::as_str);
    crate::mcp::jsonrpc::strict::cut(message.unwrap_or("no message"), 200)
}

/// Time enough for a person to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
