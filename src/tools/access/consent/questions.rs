//! The open questions for consent.
//!
//! Promises: an answer counts only for a question that is open, before its end, and once; what was answered and used, has
//! ended or was never asked is not open. Memory is bounded, and all callers of one name have half of it at most.
//! Does not: read the clock, draw random numbers, or ask anybody.

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::TopicName;

use super::digest::Digest;
use crate::mcp::Caller;

/// Names a question: a random number that nobody can guess.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Number([u8; 16]);

/// The questions that wait for an answer.
#[derive(Debug, Default)]
pub(super) struct Questions(Vec<Question>);

#[derive(Debug)]
pub(super) struct Question {
    asked: Asked,
    pub(super) caller: Caller,
    attempt: Digest,
    pub(super) topic: TopicName,
    pub(super) retain: bool,
    /// Of the payload, which may be long.
    pub(super) payload: Digest,
    /// The policy under which it is asked.
    pub(super) policy: Rc<Policy>,
    until: Instant,
    operator: Operator,
}

/// One question, by the names under which it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// For the operator, who learns no other.
    pub(super) number: Number,
    /// For the client, which must not know the operator's.
    pub(super) key: Number,
}

/// What the operator says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    NotAsked,
    Asked,
    Said(Answer),
}

/// What an operator answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) allows: bool,
    /// The name that the operator gives; nothing proves it.
    pub(super) by: Option<String>,
}

/// Why no further question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) enum NoRoom {
    /// Too many questions are open.
    All,
    /// Too many questions of this caller are open.
    Caller,
}

/// Why an operator's answer changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ignored {
    /// It is to no question that is open: the question has ended, or was never asked.
    NotOpen,
    /// The question has an answer.
    Answered,
}

impl Questions {
    /// Opens a question about an attempt, until `until` at the latest; `random` names it.
    pub(super) fn open(
        &mut self,
        caller: &Caller,
        attempt: Digest,
        message: &Message,
        policy: &Rc<Policy>,
        now: Instant,
        random: [u8; 32],
    ) -> Result<Asked, NoRoom> {
        self.0.retain(|question| question.until > now);
        self.has_room(caller, now)?;
        let (number, key) = halves(random);
        let asked = Asked { number, key };
        self.0.push(Question {
            asked,
            caller: caller.clone(),
            attempt,
            topic: message.topic.clone(),
            retain: message.retain,
            payload: Digest::of(&[&message.payload]),
            policy: Rc::clone(policy),
            until: now + OPEN_FOR,
            operator: Operator::NotAsked,
        });
        Ok(asked)
    }

    /// Whether one more question of this caller may be open.
    pub(super) fn has_room(&self, caller: &Caller, now: Instant) -> Result<(), NoRoom> {
        let open = || self.0.iter().filter(|question| question.until > now);
        if open().count() >= MOST_OPEN {
            return Err(NoRoom::All);
        }
        let own = open().filter(|it| it.caller.id() == caller.id());
        match own.count() >= MOST_OPEN / 2 {
            true => Err(NoRoom::Caller),
            false => Ok(()),
        }
    }

    /// The operator is asked from now on.
    pub(super) fn ask_operator(&mut self, number: Number) {
        if let Some(question) = self.find(number) {
            question.operator = Operator::Asked;
        }
    }

    /// Whether the operator is asked.
    pub(super) fn asks_operator(&self, number: Number) -> bool {
        let question = self.0.iter().find(|it| it.asked.number == number);
        question.is_some_and(|question| question.operator != Operator::NotAsked)
    }

    /// The operator's answer arrives.
    pub(super) fn answer(
        &mut self,
        number: Number,
        answer: Answer,
        now: Instant,
    ) -> Result<(), Ignored> {
        let question = self.find(number).filter(|question| question.until > now);
        let operator = question.map(|question| &mut question.operator);
        match operator {
            Some(operator @ Operator::Asked) => {
                *operator = Operator::Said(answer);
                Ok(())
            }
            Some(Operator::Said(_)) => Err(Ignored::Answered),
            Some(Operator::NotAsked) | None => Err(Ignored::NotOpen),
        }
    }

    /// What the operator has said to an open question.
    pub(super) fn said(&self, number: Number) -> Option<&Answer> {
        let question = self.0.iter().find(|it| it.asked.number == number)?;
        match &question.operator {
            Operator::Said(answer) => Some(answer),
            Operator::NotAsked | Operator::Asked => None,
        }
    }

    /// The open question about this attempt that a client answers under `key`, and the policy under which it was asked.
    pub(super) fn keyed(
        &self,
        key: Number,
        attempt: &Digest,
        now: Instant,
    ) -> Option<(Asked, Rc<Policy>)> {
        let mut questions = self.0.iter();
        let question = questions.find(|it| it.asked.key == key)?;
        let fits = question.attempt == *attempt && question.until > now;
        fits.then(|| (question.asked, Rc::clone(&question.policy)))
    }

    /// When the question ends; None when it has ended.
    pub(super) fn until(&self, number: Number) -> Option<Instant> {
        let question = self.0.iter().find(|it| it.asked.number == number);
        question.map(|question| question.until)
    }

    /// The digest of the attempt that a question is about.
    pub(super) fn attempt(&self, number: Number) -> Option<Digest> {
        let question = self.0.iter().find(|it| it.asked.number == number);
        question.map(|question| question.attempt)
    }

    /// The questions that `ends` picks.
    pub(super) fn of(&self, ends: impl Fn(&Question) -> bool) -> Vec<Asked> {
        let picked = self.0.iter().filter(|question| ends(question));
        picked.map(|question| question.asked).collect()
    }

    /// Ends a question: no answer to it counts any more. False when it has ended before.
    pub(super) fn close(&mut self, number: Number) -> bool {
        let before = self.0.len();
        self.0.retain(|question| question.asked.number != number);
        self.0.len() < before
    }

    fn find(&mut self, number: Number) -> Option<&mut Question> {
        self.0.iter_mut().find(|it| it.asked.number == number)
    }
}

impl Number {
    /// The number that these random bytes begin with.
    pub(super) fn first(random: &[u8; 32]) -> Number {
        halves(*random).0
    }

    /// Reads what [`fmt::Display`] writes.
    pub(super) fn parse(text: &str) -> Option<Number> {
        let mut number = [0; 16];
        if text.len() != 2 * number.len() {
            return None;
        }
        for (byte, digits) in number.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
            *byte = u8::try_from(16 * digit(0)? + digit(1)?).ok()?;
        }
        Some(Number(number))
    }
}

fn halves(random: [u8; 32]) -> (Number, Number) {
    let (mut number, mut key) = ([0; 16], [0; 16]);
    for (half, bytes) in [&mut number, &mut key].into_iter().zip(random.chunks(16)) {
        half.copy_from_slice(bytes);
    }
    (Number(number), Number(key))
}

/// 32 hexadecimal digits.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Who knows a number may answer, so that no log shows it.
impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Number")
    }
}

/// How long a question is open.
pub(in crate::tools) const OPEN_FOR: Duration = Duration::from_secs(120);
/// The most questions that are open.
const MOST_OPEN: usize = 64;
