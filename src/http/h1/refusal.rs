//! The refusal of a request, as the client sees it.
//!
//! Promises: the sentence names the fault and the remedy, and never repeats what the client sent.

use std::borrow::Cow;

use http_types::StatusCode;

/// A status, a sentence, and the one header that some statuses need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Refusal {
    pub(in crate::http) status: StatusCode,
    pub(in crate::http) sentence: Cow<'static, str>,
    pub(in crate::http) header: Option<(&'static str, Cow<'static, str>)>,
}

impl Refusal {
    pub(in crate::http) fn new(status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            sentence: sentence.into(),
            header: None,
        }
    }

    /// A refusal with status 400.
    pub(in crate::http) fn bad(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BadRequest, sentence)
    }

    /// A refusal with status 503 and a short `retry-after`.
    pub(in crate::http) fn overloaded(sentence: &'static str) -> Self {
        Self::new(StatusCode::ServiceUnavailable, sentence).with("retry-after", "1")
    }

    /// Adds the header that the status needs.
    pub(in crate::http) fn with(
        mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.header = Some((name, value.into()));
        self
    }
}
