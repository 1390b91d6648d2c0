//! A tool's JSON Schema as the text that clients get.
//!
//! A tree of it would take ten times the memory for as long as the program runs, and be read only at the start.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// JSON without blanks between its tokens.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct SchemaText(Box<RawValue>);

impl SchemaText {
    /// The schema as a tree, to be compiled.
    #[must_use]
    pub fn value(&self) -> Value {
        // It was a tree once, so that it is JSON.
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }
}

impl From<Value> for SchemaText {
    fn from(schema: Value) -> SchemaText {
        let text = RawValue::from_string(schema.to_string());
        SchemaText(text.unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}
