//! A start that fails, as the client sees it that started the program.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_io::{Timer, block_on};
use mcpmqtt::stdio;
use serde_json::{Value, json};
use smol::future;

use crate::common::config::open_config;
use crate::common::pipes::pipe;
use crate::common::ports::free_port;
use crate::common::program::PROGRAM;
use crate::common::scratch::Scratch;
use crate::common::waiting::PATIENCE;

const DISCOVER: &str = r#"{"jsonrpc":"2.0","id":1180591620717411303424,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"a b","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

fn start(args: &[&str]) -> Child {
    Command::new(PROGRAM)
        .args(args)
        .env_remove("HOME")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("MCPMQTT_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Exit code, the messages on standard output and the text on standard error of a program that is told these lines,
/// whose pipe stays open until it has ended.
fn told(args: &[&str], lines: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    let mut child = start(args);
    let mut stdin = child.stdin.take().unwrap();
    for line in lines {
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let text = String::from_utf8(output.stdout).unwrap();
    let messages = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let errors = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), messages.collect(), errors)
}

fn error(id: Value, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32603, "message": text}})
}

/// A configuration file that cannot be used, by one change of a good one.
fn broken(scratch: &Scratch, name: &str, change: impl Fn(&mut Value)) -> String {
    let mut config = open_config(free_port());
    change(&mut config);
    let path = scratch.file(name, &config.to_string());
    path.to_str().unwrap().to_owned()
}

#[test]
fn every_fault_of_the_start_answers_the_probe_and_the_handshake_on_one_pipe() {
    let scratch = Scratch::new();
    let absent = scratch.path("absent");
    let no_json = scratch.file("no.json", "{,}");
    let mut files = vec![
        absent.to_str().unwrap().to_owned(),
        no_json.to_str().unwrap().to_owned(),
        broken(&scratch, "port", |config| {
            config["mqtt"]["port"] = json!(188_300);
        }),
        broken(&scratch, "password", |config| {
            config["mqtt"]["username"] = json!("ada");
            config["mqtt"]["password_file"] = json!(absent);
        }),
    ];
    if cfg!(feature = "tls") {
        files.push(broken(&scratch, "tls", |config| {
            config["mqtt"]["tls"] = json!({"ca_file": absent});
        }));
    }
    for file in files {
        let tools = r#"{"jsonrpc":"2.0","id":3,"method":"tools/list"}"#;
        let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let lines = [DISCOVER, note, "{", tools, INITIALIZE];
        let (code, messages, errors) = told(&["--config", &file], &lines);
        assert_eq!(code, Some(1), "{file}");
        let [discover, parse, tools, initialize] = messages.as_slice() else {
            panic!("{file}: {messages:?}");
        };
        let said = errors.strip_prefix("mcpmqtt: ").or_else(|| {
            // Where the log is there already, warnings stand before it.
            errors.split("\nmcpmqtt: ").nth(1)
        });
        let said = said
            .unwrap_or_else(|| panic!("{file}: {errors}"))
            .trim_end();
        assert!(!said.is_empty(), "{file}");
        assert_eq!(parse["error"]["code"], -32700, "{parse}");
        // Its digits are seen in the text only.
        assert_eq!(discover["error"], error(Value::Null, said)["error"]);
        assert_eq!(*tools, error(json!(3), said));
        assert_eq!(*initialize, error(json!("a b"), said));
    }
}

#[test]
fn ids_keep_their_digits() {
    let mut child = start(&["--config", "/nonexistent/config.json"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(DISCOVER.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let opening = r#"{"jsonrpc":"2.0","id":1180591620717411303424,"error":{"code":-32603,"#;
    assert!(
        text.starts_with(opening) && text.ends_with("}}\n"),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_fault_is_on_standard_error_while_the_client_has_said_nothing() {
    let mut child = start(&["--config", "/nonexistent/config.json"]);
    let mut errors = child.stderr.take().unwrap();
    let mut text = Vec::new();
    let mut room = [0; 512];
    while !text.ends_with(b"\n") {
        let count = errors.read(&mut room).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&room[..count]);
    }
    assert!(text.starts_with(b"mcpmqtt: cannot read the configuration"));
    assert!(
        child.try_wait().unwrap().is_none(),
        "it waits for its client"
    );
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn where_no_client_can_be_there_it_ends_without_a_word_on_standard_output() {
    for args in [
        &["--config", "/nonexistent/config.json"][..],
        &[
            "--transport",
            "remotehttp",
            "--config",
            "/nonexistent/config.json",
        ],
        &["--check", "--config", "/nonexistent/config.json"],
    ] {
        let mut command = Command::new(PROGRAM);
        let output = command.args(args).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        // The check ends with its verdict.
        let verdict = match args.first() {
            Some(&"--check") => "not ready: it would not start over stdio\n",
            _ => "",
        };
        assert_eq!(String::from_utf8_lossy(&output.stdout), verdict, "{args:?}");
    }
    // These do not speak on standard input, and end while it is open.
    for args in [
        &[
            "--transport",
            "remotehttp",
            "--config",
            "/nonexistent/config.json",
        ][..],
        &["--genkey", "--config", "/nonexistent/config.json"],
    ] {
        let (code, messages, _) = told(args, &[]);
        assert_eq!((code, messages), (Some(1), Vec::new()), "{args:?}");
    }
    let mut check = Command::new(PROGRAM)
        .args(["--check", "--config", "/nonexistent/config.json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _open = check.stdin.take();
    assert_eq!(check.wait().unwrap().code(), Some(1));
}

// ---- the waiting, with another patience

fn pipes() -> ((OwnedFd, OwnedFd), (OwnedFd, OwnedFd)) {
    (pipe(), pipe())
}

fn within_patience(work: impl Future<Output = ()>) {
    let hung = async {
        Timer::after(PATIENCE).await;
        panic!("it hangs");
    };
    block_on(future::or(work, hung));
}

#[test]
fn a_client_that_says_nothing_is_not_waited_for_longer_than_the_patience() {
    let ((input, _client), (answers, output)) = pipes();
    within_patience(stdio::tell_client_on(
        input,
        output,
        "why",
        Duration::from_millis(20),
    ));
    let mut text = String::new();
    std::fs::File::from(answers)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "");
}

#[test]
fn a_client_that_does_not_read_is_not_waited_for_either() {
    let ((input, client), (_answers, output)) = pipes();
    let line = format!("{}\n", INITIALIZE.replace("initialize", "ping"));
    let writing = std::thread::spawn(move || {
        let mut client = std::fs::File::from(client);
        // Until the other end is closed.
        while client.write_all(line.as_bytes()).is_ok() {}
    });
    let reason = "x".repeat(4000);
    within_patience(stdio::tell_client_on(
        input,
        output,
        &reason,
        Duration::from_millis(200),
    ));
    writing.join().unwrap();
}

#[test]
fn an_endless_line_costs_no_memory_and_gets_one_error() {
    let ((input, client), (answers, output)) = pipes();
    let writing = std::thread::spawn(move || {
        let mut client = std::fs::File::from(client);
        client.write_all(&vec![b'x'; 5 << 20]).unwrap();
        client
            .write_all(format!("\n{INITIALIZE}").as_bytes())
            .unwrap();
    });
    within_patience(stdio::tell_client_on(input, output, "why", PATIENCE));
    writing.join().unwrap();
    let mut text = String::new();
    std::fs::File::from(answers)
        .read_to_string(&mut text)
        .unwrap();
    let codes: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["error"]["code"].clone())
        .collect();
    assert_eq!(codes, [-32600, -32603]);
}

// ---- at a terminal

/// The program in a terminal of its own, which `script` makes. A shell that stayed would end by the signal, too.
struct Terminal {
    child: Child,
    seen: String,
}

impl Terminal {
    fn start(arguments: &str, home: &std::path::Path) -> Terminal {
        let child = Command::new("script")
            .args(["-qec", &format!("exec {PROGRAM} {arguments}"), "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("HOME", home)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("MCPMQTT_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Terminal {
            child,
            seen: String::new(),
        }
    }

    fn until(&mut self, words: &str) {
        let mut room = [0; 512];
        while !self.seen.contains(words) {
            let count = self.child.stdout.as_mut().unwrap().read(&mut room).unwrap();
            assert!(count > 0, "it ended without `{words}`: {}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&room[..count]));
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(keys).unwrap();
    }

    /// Its exit code, and all that it showed.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        let output = self.child.stdout.as_mut().unwrap();
        output.read_to_string(&mut rest).unwrap();
        self.seen.push_str(&rest);
        let code = self.child.wait().unwrap().code();
        (code, std::mem::take(&mut self.seen))
    }
}

const WAITS: &str = "mcpmqtt: waiting for an MCP client on standard input; Ctrl-C ends it; \
`mcpmqtt --help` shows its other uses";

#[test]
fn a_person_at_a_terminal_learns_that_it_waits_and_how_to_end_it() {
    let scratch = Scratch::new();
    let config = scratch.file("config.json", &open_config(free_port()).to_string());
    let arguments = format!("--log-level critical --config {}", config.display());
    let mut terminal = Terminal::start(&arguments, &scratch.path(""));
    terminal.until(WAITS);
    terminal.press(b"\x03");
    let (code, seen) = terminal.end();
    assert_eq!(code, Some(0), "{seen}");
}

#[test]
fn a_person_at_a_terminal_learns_how_to_watch_the_demo() {
    let scratch = Scratch::new();
    let mut terminal = Terminal::start("--demo --log-level critical", &scratch.path(""));
    terminal.until(WAITS);
    let seen = terminal.seen.clone();
    let (_, rest) = seen
        .split_once("mcpmqtt: watch the demo in another terminal: mosquitto_sub -p ")
        .unwrap_or_else(|| panic!("{seen}"));
    let port: u16 = rest.split(' ').next().unwrap().parse().unwrap();
    assert!(rest.starts_with(&format!("{port} -v -t '#'")), "{seen}");
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    terminal.press(b"\x03");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn at_a_terminal_a_start_that_fails_ends_at_once() {
    let scratch = Scratch::new();
    let terminal = Terminal::start("--config /nonexistent/config.json", &scratch.path(""));
    // Nothing is typed, and nothing closed.
    let (code, seen) = terminal.end();
    assert_eq!(code, Some(1), "{seen}");
    assert!(
        seen.contains("mcpmqtt: cannot read the configuration"),
        "{seen}"
    );
}

#[test]
fn a_client_with_wrong_arguments_is_told_which() {
    let (code, messages, errors) = told(&["--confg", "x"], &[DISCOVER, INITIALIZE]);
    let words = "unknown option `--confg` (did you mean `--config`?); see `mcpmqtt --help`";
    assert_eq!(code, Some(2));
    assert_eq!(errors, format!("mcpmqtt: {words}\n"));
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1], error(json!("a b"), words));
    // These were never meant to speak there.
    for args in [
        &["--check", "--bogus"][..],
        &["--call", "x"],
        &["--transport=remotehttp", "x"],
    ] {
        let (code, messages, _) = told(args, &[]);
        assert_eq!((code, messages), (Some(2), Vec::new()), "{args:?}");
    }
}
