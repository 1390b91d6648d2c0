//! Typed arguments of the tools. The published schema has validated names, types and ranges already; this module parses
//! what a schema cannot express.

use std::time::Duration;

use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};
use serde_json::{Map, Value};

use super::message::{self, Encoding};

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

    fn text(&mut self, name: &str) -> Result<String, String> {
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
