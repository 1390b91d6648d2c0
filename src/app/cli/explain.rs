//! The question of `--explain`: `publish TOPIC PAYLOAD` or `subscribe FILTER`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};

use super::UsageError;
use super::words::{not_understood, text};

/// What `--explain` is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// `publish TOPIC PAYLOAD`.
    Publish {
        /// The topic to publish to.
        topic: TopicName,
        /// The payload, as text.
        payload: String,
    },
    /// `subscribe FILTER`.
    Subscribe {
        /// The filter to subscribe to.
        filter: SubscribeFilter,
    },
}

/// What an agent would do.
#[derive(Clone, Copy)]
pub(super) enum Verb {
    Publish,
    Subscribe,
}

pub(super) fn verb(word: &str) -> Option<Verb> {
    match word {
        "publish" => Some(Verb::Publish),
        "subscribe" => Some(Verb::Subscribe),
        _ => None,
    }
}

/// The question of what is left of the arguments.
pub(super) fn question(verb: Verb, words: pico_args::Arguments) -> Result<Question, UsageError> {
    let words = words.finish();
    // A payload may be a negative number; anything else with a dash is an option that does not exist.
    let is_number = |word: &OsString| {
        word.to_str()
            .is_some_and(|word| word.parse::<f64>().is_ok())
    };
    let is_option = |word: &&OsString| word.as_bytes().starts_with(b"-") && !is_number(word);
    if let Some(word) = words.iter().find(is_option) {
        return Err(not_understood(word.clone()));
    }
    let words = words.into_iter().map(text);
    let words = words.collect::<Result<Vec<_>, _>>()?;
    let wrong = |why: String| Err(UsageError::Unexplainable(why));
    match (verb, words.as_slice()) {
        (Verb::Publish, [topic, payload]) => match TopicName::parse(topic) {
            Ok(topic) => Ok(Question::Publish {
                topic,
                payload: payload.clone(),
            }),
            Err(error) => wrong(error.to_string()),
        },
        (Verb::Publish, _) => {
            wrong("`publish` takes a topic and a payload, each one argument".into())
        }
        (Verb::Subscribe, [filter]) => match SubscribeFilter::parse(filter) {
            Ok(filter) => Ok(Question::Subscribe { filter }),
            Err(error) => wrong(error.to_string()),
        },
        (Verb::Subscribe, _) => wrong("`subscribe` takes one topic filter".into()),
    }
}
