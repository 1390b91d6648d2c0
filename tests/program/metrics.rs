//! `/metrics`, `/healthz` and `/readyz`: what they say is true, and who may ask. `scripts/metrics` holds the text
//! against Prometheus' own parser.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::calls::{JSON, call_post};
use crate::common::http_client::Client;
use crate::common::mosquitto::Mosquitto;
use crate::common::ports::free_port;
use crate::common::program::Program;
use crate::common::scratch::Scratch;
use crate::common::waiting::{PATIENCE, eventually};

fn config(folder: &Scratch, broker: u16, metrics: Option<u16>) -> (PathBuf, PathBuf) {
    let socket = folder.path("socket");
    let mut text = json!({
        "mqtt": {"host": "127.0.0.1", "port": broker, "backoff": {"initial": 0.05, "max": 0.1}},
        "topics": [{"pattern": "t/#", "permissions": ["read", "write"]}],
        "remote_server": {"uds": socket, "api_key": "k"},
        "limits": {"inbox_messages": 1},
    });
    if let Some(port) = metrics {
        text["remote_server"]["metrics"] = json!({"port": port});
    }
    (folder.file("config.json", &text.to_string()), socket)
}

fn fetch(socket: &Path, path: &str, key: &str) -> crate::common::http_client::Answer {
    let mut client = Client::unix(socket);
    let field = match key {
        "" => String::new(),
        key => format!("x-api-key: {key}\r\n"),
    };
    client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{field}\r\n").as_bytes());
    client.answer()
}

/// Every sample by its name and labels as they stand in the text; what all texts must keep to is checked on the way.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# TYPE ") {
            let (name, kind) = comment.split_once(' ').unwrap();
            assert_eq!(
                kinds.insert(name.to_owned(), kind.to_owned()),
                None,
                "{name} twice"
            );
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let family = name.split('{').next().unwrap();
        let declared = ["", "_bucket", "_sum", "_count"].iter().any(|end| {
            family.strip_suffix(end).is_some_and(|family| {
                kinds
                    .get(family)
                    .is_some_and(|kind| end.is_empty() || kind == "histogram")
            })
        });
        assert!(declared, "{line}");
        assert!(
            found
                .insert(name.to_owned(), value.parse().unwrap())
                .is_none(),
            "{line} twice"
        );
    }
    assert!(text.ends_with('\n') && found.len() > 100, "{text}");
    found
}

fn scrape(socket: &Path) -> BTreeMap<String, f64> {
    let answer = fetch(socket, "/metrics", "k");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.field("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    samples(std::str::from_utf8(&answer.body).unwrap())
}

fn call(name: &str, arguments: &Value) -> Vec<u8> {
    call_post("k", JSON, name, arguments.clone())
}

#[test]
fn known_calls_are_counted_one_by_one() {
    let mut broker = Mosquitto::start();
    let folder = Scratch::new();
    let (config, socket) = config(&folder, broker.port, None);
    let mut program = Program::over(&config);
    program.until("connected to the broker");
    let mut client = Client::unix(&socket);
    let mut ask = |name: &str, arguments: Value| {
        client.send(&call(name, &arguments));
        client.answer().json()
    };
    for qos in 0..3 {
        for _ in 0..=qos {
            ask(
                "mqtt_publish",
                json!({"topic": "t/a", "payload": "12345", "qos": qos}),
            );
        }
    }
    ask(
        "mqtt_publish",
        json!({"topic": "elsewhere", "payload": "x"}),
    );
    broker.publish(&["-t", "t/kept", "-m", "12", "-r", "-q", "1"]);
    ask("mqtt_read", json!({"topic": "t/kept"}));
    assert_eq!(fetch(&socket, "/metrics", "").status, 401);
    assert_eq!(fetch(&socket, "/metrics", "wrong").status, 401);
    assert_eq!(fetch(&socket, "/nowhere", "").status, 404);
    // One that waits, and one that is given up.
    let (mut waits, mut left) = (Client::unix(&socket), Client::unix(&socket));
    waits.send(&call(
        "mqtt_read",
        &json!({"topic": "t/never", "timeout": 60}),
    ));
    left.send(&call(
        "mqtt_read",
        &json!({"topic": "t/never", "timeout": 60}),
    ));
    let in_flight = r#"mcpmqtt_tool_calls_in_flight{tool="mqtt_read"}"#;
    eventually("both wait", || scrape(&socket)[in_flight] == 2.0);
    drop(left);
    eventually("one has left", || scrape(&socket)[in_flight] == 1.0);
    broker.kill();
    program.until("next attempt");
    broker.restart();
    program.until("connected to the broker");

    let found = scrape(&socket);
    for (name, value) in [
        (
            r#"mcpmqtt_tool_calls_total{tool="mqtt_publish",outcome="ok"}"#,
            6.0,
        ),
        (
            r#"mcpmqtt_tool_calls_total{tool="mqtt_publish",outcome="error"}"#,
            1.0,
        ),
        (
            r#"mcpmqtt_tool_calls_total{tool="mqtt_read",outcome="ok"}"#,
            1.0,
        ),
        (
            r#"mcpmqtt_tool_calls_total{tool="mqtt_read",outcome="cancelled"}"#,
            1.0,
        ),
        (
            r#"mcpmqtt_tool_calls_total{tool="mqtt_query",outcome="ok"}"#,
            0.0,
        ),
        (
            r#"mcpmqtt_tool_call_duration_seconds_count{tool="mqtt_publish"}"#,
            7.0,
        ),
        (
            r#"mcpmqtt_tool_call_duration_seconds_bucket{tool="mqtt_publish",le="+Inf"}"#,
            7.0,
        ),
        (r#"mcpmqtt_mqtt_messages_sent_total{qos="0"}"#, 1.0),
        (r#"mcpmqtt_mqtt_messages_sent_total{qos="1"}"#, 2.0),
        (r#"mcpmqtt_mqtt_messages_sent_total{qos="2"}"#, 3.0),
        (r#"mcpmqtt_mqtt_sent_bytes_total{qos="2"}"#, 24.0),
        (r#"mcpmqtt_mqtt_messages_received_total{qos="0"}"#, 1.0),
        (r#"mcpmqtt_mqtt_received_bytes_total{qos="0"}"#, 8.0),
        ("mcpmqtt_mqtt_reconnects_total", 1.0),
        ("mcpmqtt_mqtt_connections_lost_total", 1.0),
        ("mcpmqtt_mqtt_connected", 1.0),
        (r#"mcpmqtt_http_auth_failures_total{reason="no_key"}"#, 1.0),
        (
            r#"mcpmqtt_http_auth_failures_total{reason="wrong_key"}"#,
            1.0,
        ),
        (r#"mcpmqtt_http_requests_total{code="401"}"#, 2.0),
        (r#"mcpmqtt_http_requests_total{code="404"}"#, 1.0),
        // The one that asks is open, too.
        ("mcpmqtt_http_connections", 3.0),
    ] {
        assert_eq!(found.get(name), Some(&value), "{name}\n{found:#?}");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let rss = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let rss: f64 = rss.trim().trim_end_matches(" kB").parse().unwrap();
    let told = found["process_resident_memory_bytes"] / 1024.0;
    assert!((told / rss - 1.0).abs() < 0.2, "{told} {rss}");
    assert!(found["process_open_fds"] > 5.0 && found["process_open_fds"] < 40.0);
    assert!(found["process_start_time_seconds"] > 1.7e9);
    buckets_grow(&found);
}

fn buckets_grow(found: &BTreeMap<String, f64>) {
    let mut series: BTreeMap<&str, BTreeMap<u64, f64>> = BTreeMap::new();
    for (name, count) in found {
        let Some((family, bound)) = name.split_once("le=\"") else {
            continue;
        };
        let bound: f64 = bound
            .trim_end_matches("\"}")
            .replace("+Inf", "inf")
            .parse()
            .unwrap();
        series
            .entry(family)
            .or_default()
            .insert((bound * 1e6) as u64, *count);
    }
    assert_eq!(series.len(), 8, "seven tools and the requests");
    for (family, buckets) in series {
        assert_eq!(buckets.len(), 17, "{family}");
        let counts: Vec<_> = buckets.values().collect();
        assert!(counts.is_sorted(), "{family} {counts:?}");
    }
}

#[test]
fn no_label_is_a_topic_a_path_or_anything_else_that_clients_choose() {
    let folder = Scratch::new();
    let (config, socket) = config(&folder, free_port(), None);
    let mut program = Program::over(&config);
    program.until("serving MCP over HTTP on");
    let names = |found: BTreeMap<String, f64>| -> BTreeSet<String> {
        found
            .into_keys()
            .filter(|name| !name.starts_with("mcpmqtt_http_requests_total"))
            .collect()
    };
    let before = names(scrape(&socket));
    for n in 0..10 {
        fetch(&socket, &format!("/secret{n}"), &format!("secret{n}"));
        let mut client = Client::unix(&socket);
        client.send(&call(
            "mqtt_publish",
            &json!({"topic": format!("secret{n}"), "payload": "x"}),
        ));
        client.answer();
        client.send(&call(&format!("secret{n}"), &json!({})));
        client.answer();
    }
    assert_eq!(names(scrape(&socket)), before);
    let text = fetch(&socket, "/metrics", "k").body;
    assert!(!String::from_utf8(text).unwrap().contains("secret"));
}

#[test]
fn health_and_readiness_need_no_key_and_tell_the_broker_from_the_program() {
    let mut broker = Mosquitto::start();
    let folder = Scratch::new();
    let (config, socket) = config(&folder, broker.port, None);
    let mut program = Program::over(&config);
    program.until("connected to the broker");
    let told = |path: &str| {
        let answer = fetch(&socket, path, "");
        (answer.status, answer.json())
    };
    assert_eq!(told("/healthz"), (200, json!({"serving": true})));
    assert_eq!(
        told("/readyz"),
        (200, json!({"ready": true, "mqtt_connected": true}))
    );
    broker.kill();
    program.until("next attempt");
    assert_eq!(told("/healthz"), (200, json!({"serving": true})));
    assert_eq!(
        told("/readyz"),
        (503, json!({"ready": false, "mqtt_connected": false}))
    );
    let mut client = Client::unix(&socket);
    client.send(b"HEAD /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(client.head().status, 503);
    client.send(b"POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    let refused = client.answer();
    assert_eq!(
        (refused.status, refused.field("allow")),
        (405, Some("GET, HEAD"))
    );
}

#[test]
fn the_operators_own_port_shows_metrics_without_a_key_and_nothing_of_mcp() {
    let folder = Scratch::new();
    let port = free_port();
    let (config, _) = config(&folder, free_port(), Some(port));
    let mut program = Program::over(&config);
    program.until(&format!("metrics on `127.0.0.1:{port}`"));
    let ask = |request: &str| {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        crate::common::program::ask(socket, request)
    };
    let get = |path: &str, host: &str| {
        ask(&format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        ))
    };
    let answer = get("/metrics", "localhost");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    samples(body);
    assert!(get("/healthz", "localhost").starts_with("HTTP/1.1 200"));
    assert!(get("/readyz", "localhost").starts_with("HTTP/1.1 503"));
    assert!(get("/mcp", "localhost").starts_with("HTTP/1.1 404"));
    // A page of another site that found the way here by its name server.
    assert!(get("/metrics", "evil.example").starts_with("HTTP/1.1 403"));
}
