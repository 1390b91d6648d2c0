//! Messages as rows: selected fields, or the latest value of each topic.

use std::collections::HashMap;
use std::time::Instant;

use mcpmqtt_protocol::message::Message;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::mqtt::Inbox;
use crate::observe::path::Path;
use crate::observe::reading::Reading;
use crate::tools::sighting::{is_zero, time_of_day};

/// The rows of one call.
pub(super) struct Rows {
    fields: Vec<Path>,
    /// One row for each topic: the last message.
    latest: bool,
    /// Whether every row is of a retained message, so that none has to say it.
    all_retained: bool,
    /// The most bytes of a value.
    value_bytes: usize,
    rows: Vec<Row>,
    places: HashMap<String, usize>,
    /// The bytes that the rows may still take.
    room: usize,
    left_out: u64,
    not_met: u64,
    ended_by: &'static str,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Row {
    topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Map<String, Value>>,
    /// The fields whose values are cut.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cut: Vec<String>,
    /// A retained message has no time: it was sent at an unknown time before.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retained: bool,
    /// The messages of the topic, when there were several.
    #[serde(skip_serializing_if = "is_one")]
    n: u64,
    /// The bytes of the row in a result.
    #[serde(skip)]
    size: usize,
}

/// The rows as a result.
#[derive(Serialize)]
pub(super) struct RowsResult<'a> {
    topic: &'a str,
    rows: Vec<Row>,
    ended_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Messages of topics that found no room in the result.
    #[serde(skip_serializing_if = "is_zero")]
    left_out: u64,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
    #[serde(skip_serializing_if = "is_zero")]
    not_met: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    interrupted: bool,
}

impl Rows {
    /// Collects into at most `result_bytes`, of which a response of `room` bytes has two copies.
    pub(super) fn new(
        fields: Vec<Path>,
        latest: bool,
        all_retained: bool,
        value_bytes: Option<usize>,
        result_bytes: usize,
        room: Option<usize>,
    ) -> Rows {
        Rows {
            fields,
            latest,
            all_retained,
            value_bytes: value_bytes.unwrap_or(usize::MAX),
            rows: Vec::new(),
            places: HashMap::new(),
            room: room.map_or(result_bytes, |room| result_bytes.min(room / COPIES)),
            left_out: 0,
            not_met: 0,
            ended_by: "max_messages",
            reason: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_latest(&self) -> bool {
        self.latest
    }

    /// Takes a message; false when the collection ends with it. `most` is the most rows.
    pub(super) fn take(&mut self, message: &Message, most: usize) -> bool {
        let row = self.row(message);
        let known = self.latest.then(|| self.places.get(row.topic.as_str()));
        if let Some(known) = known.flatten().and_then(|place| self.rows.get_mut(*place)) {
            if row.size > self.room + known.size {
                self.left_out += 1;
                return true;
            }
            self.room = self.room + known.size - row.size;
            let n = known.n + 1;
            *known = Row { n, ..row };
            return true;
        }
        if row.size > self.room || self.rows.len() >= most {
            self.left_out += 1;
            if !self.latest {
                self.ended_by = "result_bytes";
            }
            return self.latest;
        }
        self.room -= row.size;
        if self.latest {
            self.places.insert(row.topic.clone(), self.rows.len());
        }
        self.rows.push(row);
        true
    }

    pub(super) fn over(&mut self, ended_by: &'static str, reason: Option<String>) {
        self.ended_by = ended_by;
        self.reason = reason;
    }

    pub(super) fn not_met(&mut self, messages: u64) {
        self.not_met = messages;
    }

    pub(super) fn told<'a>(self, topic: &'a str, inbox: &Inbox) -> RowsResult<'a> {
        RowsResult {
            topic,
            rows: self.rows,
            ended_by: self.ended_by,
            reason: self.reason,
            left_out: self.left_out,
            lost: inbox.lost(),
            not_met: self.not_met,
            interrupted: inbox.interruptions() > 0,
        }
    }

    fn row(&self, message: &Message) -> Row {
        let mut row = Row {
            topic: message.topic.to_string(),
            value: None,
            value_bytes: None,
            fields: None,
            cut: Vec::new(),
            at: (!message.retain).then(|| time_of_day(Instant::now())),
            retained: message.retain && !self.all_retained,
            n: 1,
            size: 0,
        };
        if self.fields.is_empty() {
            if let Ok(reading) = Reading::of(&message.payload, None) {
                let shown = reading.to_json(self.value_bytes);
                row.value = Some(shown.value);
                row.value_bytes = shown.whole_bytes;
            }
        } else {
            let mut fields = Map::new();
            for field in &self.fields {
                if let Ok(reading) = Reading::of(&message.payload, Some(field)) {
                    let shown = reading.to_json(self.value_bytes);
                    fields.insert(field.to_string(), shown.value);
                    row.cut.extend(shown.whole_bytes.map(|_| field.to_string()));
                }
            }
            row.fields = Some(fields);
        }
        row.size = serde_json::to_string(&row).map_or(0, |text| text.len());
        row
    }
}

fn is_one(count: &u64) -> bool {
    *count == 1
}

/// What a result takes in a response, at most: as JSON, and as the text of that JSON.
const COPIES: usize = 3;
