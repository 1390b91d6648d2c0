//! The commands, options, clients and messages of the documents are those of the program.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use mcpmqtt::app::cli::{self, UsageError};
use serde_json::Value;

use crate::documents::{blocks, document, json_blocks, quoted, root, table};

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
            let joined = words.split(|word| word == "&&");
            found.extend(
                joined
                    .filter(|words| !words.is_empty())
                    .map(<[String]>::to_vec),
            );
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
                ["build", "test", "install"].contains(&arguments[0].as_str()),
                "{words:?}"
            ),
            "curl" => assert!(words.iter().any(|word| word.ends_with("/status"))),
            // Forwarders to the server's socket.
            "socat" | "ssh" => assert!(
                words.iter().any(|word| word.contains("mcpmqtt.sock")),
                "{words:?}"
            ),
            // Run by a test of the program.
            "mosquitto_pub" | "python3" => assert!(
                words.iter().any(|word| {
                    word == "plant/op/halt" || word.starts_with("plant/op/answer/")
                }),
                "{words:?}"
            ),
            "apt" => assert!(words.iter().any(|word| word.ends_with(".deb"))),
            "systemctl" => assert!(words.iter().any(|word| word.starts_with("mcpmqtt."))),
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

/// In a folder that is not trusted Gemini's CLI does not read the settings that it then writes anew, so that the second
/// server would take the place of the first; those of the user it always reads.
#[test]
fn gemini_is_told_to_keep_its_servers_among_the_user_s_settings() {
    let text = document("README.md").text;
    let added = text
        .lines()
        .filter(|line| line.starts_with("gemini mcp add "));
    let (kept, all) = added.fold((0, 0), |(kept, all), line| {
        (kept + usize::from(line.contains(" -s user ")), all + 1)
    });
    assert_eq!((kept, all), (2, 2));
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
        } else if path.extension().is_some_and(|it| it == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// From anywhere, before anything is looked for or built.
#[test]
fn every_script_says_how_it_is_called() {
    let mut count = 0;
    for folder in ["scripts", "scripts/package"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if !is_executable(&path) {
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap();
            for (program, from) in [
                (path.clone(), Path::new("/")),
                (Path::new(".").join(name), path.parent().unwrap()),
            ] {
                let output = std::process::Command::new(&program)
                    .arg("--help")
                    .current_dir(from)
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{name}: {output:?}");
                let said = String::from_utf8(output.stdout).unwrap();
                let usage = format!("usage: {folder}/{name}");
                assert!(said.contains(&usage), "{name}: {said}");
                assert!(
                    said.lines().count() > 2 && !said.starts_with("#!"),
                    "{name}: {said}"
                );
            }
            count += 1;
        }
    }
    assert!(count > 20, "only {count} scripts were found");
}
