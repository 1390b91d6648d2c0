//! Why nobody agreed to a write, in words.

use std::fmt;

use mcpmqtt_config::{Consent, Refusal};
use mcpmqtt_protocol::topic::Shown;

use super::questions::{NoRoom, OPEN_FOR};
use crate::audit;
use crate::mcp::AskError;
use crate::tools::access::quota::Exhausted;

/// Why there is no consent to an attempt. Nothing was sent.
#[derive(Debug)]
pub(in crate::tools) enum Unagreed {
    /// The client cannot ask a person; the text is its reason.
    ClientUnable(&'static str),
    /// The person at the client said no.
    Declined,
    /// The person at the client closed the question.
    Dismissed,
    /// The client gave no answer that counts.
    Client(AskError),
    /// The client answers a question that is not open.
    NotOpen,
    /// The client has left before the answer.
    Left,
    /// The operator said no, by this name.
    OperatorDenied(Option<String>),
    /// The operator cannot be asked, for this reason.
    Operator(String),
    /// Neither the client nor the operator can be asked.
    Nobody(&'static str, String),
    /// Nobody answered in time.
    TimedOut(Consent),
    NoRoom(NoRoom),
    TooMany(Exhausted),
    /// No question can be named.
    NoRandom(String),
    /// The operator changed, after the question was asked, what it depends on.
    Withdrawn(Refusal),
    /// What was agreed to is another attempt, or was done before.
    Another,
}

impl Unagreed {
    /// For the log, which quotes nobody.
    pub(in crate::tools::access) fn for_log(&self) -> &'static str {
        match self {
            Unagreed::Declined => "refused: the person at the client did not agree",
            Unagreed::OperatorDenied(_) => "refused: the operator did not agree",
            Unagreed::Dismissed => "refused: the person at the client closed the question",
            Unagreed::TimedOut(_) | Unagreed::Client(AskError::TimedOut(_)) => {
                "refused: nobody answered the question in time"
            }
            Unagreed::Client(AskError::Refused(_) | AskError::Malformed(_)) => {
                "refused: the client did not answer the question"
            }
            Unagreed::NotOpen => "refused: the answer was to no open question",
            Unagreed::Left => "refused: the client left before somebody agreed",
            Unagreed::ClientUnable(_)
            | Unagreed::Client(_)
            | Unagreed::Operator(_)
            | Unagreed::Nobody(..)
            | Unagreed::NoRandom(_) => "refused: nobody could be asked to agree",
            Unagreed::NoRoom(_) | Unagreed::TooMany(_) => "refused: too many questions for consent",
            Unagreed::Withdrawn(_) => "refused: the permission was withdrawn",
            Unagreed::Another => "refused: nobody agreed",
        }
    }

    /// For the operator's record, where somebody said no.
    pub(in crate::tools::access) fn for_record(&self) -> Option<audit::Consent> {
        let (of, by) = match self {
            Unagreed::Declined => ("client", None),
            Unagreed::OperatorDenied(name) => ("operator", name.clone()),
            _ => return None,
        };
        Some(audit::Consent {
            of,
            by,
            allowed: false,
        })
    }
}

impl fmt::Display for Unagreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = OPEN_FOR.as_secs();
        match self {
            Unagreed::ClientUnable(why) => write!(
                f,
                "a person at the client has to agree to each write, and this client cannot ask one: {why}. A client with \
                 form elicitation (MCP 2025-06-18 or later) can; or the operator writes it"
            ),
            Unagreed::Declined => f.write_str("the person at the client did not agree"),
            Unagreed::Dismissed => {
                f.write_str("the person at the client closed the question without an answer")
            }
            Unagreed::Client(why) => write!(f, "the person at the client was not asked: {why}"),
            Unagreed::NotOpen => write!(
                f,
                "the answer is to no open question about exactly this call: it was used or withdrawn, came after {seconds} s, or \
                 the call has changed. Call again without it to ask anew"
            ),
            Unagreed::Left => f.write_str("the client has left before somebody agreed"),
            Unagreed::OperatorDenied(None) => f.write_str("the operator did not agree"),
            Unagreed::OperatorDenied(Some(by)) => {
                write!(f, "the operator did not agree ({})", Shown(by))
            }
            Unagreed::Operator(why) => {
                write!(f, "the operator has to agree, and cannot be asked: {why}")
            }
            Unagreed::Nobody(client, operator) => write!(
                f,
                "a person at the client or the operator has to agree. This client cannot ask: {client}. The operator cannot \
                 be asked: {operator}"
            ),
            Unagreed::TimedOut(need) => {
                write!(f, "nobody answered within {seconds} s; {}", need.words())
            }
            Unagreed::NoRoom(NoRoom::All) => {
                f.write_str("too many questions for consent are open; try again when one has ended")
            }
            Unagreed::NoRoom(NoRoom::Caller) => f.write_str(
                "too many questions for consent to calls with this client's name or key are open; try again when one has ended",
            ),
            Unagreed::TooMany(exhausted) => {
                let most = exhausted.per_minute();
                write!(f, "more than {most} questions for consent in a minute; try again in {} s", exhausted.seconds())
            }
            Unagreed::NoRandom(why) => f.write_str(why),
            Unagreed::Withdrawn(refusal) => write!(
                f,
                "the operator changed the permissions after the question was asked: {refusal}"
            ),
            Unagreed::Another => f.write_str("somebody has to agree to each write, and nobody agreed to this one"),
        }
    }
}
