//! The command line: as the library parses it, and as the program answers.

#![allow(clippy::unwrap_used, missing_docs)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output, Stdio};

use mcpmqtt::cli::{self, Command, Settings, Transport};
use mcpmqtt_config::LogLevel;

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
    Process::new(env!("CARGO_BIN_EXE_mcpmqtt"))
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
            settings: settings.clone()
        }
    );
    assert_eq!(
        parsed(&with("--demo")),
        Command::Serve {
            transport,
            demo: true,
            settings
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

#[test]
fn what_is_not_understood_is_named() {
    for (args, words) in [
        (&["--bogus"][..], "unknown option `--bogus`"),
        (&["-x"], "unknown option `-x`"),
        (&["--conf", "x"], "unknown option `--conf`"),
        (&["--bogus x"], "unknown option `--bogus x`"),
        (&["a\nb"], "unexpected argument `a\\nb`"),
        (&["--demo", "now"], "unexpected argument `now`"),
        (&["--"], "unknown option `--`"),
        (&[""], "unexpected argument ``"),
        (&["--config"], "`--config` needs a value"),
        (&["--config="], "`--config` needs a value"),
        (&["--config "], "`--config` needs a value"),
        (&["--config", ""], "`--config` needs a value"),
        (&["--config", "--check"], "`--config` needs a value"),
        (
            &["--config", "a", "--config"],
            "`--config` is given more than once",
        ),
        (
            &["--config", "a", "--config=a"],
            "`--config` is given more than once",
        ),
        (&["--demo", "--demo"], "`--demo` is given more than once"),
        (&["--check=yes"], "`--check` takes no value"),
        (
            &["--genkey", "--demo"],
            "`--genkey` and `--demo` exclude each other",
        ),
        (
            &["--demo", "--check"],
            "`--check` and `--demo` exclude each other",
        ),
        (
            &["-V", "--genkey"],
            "`--version` and `--genkey` exclude each other",
        ),
        (
            &["--transport", "sse"],
            "`--transport` cannot be `sse`; allowed: `stdio` or `remotehttp`",
        ),
        (
            &["--log-level=trace"],
            "`--log-level` cannot be `trace`; allowed: `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`",
        ),
    ] {
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
fn the_default_file_is_where_xdg_has_it() {
    let path = |xdg: Option<&str>, home: Option<&str>| {
        cli::default_config_path(xdg.map(OsStr::new), home.map(OsStr::new))
    };
    let expect = |text| Some(Path::new(text).to_path_buf());
    assert_eq!(
        path(Some("/x"), Some("/h")),
        expect("/x/mcpmqtt/config.json")
    );
    assert_eq!(
        path(None, Some("/h")),
        expect("/h/.config/mcpmqtt/config.json")
    );
    assert_eq!(
        path(Some("rel"), Some("/h")),
        expect("/h/.config/mcpmqtt/config.json")
    );
    assert_eq!(path(Some(""), Some("")), None);
    assert_eq!(path(None, None), None);
}

#[test]
fn help_and_version_go_to_stdout_and_fit_the_screen() {
    for flag in ["--help", "-h"] {
        let help = mcpmqtt(&["--bogus", flag]);
        assert_eq!(help.status.code(), Some(0));
        assert!(help.stderr.is_empty());
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(
            text.lines().count() <= 24 + 2 && text.lines().all(|line| line.len() <= 80),
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
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(reader);
    let status = Process::new(env!("CARGO_BIN_EXE_mcpmqtt"))
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
