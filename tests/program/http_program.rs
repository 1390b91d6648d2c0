//! `mcpmqtt --transport remotehttp` as an operator runs it: start, key, socket activation, log, end.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::calls::JSON;
use crate::common::addresses::{another_address, connect_from};
use crate::common::config::open_config;
use crate::common::messages::{initialize, modern, request};
use crate::common::mosquitto::Mosquitto;
use crate::common::ports::free_port;
use crate::common::program::{PROGRAM, Program, STATUS, ask, unix};
use crate::common::requests::post_with;
use crate::common::scratch::Scratch;
use crate::common::waiting::PATIENCE;

/// A configuration whose broker is not there.
fn config(folder: &Scratch, remote: Value) -> std::path::PathBuf {
    let text = json!({
        "mqtt": {"host": "127.0.0.1", "port": free_port()},
        "topics": [{"pattern": "a/#", "permissions": ["read"]}],
        "remote_server": remote,
    });
    folder.file("config.json", &text.to_string())
}

/// A request whose answer ends its connection, as text.
fn closing(fields: &str, body: &Value) -> String {
    let fields = format!("connection: close\r\n{fields}");
    String::from_utf8(post_with(&fields, &body.to_string())).unwrap()
}

/// A call in the name of the key `k`.
fn call(tool: &str, arguments: &Value) -> String {
    let fields = format!(
        "authorization: Bearer k\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\n\
         mcp-name: {tool}\r\n"
    );
    let params = json!({"name": tool, "arguments": arguments});
    closing(&fields, &modern(1, "tools/call", params))
}

fn list(key_field: &str) -> String {
    let fields =
        format!("{key_field}mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/list\r\n");
    closing(&fields, &modern(1, "tools/list", json!({})))
}

#[test]
fn a_key_is_made_the_server_started_used_and_ended_and_no_log_shows_the_key() {
    let folder = Scratch::new();
    let socket = folder.path("socket");
    let cheap = json!({"memory_cost": 64, "time_cost": 1});
    let config = config(
        &folder,
        json!({"uds": socket, "uds_mode": "0600", "api_key_kdf": cheap}),
    );
    let made = Command::new(PROGRAM)
        .arg("--genkey")
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap();
    assert!(made.status.success());
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(key.len() >= 40);

    let mut program = Program::over(&config);
    program.until("serving MCP over HTTP on");
    assert_eq!(
        std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let status = ask(unix(&socket), STATUS);
    assert!(
        status.ends_with(r#"{"running": true, "mqtt_connected": false}"#),
        "{status}"
    );
    let wrong = key.replace(|c: char| c.is_ascii_lowercase(), "x");
    for (field, expected) in [
        (format!("authorization: Bearer {key}\r\n"), "200 OK"),
        (format!("x-api-key: {key}\r\n"), "200 OK"),
        (
            format!("authorization: Bearer {wrong}\r\n"),
            "401 Unauthorized",
        ),
    ] {
        let answer = ask(unix(&socket), &list(&field));
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected}")),
            "{answer}"
        );
        assert_eq!(answer.contains("mqtt_publish"), expected == "200 OK");
    }
    let query = list("").replace("POST /mcp ", &format!("POST /mcp?api_key={key} "));
    assert!(ask(unix(&socket), &query).starts_with("HTTP/1.1 200 OK"));
    let (log, status) = program.end();
    assert!(status.success(), "{status}\n{log}");
    assert!(!socket.exists());
    assert!(
        !log.is_empty() && !log.contains(&key) && !log.contains(&wrong),
        "{log}"
    );
}

#[test]
fn at_debug_each_request_is_a_line_and_no_place_for_a_key_gets_into_the_log() {
    let folder = Scratch::new();
    let socket = folder.path("socket");
    let key = "s3cret-KEY-of-this-test";
    let wrong = "wr0ng-KEY-of-this-test";
    let mut program = Program::over(&config(&folder, json!({"uds": socket, "api_key": key})));
    program.until("serving MCP over HTTP on");
    let percent: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let field = format!("authorization: Bearer {key}\r\n");
    let elsewhere = |target: &str| list(&field).replace("POST /mcp ", &format!("POST {target} "));
    let head = |lines: &str| format!("GET /status HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n\r\n");
    let mut requests = vec![
        (list(&field), 200),
        (list(&format!("x-api-key: {key}\r\n")), 200),
        (
            list("").replace("POST /mcp ", &format!("POST /mcp?api_key={key} ")),
            200,
        ),
        (
            list("").replace("POST /mcp ", &format!("POST /mcp?a=1&api_key={percent} ")),
            200,
        ),
        (
            list("").replace(
                "POST /mcp ",
                &format!("POST http://localhost/mcp?api_key={key} "),
            ),
            200,
        ),
        (list(""), 401),
        (list(&format!("authorization: Bearer {wrong}\r\n")), 401),
        (list(&format!("x-api-key: {wrong}\r\n")), 401),
        (
            list("").replace("POST /mcp ", &format!("POST /mcp?api_key={wrong} ")),
            401,
        ),
        // The key where it does not belong.
        (elsewhere(&format!("/mcp/{key}")), 404),
        (elsewhere(&format!("/mcp&api_key={key}")), 404),
        (elsewhere(&format!("/mcp%3Fapi_key={percent}")), 404),
        (elsewhere(&format!("http://{key}@localhost/mcp")), 400),
        (elsewhere(key), 400),
        (elsewhere(&format!("/mcp#{key}")), 400),
        (list(&field).replace("POST ", &format!("{key} ")), 501),
        (
            list(&field).replace("HTTP/1.1", &format!("HTTP/1.1{key}")),
            400,
        ),
        (
            list(&field).replace("host: localhost", &format!("host: {key}@")),
            400,
        ),
        (head(&format!("host: {key}")), 400),
        (head(&format!("authorization: Bearer {key}\nx: y")), 400),
        (head(&format!("authorization: Bearer {key}\0")), 400),
        (
            head(&format!("authorization: {key}\r\nauthorization: {key}")),
            400,
        ),
        (head(&format!("{key} : x")), 400),
        (head(&format!("content-length: {key}")), 400),
        (head(&format!("transfer-encoding: {key}")), 501),
        (head(&format!("expect: {key}")), 417),
        (head(&format!("origin: http://{key}.example")), 403),
        (list(&format!("{field}mcp-session-id: {key}\r\n")), 200),
        (
            list(&field).replace("mcp-method: tools/list", &format!("mcp-method: {key}")),
            400,
        ),
        (
            list(&field).replace("{\"_meta", &format!("{{{key}\"_meta")),
            400,
        ),
        (
            head("x: y").replace("/status", &format!("/status?{}", "x".repeat(9000))),
            414,
        ),
    ];
    let hello = json!({"jsonrpc": "2.0", "id": key, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": key, "version": "1"},
    }})
    .to_string();
    let session = |more: &str, method: &str, body: &str| {
        format!(
            "{method} /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{field}{more}\
             content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let begun = ask(unix(&socket), &session("", "POST", &hello));
    let id = begun.split("mcp-session-id: ").nth(1).unwrap();
    let id = id.split("\r\n").next().unwrap();
    let in_session = format!("mcp-session-id: {id}\r\n");
    let last = format!("{in_session}last-event-id: {key}\r\n");
    requests.push((session(&last, "GET", ""), 400));
    requests.push((session(&in_session, "DELETE", ""), 200));
    let count = requests.len() + 1;
    for (request, status) in requests {
        let mut socket = unix(&socket);
        // It may have been refused before it was all sent.
        let _ = std::io::Write::write_all(&mut socket, request.as_bytes());
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut socket, &mut answer).unwrap();
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{request}\n{answer}");
    }
    let (log, ended) = program.end();
    assert!(ended.success(), "{log}");
    for secret in [
        key,
        wrong,
        &percent,
        id,
        &key[..12],
        &key[10..],
        "api_key=",
        "xxxx",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    assert_eq!(log.matches(" ms").count(), count, "{log}");
    assert_eq!(log.matches(": connection opened").count(), count, "{log}");
    assert_eq!(
        log.matches(": connection closed after 1 request").count(),
        count,
        "{log}"
    );
    let line = |status: &str| log.lines().filter(|line| line.contains(status)).count();
    for (words, least) in [
        (": POST /mcp: 200 in ", 7),
        (": DELETE /mcp: 200 in ", 1),
        (": POST /mcp: 401 in ", 4),
        (" ms: wrong API key; ", 3),
        (" ms: an API key is needed: ", 1),
        (": POST (elsewhere): 404 in ", 3),
        (": no request: 400 in ", 8),
        (" ms: a line ends in LF alone", 1),
        (": GET /mcp: 400 in ", 1),
        ("session 1 begun with version 2025-11-25", 1),
        ("session 1 ended: its client ended it", 1),
    ] {
        assert!(line(words) >= least, "{words} {}: {log}", line(words));
    }
}

/// With one key: each address is a caller in the era without sessions, each session in the one before.
#[test]
fn what_one_caller_may_publish_the_others_may_too() {
    let broker = Mosquitto::start();
    let (folder, port) = (Scratch::new(), free_port());
    let mut config = open_config(broker.port);
    config["limits"] = json!({"publishes_per_second": 2});
    config["remote_server"] = json!({"host": "127.0.0.1", "port": port, "api_key": "k"});
    let config = folder.file("config.json", &config.to_string());
    let mut program = Program::over(&config);
    program.until("serving MCP over HTTP on");
    let start = Instant::now();
    while !ask(connect_from(Ipv4Addr::LOCALHOST, port), STATUS)
        .contains(r#""mqtt_connected": true"#)
    {
        assert!(start.elapsed() < PATIENCE, "never connected");
    }
    let arguments = json!({"topic": "t/a", "payload": "x"});
    let goes = |answer: String| {
        let refused = answer.contains("more than 2 publishes in a second; try again in ");
        assert!(
            refused != answer.contains(r#""outcome":"sent""#),
            "{answer}"
        );
        !refused
    };
    let publish_from = |source| {
        goes(ask(
            connect_from(source, port),
            &call("mqtt_publish", &arguments),
        ))
    };
    let exhausts = |publish: &dyn Fn() -> bool| {
        let start = Instant::now();
        while publish() {
            assert!(start.elapsed() < PATIENCE, "never refused");
        }
    };
    exhausts(&|| publish_from(Ipv4Addr::LOCALHOST));
    assert!(publish_from(another_address(2)), "it is another caller");

    let post = |field: &str, body: Value| {
        let fields = format!("authorization: Bearer k\r\naccept: {JSON}\r\n{field}");
        ask(
            connect_from(Ipv4Addr::LOCALHOST, port),
            &closing(&fields, &body),
        )
    };
    let begin = || {
        let begun = post("", request(0, "initialize", initialize("2025-11-25")));
        let id = begun.split("mcp-session-id: ").nth(1).unwrap();
        format!("mcp-session-id: {}\r\n", id.split("\r\n").next().unwrap())
    };
    let publish_in = |session: &str| {
        let params = json!({"name": "mqtt_publish", "arguments": arguments});
        goes(post(session, request(1, "tools/call", params)))
    };
    let (one, other) = (begin(), begin());
    exhausts(&|| publish_in(&one));
    assert!(publish_in(&other), "it is another caller");
    let (log, ended) = program.end();
    assert!(ended.success(), "{log}");
}

#[test]
fn while_the_broker_is_away_the_status_says_so_within_a_second_and_tools_say_why() {
    let mut broker = Mosquitto::start();
    let folder = Scratch::new();
    let socket = folder.path("socket");
    let mut config = open_config(broker.port);
    config["mqtt"]["backoff"] = json!({"initial": 0.02, "max": 0.1});
    config["remote_server"] = json!({"uds": socket, "api_key": "k"});
    let config = folder.file("config.json", &config.to_string());
    let mut program = Program::over(&config);
    program.until("serving MCP over HTTP on");
    let becomes = |connected: bool| {
        let start = Instant::now();
        let expected = format!(r#"{{"running": true, "mqtt_connected": {connected}}}"#);
        while !ask(unix(&socket), STATUS).ends_with(&expected) {
            assert!(start.elapsed() < PATIENCE, "never {expected}");
        }
        start.elapsed()
    };
    let arguments = json!({"topic": "t/a", "payload": "x", "qos": 1});
    let published = || ask(unix(&socket), &call("mqtt_publish", &arguments));
    becomes(true);
    assert!(published().contains(r#""outcome":"delivered""#));
    for _ in 0..2 {
        broker.kill();
        assert!(becomes(false) < Duration::from_secs(1));
        let answer = published();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains(r#""isError":true"#), "{answer}");
        assert!(answer.contains("not connected"), "{answer}");
        broker.restart();
        assert!(becomes(true) < Duration::from_secs(1));
        assert!(published().contains(r#""outcome":"delivered""#));
    }
}

#[test]
fn without_a_key_it_does_not_start_and_says_how_to_make_one() {
    let folder = Scratch::new();
    let socket = folder.path("socket");
    let file = config(&folder, json!({"uds": socket}));
    let (log, status) = Program::over(&file).ended();
    assert_eq!(status.code(), Some(1));
    let remedy = format!("`mcpmqtt --genkey --config {}`", file.display());
    assert!(
        log.contains(&format!("there is no API key; run {remedy} to make a key")),
        "{log}"
    );
    assert!(!socket.exists());
}

#[test]
fn a_port_that_others_can_reach_is_warned_of() {
    let folder = Scratch::new();
    let port = free_port();
    let remote = json!({"port": port, "api_key": "k"});
    let mut program = Program::over(&config(&folder, remote));
    program.until("can be reached from other machines");
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(ask(socket, STATUS).starts_with("HTTP/1.1 200"));
    let (log, status) = program.end();
    assert!(status.success());
    assert!(log.contains("the key is in plain text"), "{log}");
}

#[test]
fn a_second_server_on_the_same_socket_does_not_start() {
    let folder = Scratch::new();
    let socket = folder.path("socket");
    let config = config(&folder, json!({"uds": socket, "api_key": "k"}));
    let mut first = Program::over(&config);
    first.until("serving MCP over HTTP on");
    let (log, status) = Program::over(&config).ended();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("another server listens on"), "{log}");
    assert!(ask(unix(&socket), STATUS).starts_with("HTTP/1.1 200"));
}

/// Starts the program as systemd would, with this socket as its descriptor 3.
fn activated(config: &Path, socket: OwnedFd, environment: &str) -> Program {
    let script = format!(
        "exec 3<&0 </dev/null; {environment} exec \"$0\" --transport remotehttp --config \"$1\""
    );
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(PROGRAM).arg(config);
    Program::start(command.stdin(Stdio::from(socket)))
}

#[test]
fn a_socket_that_systemd_hands_over_is_served_and_left_in_place() {
    let folder = Scratch::new();
    let (theirs, ours) = (folder.path("systemd"), folder.path("unused"));
    let config = config(&folder, json!({"uds": ours, "api_key": "k"}));
    let environment = "export LISTEN_PID=$$ LISTEN_FDS=1;";
    let listener = UnixListener::bind(&theirs).unwrap();
    let mut program = activated(&config, listener.into(), environment);
    program.until("serving MCP over HTTP on `a socket from systemd`");
    assert!(ask(unix(&theirs), STATUS).starts_with("HTTP/1.1 200"));
    assert!(!ours.exists());
    let (log, status) = program.end();
    assert!(status.success(), "{log}");
    assert!(theirs.exists());

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut program = activated(&config, listener.into(), environment);
    program.until("serving MCP over HTTP on");
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(ask(socket, STATUS).starts_with("HTTP/1.1 200"));
}

#[test]
fn what_was_handed_over_to_another_process_or_is_not_one_socket_is_not_served() {
    let folder = Scratch::new();
    let ours = folder.path("ours");
    let config = config(&folder, json!({"uds": ours, "api_key": "k"}));
    let socket = |name: &str| OwnedFd::from(UnixListener::bind(folder.path(name)).unwrap());
    for (name, environment) in [
        ("a", "export LISTEN_PID=1 LISTEN_FDS=1;"),
        ("b", "export LISTEN_FDS=1;"),
        ("c", "export LISTEN_PID=$$;"),
        ("d", "export LISTEN_PID=$$ LISTEN_FDS=0;"),
    ] {
        let mut program = activated(&config, socket(name), environment);
        program.until("serving MCP over HTTP on");
        assert!(
            ask(unix(&ours), STATUS).starts_with("HTTP/1.1 200"),
            "{environment}"
        );
        program.end();
    }
    for (name, environment) in [
        ("e", "export LISTEN_PID=$$ LISTEN_FDS=2;"),
        ("f", "export LISTEN_PID=$$ LISTEN_FDS=4294967295;"),
        (
            "g",
            "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDS_FIRST_FD=0;",
        ),
    ] {
        let (log, status) = activated(&config, socket(name), environment).ended();
        assert_eq!(status.code(), Some(1), "{environment}");
        assert!(log.contains("socket activation: "), "{log}");
    }
    let file = std::fs::File::open(&config).unwrap();
    let (log, status) =
        activated(&config, file.into(), "export LISTEN_PID=$$ LISTEN_FDS=1;").ended();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("descriptor 3 is not a stream socket"), "{log}");
}

#[test]
fn a_second_signal_ends_it_at_once_although_a_call_is_under_way() {
    let folder = Scratch::new();
    let broker = Mosquitto::start();
    let socket = folder.path("socket");
    let mut config = open_config(broker.port);
    config["remote_server"] = json!({"uds": socket, "api_key": "k"});
    let config = folder.file("config.json", &config.to_string());
    let mut program = Program::over(&config);
    program.until("connected to the broker");
    let mut client = unix(&socket);
    let waits = call("mqtt_subscribe", &json!({"topic": "t/a", "timeout": 60}));
    broker.subscribe(&["-t", "t/b", "-C", "1"], || {
        client.write_all(waits.as_bytes()).unwrap();
        let message = json!({"topic": "t/b", "payload": "x"});
        ask(unix(&socket), &call("mqtt_publish", &message));
    });
    program.signal(Signal::TERM);
    program.until("SIGTERM received, stopping");
    program.signal(Signal::INT);
    let (log, status) = program.ended();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("second signal, ending at once"), "{log}");
}

/// One machine has a whole network of addresses.
#[test]
fn a_peer_with_an_ipv6_address_is_known_by_its_network() {
    let folder = Scratch::new();
    let remote = json!({"host": "::1", "port": free_port(), "api_key": "k"});
    let port = u16::try_from(remote["port"].as_u64().unwrap()).unwrap();
    let mut program = Program::over(&config(&folder, remote));
    if TcpListener::bind(("::1", 0)).is_err() {
        // A machine without IPv6 says so.
        let (log, status) = program.ended();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains("::1"), "{log}");
        return;
    }
    program.until("serving MCP over HTTP on");
    let socket = TcpStream::connect(("::1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let answer = ask(socket, &list("x-api-key: wrong\r\n"));
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    program.until("wrong API key from ::\n");
}
