//! What a server can ask its client, what a client says it can answer, and the answers.
//!
//! Promises: an answer is of its question's kind, whatever the client sent.
//! Does not: hold the contents of a form against its schema; whoever asked looks at what it needs.

use std::fmt;

use serde_json::{Map, Value, json};

/// One thing to ask.
#[derive(Clone, Debug)]
pub struct Question {
    /// Unique among the questions of one call.
    pub(in crate::mcp) key: String,
    pub(in crate::mcp) kind: Kind,
    pub(in crate::mcp) params: Value,
}

/// The kinds of questions; each is a capability of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `elicitation/create` in form mode: a person fills in a form.
    Form,
    /// `sampling/createMessage`: the client's model continues a conversation.
    Sampling,
    /// `roots/list`: the client's directories.
    Roots,
}

/// The answers, by the questions' keys.
#[derive(Clone, Debug, Default)]
pub struct Answers(pub(in crate::mcp) Map<String, Value>);

/// What the client declared.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::mcp) struct Abilities {
    form: bool,
    sampling: bool,
    roots: bool,
}

impl Question {
    /// A form for a person. `schema` is a flat object schema of primitives; secrets must not be
    /// asked for (MCP 2026-07-28 client/elicitation).
    pub fn form(key: impl Into<String>, message: &str, schema: Value) -> Question {
        Question {
            key: key.into(),
            kind: Kind::Form,
            params: json!({"message": message, "requestedSchema": schema}),
        }
    }

    /// A prompt for the client's model; `messages` as in `sampling/createMessage`.
    pub fn sampling(key: impl Into<String>, messages: Value, max_tokens: u32) -> Question {
        Question {
            key: key.into(),
            kind: Kind::Sampling,
            params: json!({"messages": messages, "maxTokens": max_tokens}),
        }
    }

    /// The client's directories.
    pub fn roots(key: impl Into<String>) -> Question {
        Question {
            key: key.into(),
            kind: Kind::Roots,
            params: json!({}),
        }
    }
}

impl Kind {
    pub(in crate::mcp) fn method(self) -> &'static str {
        match self {
            Kind::Form => "elicitation/create",
            Kind::Sampling => "sampling/createMessage",
            Kind::Roots => "roots/list",
        }
    }

    pub(in crate::mcp) fn capability(self) -> &'static str {
        match self {
            Kind::Form => "elicitation",
            Kind::Sampling => "sampling",
            Kind::Roots => "roots",
        }
    }

    /// Whether a client's result has the shape of an answer.
    pub(in crate::mcp) fn accepts(self, result: &Value) -> bool {
        let has = |key: &str| result.get(key).is_some_and(|value| !value.is_null());
        match self {
            Kind::Form => match result.get("action").and_then(Value::as_str) {
                Some("accept") => result.get("content").is_none_or(Value::is_object),
                Some("decline" | "cancel") => true,
                _ => false,
            },
            Kind::Sampling => has("role") && has("content") && has("model"),
            Kind::Roots => result.get("roots").is_some_and(Value::is_array),
        }
    }
}

impl Answers {
    /// The client's result as it came.
    #[must_use]
    pub fn result(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// What a person filled into a form and sent off; `None` when they declined or gave it up.
    #[must_use]
    pub fn accepted(&self, key: &str) -> Option<&Map<String, Value>> {
        let result = self.0.get(key)?;
        let accepted = result
            .get("action")
            .is_some_and(|action| action == "accept");
        result.get("content").filter(|_| accepted)?.as_object()
    }

    /// The text that the client's model wrote, if it wrote text.
    #[must_use]
    pub fn sampled(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.get("content")?.get("text")?.as_str()
    }

    /// The client's roots, each `{uri, name?}`.
    #[must_use]
    pub fn roots(&self, key: &str) -> Option<&Vec<Value>> {
        self.0.get(key)?.get("roots")?.as_array()
    }
}

impl Abilities {
    /// From `capabilities` of `initialize` or of a request's `_meta`. `elicitation: {}` means forms
    /// (MCP 2025-11-25 client/elicitation §Capabilities).
    pub(in crate::mcp) fn read(declared: Option<&Value>) -> Abilities {
        let member = |key: &str| declared?.get(key)?.as_object();
        let form = member("elicitation");
        Abilities {
            form: form.is_some_and(|modes| modes.is_empty() || modes.contains_key("form")),
            sampling: member("sampling").is_some(),
            roots: member("roots").is_some(),
        }
    }

    pub(in crate::mcp) fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Form => self.form,
            Kind::Sampling => self.sampling,
            Kind::Roots => self.roots,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.method())
    }
}
