//! Where a request shows its key, and what it is refused with.

use std::borrow::Cow;

use http_types::StatusCode;

use crate::http::h1::head::Head;
use crate::http::h1::refusal::Refusal;

/// The key that a head shows: the first place that has one decides, as in the original.
pub(super) fn credential(head: &Head) -> Option<Cow<'_, str>> {
    if let Some(field) = &head.authorization {
        let (scheme, key) = field
            .expose()
            .split_once(' ')
            .unwrap_or((field.expose(), ""));
        // RFC 9110 §11.1: schemes are named in any case.
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(key.trim().into());
        }
    }
    if let Some(field) = &head.x_api_key {
        return Some(field.expose().into());
    }
    let query = head.query.as_ref()?.expose();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find_map(|(name, key)| (name == "api_key").then_some(key))
}

/// A key that was right until it expired.
pub(super) fn expired() -> Refusal {
    unauthorized(
        "the API key has expired; ask the operator for a new one",
        r#"Bearer realm="mcpmqtt", error="invalid_token""#,
    )
}

/// RFC 6750 §3.
pub(super) fn unauthorized(sentence: &'static str, challenge: &'static str) -> Refusal {
    Refusal::new(StatusCode::Unauthorized, sentence).with("www-authenticate", challenge)
}
