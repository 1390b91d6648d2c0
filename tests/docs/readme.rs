//! The manual says what the program does: its JSON, its commands, its tables and its messages are
//! held against the code, so that neither can change alone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mcpmqtt::app::cli::{self, UsageError};
use mcpmqtt_config::{Attempt, Config, LIMITS};
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The fenced blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let text = readme();
    let mut found = Vec::new();
    let mut open: Option<(&str, Vec<&str>)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language, Vec::new())),
            (Some(_), Some("")) => {
                let (kind, lines) = open.take().unwrap();
                if kind == language {
                    found.push(lines.join("\n"));
                }
            }
            (Some((_, lines)), _) => lines.push(line),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

fn json_blocks() -> Vec<Value> {
    let blocks = blocks("json");
    let parse = |text: &String| {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
    };
    blocks.iter().map(parse).collect()
}

/// The rows of the table whose header begins with `header`: their cells.
fn table(header: &str) -> Vec<Vec<String>> {
    let text = readme();
    let lines = text.lines().skip_while(|line| !line.starts_with(header));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let rows: Vec<_> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "no table `{header}`");
    rows
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The tools as the program lists them.
fn tools() -> Vec<Value> {
    let initialize = json!({"protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "readme", "version": "1"}});
    let requests = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": initialize}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}),
    ];
    let lines: String = requests
        .iter()
        .map(|request| format!("{request}\n"))
        .collect();
    let mut program = Command::new(env!("CARGO_BIN_EXE_mcpmqtt"))
        .arg("--config")
        .arg(root().join("config/examples/example_config.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    program
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = program.wait_with_output().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers = answers
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let listed = answers
        .into_iter()
        .find(|answer| answer["id"] == 2)
        .unwrap();
    listed["result"]["tools"].as_array().unwrap().clone()
}

#[test]
fn configurations_load_without_a_fault() {
    let mut loaded = 0;
    for block in json_blocks() {
        // An answer of `mqtt_topics` counts its topics.
        let is_answer = block.get("topics").is_some_and(Value::is_number);
        if block.get("mqtt").is_none() && block.get("topics").is_none() || is_answer {
            continue;
        }
        let (_, warnings) = Config::parse(&block.to_string()).unwrap();
        assert!(warnings.is_empty(), "{warnings:?} in {block:#}");
        loaded += 1;
    }
    assert!(loaded >= 5, "only {loaded} configurations were found");
}

#[test]
fn every_example_file_is_shown_as_it_is() {
    let shown = json_blocks();
    let mut seen = 0;
    for entry in fs::read_dir(root().join("config/examples")).unwrap() {
        let path = entry.unwrap().path();
        let file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert!(
            shown.contains(&file),
            "{} is not in the README",
            path.display()
        );
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        assert!(
            readme().contains(&format!("]({name})")),
            "no link to {name}"
        );
        seen += 1;
    }
    assert!(seen >= 4);
}

#[test]
fn the_defaults_shown_are_the_defaults() {
    let block = json_blocks()
        .into_iter()
        .find(|block| block.get("limits").is_some())
        .unwrap();
    let (shown, _) = Config::parse(&block.to_string()).unwrap();
    assert_eq!(
        format!("{shown:?}"),
        format!("{:?}", Config::without_file())
    );
    for section in ["mqtt", "logging", "observe"] {
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
    let text = readme();
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
        assert!(text.contains(&row), "the README should have the row\n{row}");
    }
    assert_eq!(table("| key |").len(), LIMITS.len());
}

/// In a folder that is not trusted Gemini's CLI does not read the settings that it then writes anew, so that the second
/// server would take the place of the first; those of the user it always reads.
#[test]
fn gemini_is_told_to_keep_its_servers_among_the_user_s_settings() {
    let text = readme();
    let added = text
        .lines()
        .filter(|line| line.starts_with("gemini mcp add "));
    let (kept, all) = added.fold((0, 0), |(kept, all), line| {
        (kept + usize::from(line.contains(" -s user ")), all + 1)
    });
    assert_eq!((kept, all), (2, 2));
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
    let has_limits = |block: &Value| block["topics"][1]["payload"].is_object();
    let config = configs.into_iter().find(has_limits).unwrap();
    let mut shown = blocks("").into_iter();
    let shown = shown.find(|block| block.starts_with("refused: ")).unwrap();
    let path = std::env::temp_dir().join(format!("mcpmqtt-readme-{}.json", std::process::id()));
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

#[test]
fn the_example_calls_and_answers_fit_their_schemas() {
    let tools = tools();
    let blocks = json_blocks();
    let mut called = BTreeSet::new();
    for (call, answer) in blocks.iter().zip(blocks.iter().skip(1)) {
        let (Some(name), Some(arguments)) = (call.get("name"), call.get("arguments")) else {
            continue;
        };
        let tool = tools.iter().find(|tool| tool["name"] == *name).unwrap();
        for (schema, value) in [("inputSchema", arguments), ("outputSchema", answer)] {
            let validator = jsonschema::validator_for(&tool[schema]).unwrap();
            if let Err(error) = validator.validate(value) {
                panic!("{schema} of {name}: {error}");
            }
        }
        let known = tool["outputSchema"]["properties"].as_object().unwrap();
        for key in answer.as_object().unwrap().keys() {
            assert!(known.contains_key(key), "{name} answers no `{key}`");
        }
        called.insert(name.as_str().unwrap().to_owned());
    }
    let names: BTreeSet<_> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(called, names);
}

#[test]
fn every_option_is_in_the_manual_and_in_the_help() {
    let options = |text: &str| -> BTreeSet<String> {
        let words = text.split(|char: char| !char.is_ascii_lowercase() && char != '-');
        let long = words.filter(|word| word.len() > 3 && word.starts_with("--"));
        long.map(str::to_owned).collect()
    };
    let listed: String = table("| option |")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(options(&listed), options(cli::HELP));
}

/// The commands of the shell blocks, without comments.
fn commands() -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for block in blocks("sh") {
        for line in block.lines() {
            let command = line.split(" #").next().unwrap();
            let words: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
            if !words.is_empty() {
                found.push(words);
            }
        }
    }
    found
}

/// Arguments of ours that someone else's command or file holds.
fn understood(arguments: &[String]) {
    let parsed = cli::parse(arguments.iter().map(OsString::from));
    assert!(parsed.is_ok(), "{arguments:?}: {parsed:?}");
}

#[test]
fn every_command_can_be_given() {
    let mut ours = 0;
    for words in commands() {
        let before = |word: &&String| *word == "sudo" || word.contains("=1");
        let words = &words[words.iter().take_while(before).count()..];
        let arguments = &words[1..];
        match words[0].as_str() {
            "mcpmqtt" => {
                understood(arguments);
                ours += 1;
            }
            "claude" | "codex" | "gemini" => {
                match words.iter().position(|word| word == "mcpmqtt") {
                    Some(start) => {
                        let given = words[start + 1..].iter().filter(|word| *word != "--");
                        understood(&given.cloned().collect::<Vec<_>>());
                    }
                    None => assert!(words.iter().any(|word| word.ends_with("/mcp")), "{words:?}"),
                }
                ours += 1;
            }
            "cargo" => assert!(
                ["build", "test"].contains(&arguments[0].as_str()),
                "{words:?}"
            ),
            "curl" => assert!(words.iter().any(|word| word.ends_with("/status"))),
            // Forwarders to the server's socket.
            "socat" | "ssh" => assert!(
                words.iter().any(|word| word.contains("mcpmqtt.sock")),
                "{words:?}"
            ),
            "install" | "ln" => {}
            script => assert!(is_executable(&root().join(script)), "{words:?}"),
        }
    }
    assert!(ours >= 8, "only {ours} commands were found");
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[test]
fn every_client_starts_the_program_with_arguments_that_it_understands() {
    let mut seen = 0;
    for block in json_blocks() {
        let servers = block.get("mcpServers").or_else(|| block.get("servers"));
        let Some(servers) = servers.and_then(Value::as_object) else {
            continue;
        };
        for server in servers.values() {
            let command = server["command"].as_str().unwrap();
            assert!(["mcpmqtt", "mcpMQTT", "/usr/local/bin/mcpmqtt"].contains(&command));
            let arguments: Vec<String> = serde_json::from_value(server["args"].clone()).unwrap();
            understood(&arguments);
            seen += 1;
        }
    }
    for block in blocks("toml") {
        let arguments = block
            .lines()
            .find_map(|line| line.strip_prefix("args = "))
            .unwrap();
        understood(&serde_json::from_str::<Vec<String>>(arguments).unwrap());
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} clients were found");
}

#[test]
fn every_message_to_be_looked_up_is_one_that_the_program_writes() {
    let mut sources = String::new();
    for folder in ["src", "config/src", "protocol/src"] {
        read_all(&root().join(folder), &mut sources);
    }
    // Long messages are broken in the source, and their placeholders are what differs.
    let sources: String = sources.split("\\\n").map(str::trim_start).collect();
    let mut fragments = 0;
    for row in table("| message |") {
        let message = row[0]
            .strip_prefix("``")
            .and_then(|cell| cell.strip_suffix("``"));
        let message = message
            .or_else(|| row[0].strip_prefix('`')?.strip_suffix('`'))
            .unwrap();
        for fragment in message
            .split('…')
            .map(str::trim)
            .filter(|part| part.len() > 1)
        {
            assert!(sources.contains(fragment), "nothing writes `{fragment}`");
            fragments += 1;
        }
    }
    assert!(fragments >= 10);
}

fn read_all(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let text = readme();
    let headings: BTreeSet<String> = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("#")?
                .trim_start_matches('#')
                .strip_prefix(' ')
        })
        .map(|heading| {
            let kept = heading.to_lowercase().replace(' ', "-");
            kept.chars()
                .filter(|char| char.is_alphanumeric() || "-_".contains(*char))
                .collect()
        })
        .collect();
    let mut links = 0;
    for target in text
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
    {
        if let Some(anchor) = target.strip_prefix('#') {
            assert!(headings.contains(anchor), "no heading #{anchor}");
        } else if !target.starts_with("https://") {
            assert!(root().join(target).exists(), "no file {target}");
        }
        links += 1;
    }
    assert!(links >= 15);
}

#[test]
fn an_option_that_does_not_exist_would_be_noticed() {
    let error = cli::parse([OsString::from("--demonstrate")]).unwrap_err();
    assert_eq!(error, UsageError::Unknown("--demonstrate".into()));
}

/// The versions of the clients that the scripts install.
#[test]
fn the_clients_are_those_that_are_run() {
    let pinned: String = [
        "tests/sdk/requirements.txt",
        "tests/sdk/package.json",
        "tests/sdk/rmcp/Cargo.toml",
        "tests/clients/package.json",
    ]
    .iter()
    .map(|file| fs::read_to_string(root().join(file)).unwrap())
    .collect();
    let mut known = 0;
    for row in table("| client |") {
        let [package] = quoted(&row[0])[..] else {
            panic!("no package in {row:?}");
        };
        if package == "curl" {
            continue;
        }
        let version = row[0].rsplit(' ').next().unwrap();
        let pins = [
            format!("\n{package}=={version}\n"),
            format!("\"{package}\": \"{version}\""),
            format!("\n{package} = {{ version = \"={version}\""),
        ];
        assert!(
            pins.iter().any(|pin| pinned.contains(pin)),
            "{package} {version} is not what is run"
        );
        known += 1;
    }
    assert!(known >= 9);
}

/// `scripts/demo` says what the manual has, apart from numbers, which differ from run to run.
#[test]
fn the_conversation_is_the_one_that_the_demo_holds() {
    let output = Command::new("python3")
        .arg(root().join("scripts/demo"))
        .arg(env!("CARGO_BIN_EXE_mcpmqtt"))
        .output()
        .unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let (conversation, _) = printed.split_once("\nEvery answer").unwrap();
    let conversation = without_numbers(conversation);
    let shown = blocks("text");
    let shown = shown.iter().map(|block| without_numbers(block));
    assert!(
        shown.into_iter().any(|block| block == conversation),
        "the README should have\n{printed}"
    );
}

/// Each number replaced by one digit.
fn without_numbers(text: &str) -> String {
    let mut short = String::new();
    for character in text.trim().chars() {
        let digit = character.is_ascii_digit() || character == '.';
        match (digit, short.ends_with('0')) {
            (false, _) => short.push(character),
            (true, false) => short.push('0'),
            (true, true) => {}
        }
    }
    short
}

/// The matrix of brokers as `scripts/interop` holds it true, and the reasons under it.
#[test]
fn the_matrix_of_brokers_is_what_the_interoperability_suite_expects() {
    let file = root().join("tests/interop/expected.json");
    let expected: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let brokers = expected["brokers"].as_object().unwrap();
    let cases = expected["cases"].as_array().unwrap();
    assert!(brokers.len() >= 6 && cases.len() >= 16);
    let word = |value: &Value| value.as_str().unwrap().to_owned();

    let mut lines = vec![
        brokers.values().fold(String::from("| |"), |row, broker| {
            format!(
                "{row} {} {} |",
                word(&broker["name"]),
                word(&broker["version"])
            )
        }),
        format!("|---|{}", "---|".repeat(brokers.len())),
    ];
    let mut reasons: Vec<(String, Vec<String>, Vec<String>)> = Vec::new();
    for case in cases.iter().map(word) {
        let mut row = format!("| {case} |");
        for broker in brokers.values() {
            let difference = &broker["differences"][&case];
            if difference.is_null() {
                row += " yes |";
                continue;
            }
            row += &format!(" {} |", word(&difference["comes"]));
            let because = word(&difference["because"]);
            let at = reasons.iter().position(|(known, ..)| *known == because);
            let at = at.unwrap_or_else(|| {
                reasons.push((because, Vec::new(), Vec::new()));
                reasons.len() - 1
            });
            let (_, cases, names) = &mut reasons[at];
            for (list, entry) in [(cases, case.clone()), (names, word(&broker["name"]))] {
                if !list.contains(&entry) {
                    list.push(entry);
                }
            }
        }
        lines.push(row);
    }
    lines.push(String::new());
    for (because, cases, brokers) in reasons {
        lines.push(format!(
            "* **{}** ({}): {because}.",
            brokers.join(", "),
            cases.join("; ")
        ));
    }
    let wanted = lines.join("\n");
    assert!(
        readme().contains(&wanted),
        "the README should have\n{wanted}"
    );
    for broker in brokers.values() {
        for case in broker["differences"].as_object().unwrap().keys() {
            assert!(cases.contains(&json!(case)), "`{case}` is no case");
        }
    }
}
