//! What an operator says on the halt topic.

use serde_json::Value;

/// A message on the halt topic.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Writing is halted.
    Halt { by: Option<String>, reason: String },
    /// The halt is lifted, with the operator's tag where there is one.
    Lift(Option<Signature>),
}

/// What makes a lift the operator's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signature {
    /// A text that no other lift has.
    pub(super) nonce: String,
    /// The tag in hexadecimal digits.
    pub(super) tag: String,
}

impl Said {
    /// An empty payload lifts, as does an object with `lift` and `mac`, if its signature is right. It never halts: a lift that
    /// the broker keeps comes again with each connection. Another object may have a `reason` and who says so (`by`); any
    /// other payload is the reason itself. What is not understood halts.
    pub(super) fn parse(payload: &[u8]) -> Said {
        if payload.is_empty() {
            return Said::Lift(None);
        }
        let text = String::from_utf8_lossy(payload);
        let Ok(Value::Object(object)) = serde_json::from_str(&text) else {
            return Said::Halt {
                by: None,
                reason: text.into_owned(),
            };
        };
        let member = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        match (member("lift"), member("mac")) {
            (Some(nonce), Some(tag)) => Said::Lift(Some(Signature { nonce, tag })),
            _ => Said::Halt {
                by: member("by"),
                reason: member("reason").unwrap_or_default(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_halts() {
        let halt = |by: Option<&str>, reason: &str| Said::Halt {
            by: by.map(str::to_owned),
            reason: reason.to_owned(),
        };
        for (payload, said) in [
            ("the press is open", halt(None, "the press is open")),
            (
                r#"{"reason": "fire", "by": "Anna"}"#,
                halt(Some("Anna"), "fire"),
            ),
            (r#"{"reason": 7}"#, halt(None, "")),
            ("{}", halt(None, "")),
            (r#"{"lift": 1, "mac": "ab"}"#, halt(None, "")),
            ("[1]", halt(None, "[1]")),
            ("0", halt(None, "0")),
            ("false", halt(None, "false")),
            ("{", halt(None, "{")),
            (" ", halt(None, " ")),
            ("", Said::Lift(None)),
            (
                r#"{"lift": "n", "reason": "lift 3 is stuck"}"#,
                halt(None, "lift 3 is stuck"),
            ),
            (r#"{"lift": "n", "mac": 1}"#, halt(None, "")),
            (
                r#"{"lift": "n", "mac": "ab"}"#,
                Said::Lift(Some(Signature {
                    nonce: "n".into(),
                    tag: "ab".into(),
                })),
            ),
        ] {
            assert_eq!(Said::parse(payload.as_bytes()), said, "{payload}");
        }
        assert_eq!(Said::parse(&[0xff]), halt(None, "\u{fffd}"));
    }
}
