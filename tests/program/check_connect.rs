//! `--check --connect` against a real mosquitto, and against what only looks like a broker.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use serde_json::{Value, json};

use crate::common::mosquitto::{Clients, Mosquitto};
use crate::common::ports::free_port;
use crate::common::program::PROGRAM;
use crate::common::scratch::Scratch;
use crate::common::size::full_size;

/// What the check says of this configuration, for people.
fn check(config: &Value, more: &[&str]) -> (i32, String) {
    let output = run(config, more);
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

fn check_as_json(config: &Value, more: &[&str]) -> (i32, Value) {
    let output = run(config, &[&["--json"], more].concat());
    assert!(output.stderr.is_empty(), "{output:?}");
    let said = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), said)
}

fn run(config: &Value, more: &[&str]) -> Output {
    let scratch = Scratch::new();
    let path = scratch.file("config.json", &config.to_string());
    Command::new(PROGRAM)
        .args(["--check", "--connect", "--seconds", "1", "--config"])
        .arg(path)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn config(port: u16, patterns: &[&str]) -> Value {
    let rule =
        |pattern: &&str| json!({"pattern": pattern, "permissions": ["read"], "description": "d"});
    json!({
        "mqtt": {"host": "127.0.0.1", "port": port},
        "topics": patterns.iter().map(rule).collect::<Vec<_>>(),
    })
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap()
}

// ---- mosquitto

#[test]
fn the_password_is_what_opens_a_broker_with_passwords() {
    let scratch = Scratch::new();
    let file = scratch.path("passwords");
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&file)
        .args(["ada", "right"])
        .status()
        .unwrap();
    assert!(made.success());
    // Started by root it would become a user that may not read here.
    let options = format!(
        "user root\nallow_anonymous false\npassword_file {}",
        file.display()
    );
    let broker = Mosquitto::with(&options, &[]);
    let with = |password: Option<&str>| {
        let mut config = config(broker.port, &["t/#"]);
        if let Some(password) = password {
            config["mqtt"]["username"] = json!("ada");
            config["mqtt"]["password"] = json!(password);
        }
        check(&config, &[])
    };
    let (code, said) = with(Some("right"));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("`t/#`: granted; nothing retained, nothing new came in 1.0 s"));
    for wrong in [Some("wrong"), None] {
        let (code, said) = with(wrong);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("not connected: broker `127.0.0.1:"), "{said}");
        assert!(said.contains("`mqtt.password`"), "{said}");
        let verdict = "not ready: it would start over stdio, but the broker cannot be used";
        assert!(said.contains(verdict), "{said}");
    }
}

#[test]
fn what_the_access_list_refuses_is_named_and_the_rest_is_listened_to() {
    let scratch = Scratch::new();
    let rules = json!({
        "defaultACLAccess": {
            "publishClientSend": true, "publishClientReceive": true, "subscribe": true, "unsubscribe": true,
        },
        "roles": [{"rolename": "anyone", "acls": [
            {"acltype": "subscribePattern", "topic": "secret/#", "allow": false},
        ]}],
        "groups": [{"groupname": "anyone", "roles": [{"rolename": "anyone"}]}],
        "anonymousGroup": "anyone",
        "clients": [],
    });
    let rules = scratch.file("rules.json", &rules.to_string());
    let library = fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("mosquitto_dynamic_security.so"))
        .find(|path| path.exists());
    let library = library.expect("mosquitto brings its plugin for dynamic security");
    let options = format!(
        "user root\nplugin {}\nplugin_opt_config_file {}",
        library.display(),
        rules.display()
    );
    let broker = Mosquitto::with(&options, &[]);
    for topic in ["open/a", "open/b"] {
        broker.publish(&["-t", topic, "-r", "-m", "1", "-q", "1"]);
    }
    // The operator's halt topic is tried, too: without it nothing would be written.
    let mut operated = config(broker.port, &["open/#"]);
    operated["operator"] = json!({"topic": "secret/op"});
    let (code, said) = check(&operated, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("`secret/op/halt`: refused: "), "{said}");
    let config = config(broker.port, &["secret/#", "open/#"]);
    let (code, said) = check(&config, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("`secret/#`: refused: "), "{said}");
    assert!(
        said.contains("`open/#`: granted; 2 retained values, "),
        "{said}"
    );
    assert_eq!(
        last_line(&said),
        "not ready: it would start over stdio, but the broker does not grant 1 of 2 readable patterns"
    );
    let (code, said) = check_as_json(&config, &[]);
    assert_eq!((code, &said["verdict"]), (1, &json!("not ready")));
    let patterns = &said["connection"]["patterns"];
    assert_eq!(patterns[0]["outcome"], "refused", "{said}");
    assert_eq!(patterns[1]["outcome"], "granted", "{said}");
    assert_eq!(patterns[1]["retained"], 2, "{said}");
    assert_eq!(said["configuration"]["broker"]["port"], broker.port);
}

#[test]
fn where_a_limit_forbids_the_test_message_the_verdict_does_not_blame_the_start() {
    let mut config = config(1, &["t/#"]);
    config["topics"][0]["permissions"] = json!(["read", "write"]);
    config["topics"][0]["payload"] = json!({"type": "number", "max": 30, "example": 21.5});
    let (code, said) = check(&config, &["--publish", "t/x"]);
    assert_eq!(code, 1, "{said}");
    assert!(!said.contains("connected to"), "{said}");
    for words in [
        "`--publish`: `test message of mcpmqtt --check` is not a number; `t/#` takes ",
        "; the check sends this text alone: name another topic, or send a payload there with `--call mqtt_publish`",
        "not ready: it would start over stdio, but the message of `--publish` is not permitted",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let (code, said) = check_as_json(&config, &["--publish", "t/x"]);
    assert_eq!((code, &said["verdict"]), (1, &json!("not ready")), "{said}");
    let text = "it would start over stdio, but the message of `--publish` is not permitted";
    assert_eq!(said["text"], text, "{said}");
    let findings = said["findings"].as_array().unwrap().iter();
    let errors: Vec<_> = findings.filter(|it| it["severity"] == "error").collect();
    let [error] = errors[..] else {
        panic!("{said}");
    };
    assert!(error["text"].as_str().unwrap().starts_with("`--publish`: "));
}

/// What holds for agents holds for the check.
#[test]
fn the_test_message_gets_past_no_rule_no_consent_and_no_halt() {
    let broker = Mosquitto::start();
    let mut config = config(broker.port, &["t/#"]);
    config["operator"] = json!({"topic": "op", "unprotected": true});
    config["topics"] = json!([
        {"pattern": "t/+", "permissions": ["read", "write"]},
        {"pattern": "r/a", "permissions": ["write"], "write": {"min_interval": 1}},
        {"pattern": "c/a", "permissions": ["write"], "consent": "operator"},
    ]);
    for topic in ["r/a", "c/a"] {
        let (code, said) = check(&config, &["--publish", topic]);
        assert_eq!(code, 1, "{said}");
        let words = format!("`--publish`: `{topic}` has rules on writes or consent");
        assert!(
            said.contains(&words) && !said.contains("\npublished to"),
            "{said}"
        );
    }
    broker.publish(&["-r", "-t", "op/halt", "-m", "stop"]);
    let (code, said) = check(&config, &["--publish", "t/x"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("not sent: writing is halted on `op/halt`"),
        "{said}"
    );
    assert!(!said.contains("\npublished to"), "{said}");
    // A lift that the broker keeps halts nothing.
    let lift = json!({"lift": "n-1", "mac": "00"}).to_string();
    broker.publish(&["-r", "-t", "op/halt", "-m", &lift]);
    let (code, said) = check(&config, &["--publish", "t/x"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("published to `t/x`"), "{said}");
    // Without that topic nothing would be written.
    let broker = Mosquitto::refusing(&["op/halt"]);
    config["mqtt"]["port"] = broker.port.into();
    let (code, said) = check(&config, &["--publish", "t/x"]);
    assert_eq!(code, 1, "{said}");
    let words = "not sent: whether writing is halted on `op/halt` is not known";
    assert!(
        said.contains(words) && !said.contains("\npublished to"),
        "{said}"
    );
}

#[test]
fn nothing_is_published_but_what_is_named_and_permitted() {
    let broker = Mosquitto::start();
    let mut config = config(broker.port, &["t/#"]);
    config["mqtt"]["will"] = json!({"topic": "t/will", "payload": "gone"});
    config["mqtt"]["birth"] = json!({"topic": "t/birth", "payload": "here"});
    config["topics"][0]["permissions"] = json!(["read", "write"]);
    let heard = broker.subscribe(&["-t", "#", "-C", "2", "-F", "%t %r %p"], || {
        let (code, said) = check(&config, &[]);
        assert_eq!(code, 0, "{said}");
        broker.publish(&["-t", "mark", "-m", "between"]);
        let (code, said) = check(&config, &["--publish", "t/x"]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("published to `t/x`: the broker acknowledged it"));
        let (code, said) = check(&config, &["--publish", "elsewhere"]);
        assert_eq!(code, 1, "{said}");
        assert!(
            said.contains("`--publish`: `elsewhere` is not writable"),
            "{said}"
        );
        assert!(!said.contains("connected to"), "{said}");
        let verdict =
            "not ready: it would start over stdio, but the message of `--publish` is not permitted";
        assert!(said.contains(verdict), "{said}");
    });
    assert_eq!(
        heard,
        "mark 0 between\nt/x 0 test message of mcpmqtt --check\n"
    );
}

#[test]
fn messages_a_second_are_counted() {
    let broker = Mosquitto::start();
    let flood = Clients(broker.port);
    let (stop, stopped) = mpsc::channel::<()>();
    let sending = thread::spawn(move || {
        while stopped.try_recv().is_err() {
            flood.publish(&["-t", "t/a", "-m", "x"]);
        }
    });
    let (code, said) = check_as_json(&config(broker.port, &["t/#", "quiet"]), &[]);
    stop.send(()).unwrap();
    sending.join().unwrap();
    assert_eq!(code, 0, "{said}");
    let patterns = &said["connection"]["patterns"];
    assert!(patterns[0]["messages"].as_u64().unwrap() > 0, "{said}");
    assert_eq!(patterns[1]["messages"], 0, "{said}");
}

#[test]
fn of_too_many_patterns_the_first_ones_are_tried_and_it_is_said() {
    if !full_size() {
        return;
    }
    let broker = Mosquitto::start();
    let patterns: Vec<_> = (0..200).map(|n| format!("t/{n}/#")).collect();
    let patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
    let (code, said) = check(&config(broker.port, &patterns), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("167 more readable patterns were not tried"),
        "{said}"
    );
    assert!(said.ends_with("the broker grants the first 33 of 200 readable patterns\n"));
}

// ---- what is no broker for us

/// Answers the first bytes of each connection with these, and closes.
fn answering(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut room = [0; 4096];
            let _ = stream.read(&mut room);
            let _ = stream.write_all(bytes);
        }
    });
    port
}

#[test]
fn what_is_no_broker_is_told_with_its_remedy() {
    let http = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    for (port, words) in [
        (free_port(), "connection refused (is the broker running?)"),
        (answering(http), "HTTP"),
        // [MQTT5-3.2.2-6]: unsupported protocol version.
        (answering(&[0x20, 0x03, 0x00, 0x84, 0x00]), "MQTT 5"),
        (answering(b""), "without an answer to CONNECT"),
    ] {
        let config = config(port, &["t/#"]);
        let (code, said) = check(&config, &[]);
        assert_eq!(code, 1, "{said}");
        let line = said
            .lines()
            .find(|line| line.starts_with("not connected: "));
        assert!(line.unwrap().contains(words), "{words}: {said}");
        assert!(!said.contains("granted"), "{said}");
        let (code, said) = check_as_json(&config, &[]);
        assert_eq!((code, &said["connection"]["connected"]), (1, &json!(false)));
        assert!(
            said["connection"]["reason"]
                .as_str()
                .unwrap()
                .contains(words)
        );
    }
    let mut nowhere = config(1883, &["t/#"]);
    // RFC 6761 §6.4: a name that never resolves.
    nowhere["mqtt"]["host"] = json!("broker.invalid");
    let (code, said) = check(&nowhere, &[]);
    assert_eq!(code, 1);
    assert!(said.contains("cannot be resolved"), "{said}");
}

/// A broker that ends the connection of whoever subscribes to `forbidden/#`. Tells each packet that came.
fn cutting() -> (u16, Receiver<Vec<u8>>) {
    forbidding(None)
}

/// As `cutting`; with a return code, SUBACK comes with that in place of the cut.
fn forbidding(code: Option<u8>) -> (u16, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, packets) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            while let Some(packet) = read_packet(&mut stream) {
                let forbidden = packet.windows(9).any(|it| it == b"forbidden");
                let answer = match packet[0] >> 4 {
                    1 => vec![0x20, 2, 0, 0],
                    8 if forbidden => {
                        code.map_or(vec![], |code| vec![0x90, 3, packet[2], packet[3], code])
                    }
                    8 => vec![0x90, 3, packet[2], packet[3], 0],
                    10 => vec![0xb0, 2, packet[2], packet[3]],
                    12 => vec![0xd0, 0],
                    _ => vec![],
                };
                let is_cut = packet[0] >> 4 == 8 && forbidden && code.is_none();
                let _ = sender.send(packet);
                if is_cut || stream.write_all(&answer).is_err() {
                    break;
                }
            }
        }
    });
    (port, packets)
}

fn read_packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    assert!(head[1] < 0x80, "packets of this test are short");
    let mut body = vec![0; head[1].into()];
    stream.read_exact(&mut body).ok()?;
    Some([&head[..], &body].concat())
}

/// ejabberd refuses with a return code that MQTT 3.1.1 does not have.
#[test]
fn a_refusal_in_the_words_of_mqtt_5_is_a_refusal_and_the_rest_is_tried() {
    let (port, _packets) = forbidding(Some(0x8f));
    let config = config(port, &["first/#", "forbidden/#", "last/#"]);
    let (code, said) = check(&config, &[]);
    assert_eq!(code, 1, "{said}");
    for words in [
        "`first/#`: granted",
        "`forbidden/#`: refused: the broker refused the subscription with 0x8f, a return code of MQTT 5",
        "`last/#`: granted",
        "does not grant 1 of 3 readable patterns",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
}

/// rumqttd ends the connection without a CONNACK.
#[test]
fn a_silent_refusal_points_at_the_password_when_there_is_one() {
    let mut config = config(answering(b""), &["t/#"]);
    let hint = "some brokers do this to a wrong `mqtt.username` or `mqtt.password`";
    let (code, said) = check(&config, &[]);
    assert_eq!((code, said.contains(hint)), (1, false), "{said}");
    config["mqtt"]["username"] = json!("u");
    config["mqtt"]["password"] = json!("wrong");
    let (code, said) = check(&config, &[]);
    assert_eq!((code, said.contains(hint)), (1, true), "{said}");
}

#[test]
fn a_filter_that_costs_the_connection_is_named_and_the_rest_is_tried() {
    let (port, packets) = cutting();
    let mut config = config(port, &["first/#", "forbidden/#", "last/#"]);
    config["mqtt"]["client_id"] = json!("plant");
    config["mqtt"]["clean_session"] = json!(false);
    config["mqtt"]["will"] = json!({"topic": "t/will", "payload": "gone"});
    config["mqtt"]["birth"] = json!({"topic": "t/birth", "payload": "here"});
    let (code, said) = check(&config, &[]);
    assert_eq!(code, 1, "{said}");
    for words in [
        "`first/#`: granted",
        "`forbidden/#`: ends the connection: the broker closes the connection when this filter is subscribed",
        "`last/#`: granted",
        "does not grant 1 of 3 readable patterns",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    // A running server keeps its client id, its session and its word.
    let packets: Vec<_> = packets.try_iter().collect();
    let connects: Vec<_> = packets.iter().filter(|it| it[0] == 0x10).collect();
    assert!(connects.len() > 1);
    for connect in connects {
        // [MQTT-3.1.2-4]: clean session and nothing else.
        assert_eq!(connect[9], 0x02);
        assert!(!connect.windows(5).any(|it| it == b"plant"));
    }
    assert!(
        !packets.iter().any(|it| it[0] >> 4 == 3),
        "something was published"
    );
}
