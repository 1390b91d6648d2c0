//! Members of a JSON object, written one after the other, each after a comma.

use std::fmt::{Display, Write as _};

use serde_json::{Value, to_string};

/// The members of a line, as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members(String);

impl Members {
    /// A member that is a text.
    pub(crate) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        // A text is always written.
        let quoted = to_string(text).unwrap_or_default();
        self.plain(name, quoted)
    }

    /// A member that is a number, `true` or `false`.
    pub(crate) fn plain(&mut self, name: &str, value: impl Display) -> &mut Self {
        let _ = write!(self.0, ",\"{name}\":{value}");
        self
    }

    /// A member that is a list of texts, unless there is none.
    pub(crate) fn list(&mut self, name: &str, texts: &[String]) -> &mut Self {
        if !texts.is_empty() {
            self.plain(name, Value::from(texts));
        }
        self
    }

    /// A member that is an object.
    pub(crate) fn object(&mut self, name: &str, members: &Members) -> &mut Self {
        let inner = members.0.strip_prefix(',').unwrap_or_default();
        self.plain(name, format_args!("{{{inner}}}"))
    }

    pub(crate) fn append(&mut self, others: &Members) {
        self.0.push_str(&others.0);
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
