//! The chapters on the configuration say what the code does: its keys, defaults, limits and permissions.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use mcpmqtt_config::{Attempt, Config, LIMITS};
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};
use serde_json::{Value, json};

use crate::documents::{blocks, document, json_blocks, quoted, root, table};

#[test]
fn configurations_load_without_a_fault() {
    let mut loaded = 0;
    for block in json_blocks() {
        // An answer of `mqtt_topics` counts its topics.
        let is_answer = block.get("topics").is_some_and(Value::is_number);
        if block.get("mqtt").is_none() && block.get("topics").is_none() || is_answer {
            continue;
        }
        let (_, mut warnings) = Config::parse(&block.to_string()).unwrap();
        // Where all that is permitted is in profiles, nothing being permitted without one is meant.
        if block["topics"] == json!([]) && block["profiles"].is_object() {
            warnings.retain(|warning| !warning.text.contains("no topic is permitted"));
        }
        assert!(warnings.is_empty(), "{warnings:?} in {block:#}");
        loaded += 1;
    }
    assert!(loaded >= 5, "only {loaded} configurations were found");
}

#[test]
fn every_example_file_is_shown_as_it_is() {
    let shown = json_blocks();
    let manual = document("config/README.md").text;
    let mut seen = 0;
    for entry in fs::read_dir(root().join("config/examples")).unwrap() {
        let path = entry.unwrap().path();
        let file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert!(
            shown.contains(&file),
            "{} is not in the manual",
            path.display()
        );
        let name = path.strip_prefix(root().join("config")).unwrap().display();
        assert!(manual.contains(&format!("]({name})")), "no link to {name}");
        seen += 1;
    }
    assert!(seen >= 4);
}

#[test]
fn the_defaults_shown_are_the_defaults() {
    let block = json_blocks()
        .into_iter()
        .find(|block| block.get("limits").is_some_and(Value::is_object))
        .unwrap();
    let (shown, _) = Config::parse(&block.to_string()).unwrap();
    assert_eq!(
        format!("{shown:?}"),
        format!("{:?}", Config::without_file())
    );
    for section in ["mqtt", "logging", "observe", "operator"] {
        for key in block[section].as_object().unwrap().keys() {
            let header = format!("| `{section}` |");
            let rows = table(&header);
            let explained = rows
                .iter()
                .any(|row| quoted(&row[0]).contains(&key.as_str()));
            assert!(explained, "`{section}.{key}` is not explained");
        }
    }
}

#[test]
fn every_explained_key_is_known() {
    for section in [
        "mqtt",
        "mqtt.tls",
        "logging",
        "observe",
        "operator",
        "audit",
        "audit.feed",
        "remote_server",
        "remote_server.tls",
    ] {
        for row in table(&format!("| `{section}` |")) {
            for key in quoted(&row[0]) {
                let mut value = json!({key: null});
                for name in section.rsplit('.') {
                    value = json!({ name: value });
                }
                // The rest of a section may be missed.
                let warnings = match Config::parse(&value.to_string()) {
                    Ok((_, warnings)) => warnings,
                    Err(refused) => refused.warnings,
                };
                let unknown = warnings
                    .iter()
                    .find(|warning| warning.text.contains("unknown key"));
                assert!(unknown.is_none(), "{unknown:?}");
            }
        }
    }
}

/// The keys of what there may be several of, each in a whole file.
#[test]
fn the_explained_keys_of_profiles_and_named_keys_are_known() {
    for (section, place) in [
        ("profiles.NAME", "/profiles/line"),
        ("remote_server.keys[]", "/remote_server/keys/0"),
    ] {
        let mut file = json!({"profiles": {"line": {}}, "remote_server": {"keys": [{}]}});
        let rows = table(&format!("| `{section}` |"));
        assert!(rows.len() >= 3, "{section}");
        for row in rows {
            for key in quoted(&row[0]) {
                file.pointer_mut(place).unwrap()[key] = Value::Null;
            }
        }
        let warnings = match Config::parse(&file.to_string()) {
            Ok((_, warnings)) => warnings,
            // A key lacks its name and its hash.
            Err(refused) => refused.warnings,
        };
        let unknown = warnings.iter().find(|it| it.text.contains("unknown key"));
        assert!(unknown.is_none(), "{unknown:?}");
    }
}

/// The keys of a rule on writes are those that the code knows: neither one more nor one fewer.
#[test]
fn the_keys_of_a_write_rule_are_those_of_the_code() {
    let keys = |section: &str| -> Vec<String> {
        let rows = table(&format!("| `{section}` |"));
        assert!(!rows.is_empty(), "{section}");
        let keys = rows.iter().flat_map(|row| quoted(&row[0]));
        keys.map(str::to_owned).collect()
    };
    let warnings = |write: Value| {
        let topic =
            json!({"pattern": "a", "permissions": ["write"], "description": "d", "write": write});
        let file = json!({"topics": [topic]}).to_string();
        let warnings = match Config::parse(&file) {
            Ok((_, warnings)) => warnings,
            Err(refused) => refused.warnings,
        };
        let unknown = warnings
            .into_iter()
            .filter(|it| it.text.contains("unknown key"));
        unknown.map(|it| it.to_string()).collect::<Vec<_>>()
    };
    for key in keys("topics[].write") {
        assert!(warnings(json!({key.clone(): null})).is_empty(), "{key}");
    }
    for key in keys("topics[].write.state") {
        let state = json!({"state": {key.clone(): true}, "requires": [{key.clone(): true}]});
        assert!(warnings(state).is_empty(), "{key}");
    }
    let code = fs::read_to_string(root().join("config/src/write_rule/read.rs")).unwrap();
    let known = ["write", "state", "confirm"].into_iter().map(str::to_owned);
    let explained: BTreeSet<_> = known
        .chain(keys("topics[].write"))
        .chain(keys("topics[].write.state"))
        .collect();
    for called in ["value(\"", "text(\"", "flag(\"", "seconds(\"", "whole(\""] {
        for (at, _) in code.match_indices(called) {
            let key = code[at + called.len()..].split('"').next().unwrap();
            let is_told =
                explained.contains(key) || ["op", "value", "tolerance", "within"].contains(&key);
            assert!(is_told, "{key} is not in the manual");
        }
    }
}

#[test]
fn the_table_of_limits_is_that_of_the_code() {
    let text = document("config/README.md").text;
    for limit in &LIMITS {
        let row = format!(
            "| `{}` | {} | {}–{} {} | {} | {} |",
            limit.name,
            limit.default,
            limit.min,
            limit.max,
            limit.unit,
            limit.meaning,
            limit.at_limit
        );
        assert!(text.contains(&row), "the manual should have the row\n{row}");
    }
    assert_eq!(table("| key |").len(), LIMITS.len());
}

#[test]
fn the_table_of_permissions_is_what_the_policy_says() {
    for row in table("| granted |") {
        let (granted, asked, answer) = (&row[0], &row[1], &row[2]);
        let words = granted.split('`').next().unwrap().split_whitespace();
        let permissions: Vec<_> = words.filter(|word| *word != "and").collect();
        let topics: Vec<_> = quoted(granted)
            .iter()
            .map(|pattern| json!({"pattern": pattern, "permissions": permissions}))
            .collect();
        let (config, _) = Config::parse(&json!({ "topics": topics }).to_string()).unwrap();
        let topic = quoted(asked)[0];
        let permitted = match asked.split_once(' ').unwrap().0 {
            "subscribe" => config
                .policy
                .may_subscribe(&SubscribeFilter::parse(topic).unwrap())
                .is_ok(),
            "publish" => config
                .policy
                .may_publish(&TopicName::parse(topic).unwrap(), false)
                .is_ok(),
            other => panic!("`{other}` is not asked for"),
        };
        let expected = if permitted { "permitted" } else { "refused" };
        assert_eq!(answer, expected, "{granted}: {asked}");
    }
}

/// The limits as they are shown, with the words that an agent gets.
#[test]
fn the_table_of_payloads_is_what_the_policy_says() {
    for row in table("| limit |") {
        let limit: Value = serde_json::from_str(row[0].trim_matches('`')).unwrap();
        let topics = json!([{"pattern": "t", "permissions": ["write"], "payload": limit}]);
        let (config, _) = Config::parse(&json!({ "topics": topics }).to_string()).unwrap();
        let topic = TopicName::parse("t").unwrap();
        let attempt = Attempt {
            topic: &topic,
            payload: row[1].trim_matches('`').as_bytes(),
            retain: false,
        };
        let answer = match config.policy.judge(&attempt) {
            Ok(_) => "permitted".to_owned(),
            Err(refusal) => format!("{refusal}; nothing was sent"),
        };
        assert_eq!(row[2], answer, "{row:?}");
    }
}

/// What `--explain` says of the configuration that is shown with the limits.
#[test]
fn the_explanation_shown_is_that_of_the_program() {
    let configs = json_blocks();
    let has_limits = |block: &Value| {
        let topic = &block["topics"][1];
        topic["pattern"] == "site/+/+/cmd/rpm" && topic["payload"].is_object()
    };
    let config = configs.into_iter().find(has_limits).unwrap();
    let mut shown = blocks("").into_iter();
    let shown = shown.find(|block| block.starts_with("refused: ")).unwrap();
    let path = std::env::temp_dir().join(format!("mcpmqtt-manual-{}.json", std::process::id()));
    fs::write(&path, config.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mcpmqtt"))
        .args([
            "--explain",
            "publish",
            "site/line3/motor1/cmd/rpm",
            "2600",
            "--config",
        ])
        .arg(&path)
        .output()
        .unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let said = said.replace(path.to_str().unwrap(), "/etc/mcpmqtt/config.json");
    assert_eq!(said.trim_end(), shown);
}

/// Every key of a payload is one for some type, and each type has its keys in the table.
#[test]
fn every_key_of_a_payload_is_known_and_explained() {
    let rules = [
        json!({"type": "number", "min": 0, "max": 1, "unit": "V", "example": 1}),
        json!({"type": "boolean", "true": "ON", "false": "OFF"}),
        json!({"type": "enum", "values": ["a"]}),
        json!({"type": "text", "max_bytes": 1}),
        json!({"type": "object", "fields": {}, "required": []}),
    ];
    let mut known = BTreeSet::new();
    for rule in rules {
        let topics = json!([{"pattern": "t", "permissions": ["write"], "payload": rule}]);
        Config::parse(&json!({ "topics": topics }).to_string()).unwrap();
        known.extend(rule.as_object().unwrap().keys().cloned());
    }
    let rows = table("| `topics[].payload` |");
    let explained: BTreeSet<_> = rows
        .iter()
        .flat_map(|row| quoted(&row[0]))
        .map(str::to_owned)
        .collect();
    assert_eq!(explained, known);
}
