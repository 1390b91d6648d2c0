//! What a client sends and what it takes: `content-type` and `accept`.

use http_types::{Request, StatusCode};

use super::refusal::Refusal;

/// Which forms of an answer a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepts {
    /// `application/json`.
    pub(super) json: bool,
    /// `text/event-stream`.
    pub(super) events: bool,
}

/// Demands JSON, which also keeps out what a web page may send to another site without asking.
///
/// # Errors
/// 415.
pub(super) fn demand_json(request: &Request) -> Result<(), Refusal> {
    let essence = request
        .header("content-type")
        .and_then(|values| values.as_str().split(';').next());
    match essence {
        Some(essence) if essence.trim().eq_ignore_ascii_case(JSON) => Ok(()),
        _ => Err(Refusal::new(
            StatusCode::UnsupportedMediaType,
            "the `content-type` must be `application/json`",
        )),
    }
}

impl Accepts {
    /// Reads `accept`; absent, it takes everything (RFC 9110 §12.5.1).
    pub(super) fn read(request: &Request) -> Accepts {
        let Some(values) = request.header("accept") else {
            return Accepts {
                json: true,
                events: true,
            };
        };
        let ranges: Vec<&str> = values
            .iter()
            .flat_map(|value| value.as_str().split(','))
            .collect();
        Accepts {
            json: accepts(&ranges, JSON),
            events: accepts(&ranges, EVENTS),
        }
    }

    /// # Errors
    /// 406 when neither form is taken.
    pub(super) fn demand_any(self) -> Result<Accepts, Refusal> {
        if self.json || self.events {
            return Ok(self);
        }
        Err(not_acceptable(
            "answers are `application/json` or `text/event-stream`; `accept` names neither",
        ))
    }

    /// The same for a client that cannot be sent a stream.
    ///
    /// # Errors
    /// 406 when it takes nothing else.
    pub(super) fn without_events(self) -> Result<Accepts, Refusal> {
        if self.json {
            let events = false;
            return Ok(Accepts { events, ..self });
        }
        Err(not_acceptable("event streams need HTTP/1.1"))
    }

    /// # Errors
    /// 406 when event streams are not taken.
    pub(super) fn demand_events(self) -> Result<(), Refusal> {
        if self.events {
            return Ok(());
        }
        Err(not_acceptable("`accept` must name `text/event-stream`"))
    }
}

/// Whether the most specific range that covers `wanted` has a weight above zero.
fn accepts(ranges: &[&str], wanted: &str) -> bool {
    let kind = wanted.split('/').next().unwrap_or_default();
    let best = ranges.iter().filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next()?.to_ascii_lowercase();
        let rank = match name.split_once('/')? {
            _ if name == wanted => 3,
            (range, "*") if range == kind => 2,
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

    fn read(accept: &[&str]) -> (bool, bool) {
        let mut request = Request::post("http://localhost/mcp");
        for value in accept {
            request.append_header("accept", *value);
        }
        let accepts = Accepts::read(&request);
        (accepts.json, accepts.events)
    }

    #[test]
    fn accept_is_read_in_all_the_forms_that_clients_send() {
        for (accept, expected) in [
            (&[][..], (true, true)),
            (&["application/json, text/event-stream"], (true, true)),
            (&["text/event-stream,application/json"], (true, true)),
            (&["application/json", "text/event-stream"], (true, true)),
            (&["*/*"], (true, true)),
            (&["application/*"], (true, false)),
            (&["Application/JSON; q=0.5"], (true, false)),
            (&["text/event-stream"], (false, true)),
            (&["text/html, */*; q=0.1"], (true, true)),
            (&["*/*, text/event-stream;q=0"], (true, false)),
            (&["*/*;q=0, application/json"], (true, false)),
            (&["text/html"], (false, false)),
            (&[""], (false, false)),
            (&["json"], (false, false)),
        ] {
            assert_eq!(read(accept), expected, "{accept:?}");
        }
    }
}
