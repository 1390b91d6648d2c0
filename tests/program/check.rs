//! `--check` and the start: whatever is wrong with files, options and the machine, they agree on it.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::common::ports::free_port;
use crate::common::program::PROGRAM;
use crate::common::scratch::Scratch;

fn run(args: &[&str], folder: &Path) -> Output {
    Command::new(PROGRAM)
        .args(args)
        .current_dir(folder)
        .env("HOME", folder)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("MCPMQTT_CONFIG")
        .env("EMPTY_OF_THE_TEST", "")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the program says at last, behind the records of its log.
fn last_words(output: &Output) -> String {
    let text = text(&output.stderr);
    let start = text.find("mcpmqtt: ").unwrap_or(text.len());
    text[start..].to_owned()
}

/// Both give this exit code, and the check says what the start says.
fn agree(args: &[&str], folder: &Path, code: i32) -> String {
    let start = run(args, folder);
    let check = run(&[&["--check"], args].concat(), folder);
    assert_eq!(start.status.code(), Some(code), "{args:?}: {start:?}");
    assert_eq!(check.status.code(), Some(code), "{args:?}: {check:?}");
    let (started, checked) = (last_words(&start), last_words(&check));
    assert!(
        checked.contains(&started),
        "{args:?}: the start says {started:?}, the check {checked:?}"
    );
    assert_eq!(started.is_empty(), code == 0, "{args:?}");
    if code != 2 {
        let verdict = text(&check.stdout).lines().last().unwrap().to_owned();
        let over = match args.contains(&"remotehttp") {
            true => "remotehttp",
            false => "stdio",
        };
        let expected = match code {
            0 => format!("ready: it would start over {over}"),
            _ => format!("not ready: it would not start over {over}"),
        };
        assert_eq!(verdict, expected, "{args:?}");
        agrees_as_json(args, folder, code, &started);
    }
    started
}

fn agrees_as_json(args: &[&str], folder: &Path, code: i32, started: &str) {
    let output = run(&[&["--check", "--json"], args].concat(), folder);
    assert_eq!(output.status.code(), Some(code), "{args:?}");
    assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdict = if code == 0 { "ready" } else { "not ready" };
    assert_eq!(said["verdict"], verdict, "{args:?}");
    let findings = said["findings"].as_array().unwrap();
    let mut errors = findings.iter().filter(|it| it["severity"] == "error");
    assert_eq!(errors.clone().count() == 0, code == 0, "{args:?}: {said}");
    let told = |error: &Value| started.contains(error["text"].as_str().unwrap());
    assert!(code == 0 || errors.any(told), "{args:?}: {said}");
}

#[test]
fn every_file_that_cannot_be_used_is_refused_by_both() {
    let folder = Scratch::new();
    let invalid = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/tests/invalid");
    let mut count = 0;
    for entry in fs::read_dir(invalid).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "json") {
            agree(&["--config", path.to_str().unwrap()], &folder.path(""), 1);
            count += 1;
        }
    }
    assert!(count >= 60, "{count}");
}

/// A configuration, what the last words have in them, and whether it takes `--transport remotehttp`.
fn cases(folder: &Scratch) -> Vec<(Value, &'static str, bool)> {
    let long = folder.file("long", &"x".repeat(70_000));
    let no_pem = folder.file("no.pem", "no certificate");
    let file = folder.file("file", "");
    let login = |rest: Value| {
        let mut mqtt = json!({"username": "u"});
        let mqtt_object = mqtt.as_object_mut().unwrap();
        mqtt_object.extend(rest.as_object().unwrap().clone());
        json!({"mqtt": mqtt})
    };
    let tls = |tls: Value| json!({"mqtt": {"tls": tls}});
    let remote = |rest: Value| {
        let mut server =
            json!({"host": "127.0.0.1", "port": free_port(), "api_key": "a key of the test"});
        let object = server.as_object_mut().unwrap();
        object.extend(rest.as_object().unwrap().clone());
        json!({"remote_server": server})
    };
    let identity = json!({"cert_file": "/nonexistent/c.pem", "key_file": "/nonexistent/k.pem"});
    vec![
        (
            login(json!({"password_file": "/nonexistent/p"})),
            "mqtt.password_file: cannot use",
            false,
        ),
        (
            login(json!({"password_file": folder.path("")})),
            "mqtt.password_file: cannot use",
            false,
        ),
        (
            login(json!({"password_file": long})),
            "a password has at most",
            false,
        ),
        (
            login(json!({"password_env": "UNSET_OF_THE_TEST"})),
            "is not set",
            false,
        ),
        (
            login(json!({"password_env": "EMPTY_OF_THE_TEST"})),
            "is empty",
            false,
        ),
        (
            tls(json!({"ca_file": "/nonexistent/ca.pem"})),
            "mqtt.tls.ca_file: cannot use",
            false,
        ),
        (tls(json!({"ca_file": no_pem})), "mqtt.tls.ca_file", false),
        (tls(json!({"ca_file": file})), "mqtt.tls.ca_file", false),
        (
            tls(
                json!({"insecure": true, "cert_file": "/nonexistent/c.pem", "key_file": "/nonexistent/k.pem"}),
            ),
            "mqtt.tls.cert_file: cannot use",
            false,
        ),
        (
            json!({}),
            "there is no `remote_server` section; run `mcpmqtt --genkey --config",
            true,
        ),
        (
            json!({"remote_server": {"host": "127.0.0.1", "port": free_port()}}),
            "there is no API key",
            true,
        ),
        (
            remote(json!({"tls": identity})),
            "remote_server.tls.cert_file: cannot use",
            true,
        ),
        // RFC 5737: an address of no machine.
        (remote(json!({"host": "203.0.113.7"})), "203.0.113.7", true),
        (
            json!({"remote_server": {"uds": "/nonexistent/s.sock", "api_key": "a key of the test"}}),
            "/nonexistent/s.sock",
            true,
        ),
        (
            json!({"remote_server": {"uds": file, "api_key": "a key of the test"}}),
            "file",
            true,
        ),
        (
            login(json!({"password_file": "/nonexistent/p"})),
            "remote_server",
            true,
        ),
    ]
}

#[test]
fn what_the_start_opens_is_opened_by_the_check() {
    let folder = Scratch::new();
    for (config, words, is_remote) in cases(&folder) {
        let path = folder.file("config.json", &config.to_string());
        let mut args = vec!["--config", path.to_str().unwrap()];
        if is_remote {
            args.extend(["--transport", "remotehttp"]);
        }
        let said = agree(&args, &folder.path(""), 1);
        assert!(said.contains(words), "{config}: {said}");
        // What the remote server lacks is nobody's fault over stdio.
        if is_remote && config.get("mqtt").is_none() {
            agree(&args[..2], &folder.path(""), 0);
        }
    }
}

#[test]
fn a_port_in_use_is_a_fault_for_both() {
    let folder = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for server in [
        json!({"host": "127.0.0.1", "port": port, "api_key": "k"}),
        json!({"host": "127.0.0.1", "port": free_port(), "api_key": "k", "metrics": {"port": port}}),
    ] {
        let config = json!({"remote_server": server}).to_string();
        let path = folder.file("config.json", &config);
        let args = [
            "--transport",
            "remotehttp",
            "--config",
            path.to_str().unwrap(),
        ];
        let said = agree(&args, &folder.path(""), 1);
        assert!(said.contains(&port.to_string()), "{said}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let folder = Scratch::new();
    let config = json!({
        "mqtt": {"username": "u", "password_file": "/nonexistent/p", "tls": {"ca_file": "/nonexistent/ca"}},
        "remote_server": {"port": free_port()},
    });
    let path = folder.file("config.json", &config.to_string());
    let args = [
        "--check",
        "--transport",
        "remotehttp",
        "--config",
        path.to_str().unwrap(),
    ];
    let said = text(&run(&args, &folder.path("")).stderr);
    for words in [
        "mqtt.password_file",
        "mqtt.tls.ca_file",
        "there is no API key",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
}

#[test]
fn the_log_file_is_tried_and_neither_made_nor_written() {
    let folder = Scratch::new();
    let config = folder.file("config.json", r#"{"topics": []}"#);
    let config = config.to_str().unwrap();
    let check = |logfile: &str| {
        let args = [
            "--check",
            "--config",
            config,
            "--logfile",
            logfile,
            "--log-level",
            "ERROR",
        ];
        let output = run(&args, &folder.path(""));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stdout)
    };
    let said = check("missing/a.log");
    let words = "cannot open log file `missing/a.log`: there is no directory `missing`; logging to standard error";
    assert!(said.contains(&format!("warning: {words}")), "{said}");
    assert!(!folder.path("missing").exists());
    // The start says the same.
    let started = run(
        &["--config", config, "--logfile", "missing/a.log"],
        &folder.path(""),
    );
    assert!(text(&started.stderr).contains(words), "{started:?}");

    let said = check("new.log");
    assert!(said.contains("ERROR and above to `new.log`"), "{said}");
    assert!(!said.contains("warning: cannot open"), "{said}");
    assert!(!folder.path("new.log").exists());

    let kept = folder.file("kept.log", "a line\n");
    check("kept.log");
    assert_eq!(fs::read_to_string(kept).unwrap(), "a line\n");
    assert!(check(".").contains("warning: cannot open log file `.`"));
}

#[test]
fn the_check_leaves_no_socket_behind() {
    let folder = Scratch::new();
    let config = json!({"remote_server": {"uds": "s.sock", "api_key": "k"}});
    let path = folder.file("config.json", &config.to_string());
    let args = [
        "--check",
        "--transport",
        "remotehttp",
        "--config",
        path.to_str().unwrap(),
    ];
    let output = run(&args, &folder.path(""));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!folder.path("s.sock").exists());
}

#[test]
fn wrong_command_lines_are_wrong_for_both() {
    let folder = Scratch::new();
    let lines: &[&[&str]] = &[
        &["--bogus"],
        &["--confg", "a"],
        &["--config"],
        &["--config="],
        &["--config", ""],
        &["--config", "--log-level"],
        &["--config", "a", "--config", "b"],
        &["--config=a", "--config=b"],
        &["--transport"],
        &["--transport", "http"],
        &["--transport", "tcp"],
        &["--transport", "HTTP"],
        &["--transport", "stdio", "--transport", "stdio"],
        &["--transport="],
        &["--log-level"],
        &["--log-level", "LOUD"],
        &["--log-level", "5"],
        &["--log-level=", "INFO"],
        &["--log-level", "INFO", "--log-level", "INFO"],
        &["--loglevel", "INFO"],
        &["--logfile"],
        &["--logfile", "a", "--logfile", "b"],
        &["--log-file", "a"],
        &["--drain"],
        &["--drain", "a"],
        &["--drain", "-1"],
        &["--drain", "301"],
        &["--drain", "1.5"],
        &["--drain", "1", "--drain", "1"],
        &["--drain", "1", "--transport", "remotehttp"],
        &["config.json"],
        &["mqtt://localhost"],
        &["-c", "config.json"],
        &["-v"],
        &["--verbose"],
        &["--port", "1883"],
        &["--host", "localhost"],
        &["--conect"],
        &["--seconds", "1"],
        &["--publish", "a"],
        &["--publish", "a/#"],
        &["--seconds", "0"],
        &["--seconds", "99"],
        &["--quiet", "--debug"],
        &["serve"],
        &["stdio"],
        &["\u{1b}[2J"],
    ];
    assert!(lines.len() >= 40);
    for line in lines {
        let said = agree(line, &folder.path(""), 2);
        assert_eq!(said.lines().count(), 1, "{line:?}: {said}");
        assert!(said.contains("see `mcpmqtt --help`"), "{line:?}: {said}");
    }
    // These are understood, and lead nowhere.
    for line in [
        &["--config", "/nonexistent/config.json"][..],
        &["--config", "."],
        &["--config", "/nonexistent/a", "--transport", "remotehttp"],
        &["--transport", "remotehttp"],
    ] {
        agree(line, &folder.path(""), 1);
    }
}
