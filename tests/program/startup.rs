//! From the files of a start to what goes over the wire: where the configuration is looked for, the login, the
//! address.

use std::ffi::OsStr;
use std::io::Read as _;
use std::net::{TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use mcpmqtt::app::location::{Environment, Location, SYSTEM_FILE, locate_in};
use mcpmqtt::protocol::Packet;
use mcpmqtt::protocol::frame::{FrameBuffer, Receiver};
use serde_json::{Value, json};

use crate::common::agent::{Agent, refusal};
use crate::common::config::open_config;
use crate::common::copy::copy_program;
use crate::common::mosquitto::Mosquitto;
use crate::common::program::{PROGRAM, Program, counts};
use crate::common::scratch::Scratch;
use crate::common::waiting::{PATIENCE, eventually};

// ---- where the configuration is looked for

/// What `--check` says in this environment and no other.
fn check(variables: &[(&str, &Path)]) -> Output {
    Command::new(PROGRAM)
        .arg("--check")
        .env_remove("HOME")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("MCPMQTT_CONFIG")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn said(variables: &[(&str, &Path)]) -> String {
    let output = check(variables);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn folder(scratch: &Scratch, name: &str) {
    std::fs::create_dir_all(scratch.path(name)).unwrap();
}

#[test]
fn the_users_own_file_is_taken_when_none_is_named() {
    let scratch = Scratch::new();
    folder(&scratch, ".config/mcpmqtt");
    folder(&scratch, "xdg/mcpmqtt");
    let file = |name: &str, host: &str| {
        scratch.file(name, &json!({"mqtt": {"host": host}}).to_string());
    };
    file(".config/mcpmqtt/config.json", "of-home");
    file("xdg/mcpmqtt/config.json", "of-xdg");
    let (home, xdg) = (scratch.path(""), scratch.path("xdg"));
    assert!(said(&[("HOME", &home)]).contains("of-home"));
    let both = said(&[("HOME", &home), ("XDG_CONFIG_HOME", &xdg)]);
    assert!(both.contains("of-xdg") && !both.contains("of-home"));
}

/// On a machine that has a file for all users, that one runs.
#[test]
fn without_a_file_it_is_said_what_runs_and_why() {
    if Path::new(SYSTEM_FILE).exists() {
        return;
    }
    let scratch = Scratch::new();
    let expected = scratch.path(".config/mcpmqtt/config.json");
    let runs = "; using the broker at localhost:1883, with `test/+` to read and write; `mcpmqtt --init` makes a file";
    let absent = said(&[("HOME", &scratch.path(""))]);
    let why = format!(
        "there is no configuration file `{}` or `{SYSTEM_FILE}`",
        expected.display()
    );
    assert!(absent.contains(&(why + runs)), "{absent}");
    let nowhere = said(&[]);
    let why = format!(
        "neither XDG_CONFIG_HOME nor HOME is set, and there is no configuration file `{SYSTEM_FILE}`"
    );
    assert!(nowhere.contains(&format!("{why}{runs}")), "{nowhere}");
    assert!(nowhere.contains("the built-in defaults"), "{nowhere}");
}

#[test]
fn the_first_place_that_has_a_file_decides() {
    let scratch = Scratch::new();
    folder(&scratch, "home/.config/mcpmqtt");
    folder(&scratch, "xdg/mcpmqtt");
    let text = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let (home, xdg) = (text(scratch.path("home")), text(scratch.path("xdg")));
    let of_home = scratch.path("home/.config/mcpmqtt/config.json");
    let of_xdg = scratch.path("xdg/mcpmqtt/config.json");
    let of_system = scratch.path("system.json");
    let find = |named: Option<&str>, config: &str, xdg: &str, home: &str| {
        let environment = Environment {
            config: Some(config.into()),
            xdg_config_home: Some(xdg.into()),
            home: Some(home.into()),
        };
        locate_in(named.map(Path::new), &environment, &of_system).unwrap()
    };
    // What is named counts, whether it exists or not.
    let named = |path: &str| Location::Named(path.into());
    assert_eq!(find(Some("/a"), "/b", &xdg, &home), named("/a"));
    assert_eq!(find(None, "/b", &xdg, &home), named("/b"));
    let absent = find(None, "", &xdg, &home);
    assert_eq!(absent.file(), None);
    let Location::Absent { first, why } = absent else {
        panic!("{absent:?}")
    };
    assert_eq!(first.as_deref(), Some(of_xdg.as_path()));
    assert_eq!(
        why,
        format!(
            "there is no configuration file `{}` or `{}`",
            of_xdg.display(),
            of_system.display()
        )
    );
    let usual = |path: &Path| Location::Usual(path.to_owned());
    std::fs::write(&of_system, "").unwrap();
    assert_eq!(find(None, "", &xdg, &home), usual(&of_system));
    std::fs::write(&of_home, "").unwrap();
    assert_eq!(find(None, "", &xdg, &home), usual(&of_system));
    assert_eq!(find(None, "", "", &home), usual(&of_home));
    // Relative values are ignored, as the specification of these directories wants it.
    assert_eq!(find(None, "", "xdg", &home), usual(&of_home));
    // A symlink that leads nowhere was put there by somebody.
    std::os::unix::fs::symlink("/nonexistent", &of_xdg).unwrap();
    assert_eq!(find(None, "", &xdg, &home), usual(&of_xdg));
    // A file in the place of a directory holds none.
    assert_eq!(find(None, "", "", "/dev/null"), usual(&of_system));
}

#[test]
fn a_variable_names_the_file_and_home_is_known_in_it() {
    let scratch = Scratch::new();
    scratch.file(
        "other.json",
        &json!({"mqtt": {"host": "of-variable"}}).to_string(),
    );
    let home = scratch.path("");
    let text = said(&[
        ("HOME", &home),
        ("MCPMQTT_CONFIG", Path::new("~/other.json")),
    ]);
    assert!(text.contains("of-variable"), "{text}");
    let absent = check(&[
        ("HOME", &home),
        ("MCPMQTT_CONFIG", Path::new("~/none.json")),
    ]);
    let log = String::from_utf8(absent.stderr).unwrap();
    assert_eq!(absent.status.code(), Some(1), "{log}");
    let path = scratch.path("none.json");
    let expected = format!(
        "cannot read the configuration `{}`, which `MCPMQTT_CONFIG` names: no such file",
        path.display()
    );
    assert!(log.contains(&expected), "{log}");
}

// ---- another user's files

/// A user who is not root, with a directory that is theirs and the program where they can run it.
struct Other {
    scratch: Scratch,
    program: std::path::PathBuf,
}

/// `nobody`, who has no files.
const OTHER: u32 = 65_534;

impl Other {
    fn new() -> Self {
        let scratch = Scratch::new();
        let program = scratch.path("mcpmqtt");
        copy_program(Path::new(PROGRAM), &program);
        folder(&scratch, "home");
        if rustix::process::geteuid().is_root() {
            chown(scratch.path("home"), Some(OTHER), Some(OTHER)).unwrap();
        }
        Self { scratch, program }
    }

    fn run(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.scratch.path("home"))
            .envs(counts())
            .stdin(Stdio::null())
            .current_dir("/");
        if rustix::process::geteuid().is_root() {
            command.uid(OTHER).gid(OTHER);
        }
        command
    }

    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn who_cannot_read_the_file_learns_who_can() {
    let other = Other::new();
    let path = other.scratch.file("config.json", "{}");
    let place = path.to_str().unwrap();
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
    mode(0o000).unwrap();
    let words = other.fails(&["--check", "--config", place]);
    let denied = format!("cannot read the configuration `{place}`: permission denied; ");
    assert!(words.contains(&(denied.clone() + "only ")), "{words}");
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // A group of this machine that has a name, and one that has none.
    let groups = std::fs::read_to_string("/etc/group").unwrap();
    let named = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, gid) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        (gid != 0 && gid != OTHER).then(|| (name.to_owned(), gid))
    });
    mode(0o640).unwrap();
    for (name, gid) in named.into_iter().chain([("987654".into(), 987_654)]) {
        chown(&path, None, Some(gid)).unwrap();
        let words = other.fails(&["--check", "--config", place]);
        let remedy = format!(
            "the members of the group `{name}` can read it: `sudo usermod -aG {name} \"$USER\"`, then log in again"
        );
        assert!(words.contains(&(denied.clone() + &remedy)), "{words}");
    }
    // Nobody is to join the group of root.
    chown(&path, None, Some(0)).unwrap();
    let words = other.fails(&["--check", "--config", place]);
    assert!(words.contains("; only root can read"), "{words}");
}

/// The path of a socket may be relative; it is no port all the same.
#[test]
fn a_socket_that_this_user_may_not_make_is_told_with_its_key() {
    let other = Other::new();
    let remote = json!({"uds": "etc/mcpmqtt.sock", "api_key": "k"});
    let path = other
        .scratch
        .file("config.json", &json!({"remote_server": remote}).to_string());
    let place = path.to_str().unwrap();
    let words = other.fails(&["--transport", "remotehttp", "--config", place]);
    assert!(
        words.contains(
            "cannot listen on `etc/mcpmqtt.sock`: permission denied; set `remote_server.uds`"
        ),
        "{words}"
    );
}

#[test]
fn what_a_server_without_a_key_names_makes_one_that_this_user_can_start() {
    if Path::new(SYSTEM_FILE).exists() {
        return;
    }
    for runtime in [false, true] {
        let other = Other::new();
        let words = other.fails(&["--transport", "remotehttp"]);
        assert!(
            words.contains("run `mcpmqtt --genkey` to make a key"),
            "{words}"
        );
        let with_runtime = |mut command: Command| {
            if runtime {
                command.env("XDG_RUNTIME_DIR", other.scratch.path("home"));
            }
            command
        };
        let made = with_runtime(other.run(&["--genkey"])).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let place = if runtime {
            "home/mcpmqtt.sock"
        } else {
            "home/.config/mcpmqtt/mcpmqtt.sock"
        };
        let socket = other.scratch.path(place);
        let words = String::from_utf8(made.stderr).unwrap();
        let told = format!("the remote server will listen on `{}`", socket.display());
        assert!(words.contains(&told), "{words}");
        let mut server =
            Program::start(&mut with_runtime(other.run(&["--transport", "remotehttp"])));
        server.until("serving MCP over HTTP on");
        std::os::unix::net::UnixStream::connect(&socket).unwrap();
        assert!(server.end().1.success());
    }
}

#[test]
fn a_default_file_that_is_there_and_cannot_be_used_is_an_error() {
    let scratch = Scratch::new();
    folder(&scratch, ".config/mcpmqtt");
    let path = scratch.file(".config/mcpmqtt/config.json", "");
    for (bytes, words) in [
        (
            &b"{\"a\": \"\xe4\"}"[..],
            "the file is not UTF-8 text: line 1, column 8: the byte 0xE4",
        ),
        (b"{", "the file is not JSON"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let output = check(&[("HOME", &scratch.path(""))]);
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(
            log.contains(words) && log.contains(path.to_str().unwrap()),
            "{log}"
        );
    }
}

// ---- the login

/// User name and password of the CONNECT that this `mqtt` section makes.
fn login(mqtt: &Value) -> (Option<String>, Option<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = open_config(listener.local_addr().unwrap().port());
    config["mqtt"]
        .as_object_mut()
        .unwrap()
        .extend(mqtt.as_object().unwrap().clone());
    let _agent = Agent::start(&config);
    connect(&listener)
}

/// User name and password of the next CONNECT.
fn connect(listener: &TcpListener) -> (Option<String>, Option<Vec<u8>>) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut frames = FrameBuffer::new(Receiver::Broker, 1 << 20);
    let mut room = [0; 4096];
    loop {
        let count = stream.read(&mut room).unwrap();
        assert!(count > 0, "no CONNECT came");
        frames.extend(&room[..count]);
        if let Some(packet) = frames.next_packet().unwrap() {
            let Packet::Connect(connect) = packet else {
                panic!("{packet:?}");
            };
            return (
                connect.username.map(str::to_owned),
                connect.password.map(<[u8]>::to_vec),
            );
        }
    }
}

#[test]
fn the_login_goes_to_the_broker_as_it_is_given() {
    let user = || Some("ada".to_owned());
    assert_eq!(login(&json!({})), (None, None));
    assert_eq!(login(&json!({"username": "ada"})), (user(), None));
    let plain = json!({"username": "ada", "password": "pä ss"});
    assert_eq!(login(&plain), (user(), Some("pä ss".into())));
}

#[test]
fn a_password_from_a_file_is_what_is_in_it_but_for_one_line_end() {
    let scratch = Scratch::new();
    let longest = "x".repeat(65_535);
    for (text, password) in [
        ("secret", "secret"),
        ("secret\n", "secret"),
        ("secret\r\n", "secret"),
        (" secret \n\n", " secret \n"),
        ("two\nlines\n", "two\nlines"),
        ("", ""),
        (&longest, &longest),
        (&format!("{longest}\r\n"), &longest),
    ] {
        let file = scratch.file("password", text);
        let (name, sent) = login(&json!({"username": "ada", "password_file": file}));
        assert_eq!(name.as_deref(), Some("ada"));
        assert_eq!(sent, Some(password.into()), "{:?}", text.get(..20));
    }
    let binary = scratch.path("binary");
    std::fs::write(&binary, [0, 0xff, b'\n']).unwrap();
    let (_, sent) = login(&json!({"username": "ada", "password_file": binary}));
    assert_eq!(sent, Some(vec![0, 0xff]));
}

#[test]
fn a_password_file_that_cannot_be_used_ends_the_start_and_nothing_of_it_is_shown() {
    let scratch = Scratch::new();
    let secret = "do-not-show";
    let long = scratch.file("long", &secret.repeat(6_000));
    let just = scratch.file("just", &"x".repeat(65_536));
    let endless = "a password has at most 65535 bytes";
    for (path, words) in [
        (scratch.path("absent"), "no such file or directory"),
        (scratch.path(""), "is a directory"),
        (long, endless),
        (just, endless),
        ("/dev/zero".into(), "it is a device, not a regular file"),
    ] {
        let mut config = open_config(1);
        config["mqtt"]["username"] = json!("ada");
        config["mqtt"]["password_file"] = json!(path);
        let file = scratch.file("config.json", &config.to_string());
        let agent = Agent::with_args(&["--config", file.to_str().unwrap()]);
        let (code, log) = agent.finish();
        assert_eq!(code, Some(1), "{log}");
        let expected = format!(
            "mqtt.password_file: cannot use `{}`: {words}",
            path.display()
        );
        assert!(log.contains(&expected), "{log}");
        assert!(!log.contains(secret), "{log}");
    }
}

/// The program with this `mqtt` section, and the variable `MCPMQTT_TEST_PASSWORD` of this value.
fn with_variable(scratch: &Scratch, port: u16, value: Option<&OsStr>) -> Command {
    let mut config = open_config(port);
    config["mqtt"]["username"] = json!("ada");
    config["mqtt"]["password_env"] = json!("MCPMQTT_TEST_PASSWORD");
    let file = scratch.file("config.json", &config.to_string());
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(file);
    command.env_remove("MCPMQTT_TEST_PASSWORD");
    command.envs(value.map(|value| ("MCPMQTT_TEST_PASSWORD", value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    command
}

#[test]
fn a_password_from_the_environment_is_sent_as_it_is() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for password in [" pä ss\n", "$x"] {
        let value = Some(OsStr::new(password));
        let mut program = with_variable(&scratch, port, value).spawn().unwrap();
        let sent = connect(&listener);
        // The end of its input ends the program.
        drop(program.stdin.take());
        program.wait().unwrap();
        assert_eq!(sent, (Some("ada".to_owned()), Some(password.into())));
    }
}

#[test]
fn a_variable_without_a_password_ends_the_start_with_its_name() {
    use std::os::unix::ffi::OsStrExt as _;
    let scratch = Scratch::new();
    let long = "do-not-show".repeat(6_000);
    for (value, words) in [
        (None, "is not set"),
        (Some(OsStr::new("")), "is empty"),
        (
            Some(OsStr::from_bytes(b"do-not-show\xff")),
            "is not UTF-8 text",
        ),
        (
            Some(OsStr::new(&long)),
            "is too long; a password has at most 65535 bytes",
        ),
    ] {
        let output = with_variable(&scratch, 1, value).output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{log}");
        let expected = "mqtt.password_env: the environment variable `MCPMQTT_TEST_PASSWORD` ";
        assert!(log.contains(&format!("{expected}{words}")), "{log}");
        assert!(!log.contains("do-not-show"), "{log}");
    }
}

// ---- the address

/// A label of more than 63 characters cannot be asked for (RFC 1035 §2.3.4), so that no question leaves this machine.
#[test]
fn a_name_that_means_nothing_is_told_with_what_was_looked_for() {
    let mut config = open_config(1883);
    let host = format!("{}.invalid", "x".repeat(64));
    config["mqtt"]["host"] = json!(host);
    let said = refusal(&config);
    let words = format!("the broker's name in `{host}:1883` cannot be resolved: ");
    assert!(said.contains(&words), "{said}");
    let why = said.split(&words).nth(1).unwrap();
    assert!(
        !why.is_empty() && !why.contains("failed to lookup"),
        "{said}"
    );
}

/// A listener whose queue is full: the system answers nobody any more.
fn deaf() -> (TcpListener, Vec<std::net::TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    let patience = Duration::from_millis(300);
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, patience) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the queue does not fill");
    }
    (listener, waiting)
}

#[test]
fn an_address_that_does_not_answer_leaves_time_for_the_next_of_the_name() {
    let (listener, _waiting) = deaf();
    let port = listener.local_addr().unwrap().port();
    let addresses = ("localhost", port).to_socket_addrs().unwrap();
    if addresses.len() < 2 || TcpListener::bind(("::1", 0)).is_err() {
        // Where the name has one address, there is none to go on with.
        let mut config = open_config(port);
        config["mqtt"]["connect_timeout"] = json!(1);
        let said = refusal(&config);
        assert!(
            said.contains("no answer within the connect timeout"),
            "{said}"
        );
        return;
    }
    let _broker = Mosquitto::with(&format!("listener {port} ::1"), &[]);
    let mut config = open_config(port);
    config["mqtt"]["host"] = json!("localhost");
    config["mqtt"]["connect_timeout"] = json!(2);
    config["logging"] = json!({"level": "DEBUG"});
    let mut agent = Agent::start(&config);
    eventually("a publish is delivered", || {
        let message = json!({"topic": "t/a", "payload": "x", "qos": 1, "timeout": 10});
        let answer = agent.tool("mqtt_publish", message).wait();
        answer["result"]["structuredContent"]["outcome"] == "delivered"
    });
}

#[test]
fn nobody_who_listens_is_told_with_the_place() {
    let port = crate::common::ports::free_port();
    let mut config = open_config(port);
    config["mqtt"]["host"] = json!("::1");
    let said = refusal(&config);
    let words = format!("cannot connect to the broker at `[::1]:{port}`: ");
    assert!(said.contains(&words), "{said}");
    // Without IPv6 there is another reason.
    let refused = said.contains("connection refused");
    assert_eq!(refused, TcpListener::bind(("::1", 0)).is_ok(), "{said}");
}
