//! The program as a service manager sees it: what it is told, and how it ends.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use crate::common::messages::{self, request};
use crate::common::mosquitto::Mosquitto;
use crate::common::program::{PROGRAM, Program, ask, unix};
use crate::common::requests::{BOTH, modern_post, post_as};
use crate::common::scratch::Scratch;
use crate::common::waiting::PATIENCE;

/// The manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    /// The values of `STATUS=` so far.
    states: Vec<String>,
}

impl Manager {
    fn on(socket: UnixDatagram) -> Manager {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let states = Vec::new();
        Manager { socket, states }
    }

    /// The assignments of the next message.
    fn message(&mut self) -> Vec<String> {
        let mut room = [0; 8192];
        let count = self.socket.recv(&mut room).unwrap();
        let text = std::str::from_utf8(&room[..count]).unwrap();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let state = lines.iter().find_map(|line| line.strip_prefix("STATUS="));
        self.states.extend(state.map(str::to_owned));
        lines
    }

    /// Reads up to a message with this assignment.
    fn until(&mut self, assignment: &str) -> Vec<String> {
        loop {
            let message = self.message();
            if message.iter().any(|line| line == assignment) {
                return message;
            }
        }
    }

    /// Reads up to a state that begins so.
    fn until_state(&mut self, beginning: &str) {
        while !self
            .states
            .last()
            .is_some_and(|it| it.starts_with(beginning))
        {
            self.message();
        }
    }
}

fn config(folder: &Scratch, port: u16) -> (PathBuf, PathBuf) {
    let socket = folder.path("socket");
    let text = json!({
        "mqtt": {"host": "127.0.0.1", "port": port, "backoff": {"initial": 0.05, "max": 0.1}},
        "topics": [{"pattern": "t/#", "permissions": ["read", "write"],
             "description": "To try things out."}],
        "remote_server": {"uds": socket, "api_key": "k"},
    });
    (folder.file("config.json", &text.to_string()), socket)
}

/// Begins a session, and leaves the connection open or not.
fn initialize(fields: &str) -> Vec<u8> {
    let body = request(1, "initialize", messages::initialize("2025-11-25"));
    post_as("k", BOTH, fields, &body)
}

const CLOSES: &str = "connection: close\r\n";

#[test]
fn the_manager_hears_that_it_serves_lives_is_connected_and_ends() {
    let folder = Scratch::new();
    let mut broker = Mosquitto::start();
    broker.kill();
    let (config, socket) = config(&folder, broker.port);
    let address = folder.path("manager");
    let mut manager = Manager::on(UnixDatagram::bind(&address).unwrap());
    let variables = [
        ("NOTIFY_SOCKET", address.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let program = Program::over_with(&config, &variables);
    manager.until("READY=1");
    // It serves although the broker is away.
    assert!(ask(unix(&socket), &initialize(CLOSES)).starts_with("HTTP/1.1 200"));
    let place = format!("127.0.0.1:{}", broker.port);
    manager.until_state(&format!("not connected to {place}, 1 session: "));
    manager.until("WATCHDOG=1");
    broker.restart();
    manager.until_state(&format!("connected to {place}, 1 session"));
    assert!(ask(unix(&socket), &initialize(CLOSES)).starts_with("HTTP/1.1 200"));
    manager.until_state(&format!("connected to {place}, 2 sessions"));
    // Long after anything else has changed, a session is news by itself.
    for _ in 0..15 {
        manager.until("WATCHDOG=1");
    }
    assert!(ask(unix(&socket), &initialize(CLOSES)).starts_with("HTTP/1.1 200"));
    manager.until_state(&format!("connected to {place}, 3 sessions"));
    manager.until("WATCHDOG=1");
    program.signal(rustix::process::Signal::TERM);
    manager.until("STOPPING=1");
    let (log, status) = program.ended();
    assert!(status.success(), "{log}");
}

#[test]
fn the_manager_hears_that_writing_is_halted() {
    let folder = Scratch::new();
    let broker = Mosquitto::start();
    let (config, _) = config(&folder, broker.port);
    let address = folder.path("manager");
    let mut manager = Manager::on(UnixDatagram::bind(&address).unwrap());
    let variables = [("NOTIFY_SOCKET", address.to_str().unwrap())];
    let program = Program::over_with(&config, &variables);
    manager.until_state("connected to ");
    program.signal(rustix::process::Signal::USR1);
    manager.until_state("an operator halted writing at ");
    let state = manager.states.last().unwrap();
    assert!(
        state.contains(": SIGUSR1; connected to 127.0.0.1:"),
        "{state}"
    );
    program.signal(rustix::process::Signal::USR2);
    manager.until_state("connected to ");
}

#[test]
fn an_abstract_address_is_one_too_and_without_a_watchdog_nobody_is_fed() {
    let folder = Scratch::new();
    let (config, _) = config(&folder, crate::common::ports::free_port());
    let name = format!("mcpmqtt-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let mut manager = Manager::on(UnixDatagram::bind_addr(&address).unwrap());
    let variables = [
        ("NOTIFY_SOCKET", format!("@{name}")),
        ("WATCHDOG_USEC", "1000".into()),
        ("WATCHDOG_PID", "1".into()),
    ];
    let variables: Vec<_> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let program = Program::over_with(&config, &variables);
    assert_eq!(manager.message(), ["READY=1"]);
    manager.until_state("not connected to ");
    program.signal(rustix::process::Signal::TERM);
    loop {
        let message = manager.message();
        assert_ne!(message, ["WATCHDOG=1"]);
        if message[0] == "STOPPING=1" {
            break;
        }
    }
    assert!(program.ended().1.success());
}

#[test]
fn a_socket_that_is_not_there_or_makes_no_sense_costs_a_warning() {
    let folder = Scratch::new();
    let (config, socket) = config(&folder, crate::common::ports::free_port());
    for address in ["/nowhere/at/all", "vsock:2:1234"] {
        let mut program = Program::over_with(&config, &[("NOTIFY_SOCKET", address)]);
        program.until("the service manager cannot be told anything");
        program.until("cannot connect to the broker at `127.0.0.1");
        assert!(ask(unix(&socket), &initialize(CLOSES)).starts_with("HTTP/1.1 200"));
        assert!(program.end().1.success());
    }
}

/// Started by an agent that is a service itself, it would speak in the agent's name.
#[test]
fn over_stdio_nobody_is_told_anything() {
    let folder = Scratch::new();
    let (config, _) = config(&folder, crate::common::ports::free_port());
    let address = folder.path("manager");
    let socket = UnixDatagram::bind(&address).unwrap();
    let arguments: [OsString; 2] = ["--config".into(), config.into()];
    let status = Command::new(PROGRAM)
        .args(arguments)
        .env("NOTIFY_SOCKET", &address)
        .env("WATCHDOG_USEC", "1000")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    socket.set_nonblocking(true).unwrap();
    let found = socket.recv(&mut [0; 64]).unwrap_err();
    assert_eq!(found.kind(), std::io::ErrorKind::WouldBlock);
}

/// A broker, an open connection, an open stream and nothing to do: nothing is waited for. A start takes some
/// milliseconds, and the grace of calls in flight five seconds.
#[test]
fn an_idle_program_ends_in_the_time_of_a_few_starts() {
    let broker = Mosquitto::start();
    let ratios: Vec<_> = (0..5)
        .map(|_| {
            let folder = Scratch::new();
            let (config, socket) = config(&folder, broker.port);
            let start = Instant::now();
            let mut program = Program::over(&config);
            program.until("connected to the broker");
            let starting = start.elapsed();
            let mut idle = unix(&socket);
            idle.write_all(&initialize("")).unwrap();
            idle.read_exact(&mut [0; 16]).unwrap();
            let mut stream = unix(&socket);
            stream.write_all(&listen()).unwrap();
            let mut head = [0; 15];
            stream.read_exact(&mut head).unwrap();
            assert_eq!(&head, b"HTTP/1.1 200 OK");
            let start = Instant::now();
            let (log, status) = program.end();
            let ending = start.elapsed();
            assert!(status.success(), "{log}");
            ending.as_secs_f64() / starting.as_secs_f64()
        })
        .collect();
    // A busy machine may disturb some of them.
    let best = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(best < 20.0, "{ratios:?}");
}

fn listen() -> Vec<u8> {
    let wishes = json!({"notifications": {"resourceSubscriptions": ["mqtt://topic/t/a"]}});
    modern_post("k", BOTH, "subscriptions/listen", wishes)
}

#[test]
fn the_journal_gets_priorities_and_adds_the_time_itself() {
    let folder = Scratch::new();
    let (config, _) = config(&folder, crate::common::ports::free_port());
    let run = |name: &str, stream: &dyn Fn(&std::fs::Metadata) -> String| {
        let log = std::fs::File::create(folder.path(name)).unwrap();
        let variable = stream(&log.metadata().unwrap());
        let status = Command::new(PROGRAM)
            .arg("--config")
            .arg(&config)
            .env("JOURNAL_STREAM", variable)
            .stdin(Stdio::null())
            .stderr(log)
            .status()
            .unwrap();
        assert!(status.success());
        std::fs::read_to_string(folder.path(name)).unwrap()
    };
    let journal = run("journal", &|file| format!("{}:{}", file.dev(), file.ino()));
    assert!(
        journal.starts_with("<4>remote_server.api_key: the key is in plain text"),
        "{journal}"
    );
    assert!(journal.contains("\n<6>mcpmqtt "), "{journal}");
    assert!(journal.lines().count() >= 2);
    for line in journal.lines() {
        let priority = line.strip_prefix('<').unwrap();
        assert!(
            matches!(priority.as_bytes(), [b'2'..=b'7', b'>', ..]),
            "{line}"
        );
    }
    // What was the journal when the variable was set is another file now.
    let other = run("other", &|file| {
        format!("{}:{}", file.dev(), file.ino() + 1)
    });
    assert!(
        other.starts_with("20") && other.contains("Z WARNING "),
        "{other}"
    );
}
