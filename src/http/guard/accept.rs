//! What a client sends and what it takes: `content-type` and `accept`.

use http_types::{Method, StatusCode};

use crate::http::h1::head::{Framing, Head};
use crate::http::h1::refusal::Refusal;

/// Which forms of an answer a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Accepts {
    /// `application/json`.
    pub(in crate::http) json: bool,
    /// `text/event-stream`.
    pub(in crate::http) events: bool,
}

impl Accepts {
    /// Which forms of an answer the sender of a head takes; what it sends must have a form of ours.
    ///
    /// # Errors
    /// 406, 411 and 415.
    pub(in crate::http) fn of(head: &Head) -> Result<Accepts, Refusal> {
        let mut accepts = Accepts::read(head.accept.as_deref());
        match head.method {
            Method::Post => {
                if head.framing == Framing::None {
                    let text = "a POST needs a `content-length` or `transfer-encoding: chunked`";
                    return Err(Refusal::new(StatusCode::LengthRequired, text));
                }
                demand_json(head.content_type.as_deref())?;
                accepts = accepts.demand_any()?;
            }
            Method::Get => accepts.demand_events()?,
            _ => {}
        }
        if head.http_1_0 {
            // A stream needs chunks, which HTTP/1.0 does not have.
            accepts = accepts.without_events()?;
        }
        Ok(accepts)
    }

    /// Reads `accept`; absent, it takes everything (RFC 9110 §12.5.1).
    fn read(accept: Option<&str>) -> Accepts {
        let Some(list) = accept else {
            return Accepts {
                json: true,
                events: true,
            };
        };
        Accepts {
            json: accepts(list, JSON),
            events: accepts(list, EVENTS),
        }
    }

    /// # Errors
    /// 406 when neither form is taken.
    fn demand_any(self) -> Result<Accepts, Refusal> {
        if self.json || self.events {
            return Ok(self);
        }
        Err(not_acceptable(
            "answers are `application/json` or `text/event-stream`; `accept` names neither",
        ))
    }

    /// The accepted forms of a client that cannot be sent an event stream.
    ///
    /// # Errors
    /// 406 when it takes nothing else.
    fn without_events(self) -> Result<Accepts, Refusal> {
        if self.json {
            let events = false;
            return Ok(Accepts { events, ..self });
        }
        Err(not_acceptable("event streams need HTTP/1.1"))
    }

    /// # Errors
    /// 406 when event streams are not taken.
    fn demand_events(self) -> Result<(), Refusal> {
        if self.events {
            return Ok(());
        }
        Err(not_acceptable("`accept` must name `text/event-stream`"))
    }
}

/// Demands JSON, which also keeps out what a web page may send to another site without asking.
///
/// # Errors
/// 415.
fn demand_json(content_type: Option<&str>) -> Result<(), Refusal> {
    let essence = content_type.and_then(|value| value.split(';').next());
    match essence {
        Some(essence) if essence.trim().eq_ignore_ascii_case(JSON) => Ok(()),
        _ => Err(Refusal::new(
            StatusCode::UnsupportedMediaType,
            "the `content-type` must be `application/json`",
        )),
    }
}

/// Whether the most specific range that covers `wanted` has a weight above zero.
pub(in crate::http) fn accepts(list: &str, wanted: &str) -> bool {
    let plainly = |range: &str| range.trim().eq_ignore_ascii_case(wanted);
    // So it mostly is, and nothing ranks higher.
    if list.split(',').any(plainly) {
        return true;
    }
    let kind = wanted.split('/').next().unwrap_or_default();
    let best = list.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next()?;
        let rank = match name.split_once('/')? {
            _ if name.eq_ignore_ascii_case(wanted) => 3,
            (range, "*") if range.eq_ignore_ascii_case(kind) => 2,
            ("*", "*") => 1,
            _ => return None,
        };
        let refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.trim().parse() == Ok(0.0))
        });
        Some((rank, !refused))
    });
    best.max().is_some_and(|(_, taken)| taken)
}

fn not_acceptable(text: &'static str) -> Refusal {
    Refusal::new(StatusCode::NotAcceptable, text)
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(accept: Option<&str>) -> (bool, bool) {
        let accepts = Accepts::read(accept);
        (accepts.json, accepts.events)
    }

    #[test]
    fn accept_is_read_in_all_the_forms_that_clients_send() {
        for (accept, expected) in [
            (None, (true, true)),
            (Some("application/json, text/event-stream"), (true, true)),
            (Some("text/event-stream,application/json"), (true, true)),
            (Some("*/*"), (true, true)),
            (Some("application/*"), (true, false)),
            (Some("Application/JSON; q=0.5"), (true, false)),
            (Some("text/event-stream"), (false, true)),
            (Some("text/html, */*; q=0.1"), (true, true)),
            (Some("*/*, text/event-stream;q=0"), (true, false)),
            (Some("*/*;q=0, application/json"), (true, false)),
            (Some("text/html"), (false, false)),
            (Some(""), (false, false)),
            (Some("json"), (false, false)),
        ] {
            assert_eq!(read(accept), expected, "{accept:?}");
        }
    }
}
