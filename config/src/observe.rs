//! The `observe` section: what the program may watch of the topics that agents ask about.

use std::time::Duration;

use mcpmqtt_protocol::topic::TopicFilter;
use serde_json::Value;

use crate::section::{Section, found};

/// The limits of observation, and the filters that are observed from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observe {
    /// How long a filter is observed after its last use.
    pub idle: Duration,
    /// The filters that are observed from the start, and always.
    pub always: Vec<TopicFilter>,
    /// The most topics that are kept.
    pub topics: usize,
    /// The most bytes that are kept of them.
    pub bytes: usize,
    /// The most bytes of topics and payloads a second, over ten seconds; above it observation stops.
    pub bytes_per_second: usize,
}

impl Observe {
    pub(crate) fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let observe = Self {
            idle: section.seconds("idle", 1.0..=86_400.0, default.idle.as_secs_f64()),
            always: always(&section),
            topics: section.whole("topics", 1..=1_000_000, default.topics),
            bytes: section.whole("bytes", 4096..=1 << 30, default.bytes),
            bytes_per_second: section.whole(
                "bytes_per_second",
                1024..=1 << 30,
                default.bytes_per_second,
            ),
        };
        section.finish();
        observe
    }
}

impl Default for Observe {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            always: Vec::new(),
            topics: 10_000,
            bytes: 4 << 20,
            bytes_per_second: 1 << 20,
        }
    }
}

fn always(section: &Section<'_>) -> Vec<TopicFilter> {
    let Some(value) = section.value("always") else {
        return Vec::new();
    };
    let Value::Array(filters) = value else {
        section.refuse("always", value, "an array of topic filters");
        return Vec::new();
    };
    let mut read = Vec::new();
    for (n, value) in filters.iter().enumerate() {
        let fault = match value.as_str().map(TopicFilter::parse) {
            Some(Ok(filter)) => {
                read.push(filter);
                continue;
            }
            Some(Err(error)) => error.to_string(),
            None => format!("found {}; allowed: a topic filter", found(value)),
        };
        let path = format!("{}[{n}]", section.path_of("always"));
        section.report().problem(path, fault);
    }
    read
}
