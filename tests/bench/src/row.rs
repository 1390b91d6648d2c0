//! One row of the table, as a line of JSON; `table.py` puts the figures into words and judges the aims.

use serde_json::{Map, Value, json};

pub struct Row {
    figure: String,
    unit: Unit,
    ours: Value,
    peers: Map<String, Value>,
    aims: Vec<Value>,
}

/// What a figure is counted in.
#[derive(Clone, Copy)]
pub enum Unit {
    Micros,
    Bytes,
    PerSecond,
    Times,
}

impl Row {
    /// A figure of ours: a number, or the two of `Histogram::both`. One that is not a number has not been measured.
    pub fn new(figure: impl Into<String>, unit: Unit, ours: impl Into<Value>) -> Self {
        Self {
            figure: figure.into(),
            unit,
            ours: ours.into(),
            peers: Map::new(),
            aims: Vec::new(),
        }
    }

    /// The same of somebody else.
    pub fn beside(mut self, peer: &str, figure: impl Into<Value>) -> Self {
        self.peers.insert(peer.to_owned(), figure.into());
        self
    }

    /// Ours, or the first of the two, is to be at most this. No aim if that is not a number.
    pub fn at_most(self, limit: f64, why: &str) -> Self {
        self.aim("at_most", limit, why)
    }

    pub fn at_least(self, limit: f64, why: &str) -> Self {
        self.aim("at_least", limit, why)
    }

    fn aim(mut self, kind: &str, limit: f64, why: &str) -> Self {
        if limit.is_finite() {
            self.aims.push(json!({kind: limit, "why": why}));
        }
        self
    }

    pub fn print(self, part: &str) {
        let unit = match self.unit {
            Unit::Micros => "us",
            Unit::Bytes => "B",
            Unit::PerSecond => "/s",
            Unit::Times => "",
        };
        println!(
            "{}",
            json!({"part": part, "figure": self.figure, "unit": unit, "ours": self.ours,
                "peers": self.peers, "aims": self.aims})
        );
    }
}
