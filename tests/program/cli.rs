//! The command line: as the library parses it, and as the program answers.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Command as Process, Output, Stdio};

use mcpmqtt::app::cli::{self, Command, Settings, Transport};
use mcpmqtt_config::LogLevel;

use crate::common::pipes::pipe;
use crate::common::program::PROGRAM;

fn parsed(args: &[&str]) -> Command {
    cli::parse(args.iter().map(OsString::from)).unwrap()
}

fn refused(args: &[&str]) -> String {
    match cli::parse(args.iter().map(OsString::from)) {
        Ok(command) => panic!("{args:?} was understood as {command:?}"),
        Err(error) => error.to_string(),
    }
}

fn serve(settings: Settings) -> Command {
    Command::Serve {
        transport: Transport::Stdio,
        demo: false,
        settings,
    }
}

fn mcpmqtt(args: &[&str]) -> Output {
    Process::new(PROGRAM)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn without_arguments_it_serves_on_stdio() {
    assert_eq!(parsed(&[]), serve(Settings::default()));
}

#[test]
fn a_value_comes_after_a_blank_an_equals_sign_or_within_the_same_argument() {
    let config = |path: &str| {
        serve(Settings {
            config: Some(path.into()),
            ..Settings::default()
        })
    };
    assert_eq!(parsed(&["--config", "/a b.json"]), config("/a b.json"));
    assert_eq!(parsed(&["--config=/a b.json"]), config("/a b.json"));
    assert_eq!(parsed(&["--config /a b.json"]), config("/a b.json"));
    assert_eq!(parsed(&["--config   /a.json "]), config("/a.json"));
    assert_eq!(parsed(&["--config", "-"]), config("-"));
    assert_eq!(parsed(&["--config=./--check"]), config("./--check"));
}

#[test]
fn every_option_reaches_its_field() {
    let settings = Settings {
        config: Some("c".into()),
        log_level: Some(LogLevel::Debug),
        logfile: Some("l".into()),
        profile: None,
        drain: None,
    };
    let all = [
        "--logfile=l",
        "--transport remotehttp",
        "--log-level",
        "debug",
        "--config=c",
    ];
    let transport = Transport::RemoteHttp;
    assert_eq!(
        parsed(&all),
        Command::Serve {
            transport,
            demo: false,
            settings: settings.clone()
        }
    );
    let with = |flag| all.iter().copied().chain([flag]).collect::<Vec<_>>();
    assert_eq!(
        parsed(&with("--check")),
        Command::Check {
            transport,
            json: false,
            connect: None,
            settings: settings.clone()
        }
    );
    let without_config: Vec<_> = with("--demo")
        .into_iter()
        .filter(|word| !word.starts_with("--config"))
        .collect();
    assert_eq!(
        parsed(&without_config),
        Command::Serve {
            transport,
            demo: true,
            settings: Settings {
                config: None,
                ..settings.clone()
            },
        }
    );
    let call = [
        "--call",
        "mqtt_publish",
        "topic=a",
        "payload=--x y",
        "--json",
        "--config=c",
        "--logfile=l",
        "--log-level=debug",
    ];
    assert_eq!(
        parsed(&call),
        Command::Call {
            tool: "mqtt_publish".into(),
            arguments: vec!["topic=a".into(), "payload=--x y".into()],
            json: true,
            settings,
        }
    );
    assert_eq!(
        parsed(&with("--genkey")),
        Command::GenKey {
            config: Some("c".into())
        }
    );
}

#[test]
fn level_names_are_taken_in_any_case() {
    for (name, level) in [
        ("warning", LogLevel::Warning),
        ("WARN", LogLevel::Warning),
        ("eRRor", LogLevel::Error),
    ] {
        let settings = Settings {
            log_level: Some(level),
            ..Settings::default()
        };
        assert_eq!(parsed(&["--log-level", name]), serve(settings));
    }
}

#[test]
fn a_path_need_not_be_utf_8() {
    for words in [
        vec![&b"--config"[..], b"/\xff"],
        vec![b"--config=/\xff"],
        vec![b"--config /\xff"],
    ] {
        let args = words.iter().map(|word| OsString::from_vec(word.to_vec()));
        let path = PathBuf::from(OsString::from_vec(b"/\xff".to_vec()));
        assert_eq!(
            cli::parse(args).unwrap(),
            serve(Settings {
                config: Some(path),
                ..Settings::default()
            })
        );
    }
}

const LEVELS: &str = "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`";

#[test]
fn what_is_not_understood_is_named_with_what_was_probably_meant() {
    let unknown = |word: &str, meant: &str| match meant {
        "" => format!("unknown option `{word}`"),
        _ => format!("unknown option `{word}` (did you mean `{meant}`?)"),
    };
    let unexpected = |word: &str, meant: &str| match meant {
        "" => format!("unexpected argument `{word}`"),
        _ => format!("unexpected argument `{word}` (did you mean `{meant}`?)"),
    };
    let text = |text: &str| text.to_owned();
    let cases: &[(&[&str], String)] = &[
        (&["--bogus"], unknown("--bogus", "")),
        (&["-x"], unknown("-x", "")),
        (&["-h7"], unknown("-h7", "")),
        (&["--bogus x"], unknown("--bogus x", "")),
        (&["--"], unknown("--", "")),
        (&["---"], unknown("---", "")),
        (&["-"], unknown("-", "")),
        // Slips.
        (&["--conf", "x"], unknown("--conf", "--config")),
        (&["--confg", "x"], unknown("--confg", "--config")),
        (&["--cofnig=x"], unknown("--cofnig=x", "--config")),
        (&["--configs"], unknown("--configs", "--config")),
        (
            &["--confg /a b.json"],
            unknown("--confg /a b.json", "--config"),
        ),
        (&["--Config=x"], unknown("--Config=x", "--config")),
        (&["-config", "x"], unknown("-config", "--config")),
        (
            &["--config-file", "x"],
            unknown("--config-file", "--config"),
        ),
        (
            &["--logfile-path", "x"],
            unknown("--logfile-path", "--logfile"),
        ),
        (&["--log-file", "x"], unknown("--log-file", "--logfile")),
        (
            &["--log_level", "DEBUG"],
            unknown("--log_level", "--log-level"),
        ),
        (
            &["--loglevel=DEBUG"],
            unknown("--loglevel=DEBUG", "--log-level"),
        ),
        (
            &["--transprot", "stdio"],
            unknown("--transprot", "--transport"),
        ),
        (&["--gen-key"], unknown("--gen-key", "--genkey")),
        (&["--chekc"], unknown("--chekc", "--check")),
        (&["--dmeo"], unknown("--dmeo", "--demo")),
        (&["--hlep"], unknown("--hlep", "--help")),
        (&["--vers"], unknown("--vers", "--version")),
        // What other programs call it.
        (&["-c", "x"], unknown("-c", "--config")),
        (&["-v"], unknown("-v", "--log-level DEBUG")),
        (&["--verbose"], unknown("--verbose", "--log-level DEBUG")),
        (&["--stdio"], unknown("--stdio", "--transport stdio")),
        (&["--http"], unknown("--http", "--transport remotehttp")),
        (&["-?"], unknown("-?", "--help")),
        // No option at all.
        (&["a\nb"], unexpected("a\\nb", "")),
        (&[""], unexpected("", "")),
        (&["--demo", "now"], unexpected("now", "")),
        (
            &["--log-level", "INFO", "stdio"],
            unexpected("stdio", "--transport stdio"),
        ),
        (&["check"], unexpected("check", "--check")),
        (&["GENKEY"], unexpected("GENKEY", "--genkey")),
        (&["help"], unexpected("help", "--help")),
        (
            &["/etc/a b.json"],
            unexpected("/etc/a b.json", "--config /etc/a b.json"),
        ),
        (
            &["mqtt_read", "topic=a"],
            unexpected("mqtt_read", "--call mqtt_read"),
        ),
        // Values.
        (&["--config"], text("`--config` needs a value")),
        (&["--config="], text("`--config` needs a value")),
        (&["--config "], text("`--config` needs a value")),
        (&["--config", ""], text("`--config` needs a value")),
        (&["--config", "--check"], text("`--config` needs a value")),
        (&["--call"], text("`--call` needs a value")),
        (&["--call", "--json"], text("`--call` needs a value")),
        (
            &["--config", "a", "--config"],
            text("`--config` is given more than once"),
        ),
        (
            &["--config", "a", "--config=a"],
            text("`--config` is given more than once"),
        ),
        (
            &["--demo", "--demo"],
            text("`--demo` is given more than once"),
        ),
        (&["--check=yes"], text("`--check` takes no value")),
        (
            &["--transport", "http"],
            text("`--transport` cannot be `http`; allowed: `stdio` or `remotehttp`"),
        ),
        (
            &["--transport=HTTP"],
            text("`--transport` cannot be `HTTP`; allowed: `stdio` or `remotehttp`"),
        ),
        (
            &["--log-level=trace"],
            format!("`--log-level` cannot be `trace`; allowed: {LEVELS}"),
        ),
        (
            &["--log-level", "10"],
            format!("`--log-level` cannot be `10`; allowed: {LEVELS}"),
        ),
        (&["--revoke"], text("`--revoke` needs a value")),
        (
            &["--genkey", "config.json"],
            unexpected("config.json", "--config config.json"),
        ),
        (&["--genkey", "/etc/a"], unexpected("/etc/a", "")),
        (&["--genkey", "a", "b"], unexpected("b", "")),
        (&["--genkey", "-x"], unknown("-x", "")),
        // What does not go together.
        (
            &["--keys", "--revoke", "a"],
            text("`--revoke` and `--keys` exclude each other"),
        ),
        (
            &["--profile", "a", "--genkey"],
            text("`--profile` is for `--genkey NAME`, `--call` and serving over `stdio` only"),
        ),
        (
            &["--profile", "a", "--check"],
            text("`--profile` is for `--genkey NAME`, `--call` and serving over `stdio` only"),
        ),
        (
            &["--profile", "a", "--transport", "remotehttp"],
            text(
                "`--profile` and `--transport remotehttp` exclude each other: the profile of a caller is that of its key",
            ),
        ),
        (
            &["--demo", "--profile", "a"],
            text(
                "`--demo` and `--profile` exclude each other: the demo has a broker and a configuration of its own",
            ),
        ),
        (
            &["--genkey", "--demo"],
            text("`--genkey` and `--demo` exclude each other"),
        ),
        (
            &["--demo", "--check"],
            text("`--check` and `--demo` exclude each other"),
        ),
        (
            &["--check", "--genkey"],
            text("`--genkey` and `--check` exclude each other"),
        ),
        (
            &["-V", "--genkey"],
            text("`--version` and `--genkey` exclude each other"),
        ),
        (
            &["--call", "mqtt_read", "--check"],
            text("`--check` and `--call` exclude each other"),
        ),
        (
            &["--demo", "--config", "a"],
            text(
                "`--demo` and `--config` exclude each other: the demo has a broker and a configuration of its own",
            ),
        ),
        (
            &["--call", "mqtt_read", "--transport", "stdio"],
            text(
                "`--call` and `--transport` exclude each other: a call is made through the running server where there is one",
            ),
        ),
        (
            &["--json"],
            text("`--json` is for `--call` and `--check` only"),
        ),
        (&["--connect"], text("`--connect` is for `--check` only")),
        (
            &["--check", "--seconds", "3"],
            text("`--seconds` is for `--check --connect` only"),
        ),
        (
            &["--check", "--publish", "a/b"],
            text("`--publish` is for `--check --connect` only"),
        ),
        (
            &["--check", "--connect", "--seconds", "61"],
            text("`--seconds` cannot be `61`; allowed: whole seconds from 1 to 60"),
        ),
        (
            &["--check", "--connect", "--publish", "a/#"],
            text("`--publish` cannot be `a/#`; allowed: a topic without wildcards"),
        ),
        (
            &["--call", "mqtt_read", "--jsn"],
            unknown("--jsn", "--json"),
        ),
        (
            &["--call", "mqtt_read", "--json", "--json"],
            text("`--json` is given more than once"),
        ),
    ];
    assert!(cases.len() >= 40);
    for (args, words) in cases {
        assert_eq!(
            refused(args),
            format!("{words}; see `mcpmqtt --help`"),
            "for {args:?}"
        );
    }
}

#[test]
fn a_bad_value_that_is_not_utf_8_is_refused_in_words() {
    let error = cli::parse([OsString::from_vec(b"--transport=\xff".to_vec())]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`--transport` cannot be `\u{fffd}`"),
        "{error}"
    );
}

#[test]
fn the_arguments_of_a_call_are_text() {
    let words = [&b"--call"[..], b"mqtt_publish", b"payload=\xff"];
    let error = cli::parse(words.map(|word| OsString::from_vec(word.to_vec()))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`payload=\u{fffd}` is not UTF-8 text; other bytes go as base64, with `encoding=base64`; see `mcpmqtt --help`"
    );
}

#[test]
fn keys_are_named_on_the_command_line() {
    let parsed = |words: &[&str]| cli::parse(words.iter().map(OsString::from)).unwrap();
    let (name, config) = (String::from("codex"), Some("c".into()));
    for words in [
        &["--genkey", "codex", "--config", "c"][..],
        &["--config=c", "--genkey=codex"],
        &["--genkey codex", "--config c"],
    ] {
        let expected = Command::AddKey {
            name: name.clone(),
            profile: "default".into(),
            config: config.clone(),
        };
        assert_eq!(parsed(words), expected, "{words:?}");
    }
    assert_eq!(
        parsed(&["--genkey", "codex", "--profile", "line"]),
        Command::AddKey {
            name: name.clone(),
            profile: "line".into(),
            config: None
        }
    );
    let revoke = Command::Revoke {
        name,
        config: config.clone(),
    };
    assert_eq!(parsed(&["--revoke=codex", "--config", "c"]), revoke);
    let keys = parsed(&["--keys", "--config", "c"]);
    assert_eq!(keys, Command::Keys { config });
}

#[test]
fn the_files_of_a_record_may_be_several() {
    let hash = "ab".repeat(32);
    let anchored = format!("12:{hash}");
    let args = ["--verify-audit", "a", "b", "--anchor", &anchored];
    let Command::VerifyAudit { files, anchor } = parsed(&args) else {
        panic!("{args:?}");
    };
    assert_eq!(files, [PathBuf::from("a"), "b".into()]);
    assert!(anchor.is_some());
    for (args, words) in [
        (&["--verify-audit"][..], "`--verify-audit` needs a value"),
        (
            &["--anchor", &hash],
            "`--anchor` is for `--verify-audit` only",
        ),
        (
            &["--verify-audit", "a", "--anchor", "1:2"],
            "`--anchor` cannot be `1:2`; allowed: `NUMBER:HASH` as the log has it, or the hash alone",
        ),
        (
            &["--verify-audit", "a", "--check"],
            "`--check` and `--verify-audit` exclude each other",
        ),
        (&["--verify-audit", "a", "-x"], "unknown option `-x`"),
    ] {
        let refused = refused(args);
        assert_eq!(refused, format!("{words}; see `mcpmqtt --help`"));
    }
}

#[test]
fn help_and_version_go_to_stdout_and_fit_the_screen() {
    for flag in ["--help", "-h"] {
        let help = mcpmqtt(&["--bogus", flag]);
        assert_eq!(help.status.code(), Some(0));
        assert!(help.stderr.is_empty());
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(
            text.lines().count() <= 24 + 13 && text.lines().all(|line| line.len() <= 80),
            "{text}"
        );
        assert!(text.contains("Exit codes: 0 done"));
    }
    for flag in ["--version", "-V"] {
        let version = mcpmqtt(&[flag]);
        assert_eq!(version.status.code(), Some(0));
        assert_eq!(
            version.stdout,
            format!("mcpmqtt {}\n", env!("CARGO_PKG_VERSION")).as_bytes()
        );
    }
}

#[test]
fn every_option_in_the_help_is_understood() {
    let options: Vec<_> = cli::HELP
        .split(|char: char| !char.is_ascii_alphanumeric() && char != '-')
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .collect();
    assert!(options.len() >= 9, "{options:?}");
    for option in options {
        let outcome = cli::parse([OsString::from(option)]);
        assert!(
            !outcome.is_err_and(|error| matches!(error, cli::UsageError::Unknown(_))),
            "{option} is in the help only"
        );
    }
}

#[test]
fn wrong_arguments_end_with_code_2_and_one_line_on_stderr() {
    let output = mcpmqtt(&["--bogus"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        error,
        "mcpmqtt: unknown option `--bogus`; see `mcpmqtt --help`\n"
    );
}

#[test]
fn help_into_a_closed_pipe_is_no_failure() {
    let (reader, writer) = pipe();
    drop(reader);
    let status = Process::new(PROGRAM)
        .arg("--help")
        .stdout(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_time_after_the_end_of_input_is_whole_seconds_and_for_stdio_only() {
    for (text, seconds) in [("0", 0), ("60", 60), ("300", 300)] {
        let drain = Some(std::time::Duration::from_secs(seconds));
        let settings = Settings {
            drain,
            ..Settings::default()
        };
        assert_eq!(parsed(&["--drain", text]), serve(settings));
    }
    for text in ["301", "-1", "1.5", "soon", "99999999999999999999"] {
        let said = refused(&["--drain", text]);
        assert!(
            said.contains("allowed: whole seconds from 0 to 300"),
            "{said}"
        );
    }
    let said = refused(&["--drain=5", "--transport=remotehttp"]);
    assert!(said.contains("exclude each other"), "{said}");
}
