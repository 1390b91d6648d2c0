//! The question that a person reads: what would be written, where, by whom, and what is known of it.
//!
//! Promises: nothing in it that came from an agent or a device can hide, reorder or imitate another part: it is between
//! backticks, with control and invisible characters escaped, and cut where it is long.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::disturbs;
use serde_json::{Value, json};

use super::Request;
use super::digest::Digest;
use super::questions::OPEN_FOR;
use crate::clock;
use crate::mcp::Caller;

/// The beginning of a text between backticks.
struct Quoted<'a>(&'a [u8]);

/// The same, and what tells the whole of it where it is cut.
struct Told<'a>(&'a [u8]);

/// The question in a few lines.
pub(super) fn question(request: &Request<'_>, policy: &Policy) -> String {
    let Message {
        topic,
        payload,
        qos,
        retain,
    } = request.message;
    let mut text = String::from("An agent wants to publish a message. Do you agree?\n");
    let _ = writeln!(text, "Topic: {}", Told(topic.as_str().as_bytes()));
    let digest = match is_cut(payload) {
        true => format!(", digest {}", Digest::of(&[payload]).short()),
        false => String::new(),
    };
    let retained = if *retain { ", retained" } else { "" };
    let _ = writeln!(
        text,
        "Payload: {} ({} bytes{digest}, QoS {}{retained})",
        Quoted(payload),
        payload.len(),
        *qos as u8
    );
    for (name, lines) in [
        ("Now", request.now.as_slice()),
        ("Limits", &limits(request, policy)),
        ("Only when", request.when.as_slice()),
    ] {
        if !lines.is_empty() {
            let _ = writeln!(text, "{name}: {}", Cut(&lines.join("; ")));
        }
    }
    let _ = write!(text, "Caller: {}", caller(request.client.caller()));
    text
}

/// The caller's name, and what the client calls itself.
pub(super) fn caller(caller: &Caller) -> String {
    let mut text = Quoted(caller.name().as_bytes()).to_string();
    if let Some(client) = caller.client() {
        let name = format!("{} {}", client.name, client.version);
        let _ = write!(
            text,
            ", which calls itself {}",
            Told(name.trim().as_bytes())
        );
    }
    text
}

/// The limits that the attempt is judged by, in words that the caller may read.
pub(super) fn limits(request: &Request<'_>, policy: &Policy) -> Vec<String> {
    let topic = &request.message.topic;
    let payload = policy
        .limits(topic.as_str())
        .filter_map(|grant| grant.writes());
    let payload = payload.map(|limit| format!("payload: {limit}"));
    let rules = policy.write_rules(topic);
    let rules: Vec<_> = rules.iter().map(|rule| rule.told(policy)).collect();
    payload.chain(rules).collect()
}

/// The question for the operator and for programs that show it: the text, and its parts.
pub(super) fn for_operator(request: &Request<'_>, policy: &Policy, attempt: &Digest) -> Value {
    let Message {
        topic,
        payload,
        qos,
        retain,
    } = request.message;
    let expires = SystemTime::now() + OPEN_FOR;
    json!({
        "question": question(request, policy),
        "topic": Quoted(topic.as_str().as_bytes()).bare(),
        "payload": Quoted(payload).bare(),
        "payload_bytes": payload.len(),
        "qos": *qos as u8,
        "retain": retain,
        "caller": request.client.caller().name(),
        "now": request.now,
        "limits": limits(request, policy),
        "when": request.when,
        "expires": clock::rfc3339(expires),
        "expires_in_s": OPEN_FOR.as_secs(),
        "digest": attempt.to_string(),
    })
}

impl Quoted<'_> {
    /// The same without backticks around it.
    fn bare(&self) -> String {
        self.to_string().replace('`', "")
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if is_cut(self.0) { "…" } else { "" };
        let Ok(text) = std::str::from_utf8(self.0) else {
            f.write_str("bytes ")?;
            let mut shown = self.0.iter().take(MOST_CHARS / 2);
            shown.try_for_each(|byte| write!(f, "{byte:02x}"))?;
            return f.write_str(rest);
        };
        f.write_char('`')?;
        for c in text.chars().take(MOST_CHARS) {
            match c {
                '`' | '\\' => write!(f, "\\{c}")?,
                c => escaped(f, c)?,
            }
        }
        write!(f, "{rest}`")
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quoted(self.0).fmt(f)?;
        tail(f, self.0, is_cut(self.0))
    }
}

/// Whether only the beginning is shown.
fn is_cut(whole: &[u8]) -> bool {
    match std::str::from_utf8(whole) {
        Ok(text) => text.chars().nth(MOST_CHARS).is_some(),
        Err(_) => whole.len() > MOST_CHARS / 2,
    }
}

/// Words that quote what is foreign themselves, cut where they are long.
struct Cut<'a>(&'a str);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(MOST_CHARS) {
            escaped(f, c)?;
        }
        if chars.next().is_some() {
            f.write_char('…')?;
            return tail(f, self.0.as_bytes(), true);
        }
        Ok(())
    }
}

fn escaped(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match disturbs(c) {
        true => write!(f, "{}", c.escape_default()),
        false => f.write_char(c),
    }
}

/// Says of a text that is cut how long it is, and a digest by which another part of it can be told.
fn tail(f: &mut fmt::Formatter<'_>, whole: &[u8], is_cut: bool) -> fmt::Result {
    match is_cut {
        true => write!(
            f,
            " ({} bytes, digest {})",
            whole.len(),
            Digest::of(&[whole]).short()
        ),
        false => Ok(()),
    }
}

/// The most characters of one part of a question.
const MOST_CHARS: usize = 300;
