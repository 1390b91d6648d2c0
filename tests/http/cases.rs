//! Raw bytes to an HTTP server, and the exact bytes that come back.
//!
//! The table is `data/http_cases.txt`; its format is explained at its top.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::common::http_client::Client;
use crate::common::http_server::Server;
use crate::common::requests::KEY;

/// One dialogue on one connection.
struct Case {
    name: String,
    steps: Vec<Step>,
}

enum Step {
    Send(Vec<u8>),
    Finish,
    /// The exact bytes of an answer, its date masked.
    Answer(String),
    /// The connection ends without another byte.
    Closed,
    /// A further request is answered.
    Open,
}

#[test]
fn every_case_gets_its_exact_answer() {
    let server = Server::start();
    let cases = read();
    assert!(cases.len() >= 120, "only {} cases", cases.len());
    let mut wrong = String::new();
    for case in &cases {
        let mut client = server.connect();
        for step in &case.steps {
            if let Err(why) = run(&mut client, step) {
                writeln!(wrong, "\n## {}\n{why}", case.name).unwrap();
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(server.connect().is_served());
}

/// The same bytes, one by one: a server may not care how they are cut.
#[test]
fn every_case_gets_the_same_answer_when_its_bytes_come_one_by_one() {
    let server = Server::start();
    let mut wrong = String::new();
    for case in read() {
        let mut client = server.connect();
        for step in &case.steps {
            let done = match step {
                // Long ones are about sizes, and would take their time.
                Step::Send(bytes) if bytes.len() < 2000 => {
                    for byte in bytes {
                        client.send(&[*byte]);
                    }
                    Ok(())
                }
                step => run(&mut client, step),
            };
            if let Err(why) = done {
                writeln!(wrong, "\n## {}\n{why}", case.name).unwrap();
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn run(client: &mut Client, step: &Step) -> Result<(), String> {
    match step {
        Step::Send(bytes) => {
            client.send(bytes);
        }
        Step::Finish => client.finish(),
        Step::Answer(expected) => {
            let answer = if expected.starts_with("HTTP/1.1 100") || expected.starts_with("HEAD ") {
                client.head()
            } else {
                client.answer()
            };
            let found = format!("{}{}", answer.head, String::from_utf8_lossy(&answer.body));
            let expected = expected.trim_start_matches("HEAD ");
            if found != expected {
                return Err(format!("expected {expected:?}\n   found {found:?}"));
            }
        }
        Step::Closed => {
            let rest = client.rest();
            if !rest.is_empty() {
                return Err(format!("more: {:?}", String::from_utf8_lossy(&rest)));
            }
        }
        Step::Open => {
            if !client.is_served() {
                return Err("no further request is answered".into());
            }
        }
    }
    Ok(())
}

fn read() -> Vec<Case> {
    let text = include_str!("../data/http_cases.txt");
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("## ") {
            let (name, steps) = (name.to_owned(), Vec::new());
            cases.push(Case { name, steps });
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let case = cases.last_mut().unwrap();
        let steps = &mut case.steps;
        if let Some(text) = line.strip_prefix(">> ") {
            steps.push(Step::Send(unescape(text)));
        } else if let Some(text) = line.strip_prefix("> ").or(line.strip_prefix('>')) {
            steps.push(Step::Send([unescape(text), b"\r\n".to_vec()].concat()));
        } else if line == "fin" {
            steps.push(Step::Finish);
        } else if line == "closed" {
            steps.push(Step::Closed);
        } else if let Some(text) = line.strip_prefix("< ") {
            let last = answer(text);
            steps.push(Step::Answer(last.0));
            match last.1 {
                Some("close") => steps.push(Step::Closed),
                Some("keep") => steps.push(Step::Open),
                _ => {}
            }
        } else {
            panic!("line {}: {line}", number + 1);
        }
    }
    for case in &mut cases {
        case.join();
    }
    cases
}

impl Case {
    /// What is sent without a wait in between goes in one write.
    fn join(&mut self) {
        let mut joined: Vec<Step> = Vec::new();
        for step in self.steps.drain(..) {
            match (joined.last_mut(), step) {
                (Some(Step::Send(before)), Step::Send(bytes)) => before.extend(bytes),
                (_, step) => joined.push(step),
            }
        }
        self.steps = joined;
    }
}

/// `STATUS keep|close|next [field: value, …] [| body]` as the bytes of the answer, and what comes after it.
fn answer(text: &str) -> (String, Option<&str>) {
    let (front, body) = text.split_once(" | ").unwrap_or((text, ""));
    let mut words = front.splitn(3, ' ');
    let status = words.next().unwrap();
    let after = words.next();
    let mut fields = BTreeMap::new();
    for field in words
        .next()
        .unwrap_or_default()
        .split("; ")
        .filter(|it| !it.is_empty())
    {
        let (name, value) = field.split_once(": ").unwrap();
        fields.insert(name.to_owned(), value.to_owned());
    }
    if status == "100" {
        return ("HTTP/1.1 100 Continue\r\n\r\n".into(), None);
    }
    let head_only = fields.remove("head").is_some();
    let body = match body {
        "" => String::new(),
        json if json.starts_with('{') => json.to_owned(),
        sentence => {
            let sentence = serde_json::to_string(sentence).unwrap();
            format!(r#"{{"jsonrpc":"2.0","error":{{"code":-32600,"message":{sentence}}}}}"#)
        }
    };
    if !body.is_empty() {
        fields.insert("content-type".into(), "application/json".into());
    }
    // RFC 9110 §8.6.
    if status != "204" {
        fields.insert("content-length".into(), body.len().to_string());
    }
    fields.insert("date".into(), "{DATE}".into());
    if after == Some("close") || after == Some("last") {
        fields.insert("connection".into(), "close".into());
    }
    let mut bytes = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in fields {
        write!(bytes, "{name}: {value}\r\n").unwrap();
    }
    bytes.push_str("\r\n");
    if head_only {
        return (format!("HEAD {bytes}"), after);
    }
    bytes.push_str(&body);
    (bytes, after)
}

fn reason(status: &str) -> &'static str {
    match status {
        "200" => "OK",
        "202" => "Accepted",
        "204" => "No Content",
        "400" => "Bad Request",
        "401" => "Unauthorized",
        "403" => "Forbidden",
        "404" => "Not Found",
        "405" => "Method Not Allowed",
        "406" => "Not Acceptable",
        "408" => "Request Timeout",
        "411" => "Length Required",
        "413" => "Payload Too Large",
        "414" => "URI Too Long",
        "415" => "Unsupported Media Type",
        "417" => "Expectation Failed",
        "421" => "Misdirected Request",
        "431" => "Request Header Fields Too Large",
        "501" => "Not Implemented",
        "505" => "HTTP Version Not Supported",
        other => panic!("no reason known for {other}"),
    }
}

/// `\r \n \t \0 \\ \xHH`, and `{key}`, `{host}`, `{json}`, `{note}`, `{N*TEXT}`.
fn unescape(text: &str) -> Vec<u8> {
    let text = text
        .replace("{host}", "host: localhost\\r\\n")
        .replace("{key}", &format!("authorization: Bearer {KEY}\\r\\n"))
        .replace("{json}", "content-type: application/json\\r\\n")
        .replace("{modern}", "mcp-protocol-version: 2026-07-28\\r\\n")
        .replace("{note}", r#"{"jsonrpc":"2.0","method":"x"}"#);
    let mut bytes = Vec::new();
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let repeated = rest.strip_prefix('{').and_then(|inner| {
            let (inner, after) = inner.split_once('}')?;
            let (count, unit) = inner.split_once('*')?;
            Some((count.parse::<usize>().ok()?, unescape(unit), after))
        });
        if let Some((count, unit, after)) = repeated {
            bytes.extend(unit.repeat(count));
            rest = after;
        } else if c == '\\' {
            let (byte, length) = match rest.as_bytes()[1] {
                b'r' => (b'\r', 2),
                b'n' => (b'\n', 2),
                b't' => (b'\t', 2),
                b'0' => (0, 2),
                b'\\' => (b'\\', 2),
                b'x' => (u8::from_str_radix(&rest[2..4], 16).unwrap(), 4),
                other => panic!("unknown escape {}", char::from(other)),
            };
            bytes.push(byte);
            rest = &rest[length..];
        } else {
            bytes.extend_from_slice(c.to_string().as_bytes());
            rest = &rest[c.len_utf8()..];
        }
    }
    bytes
}
