//! One call of a tool from the command line: through the running server, and with a connection of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::common::config::open_config;
use crate::common::mosquitto::Mosquitto;
use crate::common::ports::free_port;
use crate::common::program::{PROGRAM, Program};
use crate::common::scratch::Scratch;

struct Caller {
    config: PathBuf,
    key: Option<String>,
}

impl Caller {
    fn new(config: &Path) -> Caller {
        let config = config.to_owned();
        Caller { config, key: None }
    }

    fn call(&self, args: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--call")
            .args(args)
            .arg("--config")
            .arg(&self.config);
        command.env_remove("MCPMQTT_KEY").stdin(Stdio::null());
        command.envs(self.key.iter().map(|key| ("MCPMQTT_KEY", key)));
        command.output().unwrap()
    }

    /// Standard output of a call that did what it should and had nothing to remark.
    fn done(&self, args: &[&str]) -> Vec<u8> {
        let output = self.call(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {errors}");
        assert_eq!(errors, "", "{args:?}");
        output.stdout
    }

    /// Standard error of a call that came to nothing; standard output stays empty.
    fn failed(&self, args: &[&str], code: i32) -> String {
        let output = self.call(args);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
        assert_eq!(output.stdout, b"", "{args:?}: {errors}");
        errors
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn without_a_server_a_call_connects_by_itself() {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    let file = scratch.file("config.json", &open_config(broker.port).to_string());
    let caller = Caller::new(&file);
    let sent = caller.done(&[
        "mqtt_publish",
        "topic=t/a",
        "payload=1",
        "qos=1",
        "retain=true",
    ]);
    assert_eq!(text(sent), "delivered: t/a (1 byte, QoS 1)\n");
    assert_eq!(text(caller.done(&["mqtt_read", "topic=t/a"])), "1\n");
    let object = r#"{"topic": "t/a", "timeout": 3}"#;
    assert_eq!(text(caller.done(&["mqtt_read", object])), "1\n");
    let whole = caller.done(&["mqtt_read", "topic=t/a", "--json"]);
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(
        (&whole["payload"], &whole["retain"]),
        (&json!("1"), &json!(true))
    );

    // Bytes that are no text go and come as they are.
    let published = [
        "mqtt_publish",
        "topic=t/b",
        "payload=//4A",
        "encoding=base64",
        "retain=true",
        "qos=1",
    ];
    caller.done(&published);
    assert_eq!(caller.done(&["mqtt_read", "topic=t/b"]), [0xFF, 0xFE, 0]);
    let both = text(caller.done(&["mqtt_subscribe", "topic=t/#", "max_messages=2"]));
    let mut lines: Vec<&str> = both.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["t/a 1", "t/b base64://4A"]);
}

#[test]
fn the_exit_code_and_standard_error_say_how_it_ended() {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    let file = scratch.file("config.json", &open_config(broker.port).to_string());
    let caller = Caller::new(&file);
    for (args, words) in [
        (
            &["mqtt_read", "topic=t/none", "timeout=0.3"][..],
            "mcpmqtt: no message on `t/none` within 0.3 s",
        ),
        (
            &["mqtt_subscribe", "topic=t/none", "timeout=0.3"],
            "mcpmqtt: no message came in time\n",
        ),
        (
            &["mqtt_read", "topic=secret"],
            "mcpmqtt: `secret` is not readable; readable: ",
        ),
        (
            &["mqtt_publish", "topic=out/x", "payload=1"],
            "mcpmqtt: `out/x` is not writable",
        ),
    ] {
        let errors = caller.failed(args, 1);
        assert!(errors.starts_with(words), "{args:?}: {errors}");
        let as_json: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        if args[0] != "mqtt_subscribe" {
            assert!(caller.failed(&as_json, 1).starts_with(words), "{args:?}");
        }
    }
    let mut elsewhere = open_config(free_port());
    elsewhere["mqtt"]["connect_timeout"] = json!(1);
    let file = scratch.file("elsewhere.json", &elsewhere.to_string());
    let errors = Caller::new(&file).failed(&["mqtt_read", "topic=t/a", "timeout=1"], 1);
    assert!(
        errors.contains("cannot connect to the broker") && errors.contains("connection refused"),
        "{errors}"
    );
}

#[test]
fn wrong_arguments_are_named_before_anything_is_opened() {
    // There is no such file: it is not looked for.
    let caller = Caller::new(Path::new("/nonexistent/config.json"));
    for (args, words) in [
        (
            &["mqtt_raed", "topic=a"][..],
            "there is no tool `mqtt_raed`; there are `mqtt_publish`, ",
        ),
        (&["mqtt_read"], "missing argument `topic` (a string)"),
        (
            &["mqtt_read", "sensors/a"],
            "`sensors/a` is not an argument: write NAME=VALUE",
        ),
        (
            &["mqtt_read", "topic=a", "topic=b"],
            "the argument `topic` is given twice",
        ),
        (
            &["mqtt_read", "topic=a", "timeout=soon"],
            "`timeout` must be a number from 0.001 to 300; found the string \"soon\"",
        ),
        (
            &["mqtt_read", "topic=a", "timeout=0"],
            "`timeout` must be a number from 0.001 to 300; found 0",
        ),
        (
            &["mqtt_read", "response_topic=a"],
            "unknown argument `response_topic`: use `topic`",
        ),
        (
            &["mqtt_publish", "topic=a", "payload=1", "retain=yes"],
            "`retain` must be true or false",
        ),
        (
            &["mqtt_publish", "topic=a", "payload=1", "qos=3"],
            "`qos` must be an integer from 0 to 2; found 3",
        ),
        (
            &["mqtt_read", r#"{"topic":"a","topic":"b"}"#],
            "the arguments are not a JSON object: duplicate key `topic`",
        ),
        (
            &["mqtt_read", "topic=a", "--bogus"],
            "unknown option `--bogus`",
        ),
    ] {
        let errors = caller.failed(args, 2);
        assert!(
            errors.starts_with(&format!("mcpmqtt: {words}")),
            "{args:?}: {errors}"
        );
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
    let errors = caller.failed(&["mqtt_read", "topic=a"], 1);
    assert!(
        errors.starts_with("mcpmqtt: cannot read the configuration"),
        "{errors}"
    );
}

/// Of a broker that a server with a fixed client id is connected to.
fn with_server(broker: &Mosquitto, scratch: &Scratch, listen: &Value) -> (PathBuf, String) {
    let mut config = open_config(broker.port);
    config["mqtt"]["client_id"] = json!("the-server");
    config["mqtt"]["will"] = json!({"topic": "t/will", "payload": "gone", "retain": true});
    config["remote_server"] = listen.clone();
    let file = scratch.file("server.json", &config.to_string());
    let key = Command::new(PROGRAM)
        .args(["--genkey", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(key.status.success(), "{key:?}");
    (file, text(key.stdout).trim_end().to_owned())
}

#[test]
fn with_the_key_the_call_goes_through_the_running_server() {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    for listen in [
        json!({"uds": scratch.path("s")}),
        json!({"host": "127.0.0.1", "port": free_port()}),
        json!({"host": "0.0.0.0", "port": free_port(), "allowed_hosts": ["plant.example"]}),
    ] {
        let (file, key) = with_server(&broker, &scratch, &listen);
        let mut server = Program::over(&file);
        server.until("connected");
        let mut caller = Caller::new(&file);
        caller.key = Some(key);
        // Its own broker connection could not do this: the configuration that it reads leads nowhere.
        let mut config: Value =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        config["mqtt"]["port"] = json!(free_port());
        caller.config = scratch.file("caller.json", &config.to_string());
        let sent = caller.done(&[
            "mqtt_publish",
            "topic=t/ä",
            "payload=x y",
            "qos=1",
            "retain=true",
        ]);
        assert_eq!(text(sent), "delivered: t/ä (3 bytes, QoS 1)\n");
        assert_eq!(text(caller.done(&["mqtt_read", "topic=t/ä"])), "x y\n");
        let refused = caller.failed(&["mqtt_read", "topic=secret"], 1);
        assert!(
            refused.starts_with("mcpmqtt: `secret` is not readable"),
            "{refused}"
        );
        // A server that refuses is not gone around.
        caller.key = Some("wrong".into());
        let refused = caller.failed(&["mqtt_read", "topic=t/ä"], 1);
        assert!(
            refused.contains("refused the call with status 401: wrong API key"),
            "{refused}"
        );
    }
}

#[test]
fn without_the_key_the_call_connects_by_itself_and_the_server_stays() {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    let (file, key) = with_server(&broker, &scratch, &json!({"uds": scratch.path("s")}));
    let mut caller = Caller::new(&file);
    let own = [
        "mqtt_publish",
        "topic=t/a",
        "payload=1",
        "qos=1",
        "retain=true",
        "--log-level=info",
    ];
    let said = |caller: &Caller| {
        let output = caller.call(&own);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(output.stderr)
    };
    {
        let mut server = Program::over(&file);
        server.until("connected");
        let words = "the call takes a connection of its own, not the running server: MCPMQTT_KEY is not set";
        assert!(said(&caller).contains(words));
        assert_eq!(text(caller.done(&["mqtt_read", "topic=t/a"])), "1\n");
        // Another client with its client id would have thrown it out, and its will would be there.
        let will = caller.failed(&["mqtt_read", "topic=t/will", "timeout=0.5"], 1);
        assert!(will.contains("no message"), "{will}");
    }
    caller.key = Some(key);
    let words = "the running server cannot be reached (`";
    assert!(said(&caller).contains(words));
    for bad in ["a\r\nx: y", "a b", "ä"] {
        caller.key = Some(bad.into());
        assert!(said(&caller).contains("the API key has characters that no key has"));
    }
    let listen = json!({"host": "127.0.0.1", "port": free_port(), "api_key": "k", "tls": {"cert_file": "c", "key_file": "k"}});
    let mut config = open_config(broker.port);
    config["remote_server"] = listen;
    let over_https = scratch.file("https.json", &config.to_string());
    assert!(said(&Caller::new(&over_https)).contains("not the running server: it speaks HTTPS"));
}

#[test]
fn what_is_no_mcpmqtt_is_asked_once() {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    let of = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let maybe = "may have been carried out";
    for (answer, code, words) in [
        (String::new(), 1, maybe),
        ("SSH-2.0-x\r\n".into(), 1, maybe),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}".into(),
            1,
            maybe,
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n".into(),
            1,
            "status 502",
        ),
        (of(r#"{"jsonrpc":"2.0","id":1}"#), 1, "not JSON-RPC"),
        (
            of(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"out of cheese"}}"#),
            1,
            "out of cheese",
        ),
        (
            of(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such tool"}}"#),
            2,
            "no such tool",
        ),
        (
            of(r#"{"jsonrpc":"2.0","id":1,"error":7}"#),
            1,
            "an error without words",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = json!({"host": "127.0.0.1", "port": listener.local_addr().unwrap().port(), "api_key": "plain"});
        let mut config = open_config(broker.port);
        config["remote_server"] = listen;
        let file = scratch.file("config.json", &config.to_string());
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"{}}}}") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            drop(stream);
            listener.set_nonblocking(true).unwrap();
            (listener, String::from_utf8(head).unwrap())
        });
        let caller = Caller::new(&file);
        let output = caller.call(&[
            "mqtt_publish",
            "topic=t/once",
            "payload=1",
            "retain=true",
            "qos=1",
        ]);
        let errors = text(output.stderr);
        assert_eq!(output.status.code(), Some(code), "{errors}");
        let (listener, head) = other.join().unwrap();
        assert!(
            head.contains("\r\nauthorization: Bearer plain\r\n"),
            "{head}"
        );
        assert!(listener.accept().is_err(), "it asked again");
        assert!(errors.contains(words), "{words}: {errors}");
        // And it did not go around it.
        let own = scratch.file("own.json", &open_config(broker.port).to_string());
        Caller::new(&own).failed(&["mqtt_read", "topic=t/once", "timeout=0.3"], 1);
    }
}

/// Overviews, conditions and proofs are lines for people, and what was not so is a failure.
#[test]
fn what_was_seen_is_shown_in_lines() {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    let file = scratch.file("config.json", &open_config(broker.port).to_string());
    let caller = Caller::new(&file);
    broker.publish(&["-r", "-t", "t/a", "-m", "5"]);
    let shown = |args: &[&str]| {
        let output = caller.call(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        (text(output.stdout), text(output.stderr))
    };
    let (lines, notes) = shown(&["mqtt_topics", "topic=t/#", "seconds=0.3"]);
    assert!(
        lines.starts_with("t/a ") && lines.contains("kind=number"),
        "{lines}"
    );
    assert!(
        notes.contains("topics that are not retained and did not come"),
        "{notes}"
    );
    let (lines, _) = shown(&[
        "mqtt_subscribe",
        "topic=t/#",
        "format=latest",
        "retained=only",
    ]);
    assert!(lines.starts_with("t/a 5"), "{lines}");
    let publish = ["mqtt_publish", "topic=t/b", "payload=1"];
    let proof = [&publish[..], &[r#"confirm={"topic": "t/b", "value": "1"}"#]].concat();
    let (lines, _) = shown(&proof);
    assert!(lines.contains("confirmed: true t/b"), "{lines}");
    let reaction = [
        &publish[..],
        &[r#"when={"topic": "t/a", "value": "5", "already": "act"}"#],
    ]
    .concat();
    let (lines, _) = shown(&reaction);
    assert!(
        lines.contains("when: ") && lines.contains("t/a 5"),
        "{lines}"
    );
    let fails = |args: &[&str], words: &str| {
        let output = caller.call(args);
        let errors = text(output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
        assert!(errors.contains(words), "{args:?}: {errors}");
    };
    fails(
        &["mqtt_topics", "topic=none/#", "seconds=0.1"],
        "nothing came that was asked for",
    );
    let too_high = "the condition was not met in time; the last value of t/a was 5";
    fails(
        &["mqtt_wait", "topic=t/a", "op=>", "value=90", "timeout=0.3"],
        too_high,
    );
    let late = [
        &publish[..],
        &[r#"when={"topic": "t/a", "op": ">", "value": "90", "timeout": 0.3}"#],
    ]
    .concat();
    fails(&late, too_high);
    let unproven = [
        &publish[..],
        &[r#"confirm={"topic": "t/none", "timeout": 0.3}"#],
    ]
    .concat();
    fails(
        &unproven,
        "published, and nothing came that could confirm it",
    );
    let other = [
        &publish[..],
        &[r#"confirm={"topic": "t/b", "value": "2", "timeout": 0.5}"#],
    ]
    .concat();
    fails(&other, "published, and what came does not confirm it");
}
