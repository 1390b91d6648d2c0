//! The responses of a program that could not start.
//!
//! Promises: every request gets the reason as a JSON-RPC error; notifications and responses get no response; bytes that
//! are not a message get the same error as from a running program.
//! Does not: know any method but `initialize`; a client sends nothing after that failed.

use crate::mcp::jsonrpc::message::{self, INTERNAL_ERROR, INVALID_REQUEST, Message, RpcError};
use crate::mcp::jsonrpc::response;
use crate::mcp::jsonrpc::strict::cut;

/// Stands in for an [`Engine`](crate::mcp::Engine) that could not be built.
#[derive(Debug)]
pub struct Unready {
    error: RpcError,
}

/// The response to one message, if any.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// JSON text without a line end; `None` when the message gets no response.
    pub text: Option<Vec<u8>>,
    /// True after the response to `initialize`: the client will send nothing more.
    pub is_last: bool,
}

impl Unready {
    /// Answers every request with `reason`, which clients show to people verbatim.
    #[must_use]
    pub fn new(reason: &str) -> Unready {
        // -32601 and -32022 would tell the client to try another method or version.
        let error = RpcError::new(INTERNAL_ERROR, cut(reason, REASON_CHARACTERS));
        Unready { error }
    }

    /// The response to the bytes of one message.
    #[must_use]
    pub fn answer(&self, bytes: &[u8]) -> Told {
        let (id, error, is_last) = match message::parse(bytes) {
            Ok(Message::Request(request)) => {
                let is_last = request.method == "initialize";
                (Some(request.id), &self.error, is_last)
            }
            Ok(Message::Notification(_) | Message::Response(_)) => return Told::nothing(),
            // MCP 2025-03-26 basic §Batching: a batch is not allowed before the version is negotiated.
            Ok(Message::Batch(batch)) => {
                let error = batch.refuse("batches are not part of the protocol version spoken");
                return Told::error(None, &error, false);
            }
            Err(fault) => return Told::error(fault.id.as_ref(), &fault.error, false),
        };
        Told::error(id.as_ref(), error, is_last)
    }

    /// The response to a line above the size limit.
    #[must_use]
    pub fn too_long(&self, limit: usize) -> Told {
        let text = format!("the line is longer than {limit} bytes and was skipped");
        Told::error(None, &RpcError::new(INVALID_REQUEST, text), false)
    }
}

impl Told {
    fn nothing() -> Told {
        Told {
            text: None,
            is_last: false,
        }
    }

    fn error(id: Option<&message::Id>, error: &RpcError, is_last: bool) -> Told {
        Told {
            text: Some(response::failure(id, error, false)),
            is_last,
        }
    }
}

/// The length limit of the reason in characters: a configuration can have very many faults, and a client shows the
/// first ones at most.
const REASON_CHARACTERS: usize = 4000;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> (Option<String>, bool) {
        let told = Unready::new("mqtt.host: \"x\"\n  is no host").answer(line.as_bytes());
        let text = told.text.map(|text| String::from_utf8_lossy(&text).into());
        (text, told.is_last)
    }

    #[test]
    fn every_request_gets_the_reason_under_its_own_id() {
        for (id, method, is_last) in [
            ("1", "server/discover", false),
            ("\"ä\"", "tools/list", false),
            ("1180591620717411303424", "no/such/method", false),
            ("-7", "initialize", true),
        ] {
            let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#);
            let answer = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"mqtt.host: \"x\"\n  is no host"}}}}"#
            );
            assert_eq!(told(&line), (Some(answer), is_last));
        }
    }

    #[test]
    fn what_is_no_request_does_not_get_it() {
        for line in [
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","method":"initialize"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        ] {
            assert_eq!(told(line), (None, false), "{line}");
        }
        for (line, code) in [
            ("not json", "-32700"),
            ("\u{0}", "-32700"),
            ("7", "-32600"),
            (r#"{"id":1,"method":"initialize"}"#, "-32600"),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, "-32600"),
        ] {
            let (text, is_last) = told(line);
            let text = text.unwrap_or_default();
            assert!(text.contains(&format!("\"code\":{code}")), "{line}: {text}");
            assert!(!is_last, "{line}");
        }
    }
}
