//! What an operator sends as an answer.
//!
//! Promises: what is not clearly an answer is none. Words are taken as people and home automations send them: in any case,
//! with white space around them, and in quotation marks.

use mcpmqtt_config::is_ambiguous;
use serde_json::Value;

use super::digest::Digest;
use super::questions::{Answer, Number};
use crate::operator::Secret;

/// A message that reads as an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) answer: Answer,
    /// The operator's tag, in hexadecimal digits.
    mac: Option<String>,
}

impl Said {
    /// Reads `allow`, `deny`, either with `by` and a name, or the same as JSON: `{"verdict": "allow", "by": "Ana"}`, with
    /// `mac` where there is a secret.
    pub(super) fn parse(payload: &[u8]) -> Option<Said> {
        let text = std::str::from_utf8(payload).ok()?.trim();
        // Some send the text as a JSON string.
        let unquoted: Option<String> = match text.starts_with('"') {
            true => serde_json::from_str(text).ok(),
            false => None,
        };
        let text = unquoted.as_deref().unwrap_or(text);
        let text = text.trim_matches(|c: char| c.is_whitespace() || "'\"".contains(c));
        match text.starts_with('{') {
            true => Said::object(text),
            false => Said::words(text),
        }
    }

    /// Whether the answer is signed with the secret for this question.
    pub(super) fn is_signed(&self, secret: &Secret, number: Number, attempt: &Digest) -> bool {
        let verdict = if self.answer.allows { "allow" } else { "deny" };
        let (number, attempt) = (number.to_string(), attempt.to_string());
        let parts = [
            ANSWER,
            number.as_bytes(),
            verdict.as_bytes(),
            attempt.as_bytes(),
        ];
        let mac = self.mac.as_deref().unwrap_or_default();
        secret.verifies(&parts, mac)
    }

    fn words(text: &str) -> Option<Said> {
        let (verdict, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let by = match rest.split_once(char::is_whitespace) {
            Some((by, name)) if by.eq_ignore_ascii_case("by") => Some(named(name)),
            _ if rest.is_empty() => None,
            _ => return None,
        };
        Some(Said {
            answer: Answer {
                allows: allows(verdict)?,
                by,
            },
            mac: None,
        })
    }

    fn object(text: &str) -> Option<Said> {
        if is_ambiguous(text.as_bytes()) {
            return None;
        }
        let object: Value = serde_json::from_str(text).ok()?;
        let member = |name: &str| object.get(name).and_then(Value::as_str);
        Some(Said {
            answer: Answer {
                allows: allows(member("verdict")?.trim())?,
                by: member("by").map(named),
            },
            mac: member("mac").map(str::to_owned),
        })
    }
}

fn allows(verdict: &str) -> Option<bool> {
    match verdict {
        _ if verdict.eq_ignore_ascii_case("allow") => Some(true),
        _ if verdict.eq_ignore_ascii_case("deny") => Some(false),
        _ => None,
    }
}

/// The beginning of a name.
fn named(name: &str) -> String {
    name.trim().chars().take(MOST_NAME).collect()
}

/// What the tag of an answer is made of: this, the number of the question, the verdict, and the digest of the attempt.
const ANSWER: &[u8] = b"mcpmqtt answer";
/// The most characters of a name.
const MOST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_is_read_as_people_and_automations_send_it() {
        let yes = |by: Option<&str>| Some((true, by.map(str::to_owned)));
        let no = |by: Option<&str>| Some((false, by.map(str::to_owned)));
        for (payload, expected) in [
            ("allow", yes(None)),
            ("deny", no(None)),
            (" Allow\r\n", yes(None)),
            ("\"DENY\"", no(None)),
            ("'allow'", yes(None)),
            ("allow by Ana", yes(Some("Ana"))),
            ("deny  BY  Ana María ", no(Some("Ana María"))),
            ("\"allow by \\\"Ana\\\"\"", yes(Some("\"Ana"))),
            (r#"{"verdict": "allow"}"#, yes(None)),
            (
                r#"{"verdict": "Deny", "by": " Ana ", "at": 5}"#,
                no(Some("Ana")),
            ),
            (r#""{\"verdict\": \"allow\"}""#, yes(None)),
            ("", None),
            ("allowed", None),
            ("allow everything", None),
            ("allow Ana", None),
            ("allow deny", None),
            ("deny allow", None),
            ("true", None),
            ("not allow", None),
            (r#"{"verdict": true}"#, None),
            (r#"{"verdict": "deny", "verdict": "allow"}"#, None),
            (r#"{"allow": true}"#, None),
            (r#"["allow"]"#, None),
        ] {
            let said = Said::parse(payload.as_bytes());
            let said = said.map(|said| (said.answer.allows, said.answer.by));
            assert_eq!(said, expected, "{payload}");
        }
        assert_eq!(Said::parse(b"allow\xff"), None);
        let long = format!("allow by {}", "n".repeat(500));
        let said = Said::parse(long.as_bytes()).unwrap();
        assert_eq!(said.answer.by.unwrap().len(), MOST_NAME);
    }

    /// The value is from Python's hashlib.
    #[test]
    fn an_answer_is_signed_for_one_question_one_verdict_and_one_attempt() {
        let number = Number::parse("000102030405060708090a0b0c0d0e0f").unwrap();
        let attempt = Digest::of(&[b"a"]);
        let secret = Secret::of_file(b"correct horse battery staple").unwrap();
        let mac = "96384dec6d4f3748be494c89febda18ec1b141cde96d6b381b99f32b7455ca0f";
        let said = |verdict: &str, mac: &str| {
            let object = serde_json::json!({"verdict": verdict, "mac": mac}).to_string();
            Said::parse(object.as_bytes()).unwrap()
        };
        assert!(said("allow", mac).is_signed(&secret, number, &attempt));
        assert!(said("allow", &mac.to_uppercase()).is_signed(&secret, number, &attempt));
        assert!(!said("deny", mac).is_signed(&secret, number, &attempt));
        assert!(!said("allow", &mac[1..]).is_signed(&secret, number, &attempt));
        assert!(!said("allow", "").is_signed(&secret, number, &attempt));
        let other = Number::parse("000102030405060708090a0b0c0d0e10").unwrap();
        assert!(!said("allow", mac).is_signed(&secret, other, &attempt));
        assert!(!said("allow", mac).is_signed(&secret, number, &Digest::of(&[b"b"])));
        assert!(!said("allow", mac).is_signed(
            &Secret::of_file(b"another secret of ours").unwrap(),
            number,
            &attempt
        ));
        assert!(
            !Said::parse(b"allow")
                .unwrap()
                .is_signed(&secret, number, &attempt)
        );
    }
}
