//! `--explain`: the verdict, the rules by their place in the file, each limit, and the exit code.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use mcpmqtt::app::cli::{self, Command as Asked, Question};
use serde_json::{Value, json};

use crate::common::program::PROGRAM;
use crate::common::scratch::Scratch;

fn topics() -> Value {
    json!([
        {"pattern": "site/#", "permissions": ["read", "write"], "description": "d"},
        {"pattern": "site/+/+/rpm", "permissions": ["read"], "description": "d"},
        {
            "pattern": "site/+/+/cmd/rpm", "permissions": ["write"], "description": "d",
            "payload": {"type": "number", "min": 0, "max": 2000, "unit": "rpm", "example": "1500"},
        },
        {"pattern": "site/line3/+/cmd/#", "permissions": ["write", "retain"], "description": "d", "payload": {"type": "text", "max_bytes": 4}},
        {"pattern": "shared/#", "permissions": ["read"], "description": "d"},
        {"pattern": "shared/#", "permissions": ["share"], "description": "d"},
    ])
}

const RPM: &str = "site/line3/motor1/cmd/rpm";

/// The exit code, standard output without the line that names the file, and standard error.
fn explain(folder: &Scratch, config: &Value, words: &[&str]) -> (Option<i32>, String, String) {
    let path = folder.file("config.json", &config.to_string());
    let output = Command::new(PROGRAM)
        .arg("--explain")
        .args(words)
        .args(["--config", path.to_str().unwrap()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let named = format!("  configuration: `{}`\n", path.display());
    let text = said.strip_suffix(&named).unwrap_or(&said).to_owned();
    assert_eq!(text == said, said.is_empty(), "{said}");
    assert!(said.lines().count() <= 24, "one screen: {said}");
    (
        output.status.code(),
        text,
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn each_answer_is_a_verdict_with_its_reasons() {
    let folder = Scratch::new();
    let config = json!({ "topics": topics() });
    let rate = "  limits.publishes_per_second: 1000 for each caller, counted by each running program for itself\n";
    let rules = |number: &str, text: &str| {
        format!(
            "  topics[0] `site/#`: read, write\n  \
             topics[2] `site/+/+/cmd/rpm`: write\n    \
             payload: a number from 0 to 2000 rpm, such as `1500`: {number}\n  \
             topics[3] `site/line3/+/cmd/#`: write, retain\n    \
             payload: text of at most 4 bytes: {text}\n"
        )
    };
    let cases: Vec<(&[&str], i32, String)> = vec![
        (
            &["publish", RPM, "2000"],
            0,
            format!("permitted: `2000` to `{RPM}`\n{}  with retain: permitted\n{rate}", rules("kept", "kept")),
        ),
        (
            &["publish", RPM, "2600"],
            1,
            format!("refused: 2600 is above 2000 rpm, the most that `site/+/+/cmd/rpm` takes\n{}", rules("not kept", "kept")),
        ),
        (
            &["publish", RPM, "-5.25"],
            1,
            format!("refused: -5.25 is below 0 rpm, the least that `site/+/+/cmd/rpm` takes\n{}", rules("not kept", "not kept")),
        ),
        (
            &["publish", "site/x", ""],
            0,
            format!(
                "permitted: `` to `site/x`\n  topics[0] `site/#`: read, write\n  \
                 with retain: not permitted: no rule that matches has `retain`\n{rate}"
            ),
        ),
        (
            &["publish", "shared/x", "1"],
            1,
            "refused: `shared/x` is not writable; writable: `site/#`, `site/+/+/cmd/rpm`, `site/line3/+/cmd/#`\n  \
             topics[4] and topics[5] `shared/#`: read, share\n"
                .to_owned(),
        ),
        (
            &["publish", "other", "1"],
            1,
            "refused: `other` is not writable; writable: `site/#`, `site/+/+/cmd/rpm`, `site/line3/+/cmd/#`\n  \
             no rule matches\n"
                .to_owned(),
        ),
        (
            &["subscribe", "site/line3/#"],
            0,
            "permitted: `site/line3/#`\n  \
             topics[0] `site/#`: read, write, all of it\n  \
             topics[1] `site/+/+/rpm`: read, a part of it\n  \
             topics[2] `site/+/+/cmd/rpm`: write, a part of it\n  \
             topics[3] `site/line3/+/cmd/#`: write, retain, a part of it\n"
                .to_owned(),
        ),
        (
            &["subscribe", "$share/team/shared/+"],
            0,
            "permitted: `$share/team/shared/+`\n  topics[4] and topics[5] `shared/#`: read, share, all of it\n".to_owned(),
        ),
        (
            &["subscribe", "+/x"],
            1,
            "refused: `+/x` is not readable; readable: `site/#`, `site/+/+/rpm`, `shared/#`\n  \
             topics[0] `site/#`: read, write, a part of it\n  \
             topics[4] and topics[5] `shared/#`: read, share, a part of it\n"
                .to_owned(),
        ),
    ];
    for (words, code, text) in cases {
        let said = explain(&folder, &config, words);
        assert_eq!(said, (Some(code), text, String::new()), "{words:?}");
    }
}

#[test]
fn what_the_client_itself_refuses_is_refused() {
    let folder = Scratch::new();
    let config = json!({"topics": [{"pattern": "#", "permissions": ["write"]}], "limits": {"publish_bytes": 1024}});
    let payload = "x".repeat(1024);
    let (code, text, _) = explain(&folder, &config, &["publish", "a", &payload]);
    assert_eq!(code, Some(1));
    let words =
        "refused: topic and payload have 1025 bytes, above `limits.publish_bytes` of 1024\n";
    assert!(text.starts_with(words), "{text}");
    let deep = vec!["a"; 129].join("/");
    let (code, text, _) = explain(&folder, &config, &["publish", &deep, "1"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("it has more than 128 levels"), "{text}");
}

#[test]
fn many_rules_are_one_screen() {
    let folder = Scratch::new();
    let rule = |n: usize| json!({"pattern": format!("{}#", "+/".repeat(n)), "permissions": ["write"], "payload": {"type": "integer"}});
    let config = json!({"topics": (0..100).map(rule).collect::<Vec<_>>()});
    let (code, text, _) = explain(&folder, &config, &["publish", &["a"; 100].join("/"), "1"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("\n  and 92 more rules\n"), "{text}");
}

#[test]
fn no_verdict_is_no_refusal() {
    let folder = Scratch::new();
    let (code, said, error) = explain(&folder, &json!({"topics": 1}), &["publish", "a", "1"]);
    assert_eq!((code, said.as_str()), (Some(2), ""));
    assert!(
        error.contains("topics: found `1`; allowed: a list of objects"),
        "{error}"
    );
    for (words, why) in [
        (
            vec!["publish"],
            "`publish` takes a topic and a payload, each one argument",
        ),
        (
            vec!["publish", "a"],
            "`publish` takes a topic and a payload, each one argument",
        ),
        (
            vec!["publish", "a", "b", "c"],
            "`publish` takes a topic and a payload, each one argument",
        ),
        (
            vec!["publish", "a/+", "b"],
            "`a/+` is not a valid topic name: `+` in level 2 is a wildcard",
        ),
        (vec!["subscribe"], "`subscribe` takes one topic filter"),
        (
            vec!["subscribe", "a", "b"],
            "`subscribe` takes one topic filter",
        ),
        (
            vec!["subscribe", "a/#/b"],
            "`a/#/b` is not a valid topic filter",
        ),
        (
            vec!["read", "a"],
            "`--explain` cannot be `read`; allowed: `publish TOPIC PAYLOAD` or `subscribe FILTER`",
        ),
        (
            vec!["publish", "a", "--jsn"],
            "unknown option `--jsn` (did you mean `--json`?)",
        ),
        (
            vec!["publish", "a", "1", "--json"],
            "`--json` is for `--call` and `--check` only",
        ),
        (
            vec!["publish", "a", "1", "--check"],
            "`--check` and `--explain` exclude each other",
        ),
        (
            vec!["publish", "a", "1", "--transport", "stdio"],
            "`--explain` and `--transport` exclude each other: the permissions are the same over each",
        ),
        (vec![], "`--explain` needs a value"),
    ] {
        let (code, said, error) = explain(&folder, &json!({"topics": []}), &words);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{words:?}");
        assert!(error.contains(why), "{words:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn the_question_is_what_is_left_of_the_arguments() {
    let parse = |words: &[&str]| cli::parse(words.iter().map(OsString::from)).unwrap();
    for words in [
        &["--explain", "publish", "a/b", "-1.5", "--config", "/c"][..],
        &["--config=/c", "--explain=publish", "a/b", "-1.5"],
        &["a/b", "--explain publish", "-1.5", "--config", "/c"],
    ] {
        let Asked::Explain {
            question, config, ..
        } = parse(words)
        else {
            panic!("{words:?}");
        };
        let Question::Publish { topic, payload } = question else {
            panic!("{question:?}");
        };
        assert_eq!((topic.as_str(), payload.as_str()), ("a/b", "-1.5"));
        assert_eq!(config.unwrap().to_str(), Some("/c"));
    }
}

#[test]
fn the_caller_is_a_key_or_a_profile() {
    let folder = Scratch::new();
    let key = |name: &str, profile: &str, digit: &str| {
        let hash = format!("blake2b-256:{}=", digit.repeat(42) + "A");
        json!({"name": name, "hash": hash, "profile": profile})
    };
    let config = json!({
        "topics": [{"pattern": "all", "permissions": ["write"]}],
        "profiles": {
            "line3": {
                "topics": [
                    {"pattern": "else", "permissions": ["read"]},
                    {"pattern": "site/line3/#", "permissions": ["read", "write"], "payload": {"type": "integer"}},
                ],
                "limits": {"publishes_per_second": 0, "publishes_per_minute": 30},
            },
            "watch": {"topics": [{"pattern": "all", "permissions": ["read", "write"]}], "tools": ["mqtt_read"]},
        },
        "remote_server": {
            "keys": [
                key("codex", "line3", "A"), key("twice", "line3", "B"), key("twice", "watch", "C"), key("watch", "line3", "D"),
            ],
        },
    });
    let line3 = "permitted: `5` to `site/line3/x`\n  \
                 profiles.line3.topics[1] `site/line3/#`: read, write\n    \
                 payload: a whole number: kept\n  \
                 with retain: not permitted: no rule that matches has `retain`\n  \
                 limits.publishes_per_minute: 30 for each name, counted by each running program for itself\n";
    for (name, told) in [
        ("codex", "key `codex`, profile `line3`"),
        ("line3", "profile `line3`"),
        ("watch", "key `watch`, profile `line3`"),
    ] {
        let words = ["publish", "site/line3/x", "5", "--as", name];
        let said = explain(&folder, &config, &words);
        let text = format!("{line3}  as: {told}\n");
        assert_eq!(said, (Some(0), text, String::new()), "{name}");
    }
    let (code, text, _) = explain(&folder, &config, &["publish", "site/line3/x", "5"]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("writable: `all`\n") && !text.contains("line3/#"),
        "{text}"
    );
    let (code, _, error) = explain(&folder, &config, &["publish", "all", "5", "--as", "nobody"]);
    assert_eq!(code, Some(2));
    let words = "`--as`: no key and no profile has the name `nobody`; profiles: `default`, `line3`, `watch`";
    assert!(error.contains(words), "{error}");
    let (code, _, error) = explain(&folder, &config, &["publish", "all", "5", "--as", "twice"]);
    assert_eq!(code, Some(2));
    assert!(
        error.contains("have different profiles; name one of these: line3, watch"),
        "{error}"
    );
}

#[test]
fn who_has_nothing_but_a_key_that_has_expired_is_refused() {
    let folder = Scratch::new();
    let key = |name: &str, profile: &str, digit: &str, expires: &str| {
        let hash = format!("blake2b-256:{}=", digit.repeat(42) + "A");
        json!({"name": name, "hash": hash, "profile": profile, "expires": expires})
    };
    let (past, future) = ("2001-09-08", "9999-12-31");
    let rule = json!([{"pattern": "all", "permissions": ["read", "write"]}]);
    let config = json!({
        "topics": [],
        "profiles": {"line3": {"topics": rule}},
        "remote_server": {"keys": [
            key("old", "line3", "A", past), key("two", "default", "B", past), key("two", "line3", "C", future),
        ]},
    });
    for question in [&["publish", "all", "5"][..], &["subscribe", "all"]] {
        let (code, text, _) = explain(&folder, &config, &[question, &["--as", "old"]].concat());
        assert_eq!(code, Some(1), "{text}");
        let words = "refused: the API key `old` has expired (`2001-09-08`)\n  profiles.line3.topics[0] `all`: read, write";
        assert!(text.starts_with(words), "{text}");
        assert!(
            text.contains("  as: key `old`, profile `line3`\n"),
            "{text}"
        );
        let (code, text, _) = explain(&folder, &config, &[question, &["--as", "two"]].concat());
        assert_eq!(code, Some(0), "{text}");
        assert!(
            text.contains("  as: key `two`, profile `line3`\n"),
            "{text}"
        );
    }
}

#[test]
fn who_has_no_tool_that_publishes_is_refused() {
    let folder = Scratch::new();
    let watch =
        json!({"topics": [{"pattern": "all", "permissions": ["write"]}], "tools": ["mqtt_read"]});
    let config = json!({"topics": [], "profiles": {"watch": watch}});
    let (code, text, _) = explain(&folder, &config, &["publish", "all", "5", "--as", "watch"]);
    assert_eq!(code, Some(1));
    let words = "refused: the profile has neither `mqtt_publish` nor `mqtt_query`\n";
    assert!(text.starts_with(words), "{text}");
}
