//! Typed arguments of the tools. The published schema has validated names, types and ranges already; this module parses
//! what a schema cannot express.

use std::time::Duration;

use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};
use serde_json::{Map, Value};

use super::message::{self, Encoding};
use crate::observe::condition::{Condition, RawCondition};

/// The validated object; each getter removes its member. A missing or mistyped member can only be a fault of the
/// schema, and is reported as one.
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    pub(super) fn new(map: Map<String, Value>) -> Self {
        Self(map)
    }

    pub(super) fn topic(&mut self, name: &str) -> Result<TopicName, String> {
        let text = self.text(name)?;
        TopicName::parse(&text).map_err(|error| format!("`{name}`: {error}"))
    }

    pub(super) fn filter(&mut self, name: &str) -> Result<SubscribeFilter, String> {
        let text = self.text(name)?;
        SubscribeFilter::parse(&text).map_err(|error| format!("`{name}`: {error}"))
    }

    pub(super) fn payload(&mut self) -> Result<Vec<u8>, String> {
        let payload = self.text("payload")?;
        let encoding = match self.text("encoding")?.as_str() {
            "base64" => Encoding::Base64,
            _ => Encoding::Utf8,
        };
        message::decode(payload, encoding)
    }

    pub(super) fn qos(&mut self) -> Result<QoS, String> {
        match self.take("qos")?.as_u64() {
            Some(0) => Ok(QoS::AtMostOnce),
            Some(1) => Ok(QoS::AtLeastOnce),
            Some(2) => Ok(QoS::ExactlyOnce),
            _ => Err("`qos` is 0, 1 or 2".into()),
        }
    }

    pub(super) fn timeout(&mut self) -> Result<Duration, String> {
        let seconds = self.take("timeout")?.as_f64();
        seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| "`timeout` is a number of seconds".into())
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, String> {
        self.take(name)?
            .as_bool()
            .ok_or_else(|| format!("`{name}` is true or false"))
    }

    pub(super) fn count(&mut self, name: &str) -> Result<usize, String> {
        let number = self.take(name)?.as_u64();
        number
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| format!("`{name}` is a whole number"))
    }

    /// A number of seconds that has no default.
    pub(super) fn seconds(&mut self, name: &str) -> Result<Option<Duration>, String> {
        let Some(seconds) = self.number(name)? else {
            return Ok(None);
        };
        let seconds = Duration::try_from_secs_f64(seconds);
        seconds
            .map(Some)
            .map_err(|_| format!("`{name}` is a number of seconds"))
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<f64>, String> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(value) => value
                .as_f64()
                .map(Some)
                .ok_or_else(|| format!("`{name}` is a number")),
        }
    }

    pub(super) fn optional_text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` is a string")),
        }
    }

    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, String> {
        let wrong = || format!("`{name}` is a list of strings");
        match self.0.remove(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// The arguments in an object, such as `when`.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Arguments>, String> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Arguments(members))),
            Some(_) => Err(format!("`{name}` is an object")),
        }
    }

    /// The condition of `field`, `op`, `value`, `tolerance` and `hold_s`. None when neither an operator nor a value is
    /// given.
    pub(super) fn condition(&mut self) -> Result<Condition, String> {
        let seconds = self.number("hold_s")?;
        Condition::parse(RawCondition {
            field: self.optional_text("field")?,
            op: self.optional_text("op")?,
            value: self.optional_text("value")?.map(Value::String),
            tolerance: self.number("tolerance")?,
            hold_s: seconds,
        })
    }

    /// A count that has no default.
    pub(super) fn optional_count(&mut self, name: &str) -> Result<Option<usize>, String> {
        match self.0.contains_key(name) {
            true => self.count(name).map(Some),
            false => Ok(None),
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Result<String, String> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            _ => Err(format!("`{name}` is a string")),
        }
    }

    fn take(&mut self, name: &str) -> Result<Value, String> {
        self.0
            .remove(name)
            .ok_or_else(|| format!("`{name}` is missing"))
    }
}
