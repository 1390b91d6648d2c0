//! Callers with different profiles, against a real mosquitto: each path shows each caller its own topics and tools, and no
//! word of the other's.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::calls::{JSON, call_post};
use crate::common::agent::Agent;
use crate::common::http_client::{Answer, Client};
use crate::common::mosquitto::Mosquitto;
use crate::common::program::{PROGRAM, Program};
use crate::common::requests::{
    BOTH, initialize_post, modern_post, post_with, session_get, session_post,
};
use crate::common::scratch::Scratch;
use crate::common::waiting::eventually;

const RELOADED: &str = "configuration reloaded from";

/// A server with two keys: `ann` may use `alpha/#` with every tool, `bob` may read `beta/#` with four tools.
struct House {
    broker: Mosquitto,
    folder: Scratch,
    program: Program,
    ann: String,
    bob: String,
}

fn config(port: u16, folder: &Scratch) -> Value {
    json!({
        "mqtt": {"host": "127.0.0.1", "port": port},
        "topics": [{"pattern": "gamma/open", "permissions": ["read"]}],
        "profiles": {
            "first": {"topics": [
                {"pattern": "alpha/#", "permissions": ["read", "write"], "description": "Of alpha."},
            ]},
            "second": {
                "topics": [{"pattern": "beta/#", "permissions": ["read"], "description": "Of beta."}],
                "tools": ["mqtt_read", "mqtt_topics", "mqtt_wait", "mqtt_subscribe"],
            },
        },
        "remote_server": {"uds": folder.path("socket"), "keys": []},
    })
}

fn run(folder: &Scratch, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).arg("--config");
    command.arg(folder.path("config.json")).output().unwrap()
}

/// Makes a key by the command, which prints it alone.
fn new_key(folder: &Scratch, name: &str, profile: &str) -> String {
    let made = run(folder, &["--genkey", name, "--profile", profile]);
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn said(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

impl House {
    fn new(change: impl FnOnce(&mut Value)) -> House {
        let (broker, folder) = (Mosquitto::start(), Scratch::new());
        let mut config = config(broker.port, &folder);
        change(&mut config);
        folder.file("config.json", &config.to_string());
        let ann = new_key(&folder, "ann", "first");
        let bob = new_key(&folder, "bob", "second");
        let mut program = Program::over(&folder.path("config.json"));
        program.until("serving MCP over HTTP on");
        program.until("connected to the broker");
        House {
            broker,
            folder,
            program,
            ann,
            bob,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path("socket")
    }

    fn client(&self) -> Client {
        Client::unix(&self.socket())
    }

    fn ask(&self, request: &[u8]) -> Answer {
        let mut client = self.client();
        assert!(client.send(request));
        client.answer()
    }

    fn call(&self, key: &str, tool: &str, arguments: Value) -> Value {
        self.ask(&call_post(key, JSON, tool, arguments)).json()
    }

    fn method(&self, key: &str, method: &str, params: Value) -> Value {
        self.ask(&modern_post(key, JSON, method, params)).json()
    }

    /// Changes the file and takes it in force.
    fn reload(&mut self, change: impl FnOnce(&mut Value)) {
        let path = self.folder.path("config.json");
        let mut file = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut file);
        self.folder.file("config.json", &file.to_string());
        self.hang_up();
    }

    fn hang_up(&mut self) {
        self.program.signal(Signal::HUP);
        self.program.until(RELOADED);
    }

    /// A stream that tells of changes of these resources, and those of them that were granted.
    fn listen(&self, key: &str, uris: Value) -> (Client, Value) {
        let wishes = json!({"notifications": {"resourceSubscriptions": uris}});
        let mut client = self.client();
        client.send(&modern_post(key, BOTH, "subscriptions/listen", wishes));
        assert_eq!(client.head().status, 200);
        let granted = client.event()["params"]["notifications"]["resourceSubscriptions"].clone();
        (client, granted)
    }
}

fn text(answer: &Value) -> &str {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{answer}"))
}

fn names(answer: &Value) -> Vec<&str> {
    let tools = answer["result"]["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[test]
fn each_path_shows_a_caller_its_own_and_no_word_of_the_other_s() {
    let house = House::new(|_| {});
    for topic in ["alpha/t", "beta/t"] {
        house.broker.publish(&["-r", "-t", topic, "-m", "1"]);
    }
    // Whatever is shared is full of both before anybody is asked.
    for (key, own) in [(&house.ann, "alpha/#"), (&house.bob, "beta/#")] {
        house.call(key, "mqtt_topics", json!({"topic": own, "seconds": 0}));
        let read = house.call(key, "mqtt_read", json!({"topic": own}));
        assert_eq!(
            read["result"]["structuredContent"]["payload"], "1",
            "{read}"
        );
    }
    let table = [
        (&house.ann, "alpha", "beta", "Of alpha."),
        (&house.bob, "beta", "alpha", "Of beta."),
    ];
    for (key, own, other, description) in table {
        let mut told = Vec::new();
        let discovered = house.method(key, "server/discover", json!({}));
        let instructions = discovered["result"]["instructions"].as_str().unwrap();
        assert!(
            instructions.contains(&format!("- `{own}/#`")),
            "{instructions}"
        );
        assert_eq!(instructions.matches("\n- ").count(), 1, "{instructions}");
        told.push(discovered.to_string());
        let begun = house.ask(&initialize_post(key, "2025-11-25"));
        assert!(
            begun.json()["result"]["instructions"]
                .as_str()
                .unwrap()
                .contains(description)
        );
        told.push(begun.json().to_string());

        for uri in ["mcpmqtt://topics/allowed", "mcpmqtt://topics/examples"] {
            let read = house.method(key, "resources/read", json!({"uri": uri}));
            let content = read["result"]["contents"][0]["text"].as_str().unwrap();
            assert!(content.contains(description), "{content}");
            told.push(read.to_string());
        }
        let read = house.method(
            key,
            "resources/read",
            json!({"uri": format!("mqtt://topic/{own}/t")}),
        );
        assert_eq!(read["result"]["contents"][0]["text"], "1", "{read}");
        let read = json!({"uri": format!("mqtt://topic/{other}/t")});
        let refused = house.method(key, "resources/read", read);
        let words = refused["error"]["message"].as_str().unwrap();
        assert_eq!(
            words,
            format!("`{other}/t` is not readable; readable: `{own}/#`")
        );
        for method in ["resources/list", "resources/templates/list", "tools/list"] {
            told.push(house.method(key, method, json!({})).to_string());
        }
        let complete = |value: &str| {
            let reference = json!({"type": "ref/resource", "uri": "mqtt://topic/{+topic}"});
            let argument = json!({"name": "topic", "value": value});
            let params = json!({"ref": reference, "argument": argument});
            house.method(key, "completion/complete", params)["result"]["completion"]["values"]
                .clone()
        };
        assert_eq!(complete(""), json!([format!("{own}/"), format!("{own}/t")]));
        assert_eq!(complete(other), json!([]));

        let seen = json!({"topic": "#", "seconds": 0, "detail": "topics"});
        let seen = house.call(key, "mqtt_topics", seen);
        let rows = &seen["result"]["structuredContent"];
        assert_eq!(rows["topics"], 1, "{seen}");
        assert_eq!(rows["rows"][0]["topic"], format!("{own}/t"), "{seen}");
        told.push(seen.to_string());
        for (tool, arguments) in [
            ("mqtt_read", json!({"topic": "#"})),
            ("mqtt_subscribe", json!({"topic": "delta/#"})),
            ("mqtt_wait", json!({"topic": "delta/t"})),
            ("mqtt_read", json!({"topic": "gamma/open"})),
        ] {
            let refused = house.call(key, tool, arguments);
            let words = text(&refused);
            assert!(
                words.ends_with(&format!("is not readable; readable: `{own}/#`")),
                "{words}"
            );
            told.push(refused.to_string());
        }
        for told in told {
            assert!(
                !told.contains(other) && !told.contains("gamma/open` ("),
                "{told}"
            );
        }
    }
    let ended = house.program.end();
    assert!(ended.1.success(), "{}", ended.0);
}

#[test]
fn a_tool_that_a_profile_lacks_is_neither_listed_nor_named_nor_callable() {
    let house = House::new(|_| {});
    let (ann, bob) = (
        house.method(&house.ann, "tools/list", json!({})),
        house.method(&house.bob, "tools/list", json!({})),
    );
    assert_eq!(names(&ann).len(), 7);
    let own = ["mqtt_subscribe", "mqtt_read", "mqtt_topics", "mqtt_wait"];
    assert_eq!(names(&bob), own);
    let discovered = house.method(&house.bob, "server/discover", json!({}));
    let instructions = discovered["result"]["instructions"].as_str().unwrap();
    let uses = instructions.lines().skip(1).take(3);
    assert_eq!(
        uses.collect::<Vec<_>>(),
        [
            "Look: mqtt_topics (what is there), mqtt_read (one value).",
            "Wait: mqtt_wait (a value, an alarm, settled).",
            "Topic patterns:"
        ]
    );
    let refused = house.call(
        &house.bob,
        "mqtt_publish",
        json!({"topic": "beta/t", "payload": ""}),
    );
    assert_eq!(refused["error"]["message"], "unknown tool `mqtt_publish`");
    let none = house.call(&house.bob, "mqtt_xyz", json!({}));
    assert_eq!(none["error"]["code"], refused["error"]["code"]);
}

#[test]
fn a_session_and_a_watched_topic_are_their_caller_s_own() {
    let house = House::new(|_| {});
    let session = house.ask(&initialize_post(&house.ann, "2025-11-25"));
    let session = session.field("mcp-session-id").unwrap();
    let ping = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
    assert_eq!(
        house.ask(&session_post(&house.ann, session, &ping)).status,
        200
    );
    assert_eq!(
        house.ask(&session_post(&house.bob, session, &ping)).status,
        404
    );

    let both = json!(["mqtt://topic/alpha/t", "mqtt://topic/beta/t"]);
    // The watch of each topic is there already when the other asks for it.
    let (mut ann, granted) = house.listen(&house.ann, both.clone());
    assert_eq!(granted, json!(["mqtt://topic/alpha/t"]));
    let (mut bob, granted) = house.listen(&house.bob, both);
    assert_eq!(granted, json!(["mqtt://topic/beta/t"]));
    for topic in ["alpha/t", "beta/t", "alpha/t", "beta/t"] {
        house.broker.publish(&["-t", topic, "-m", "x"]);
    }
    assert_eq!(ann.event()["params"]["uri"], "mqtt://topic/alpha/t");
    assert_eq!(bob.event()["params"]["uri"], "mqtt://topic/beta/t");
    let uri = json!({"uri": "mqtt://topic/alpha/t"});
    let subscribe =
        json!({"jsonrpc": "2.0", "id": 3, "method": "resources/subscribe", "params": uri});
    let begun = house.ask(&initialize_post(&house.bob, "2025-11-25"));
    let session = begun.field("mcp-session-id").unwrap();
    let refused = house
        .ask(&session_post(&house.bob, session, &subscribe))
        .json();
    assert_eq!(
        refused["error"]["message"],
        "`alpha/t` is not readable; readable: `beta/#`"
    );
}

#[test]
fn a_profile_that_changes_ends_what_it_no_longer_permits_for_its_own_callers_alone() {
    let mut house = House::new(|config| {
        config["profiles"]["second"]["topics"][0]["pattern"] = "#".into();
    });
    let subscribe = |key: &str| {
        let mut client = house.client();
        let arguments = json!({"topic": "alpha/t", "timeout": 60});
        client.send(&call_post(key, BOTH, "mqtt_subscribe", arguments));
        client.head();
        assert_eq!(client.event()["method"], "notifications/progress");
        client
    };
    let (mut ann, mut bob) = (subscribe(&house.ann), subscribe(&house.bob));
    let uri = json!(["mqtt://topic/alpha/t"]);
    let (mut ann_hears, _) = house.listen(&house.ann, uri.clone());
    let (mut bob_hears, _) = house.listen(&house.bob, uri);
    house.reload(|file| file["profiles"]["second"]["topics"][0]["pattern"] = "beta/#".into());
    let ended = bob.event();
    assert!(
        text(&ended).starts_with(
            "the operator withdrew the permission meanwhile: `alpha/t` is not readable; readable: `beta/#`"
        ),
        "{ended}"
    );
    assert_eq!(bob_hears.event()["result"]["resultType"], "complete");
    house.broker.publish(&["-t", "alpha/t", "-m", "x"]);
    assert_eq!(ann_hears.event()["params"]["uri"], "mqtt://topic/alpha/t");
    let got = loop {
        let event = ann.event();
        if event.get("result").is_some() {
            break event;
        }
    };
    assert_eq!(
        got["result"]["structuredContent"]["messages_received"], 1,
        "{got}"
    );
    // A profile that is gone permits nothing; its key is refused with the file, which has no such profile.
    house.reload(|file| {
        file["profiles"]["second"] = json!({"topics": [], "tools": []});
    });
    assert_eq!(
        names(&house.method(&house.bob, "tools/list", json!({}))),
        Vec::<&str>::new()
    );
}

#[test]
fn a_key_is_rotated_without_a_gap_and_revoked_for_its_own_callers_alone() {
    let mut house = House::new(|_| {});
    let listed = run(&house.folder, &["--keys"]);
    let lines = String::from_utf8(listed.stdout).unwrap();
    let (first, second) = lines.split_once('\n').unwrap();
    assert!(first.starts_with("ann: profile first, made 2"), "{lines}");
    assert!(second.starts_with("bob: profile second, made 2"), "{lines}");

    let open = |key: &str| {
        let begun = house.ask(&initialize_post(key, "2025-11-25"));
        let session = begun.field("mcp-session-id").unwrap().to_owned();
        let mut stream = house.client();
        stream.send(&session_get(key, &session, ""));
        assert_eq!(stream.head().status, 200);
        assert!(stream.chunk().is_some(), "its first event");
        (stream, session)
    };
    let (mut ann_stream, ann_session) = open(&house.ann);
    let (mut bob_stream, bob_session) = open(&house.bob);
    let mut waits = house.client();
    waits.send(&call_post(
        &house.ann,
        JSON,
        "mqtt_read",
        json!({"topic": "alpha/none", "timeout": 60}),
    ));
    let metrics = format!(
        "GET /metrics HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\n\r\n",
        house.bob
    );
    eventually("the call waits", || {
        let text = String::from_utf8(house.ask(metrics.as_bytes()).body).unwrap();
        text.contains("mcpmqtt_tool_calls_in_flight{tool=\"mqtt_read\"} 1\n")
    });

    let made = run(&house.folder, &["--genkey", "ann", "--profile", "first"]);
    assert!(
        said(&made).contains("the key of this name before it stays valid beside it"),
        "{made:?}"
    );
    let next = String::from_utf8(made.stdout.clone())
        .unwrap()
        .trim()
        .to_owned();
    let third = run(&house.folder, &["--genkey", "ann"]);
    assert!(
        said(&third).contains("two keys are named `ann` already"),
        "{third:?}"
    );
    house.hang_up();
    let ping = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
    // Nothing has ended, and both keys are right.
    assert_eq!(
        house
            .ask(&session_post(&house.ann, &ann_session, &ping))
            .status,
        200
    );
    assert_eq!(house.ask(&initialize_post(&next, "2025-11-25")).status, 200);
    assert_eq!(
        house.ask(&session_post(&next, &ann_session, &ping)).status,
        404,
        "a session is of its key"
    );

    let revoked = run(&house.folder, &["--revoke", "ann"]);
    assert!(
        said(&revoked).contains(
            "is revoked; this takes effect when the server gets SIGHUP or \
        restarts\nthe newer key `ann` is still valid"
        ),
        "{revoked:?}"
    );
    assert_eq!(
        house
            .ask(&session_post(&house.ann, &ann_session, &ping))
            .status,
        200,
        "not yet"
    );
    house.hang_up();
    assert!(
        house.program.seen.contains(
            "ann: a key or user of this name has no access any more; its \
        sessions, streams and calls end"
        ),
        "{}",
        house.program.seen
    );
    assert_eq!(ann_stream.chunk(), None);
    let refused = waits.answer();
    assert_eq!(refused.status, 401);
    assert_eq!(
        house
            .ask(&session_post(&house.ann, &ann_session, &ping))
            .status,
        401
    );
    assert_eq!(house.ask(&initialize_post(&next, "2025-11-25")).status, 200);
    // Nobody else has noticed.
    assert_eq!(
        house
            .ask(&session_post(&house.bob, &bob_session, &ping))
            .status,
        200
    );
    assert!(!said(&revoked).contains("blake2b"), "{revoked:?}");
    // The last keys: then nobody comes in, and that is no fault of the file.
    for name in ["ann", "bob"] {
        assert!(run(&house.folder, &["--revoke", name]).status.success());
    }
    house.hang_up();
    assert_eq!(bob_stream.chunk(), None);
    for key in [&next, &house.bob] {
        assert_eq!(house.ask(&initialize_post(key, "2025-11-25")).status, 401);
    }
    let none = run(&house.folder, &["--revoke", "ann"]);
    assert!(
        said(&none).contains("there is no key `ann`, and no other; the file is unchanged"),
        "{none:?}"
    );
    assert_eq!(run(&house.folder, &["--keys"]).stdout, b"no keys\n");
}

/// `time` in UTC, whole seconds.
fn rfc3339(time: SystemTime) -> String {
    let text = mcpmqtt::clock::rfc3339(time);
    format!("{}Z", text.split('.').next().unwrap())
}

#[test]
fn what_one_name_observes_takes_no_place_of_calls_that_wait() {
    let house = House::new(|config| config["limits"] = json!({"listeners": 4, "watches": 4}));
    house.broker.publish(&["-r", "-t", "beta/kept", "-m", "21"]);
    for number in 0..40 {
        let look = json!({"topic": format!("alpha/{number}/#"), "seconds": 0});
        let seen = house.call(&house.ann, "mqtt_topics", look);
        assert!(!seen.to_string().contains("is not watched"), "{seen}");
    }
    let read = house.call(&house.bob, "mqtt_read", json!({"topic": "beta/kept"}));
    assert_eq!(
        read["result"]["structuredContent"]["payload"], "21",
        "{read}"
    );
}

#[test]
fn a_start_tells_which_keys_have_expired() {
    let House {
        broker: _broker,
        folder,
        program,
        ..
    } = House::new(|_| {});
    // A server that has not ended yet keeps the next from its socket.
    let (log, status) = program.end();
    assert!(status.success(), "{log}");
    let path = folder.path("config.json");
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    file["remote_server"]["keys"][1]["expires"] = rfc3339(UNIX_EPOCH).into();
    folder.file("config.json", &file.to_string());
    let mut program = Program::over(&path);
    program.until(
        "remote_server.keys[1]: the key `bob` has expired (`1970-01-01T00:00:00Z`); `--revoke` takes it out",
    );
}

#[test]
fn a_key_ends_with_all_that_it_opened_when_it_expires() {
    let mut house = House::new(|_| {});
    let now = SystemTime::now();
    let (soon, past) = (now + Duration::from_secs(3), UNIX_EPOCH);
    house.reload(|file| {
        let keys = &mut file["remote_server"]["keys"];
        keys[0]["expires"] = rfc3339(soon).into();
        keys[1]["expires"] = rfc3339(past).into();
    });
    let expired = house.ask(&initialize_post(&house.bob, "2025-11-25"));
    assert_eq!(expired.status, 401);
    let words = "the API key has expired; ask the operator for a new one";
    assert_eq!(expired.sentence(), words);
    let mut waits = house.client();
    let call = json!({"topic": "alpha/none", "timeout": 60});
    waits.send(&call_post(&house.ann, JSON, "mqtt_read", call));
    let (mut stream, _) = house.listen(&house.ann, json!(["mqtt://topic/alpha/t"]));
    assert_eq!(stream.rest(), b"", "it ends by itself");
    let ended = waits.answer();
    assert_eq!((ended.status, ended.sentence().as_str()), (401, words));
    assert!(SystemTime::now() + Duration::from_secs(1) > soon);
    let expired = house.ask(&initialize_post(&house.ann, "2025-11-25"));
    assert_eq!((expired.status, expired.sentence().as_str()), (401, words));
}

#[test]
fn a_listed_user_needs_no_key_and_a_key_that_is_shown_decides_alone() {
    let user = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let is_own = |line: &&str| line.split(':').nth(2) == Some(&user.to_string());
    let name = passwd
        .lines()
        .find(is_own)
        .map(|line| line.split(':').next().unwrap());
    let peer: Value = name.map_or(user.into(), Into::into);
    let mut house = House::new(|config| {
        config["remote_server"]["peers"] = json!([{"user": peer, "profile": "second"}]);
    });
    let request = modern_post("", JSON, "server/discover", json!({}));
    let without = |request: &[u8]| {
        let text = String::from_utf8(request.to_vec()).unwrap();
        text.replace("x-api-key: \r\n", "").into_bytes()
    };
    let answer = house.ask(&without(&request)).json();
    let instructions = answer["result"]["instructions"].as_str().unwrap();
    assert!(instructions.contains("beta/#"), "{instructions}");
    let ann = house.method(&house.ann, "server/discover", json!({}));
    assert!(
        ann["result"]["instructions"]
            .as_str()
            .unwrap()
            .contains("alpha/#")
    );
    assert_eq!(
        house
            .ask(&modern_post("wrong", JSON, "server/discover", json!({})))
            .status,
        401
    );
    assert_eq!(
        house.ask(&request).status,
        401,
        "an empty key is one that is shown"
    );
    let call = call_post("", JSON, "mqtt_read", json!({"topic": "alpha/t"}));
    house.ask(&without(&call));
    house.program.until(&format!(
        "user {}: mqtt_read: error in ",
        name.unwrap_or(&user.to_string())
    ));

    let mut stream = house.client();
    let wishes = json!({"notifications": {"resourceSubscriptions": ["mqtt://topic/beta/t"]}});
    stream.send(&without(&modern_post(
        "",
        BOTH,
        "subscriptions/listen",
        wishes,
    )));
    assert_eq!(stream.head().status, 200);
    stream.event();
    house.reload(|file| {
        file["remote_server"]["peers"] = json!([{"user": user + 1, "profile": "second"}]);
    });
    assert_eq!(stream.rest(), b"");
    let answer = house.ask(&without(&request));
    assert_eq!(answer.status, 401);
    assert!(answer.sentence().starts_with("an API key is needed"));
}

#[test]
fn a_user_that_is_not_there_keeps_the_server_from_starting_and_the_check_says_so() {
    let (broker, folder) = (Mosquitto::start(), Scratch::new());
    let mut config = config(broker.port, &folder);
    config["remote_server"]["peers"] = json!([{"user": "no-such-user", "profile": "second"}]);
    folder.file("config.json", &config.to_string());
    let words = "remote_server.peers[0].user: there is no user `no-such-user` in `/etc/passwd`";
    for arguments in [
        &["--transport", "remotehttp"][..],
        &["--check", "--transport", "remotehttp"],
    ] {
        let output = run(&folder, arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said(&output).contains(words), "{output:?}");
    }
}

#[test]
fn each_write_is_a_line_with_its_caller_and_metrics_count_by_outcome() {
    let mut house = House::new(|config| {
        config["profiles"]["first"]["limits"] = json!({"publishes_per_minute": 2});
    });
    let publish = |topic: &str, qos: u8| {
        let arguments = json!({"topic": topic, "payload": "secret", "qos": qos});
        house.call(&house.ann, "mqtt_publish", arguments)
    };
    publish("alpha/one", 1);
    publish("beta/t", 0);
    publish("alpha/two", 0);
    let refused = publish("alpha/three", 0);
    let words = text(&refused);
    assert!(
        words.starts_with("not published: more than 2 publishes in a minute; try again in "),
        "{words}"
    );
    assert!(
        words.ends_with(" s. The message did not reach the broker."),
        "{words}"
    );
    // Another session of the same key has no quota of its own.
    let begun = house.ask(&initialize_post(&house.ann, "2025-11-25"));
    let session = begun.field("mcp-session-id").unwrap().to_owned();
    let arguments = json!({"request_topic": "alpha/q", "response_topic": "alpha/r", "payload": ""});
    let call = json!({"name": "mqtt_query", "arguments": arguments});
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call});
    let query = house.ask(&session_post(&house.ann, &session, &call)).json();
    assert!(
        text(&query).contains("more than 2 publishes in a minute"),
        "{query}"
    );
    let metrics = format!(
        "GET /metrics HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\n\r\n",
        house.ann
    );
    let metrics = String::from_utf8(house.ask(metrics.as_bytes()).body).unwrap();
    for line in [
        "mcpmqtt_writes_total{outcome=\"sent\"} 1\n",
        "mcpmqtt_writes_total{outcome=\"delivered\"} 1\n",
        "mcpmqtt_writes_total{outcome=\"refused\"} 3\n",
        "mcpmqtt_writes_total{outcome=\"not_sent\"} 0\n",
        "mcpmqtt_writes_total{outcome=\"unknown\"} 0\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
    assert!(!metrics.contains("ann"), "{metrics}");
    house.program.until("ann: mqtt_query: error in ");
    let (log, _) = house.program.end();
    for line in [
        " INFO ann: mqtt_publish: 6 bytes to `alpha/one`: delivered\n",
        " INFO ann: mqtt_publish: 6 bytes to `beta/t`: refused: not permitted\n",
        " INFO ann: mqtt_publish: 6 bytes to `alpha/two`: sent\n",
        " INFO ann: mqtt_publish: 6 bytes to `alpha/three`: refused: too many in a minute\n",
        " INFO ann: mqtt_query: 0 bytes to `alpha/q`: refused: too many in a minute\n",
        " DEBUG ann: mqtt_publish: ok in ",
    ] {
        assert!(log.contains(line), "{line}{log}");
    }
    assert!(
        !log.contains("secret") && !log.contains(&house.ann),
        "{log}"
    );
}

#[test]
fn over_stdio_the_profile_is_that_of_the_option() {
    let (broker, folder) = (Mosquitto::start(), Scratch::new());
    let config = config(broker.port, &folder);
    let path = folder.file("config.json", &config.to_string());
    let path = path.to_str().unwrap();
    let mut agent = Agent::with_args(&[
        "--config",
        path,
        "--log-level",
        "DEBUG",
        "--profile",
        "first",
    ]);
    let begun = agent.initialize();
    let instructions = begun["result"]["instructions"].as_str().unwrap();
    assert!(
        instructions.contains("alpha/#") && !instructions.contains("gamma"),
        "{instructions}"
    );
    let message = json!({"topic": "alpha/t", "payload": "x", "qos": 1});
    agent.tool("mqtt_publish", message).structured();
    let refused = agent
        .tool("mqtt_read", json!({"topic": "gamma/open"}))
        .wait();
    assert!(text(&refused).ends_with("readable: `alpha/#`"), "{refused}");
    let (_, log) = agent.finish();
    assert!(
        log.contains(" INFO stdio: mqtt_publish: 1 bytes to `alpha/t`: delivered\n"),
        "{log}"
    );
    assert!(log.contains(" DEBUG stdio: mqtt_publish: ok in "), "{log}");
    assert!(log.contains(" DEBUG stdio: mqtt_read: error in "), "{log}");

    let mut agent = Agent::with_args(&["--config", path, "--profile=second"]);
    agent.initialize();
    let listed = agent.request("tools/list", json!({})).wait();
    assert_eq!(
        names(&listed),
        ["mqtt_subscribe", "mqtt_read", "mqtt_topics", "mqtt_wait"]
    );
    let called = run(
        &folder,
        &[
            "--profile",
            "third",
            "--call",
            "mqtt_read",
            "topic=gamma/open",
        ],
    );
    let words = "`--profile`: there is no profile `third`; there are `default`, `first`, `second`";
    assert!(said(&called).contains(words), "{called:?}");
    let called = run(
        &folder,
        &[
            "--profile",
            "first",
            "--call",
            "mqtt_read",
            "topic=gamma/open",
        ],
    );
    assert!(said(&called).contains("readable: `alpha/#`"), "{called:?}");
}

#[test]
fn the_single_key_goes_on_beside_named_ones_as_the_key_named_default() {
    let house = House::new(|config| config["remote_server"]["api_key"] = "single".into());
    let seen = house.method("single", "server/discover", json!({}));
    let instructions = seen["result"]["instructions"].as_str().unwrap();
    assert!(instructions.contains("gamma/open"), "{instructions}");
    assert!(
        !instructions.contains("alpha") && !instructions.contains("beta"),
        "{instructions}"
    );
    let field = "authorization: Bearer single\r\n";
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let answer = house.ask(&post_with(field, &ping.to_string()));
    assert_eq!(answer.status, 400, "let in, and no session");
}
