//! What another user of the machine, or a mistake, puts in the way of a start, a reload and an end: locks, servers that
//! hang, named pipes, files that others can use, too few descriptors.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::config::open_config;
use crate::common::mosquitto::Mosquitto;
use crate::common::ports::free_port;
use crate::common::program::{PROGRAM, Program, STATUS, ask, unix};
use crate::common::scratch::Scratch;
use crate::common::waiting::PATIENCE;

const SERVING: &str = "serving MCP over HTTP on";

fn remote(folder: &Scratch, port: u16) -> Value {
    json!({
        "mqtt": {"host": "127.0.0.1", "port": port, "backoff": {"initial": 0.05, "max": 0.1}},
        "remote_server": {"uds": folder.path("socket"), "api_key": "k"},
    })
}

fn write(folder: &Scratch, config: &Value) -> PathBuf {
    folder.file("config.json", &config.to_string())
}

fn fifo(path: &Path) {
    let _ = std::fs::remove_file(path);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::from_raw_mode(0o600)).unwrap();
}

/// What it says and how it ends; it is killed, and the test fails, when it does not end.
fn ends(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!("it did not end: {output:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

// ---- locks and servers that hang

#[test]
fn a_strangers_lock_on_the_sockets_directory_keeps_it_from_neither_starting_nor_ending() {
    let folder = Scratch::new();
    let config = write(&folder, &remote(&folder, free_port()));
    let strangers = File::open(folder.path("")).unwrap();
    flock(&strangers, FlockOperation::LockExclusive).unwrap();
    let mut program = Program::over(&config);
    program.until("keeps the directory of");
    program.until(SERVING);
    assert!(ask(unix(&folder.path("socket")), STATUS).starts_with("HTTP/1.1 200"));
    let (log, status) = program.end();
    assert!(status.success(), "{log}");
}

#[test]
fn a_signal_ends_it_while_it_waits_for_the_lock() {
    let folder = Scratch::new();
    let config = write(&folder, &remote(&folder, free_port()));
    let strangers = File::open(folder.path("")).unwrap();
    flock(&strangers, FlockOperation::LockExclusive).unwrap();
    let mut program = Program::over(&config);
    program.until("the key is in plain text");
    let (log, _) = program.end();
    assert!(!log.contains(SERVING), "{log}");
}

#[test]
fn a_server_that_takes_nobody_in_is_another_server() {
    let folder = Scratch::new();
    let config = write(&folder, &remote(&folder, free_port()));
    let hung = UnixListener::bind(folder.path("socket")).unwrap();
    rustix::net::listen(&hung, 0).unwrap();
    let _waiting = UnixStream::connect(folder.path("socket")).unwrap();
    let output = ends(
        Command::new(PROGRAM)
            .args(["--transport", "remotehttp", "--config"])
            .arg(&config),
    );
    assert_eq!(output.status.code(), Some(1));
    let log = text(&output.stderr);
    assert!(log.contains("another server listens on"), "{log}");
}

// ---- what is no file

#[test]
fn a_pipe_in_the_place_of_the_configuration_changes_nothing_and_does_not_hang() {
    let folder = Scratch::new();
    let config = write(&folder, &remote(&folder, free_port()));
    let mut program = Program::over(&config);
    program.until(SERVING);
    fifo(&config);
    program.signal(Signal::HUP);
    program.until("it is a named pipe, not a regular file");
    assert!(ask(unix(&folder.path("socket")), STATUS).starts_with("HTTP/1.1 200"));
    let (log, status) = program.end();
    assert!(status.success(), "{log}");
}

#[test]
fn what_is_no_file_is_refused_in_words() {
    let folder = Scratch::new();
    let pipe = folder.path("pipe");
    fifo(&pipe);
    let socket = folder.path("other");
    let _socket = UnixListener::bind(&socket).unwrap();
    for (path, what) in [
        (pipe, "it is a named pipe, not a regular file"),
        (socket, "it is a socket, not a regular file"),
        ("/dev/zero".into(), "it is a device, not a regular file"),
        (folder.path(""), "is a directory"),
    ] {
        let output = ends(
            Command::new(PROGRAM)
                .args(["--check", "--config"])
                .arg(&path),
        );
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(
            said.contains("cannot read the configuration") && said.contains(what),
            "{said}"
        );
        for (section, key) in [
            (
                json!({"username": "u", "password_file": path}),
                "mqtt.password_file",
            ),
            (json!({"tls": {"ca_file": path}}), "mqtt.tls.ca_file"),
        ] {
            if key.contains("tls") && cfg!(not(feature = "tls")) {
                continue;
            }
            let mut config = open_config(1);
            config["mqtt"]
                .as_object_mut()
                .unwrap()
                .extend(section.as_object().unwrap().clone());
            // Without a word to it: it is over before it could read one.
            let file = folder.file("config.json", &config.to_string());
            let (code, log) = Agent::with_args(&["--config", file.to_str().unwrap()]).finish();
            assert_eq!(code, Some(1), "{log}");
            assert!(log.contains(key) && log.contains(what), "{log}");
        }
    }
}

/// `mcpmqtt --check --config <(...)`.
#[test]
fn a_pipe_that_was_handed_over_is_read() {
    let folder = Scratch::new();
    let config = remote(&folder, 4711).to_string();
    let check = |input: &str| {
        let mut command = Command::new(PROGRAM);
        command
            .args(["--check", "--config", "/dev/fd/0"])
            .stdin(Stdio::piped());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let (first, rest) = input.split_at(input.len() / 2);
        pipe.write_all(first.as_bytes()).unwrap();
        pipe.flush().unwrap();
        pipe.write_all(rest.as_bytes()).unwrap();
        drop(pipe);
        child.wait_with_output().unwrap()
    };
    let output = check(&config);
    assert!(
        output.status.success() && text(&output.stdout).contains("4711"),
        "{output:?}"
    );
    let output = check("");
    assert!(
        text(&output.stderr).contains("the pipe is empty"),
        "{output:?}"
    );
}

#[test]
fn a_log_file_that_cannot_be_opened_costs_a_warning_and_makes_no_directory() {
    let folder = Scratch::new();
    let pipe = folder.path("pipe");
    fifo(&pipe);
    let absent = folder.path("absent");
    for (path, words) in [
        (
            pipe.clone(),
            "it is a named pipe that nobody reads".to_owned(),
        ),
        (
            absent.join("x.log"),
            format!("there is no directory `{}`", absent.display()),
        ),
    ] {
        let mut config = remote(&folder, free_port());
        config["logging"] = json!({"logfile": path});
        let config = write(&folder, &config);
        let mut program = Program::over(&config);
        program.until(&words);
        program.until(SERVING);
        program.signal(Signal::HUP);
        program.until(&words);
        let (log, status) = program.end();
        assert!(status.success(), "{log}");
    }
    assert!(!absent.exists());
}

// ---- files that others can use

#[test]
fn files_that_others_can_read_or_write_are_warned_of() {
    let folder = Scratch::new();
    let warned = |file: &Path, mode: u32, directory: u32, config: &Value| {
        let config = write(&folder, config);
        std::fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
        std::fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
        std::fs::set_permissions(folder.path(""), Permissions::from_mode(directory)).unwrap();
        let output = ends(
            Command::new(PROGRAM)
                .args(["--check", "--config"])
                .arg(&config),
        );
        assert!(output.status.success(), "{output:?}");
        let said = text(&output.stdout);
        let lines = said.lines().filter(|line| line.contains("(mode "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let secret = json!({"mqtt": {"username": "u", "password": "p"}});
    let plain = json!({"mqtt": {"host": "h"}});
    let password = folder.file("password", "p");
    let named = json!({"mqtt": {"username": "u", "password_file": password}});
    let own = folder.path("config.json");
    let reads = "every user can read";
    let writes = "others can write";
    let both = "others can read and write";
    let replaces = "every user can replace it";
    for (file, mode, directory, config, expected) in [
        (&own, 0o600, 0o755, &secret, &[][..]),
        // As the package installs it.
        (&own, 0o640, 0o755, &secret, &[]),
        (&own, 0o644, 0o755, &plain, &[]),
        (&own, 0o644, 0o755, &secret, &[reads]),
        (&own, 0o660, 0o755, &secret, &[writes]),
        (&own, 0o660, 0o755, &plain, &[writes]),
        (&own, 0o646, 0o755, &secret, &[both]),
        (&own, 0o600, 0o777, &plain, &[replaces]),
        (&own, 0o600, 0o1777, &plain, &[]),
        (&own, 0o644, 0o777, &secret, &[reads, replaces]),
        (&password, 0o600, 0o755, &named, &[]),
        (&password, 0o644, 0o755, &named, &[reads]),
        (&password, 0o620, 0o755, &named, &[writes]),
    ] {
        let lines = warned(file, mode, directory, config);
        assert_eq!(
            lines.len(),
            expected.len(),
            "{mode:o} {directory:o} {lines:?}"
        );
        for (line, words) in lines.iter().zip(expected) {
            assert!(line.contains(words) && line.contains("chmod"), "{line}");
        }
    }
    std::fs::set_permissions(folder.path(""), Permissions::from_mode(0o700)).unwrap();
}

// ---- the user's own directory

#[test]
fn a_tilde_is_the_users_own_directory_in_the_file_and_on_the_command_line() {
    let folder = Scratch::new();
    let mut config = open_config(1);
    config["logging"] = json!({"logfile": "~/x.log"});
    config["mqtt"]["username"] = json!("u");
    config["mqtt"]["password_file"] = json!("~/password");
    folder.file("password", "p");
    folder.file("config.json", &config.to_string());
    let run = |arguments: &[&str], home: &str| {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .env("HOME", home)
            .current_dir(folder.path(""));
        ends(command.stdin(Stdio::null()))
    };
    let home = folder.path("");
    let home = home.to_str().unwrap();
    let output = run(&["--config=~/config.json"], home);
    assert!(output.status.success(), "{output:?}");
    let log = std::fs::read_to_string(folder.path("x.log")).unwrap();
    assert!(log.contains("config.json"), "{log}");
    let output = run(&["--config=~/config.json", "--logfile=~/y.log"], home);
    assert!(
        output.status.success() && folder.path("y.log").exists(),
        "{output:?}"
    );
    assert!(!folder.path("~").exists());
    for (arguments, home, words) in [
        (&["--check", "--config=~ada/c"][..], home, "only `~/` is"),
        (&["--check", "--config=~/c"], "", "HOME names no directory"),
        (
            &["--check", "--config=config.json"],
            "x",
            "logging.logfile: `~/x.log` cannot be expanded",
        ),
    ] {
        let output = run(arguments, home);
        assert!(
            !output.status.success() && text(&output.stderr).contains(words),
            "{output:?}"
        );
    }
}

#[test]
fn a_home_that_is_not_ours_or_no_directory_gives_the_defaults_with_a_word() {
    let folder = Scratch::new();
    let plain = folder.file("plain", "");
    let closed = folder.path("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    let mut homes = vec![PathBuf::from("/dev/null"), plain];
    // Root reads everything.
    if std::fs::read_dir(&closed).is_err() {
        homes.push(closed.clone());
    }
    for home in homes {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--check")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("MCPMQTT_CONFIG")
            .env("HOME", &home);
        let output = ends(&mut command);
        assert!(output.status.success(), "{output:?}");
        let said = text(&output.stdout);
        assert!(
            said.contains("there is no configuration file")
                && said.contains("cannot be looked for: "),
            "{said}"
        );
        assert!(said.contains("the built-in defaults"), "{said}");
    }
    std::fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
}

// ---- descriptors

/// The program with this limit of open files.
fn limited(files: usize) -> Command {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!("ulimit -n {files}; exec \"$0\" \"$@\""),
        PROGRAM,
    ]);
    command
}

#[test]
fn too_few_descriptors_are_said_and_no_panic() {
    let folder = Scratch::new();
    let stdio = folder.file("stdio.json", &open_config(1).to_string());
    let http = write(&folder, &remote(&folder, 1));
    // The loader of a program that is not static needs one.
    for files in [4, 6, 10] {
        for (transport, config) in [("stdio", &stdio), ("remotehttp", &http)] {
            let mut command = limited(files);
            command
                .args(["--transport", transport, "--config"])
                .arg(config);
            let output = ends(command.stdin(Stdio::null()));
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{files} {said}");
            assert!(!said.contains("panicked"), "{files} {said}");
            if files > 4 {
                let words = format!("may have only {files} files open");
                assert!(said.contains(&words), "{said}");
            }
        }
    }
}

#[test]
fn connections_leave_descriptors_for_the_broker() {
    let mut broker = Mosquitto::persistent();
    let folder = Scratch::new();
    let config = write(&folder, &remote(&folder, broker.port));
    let mut command = limited(80);
    command
        .args(["--transport", "remotehttp", "--config"])
        .arg(&config);
    let mut program = Program::start(command.stdin(Stdio::null()));
    program.until("may have only 80 files open");
    program.until("connected to the broker");
    let socket = folder.path("socket");
    // Strangers who say nothing, more than may be served.
    let strangers: Vec<_> = (0..100).map(|_| unix(&socket)).collect();
    assert!(ask(unix(&socket), STATUS).starts_with("HTTP/1.1 200"));
    broker.kill();
    program.until("next attempt");
    broker.restart();
    program.until("connected to the broker");
    drop(strangers);
    let (log, status) = program.end();
    assert!(status.success(), "{log}");
    assert!(!log.contains("cannot accept connections:"), "{log}");
}

/// The limit may be lowered, or the system's own be reached, while it runs.
#[test]
fn without_descriptors_whoever_waits_longest_is_let_go_and_one_line_says_it() {
    let folder = Scratch::new();
    let config = write(&folder, &remote(&folder, free_port()));
    let mut program = Program::over(&config);
    program.until(SERVING);
    let socket = folder.path("socket");
    let strangers: Vec<_> = (0..20).map(|_| unix(&socket)).collect();
    assert!(ask(unix(&socket), STATUS).starts_with("HTTP/1.1 200"));
    let open = std::fs::read_dir(format!("/proc/{}/fd", program.pid()))
        .unwrap()
        .count() as u64;
    let lower = rustix::process::Rlimit {
        current: Some(open),
        maximum: Some(open),
    };
    let pid = rustix::process::Pid::from_raw(program.pid() as i32);
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, lower).unwrap();
    let more: Vec<_> = (0..5).map(|_| unix(&socket)).collect();
    for _ in 0..5 {
        assert!(ask(unix(&socket), STATUS).starts_with("HTTP/1.1 200"));
    }
    drop((strangers, more));
    let (log, status) = program.end();
    assert!(status.success(), "{log}");
    assert_eq!(
        log.matches("cannot accept connections:").count(),
        1,
        "{log}"
    );
}

// ---- standard output

#[test]
fn a_standard_output_that_is_closed_or_full_is_a_fault_in_the_log() {
    let folder = Scratch::new();
    let config = folder.file("config.json", &open_config(1).to_string());
    let request = r#"{"jsonrpc": "2.0", "id": 1, "method": "ping"}"#;
    for (redirection, words) in [
        (">&-", "standard output is closed"),
        (
            ">/dev/full",
            "cannot write to standard output: no space left on device",
        ),
    ] {
        let log = folder.path("log");
        let _ = std::fs::remove_file(&log);
        let script =
            format!("echo '{request}' | \"$0\" --config \"$1\" --logfile \"$2\" {redirection}");
        let mut command = Command::new("sh");
        command
            .args(["-c", &script, PROGRAM])
            .arg(&config)
            .arg(&log);
        let output = ends(&mut command);
        assert_eq!(output.status.code(), Some(1), "{redirection} {output:?}");
        let log = std::fs::read_to_string(&log).unwrap();
        let said = log.lines().filter(|line| line.contains(words)).count();
        assert_eq!(said, 1, "{redirection} {log}");
    }
}
