//! What surrounds the program in its packages says what the program does: the manual page, the
//! completions, the units, the first configuration and the manifests.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use mcpmqtt::app::cli;
use mcpmqtt_config::{Config, LIMITS};
use serde_json::Value;

fn packaged(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/package");
    fs::read_to_string(path.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The words of a text that are options.
fn options_in(text: &str) -> BTreeSet<String> {
    let end = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    text.split(end)
        .filter(|word| word.trim_start_matches('-').len() < word.len())
        .filter(|word| word.len() > 1 && word.starts_with('-') && !word.ends_with('-'))
        .map(str::to_owned)
        .collect()
}

/// The options that `--help` lists.
fn options() -> BTreeSet<String> {
    let listed = cli::HELP.lines().filter(|line| line.starts_with("  -"));
    let found = options_in(&listed.collect::<Vec<_>>().join("\n"));
    assert!(found.len() > 8, "{found:?}");
    found
}

/// The values that the program takes for an option, as its refusal names them.
fn values_of(option: &str) -> Vec<String> {
    let refusal = cli::parse([OsString::from(format!("{option}=?"))]).unwrap_err();
    let text = refusal.to_string();
    let (_, allowed) = text.split_once("allowed: ").unwrap();
    let (allowed, _) = allowed.split_once(';').unwrap();
    let found: Vec<_> = allowed
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty() && *word != "or")
        .map(str::to_owned)
        .collect();
    assert!(found.len() > 1, "{text}");
    found
}

/// The manual page of this section, as `scripts/package/manual` makes it of the documents.
fn manual_page(section: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/package/manual");
    let made = Command::new(script).arg(section).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap()
}

#[test]
fn the_manual_page_has_every_option_and_no_other_and_every_tool() {
    let page = manual_page("1").replace("\\-", "-");
    let section = |name: &str| {
        let (_, section) = page.split_once(&format!("\n.SH {name}\n")).unwrap();
        format!("\n{}", section.split("\n.SH ").next().unwrap())
    };
    let terms: String = section("OPTIONS")
        .split("\n.TP\n")
        .skip(1)
        .map(|entry| format!("{}\n", entry.lines().next().unwrap()))
        .collect();
    let short = ["-h", "-V"].map(str::to_owned);
    let listed: BTreeSet<_> = options_in(&terms.replace("\\fB", " ").replace("\\fR", " "));
    assert_eq!(&listed | &BTreeSet::from(short), options());
    for option in ["--transport", "--log-level"] {
        for value in values_of(option) {
            assert!(section("OPTIONS").contains(&value), "{option} {value}");
        }
    }
    let real: Value = serde_json::from_str(include_str!("../data/tools_list.json")).unwrap();
    for tool in real["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        assert!(section("TOOLS").contains(&format!("\n.TP\n\\fB{name}\\fR\n")));
    }
}

/// Each table of keys in the document is a section of the page, and has each of its keys as a term.
#[test]
fn the_page_of_the_configuration_has_every_key() {
    let page = manual_page("5").replace("\\-", "-");
    let documents = [
        include_str!("../../config/README.md"),
        include_str!("../../config/OPERATOR.md"),
        include_str!("../../config/AUDIT.md"),
    ];
    let mut keys = 0;
    let mut lines = documents.into_iter().flat_map(str::lines);
    while let Some(line) = lines.next() {
        let Some(section) = line
            .strip_prefix("| `")
            .and_then(|it| it.strip_suffix("` | |"))
        else {
            continue;
        };
        let (_, written) = page.split_once(&format!("\n.SS {section}\n")).unwrap();
        let written = written.split("\n.S").next().unwrap();
        for row in lines
            .by_ref()
            .skip(1)
            .take_while(|row| row.starts_with('|'))
        {
            let term = row.split('|').nth(1).unwrap();
            for key in term.split('`').skip(1).step_by(2) {
                assert!(written.contains(&format!("\\fB{key}\\fR")), "{key}");
                keys += 1;
            }
        }
    }
    assert!(keys >= 60, "{keys}");
    for limit in &LIMITS {
        assert!(page.contains(&format!("\n.TP\n\\fB{}\\fR\n", limit.name)));
    }
}

/// What the programs that show manual pages say of them, where these programs are installed.
#[test]
fn the_manual_pages_have_no_fault() {
    let checkers: [(&str, &[&str]); 2] = [
        ("groff", &["-man", "-Kutf8", "-Tutf8", "-wall", "-z", "-"]),
        ("mandoc", &["-Tlint", "-Wwarning"]),
    ];
    for section in ["1", "5"] {
        let page = manual_page(section).replace("@DATE@", "2026-01-31");
        for (name, arguments) in checkers {
            let started = Command::new(name)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let Ok(mut checker) = started else {
                continue;
            };
            let mut input = checker.stdin.take().unwrap();
            input.write_all(page.as_bytes()).unwrap();
            drop(input);
            let output = checker.wait_with_output().unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(output.status.success() && said.is_empty(), "{name}: {said}");
        }
    }
}

#[test]
fn bash_completes_every_option_and_value() {
    let complete = |words: &str| -> BTreeSet<String> {
        let script = "source scripts/package/completions/mcpmqtt.bash; COMP_WORDS=(mcpmqtt $1 '') \
                      COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _mcpmqtt; printf '%s\\n' \"${COMPREPLY[@]}\"";
        let output = Command::new("bash")
            .args(["-c", script, "bash", words])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(str::to_owned).collect()
    };
    assert_eq!(complete(""), options());
    for option in ["--transport", "--log-level"] {
        let wanted: BTreeSet<_> = values_of(option).into_iter().collect();
        assert_eq!(complete(option), wanted);
    }
}

#[test]
fn zsh_completes_every_option_and_value() {
    let text = packaged("completions/_mcpmqtt");
    let (_, specs) = text.split_once("_arguments -S").unwrap();
    let without_help: String = specs
        .split('[')
        .map(|part| part.rsplit(']').next().unwrap())
        .collect();
    assert_eq!(options_in(&without_help), options());
    // The file of `--init` may be left out.
    assert!(
        text.lines()
            .any(|line| line.contains("--init[") && line.contains("]::file:_files"))
    );
    for option in ["--transport", "--log-level"] {
        let values = format!("({})", values_of(option).join(" "));
        assert!(text.contains(&values), "{option} {values}");
    }
}

#[test]
fn fish_completes_every_option_and_value() {
    let text = packaged("completions/mcpmqtt.fish");
    let mut found = BTreeSet::new();
    for line in text
        .lines()
        .filter(|line| line.contains("complete -c $command -"))
    {
        let words: Vec<_> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            match pair[0] {
                "-l" => found.insert(format!("--{}", pair[1])),
                "-s" => found.insert(format!("-{}", pair[1])),
                _ => continue,
            };
        }
    }
    assert_eq!(found, options());
    for option in ["--transport", "--log-level"] {
        let values = format!("'{}'", values_of(option).join(" "));
        assert!(text.contains(&values), "{option} {values}");
    }
}

#[test]
fn every_client_is_completed_and_in_the_manual_page() {
    let refusal = cli::parse(["--install".into(), "?".into()]).unwrap_err();
    let text = refusal.to_string();
    let (_, allowed) = text.split_once("allowed: ").unwrap();
    let names: Vec<_> = allowed.split('`').skip(1).step_by(2).collect();
    // The last one is `mcpmqtt --help`.
    let names = &names[..names.len() - 1];
    assert!(names.len() > 5, "{text}");
    for file in ["mcpmqtt.bash", "_mcpmqtt", "mcpmqtt.fish"] {
        let text = packaged(&format!("completions/{file}"));
        assert!(text.contains(&names.join(" ")), "{file}");
    }
    let page = manual_page("1").replace("\\-", "-");
    let (_, text) = page.split_once("\n.SH INTO A CLIENT\n").unwrap();
    let text = text.split("\n.SH ").next().unwrap();
    for name in names {
        assert!(text.contains(&format!("\\fB{name}\\fR")), "{name}");
    }
}

#[test]
fn the_first_configuration_has_no_fault_and_nothing_to_warn_of() {
    let (_, warnings) = Config::parse(&packaged("config.json")).unwrap();
    assert_eq!(format!("{warnings:?}"), "[]");
}

#[test]
fn the_service_starts_the_program_with_arguments_that_it_understands() {
    let unit = packaged("systemd/mcpmqtt.service");
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[0], "/usr/bin/mcpmqtt");
    cli::parse(words[1..].iter().map(OsString::from)).unwrap();
}

/// tests/program/service.rs has the program tell all this.
#[test]
fn the_service_waits_for_what_the_program_tells() {
    let unit = packaged("systemd/mcpmqtt.service");
    for line in ["Type=notify", "NotifyAccess=main", "WatchdogSec=30"] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    // `$$` is a `$` for the shell, to which systemd hands the variable over.
    assert!(unit.contains("\nExecReload=/bin/sh -c 'kill -HUP $$MAINPID'\n"));
    assert!(unit.contains("RestrictAddressFamilies=") && unit.contains("AF_UNIX"));
}

#[test]
fn the_bundle_names_the_tools_that_there_are_and_starts_the_program() {
    let manifest: Value = serde_json::from_str(&packaged("manifest.json")).unwrap();
    let names = |tools: &Value| -> BTreeSet<String> {
        let tools = tools.as_array().unwrap();
        let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
        tools.iter().map(name).collect()
    };
    let real: Value = serde_json::from_str(include_str!("../data/tools_list.json")).unwrap();
    assert_eq!(names(&manifest["tools"]), names(&real["tools"]));

    let arguments = manifest["server"]["mcp_config"]["args"].as_array().unwrap();
    let words = arguments.iter().map(|word| word.as_str().unwrap().into());
    cli::parse(words.collect::<Vec<OsString>>()).unwrap();
}

#[test]
fn the_container_holds_the_program_alone_and_starts_it_with_arguments_that_it_understands() {
    let text = packaged("Containerfile");
    let value = |word: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(word));
        let first = lines.next().unwrap_or_else(|| panic!("no {word}"));
        assert_eq!(lines.next(), None, "{word} twice");
        first.trim().to_owned()
    };
    assert_eq!(value("FROM "), "scratch");
    assert_eq!(value("COPY "), "mcpmqtt /mcpmqtt");
    assert_eq!(value("USER "), "65534:65534");
    assert_eq!(value("ENTRYPOINT "), r#"["/mcpmqtt"]"#);
    let words: Vec<String> = serde_json::from_str(&value("CMD ")).unwrap();
    cli::parse(words.iter().map(OsString::from)).unwrap();
}

#[test]
fn the_manifests_fit_their_schemas() {
    let parsed = |file: &str| serde_json::from_str::<Value>(&packaged(file)).unwrap();
    for (file, schema) in [
        ("manifest.json", "schemas/mcpb-manifest-0.3.json"),
        ("server.json", "schemas/server-2025-12-11.json"),
    ] {
        let validator = jsonschema::validator_for(&parsed(schema)).unwrap();
        let mut document = parsed(file);
        if file == "server.json" {
            // Only its publisher knows it: scripts/package/build takes it from the environment.
            assert_eq!(document.get("name"), None);
            document["name"] = "invalid.test/mcpmqtt".into();
        }
        let faults: Vec<_> = validator
            .iter_errors(&document)
            .map(|e| e.to_string())
            .collect();
        assert!(faults.is_empty(), "{file}: {faults:?}");
        assert!(!validator.is_valid(&Value::from(1)), "{schema}");
    }
}

#[test]
fn the_manual_says_what_every_dependency_is_for() {
    let manual = include_str!("../../scripts/package/README.md");
    let (_, section) = manual.split_once("\n## What it is made of").unwrap();
    let section = section.split("\n## ").next().unwrap();
    for manifest in [
        include_str!("../../Cargo.toml"),
        include_str!("../../protocol/Cargo.toml"),
        include_str!("../../config/Cargo.toml"),
    ] {
        let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap();
        let names = dependencies
            .lines()
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once([' ', '.', '=']))
            .map(|(name, _)| name)
            .filter(|name| !name.is_empty() && !name.starts_with('#'));
        for name in names.filter(|name| !name.starts_with("mcpmqtt")) {
            assert!(section.contains(&format!("`{name}`")), "{name}");
        }
    }
}
