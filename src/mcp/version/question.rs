//! The questions that a server can ask its client, the client's declared capabilities to answer, and the answers.
//!
//! Promises: an accepted answer has the shape that its kind of question requires, whatever the client sent.
//! Does not: validate the contents of a form against its schema; the handler checks the fields that it uses.

use std::fmt;

use serde_json::{Map, Value, json};

/// A question to the client.
#[derive(Clone, Debug)]
pub struct Question {
    /// The key, unique among the questions of one call.
    pub(in crate::mcp) key: String,
    pub(in crate::mcp) kind: Kind,
    pub(in crate::mcp) params: Value,
}

/// The kinds of questions; each is a client capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `elicitation/create` in form mode: a person fills in a form.
    Form,
    /// `sampling/createMessage`: the client's model continues a conversation.
    Sampling,
    /// `roots/list`: the client's directories.
    Roots,
}

/// The answers, by the keys of their questions.
#[derive(Clone, Debug, Default)]
pub struct Answers(pub(in crate::mcp) Map<String, Value>);

/// The kinds of questions that the client declared it can answer.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::mcp) struct Abilities {
    form: bool,
    sampling: bool,
    roots: bool,
}

impl Question {
    /// A form for a person. `schema` is a flat object schema of primitive types. A form must not ask for secrets (MCP
    /// 2026-07-28 client/elicitation).
    pub fn form(key: impl Into<String>, message: &str, schema: Value) -> Question {
        Question {
            key: key.into(),
            kind: Kind::Form,
            params: json!({"message": message, "requestedSchema": schema}),
        }
    }

    /// A prompt for the client's model; `messages` has the shape of `sampling/createMessage`.
    pub fn sampling(key: impl Into<String>, messages: Value, max_tokens: u32) -> Question {
        Question {
            key: key.into(),
            kind: Kind::Sampling,
            params: json!({"messages": messages, "maxTokens": max_tokens}),
        }
    }

    /// A question for the client's directories (`roots/list`).
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
    /// The client's result as received.
    #[must_use]
    pub fn result(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// The fields of a form that a person submitted; `None` when the person declined or cancelled.
    #[must_use]
    pub fn accepted(&self, key: &str) -> Option<&Map<String, Value>> {
        let result = self.0.get(key)?;
        let accepted = result
            .get("action")
            .is_some_and(|action| action == "accept");
        result.get("content").filter(|_| accepted)?.as_object()
    }

    /// The text from the client's model; `None` when the content is not text.
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
    /// Reads `capabilities` of `initialize` or of a request's `_meta`. `elicitation: {}` stands for form mode (MCP
    /// 2025-11-25 client/elicitation §Capabilities).
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
