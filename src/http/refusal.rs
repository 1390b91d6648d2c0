//! Why a request is not served, as the client is told.
//!
//! Promises: the sentence names the fault and the remedy, and never repeats what the client sent.

use std::borrow::Cow;

use http_types::StatusCode;

/// A status, a sentence, and the one header that some statuses need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) sentence: Cow<'static, str>,
    pub(super) header: Option<(&'static str, Cow<'static, str>)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            sentence: sentence.into(),
            header: None,
        }
    }

    /// 400.
    pub(super) fn bad(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BadRequest, sentence)
    }

    /// 503, to be tried again soon.
    pub(super) fn overloaded(sentence: &'static str) -> Self {
        Self::new(StatusCode::ServiceUnavailable, sentence).with("retry-after", "1")
    }

    /// The same with a header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.header = Some((name, value.into()));
        self
    }
}
