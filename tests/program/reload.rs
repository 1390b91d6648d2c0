//! SIGHUP while agents are served over HTTP: what is in force from then on, and for whom.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::calls::{JSON, call_post};
use crate::common::http_client::{Answer, Client};
use crate::common::messages::modern;
use crate::common::mosquitto::Mosquitto;
use crate::common::ports::free_port;
use crate::common::program::{PROGRAM, Program};
use crate::common::requests::{
    BOTH, initialize_post, modern_post, post_as, session_delete, session_get, session_post,
};
use crate::common::scratch::Scratch;
use crate::common::waiting::eventually;

const RELOADED: &str = "configuration reloaded from";

/// The program, its configuration and its socket.
struct House {
    folder: Scratch,
    config: Value,
    program: Program,
}

impl House {
    fn new(port: u16) -> House {
        let folder = Scratch::new();
        let config = json!({
            "mqtt": {"host": "127.0.0.1", "port": port, "backoff": {"initial": 0.05, "max": 0.1}},
            "topics": [{"pattern": "t/#", "permissions": ["read", "write"]}],
            "remote_server": {"uds": folder.path("socket"), "api_key": "first"},
        });
        let path = folder.file("config.json", &config.to_string());
        let mut program = Program::over(&path);
        program.until("serving MCP over HTTP on");
        House {
            folder,
            config,
            program,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path("socket")
    }

    fn client(&self) -> Client {
        Client::unix(&self.socket())
    }

    /// Changes the file, and waits until the program says what came of it.
    fn reload(&mut self, change: impl FnOnce(&mut Value), words: &str) {
        change(&mut self.config);
        self.folder.file("config.json", &self.config.to_string());
        self.program.signal(Signal::HUP);
        self.program.until(words);
    }

    fn permit(&mut self, pattern: &str) {
        let topics = json!([{"pattern": pattern, "permissions": ["read", "write"]}]);
        self.reload(|config| config["topics"] = topics, RELOADED);
    }

    fn connected(&mut self) {
        self.program.until("connected to the broker");
    }
}

fn publish(topic: &str) -> Vec<u8> {
    let arguments = json!({"topic": topic, "payload": "x", "qos": 1});
    call_post("first", JSON, "mqtt_publish", arguments)
}

fn is_error(answer: &Value) -> bool {
    answer["result"]["isError"].as_bool().unwrap_or(false)
}

fn text(answer: &Value) -> String {
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .into()
}

fn ask(client: &mut Client, request: &[u8]) -> Answer {
    assert!(client.send(request));
    client.answer()
}

#[test]
fn new_permissions_count_for_old_connections_and_for_calls_under_way() {
    let broker = Mosquitto::start();
    let mut house = House::new(broker.port);
    house.connected();
    let (mut kept, mut ends, mut stays) = (house.client(), house.client(), house.client());
    assert!(!is_error(&ask(&mut kept, &publish("t/a")).json()));
    let listen = |topic: &str| {
        call_post(
            "first",
            BOTH,
            "mqtt_subscribe",
            json!({"topic": topic, "timeout": 60, "max_messages": 2}),
        )
    };
    ends.send(&listen("t/#"));
    stays.send(&listen("t/b"));
    for client in [&mut ends, &mut stays] {
        assert_eq!(client.head().status, 200);
        assert_eq!(client.event()["method"], "notifications/progress");
    }
    broker.publish(&["-t", "t/b", "-m", "1"]);

    house.permit("t/b");
    let ended = ends.event();
    assert!(is_error(&ended), "{ended}");
    assert!(
        text(&ended).starts_with(
            "the operator withdrew the permission meanwhile: `t/#` is not readable; readable: `t/b`"
        ),
        "{ended}"
    );
    let refused = ask(&mut kept, &publish("t/a")).json();
    assert!(text(&refused).contains("not writable"), "{refused}");
    assert!(!is_error(&ask(&mut kept, &publish("t/b")).json()));
    // The message before the reload and this one: nothing was lost on the way.
    let answer = loop {
        let event = stays.event();
        if event.get("result").is_some() {
            break event;
        }
    };
    assert_eq!(
        answer["result"]["structuredContent"]["messages_received"], 2,
        "{answer}"
    );
    assert_eq!(answer["result"]["structuredContent"]["interrupted"], false);

    let uri = json!({"uri": "mcpmqtt://topics/allowed"});
    let allowed = ask(
        &mut kept,
        &modern_post("first", JSON, "resources/read", uri),
    )
    .json();
    let allowed: Value =
        serde_json::from_str(allowed["result"]["contents"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(allowed["topics"][0]["pattern"], "t/b");
    let discovered = ask(
        &mut kept,
        &modern_post("first", JSON, "server/discover", json!({})),
    )
    .json();
    let instructions = discovered["result"]["instructions"].as_str().unwrap();
    assert!(
        instructions.contains("t/b") && !instructions.contains("t/#"),
        "{instructions}"
    );
}

/// A limit that was tightened ends what is outside it, also what waits for its condition; the rest goes on.
#[test]
fn a_reaction_outside_a_new_limit_ends_and_one_within_fires() {
    let broker = Mosquitto::start();
    let mut house = House::new(broker.port);
    house.connected();
    let waits = |rpm: &str| {
        let when = json!({"topic": "t/go", "timeout": 60});
        let arguments = json!({"topic": "t/rpm", "payload": rpm, "qos": 1, "when": when});
        call_post("first", BOTH, "mqtt_publish", arguments)
    };
    let (mut ends, mut fires) = (house.client(), house.client());
    for (client, rpm) in [(&mut ends, "1500"), (&mut fires, "900")] {
        client.send(&waits(rpm));
        assert_eq!(client.head().status, 200);
        assert_eq!(client.event()["method"], "notifications/progress");
    }
    let limit = json!([
        {"pattern": "t/#", "permissions": ["read", "write"]},
        {"pattern": "t/rpm", "permissions": ["write"], "payload": {"type": "number", "max": 1000}},
    ]);
    house.reload(|config| config["topics"] = limit, RELOADED);
    let ended = ends.event();
    assert!(is_error(&ended), "{ended}");
    assert_eq!(
        text(&ended),
        "the operator withdrew the permission meanwhile: 1500 is above 1000, the most that `t/rpm` takes. Nothing was sent."
    );
    let came = broker.subscribe(&["-t", "t/rpm", "-C", "1"], || {
        broker.publish(&["-t", "t/go", "-m", "1"]);
    });
    assert_eq!(came, "900\n");
}

/// A broker that takes the connection and says nothing: what is published waits in here.
#[test]
fn a_publish_that_waits_for_the_broker_is_taken_back_when_its_permission_is() {
    let broker = Mosquitto::start();
    broker.freeze();
    let mut house = House::new(broker.port);
    let (mut ends, mut stays) = (house.client(), house.client());
    ends.send(&publish("t/withdrawn"));
    stays.send(&publish("t/kept"));
    for _ in 0..2 {
        house.program.until("connection opened");
    }
    house.permit("t/kept");
    let ended = ends.answer().json();
    assert!(
        text(&ended).contains("`t/withdrawn` is not writable"),
        "{ended}"
    );
    let seen = {
        broker.thaw();
        house.connected();
        broker.subscribe(&["-t", "t/#", "-C", "1"], || {
            assert!(!is_error(
                &ask(&mut house.client(), &publish("t/kept")).json()
            ));
        })
    };
    assert_eq!(seen, "x\n");
    let outcome = stays.answer().json();
    assert!(!is_error(&outcome), "{outcome}");
}

#[test]
fn a_subscription_to_a_topic_that_is_withdrawn_ends_and_one_that_is_not_goes_on() {
    let broker = Mosquitto::start();
    let mut house = House::new(broker.port);
    house.connected();
    let listen = |uris: &[&str]| {
        let wishes = json!({"notifications": {"resourceSubscriptions": uris}});
        modern_post("first", BOTH, "subscriptions/listen", wishes)
    };
    let (mut ends, mut stays) = (house.client(), house.client());
    ends.send(&listen(&["mqtt://topic/t/a", "mqtt://topic/t/b"]));
    stays.send(&listen(&["mqtt://topic/t/b", "mcpmqtt://topics/allowed"]));
    for client in [&mut ends, &mut stays] {
        client.head();
        let acknowledged = client.event();
        assert_eq!(
            acknowledged["method"],
            "notifications/subscriptions/acknowledged"
        );
    }
    house.permit("t/b");
    // Its connection stays: it may ask what is left to it.
    assert_eq!(ends.event()["result"]["resultType"], "complete");
    assert_eq!(ends.chunk(), None);
    ends.send(&listen(&["mqtt://topic/t/a", "mqtt://topic/t/b"]));
    ends.head();
    let honoured = &ends.event()["params"]["notifications"]["resourceSubscriptions"];
    assert_eq!(*honoured, json!(["mqtt://topic/t/b"]));
    broker.publish(&["-t", "t/a", "-m", "1"]);
    broker.publish(&["-t", "t/b", "-m", "1"]);
    let mut told = Vec::new();
    while told.len() < 2 {
        told.push(stays.event()["params"]["uri"].as_str().unwrap().to_owned());
    }
    assert_eq!(told, ["mcpmqtt://topics/allowed", "mqtt://topic/t/b"]);
    house.permit("t/#");
    let mut again = house.client();
    again.send(&listen(&["mqtt://topic/t/a"]));
    again.head();
    again.event();
    broker.publish(&["-t", "t/a", "-m", "2"]);
    assert_eq!(again.event()["params"]["uri"], "mqtt://topic/t/a");
}

fn initialize(key: &str) -> Vec<u8> {
    initialize_post(key, "2025-11-25")
}

fn ping(key: &str, session: &str) -> Vec<u8> {
    let body = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
    session_post(key, session, &body)
}

#[test]
fn another_key_ends_all_that_the_old_one_opened() {
    let broker = Mosquitto::start();
    let mut house = House::new(broker.port);
    house.connected();
    let mut client = house.client();
    let session = ask(&mut client, &initialize("first"))
        .field("mcp-session-id")
        .unwrap()
        .to_owned();
    // The same key: nothing happens to anybody.
    house.permit("t/#");
    assert_eq!(ask(&mut client, &ping("first", &session)).status, 200);

    let (mut stream, mut waits, mut told, mut body) = (
        house.client(),
        house.client(),
        house.client(),
        house.client(),
    );
    stream.send(&session_get("first", &session, ""));
    assert_eq!(stream.head().status, 200);
    assert!(stream.chunk().is_some(), "its first event");
    let arguments = json!({"topic": "t/a", "timeout": 60});
    waits.send(&call_post("first", JSON, "mqtt_read", arguments.clone()));
    told.send(&call_post("first", BOTH, "mqtt_read", arguments));
    told.head();
    told.event();
    let late = publish("t/late");
    body.send(&late[..late.len() - 1]);
    let mut asks = house.client();
    eventually("both calls wait", || {
        asks.send(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nx-api-key: first\r\n\r\n");
        let text = String::from_utf8(asks.answer().body).unwrap();
        text.contains("mcpmqtt_tool_calls_in_flight{tool=\"mqtt_read\"} 2\n")
    });
    house.reload(
        |config| config["remote_server"]["api_key"] = "second".into(),
        RELOADED,
    );
    assert_eq!(stream.chunk(), None);
    let refused = waits.answer();
    assert_eq!(refused.status, 401);
    assert!(refused.sentence().contains("the API key was replaced"));
    assert_eq!(told.rest(), b"");
    body.send(&late[late.len() - 1..]);
    assert_eq!(body.answer().status, 401);
    // The connection itself stays.
    assert_eq!(ask(&mut client, &ping("first", &session)).status, 401);
    assert_eq!(
        ask(&mut house.client(), &ping("second", &session)).status,
        404
    );
    assert_eq!(ask(&mut house.client(), &initialize("second")).status, 200);
}

/// A publish of a client that can ask a person, with these members of an answer.
fn consented(more: Value) -> Vec<u8> {
    let arguments = json!({"topic": "t/valve", "payload": "open", "qos": 1});
    let mut params = json!({"name": "mqtt_publish", "arguments": arguments});
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    let mut body = modern(1, "tools/call", params);
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({"elicitation": {}});
    let fields =
        "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: mqtt_publish\r\n";
    post_as("first", JSON, fields, &body)
}

#[test]
fn a_question_that_no_call_waits_for_ends_with_its_key() {
    let broker = Mosquitto::start();
    let mut house = House::new(broker.port);
    house.connected();
    let with_consent = json!([{
        "pattern": "t/#", "permissions": ["read", "write"], "description": "A valve.", "consent": "client",
    }]);
    house.reload(|config| config["topics"] = with_consent, RELOADED);
    let mut client = house.client();
    for (key, is_same) in [("second", false), ("first", true)] {
        let asked = ask(&mut client, &consented(json!({}))).json();
        let result = &asked["result"];
        let question = result["inputRequests"].as_object().unwrap().keys().next();
        let answer = json!({"action": "accept", "content": {"agree": true}});
        let answer = json!({
            "inputResponses": {question.unwrap(): answer}, "requestState": result["requestState"],
        });
        for key in [key, "first"] {
            house.reload(
                |config| config["remote_server"]["api_key"] = key.into(),
                RELOADED,
            );
        }
        let answered = ask(&mut client, &consented(answer)).json();
        assert_eq!(is_error(&answered), !is_same, "{answered}");
        let withdrawn = text(&answered).contains("it was used or withdrawn");
        assert_eq!(withdrawn, !is_same, "{answered}");
    }
}

#[test]
fn a_hashed_key_that_was_proven_is_forgotten_with_its_hash() {
    let folder = Scratch::new();
    let socket = folder.path("socket");
    let cheap = json!({"memory_cost": 64, "time_cost": 1});
    let config = json!({
        "mqtt": {"host": "127.0.0.1", "port": free_port()},
        "topics": [{"pattern": "t/#", "permissions": ["read", "write"]}],
        "remote_server": {"uds": socket, "api_key_kdf": cheap},
    });
    let path = folder.file("config.json", &config.to_string());
    let new_key = || {
        let made = Command::new(PROGRAM)
            .arg("--genkey")
            .arg("--config")
            .arg(&path)
            .output()
            .unwrap();
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    };
    let first = new_key();
    let mut program = Program::over(&path);
    program.until("serving MCP over HTTP on");
    let mut client = Client::unix(&socket);
    assert_eq!(ask(&mut client, &initialize(&first)).status, 200);
    let second = new_key();
    assert_eq!(
        ask(&mut client, &initialize(&first)).status,
        200,
        "until it is told"
    );
    program.signal(Signal::HUP);
    program.until(RELOADED);
    let mut client = Client::unix(&socket);
    assert_eq!(ask(&mut client, &initialize(&second)).status, 200);
    assert_eq!(
        ask(&mut Client::unix(&socket), &initialize(&first)).status,
        401
    );
}

#[test]
fn a_file_with_a_fault_changes_nothing_and_the_log_names_the_place() {
    let mut house = House::new(free_port());
    let good = house.config.clone();
    let kept = "the configuration was not reloaded; the one before stays in force";
    let mut client = house.client();
    for (change, words) in [
        (
            json!({"topics": [{"pattern": "t/#/x", "permissions": ["read"]}]}),
            "topics[0].pattern",
        ),
        (
            json!({"remote_server": null}),
            "there is no `remote_server` section",
        ),
        (
            json!({"remote_server": {"uds": "/x"}}),
            "no API key is configured",
        ),
        (
            json!({"topics": [], "remote_server": {"uds": "/x", "api_key_kdf": {"salt": "?"}}}),
            "remote_server.api_key_kdf: no key can be checked",
        ),
    ] {
        let from = house.program.seen.len();
        house.reload(
            |config| {
                for (key, value) in change.as_object().unwrap() {
                    config[key] = value.clone();
                }
            },
            kept,
        );
        assert!(
            house.program.seen[from..].contains(words),
            "{}",
            house.program.seen
        );
        house.config = good.clone();
        let refused = ask(&mut client, &publish("elsewhere")).json();
        assert!(text(&refused).contains("writable: `t/#`"), "{refused}");
    }
    std::fs::remove_file(house.folder.path("config.json")).unwrap();
    house.program.signal(Signal::HUP);
    house.program.until(kept);
    assert!(house.program.seen.contains("cannot read the configuration"));
    assert_eq!(ask(&mut client, &initialize("first")).status, 200);
}

#[test]
fn what_takes_a_restart_is_said_and_the_rest_is_in_force() {
    let mut house = House::new(free_port());
    let port = free_port();
    house.reload(
        |config| {
            config["mqtt"]["port"] = port.into();
            config["mqtt"]["username"] = "u".into();
            config["limits"] = json!({"body_bytes": 4096});
            config["remote_server"]["uds_mode"] = "0600".into();
            config["remote_server"]["allowed_hosts"] = json!(["name.example"]);
            config["topics"] = json!([]);
        },
        RELOADED,
    );
    for key in [
        "mqtt.port",
        "mqtt.username and mqtt.password",
        "limits.body_bytes",
        "remote_server.uds_mode",
    ] {
        let line = format!("{key}: the new value takes effect at a restart");
        assert!(
            house.program.seen.contains(&line),
            "{key}\n{}",
            house.program.seen
        );
    }
    assert_eq!(
        house
            .program
            .seen
            .matches("takes effect at a restart")
            .count(),
        4
    );
    assert_eq!(ask(&mut house.client(), &initialize("first")).status, 421);
    let named = String::from_utf8(publish("t/a"))
        .unwrap()
        .replace("localhost", "name.example");
    let refused = ask(&mut house.client(), named.as_bytes()).json();
    assert!(text(&refused).contains("nothing is writable"), "{refused}");
}

#[test]
fn the_log_gets_its_level_and_its_file_anew() {
    let folder = Scratch::new();
    let log = folder.path("log");
    let socket = folder.path("socket");
    let config = |level: &str| {
        let config = json!({
            "mqtt": {"host": "127.0.0.1", "port": free_port()},
            "logging": {"level": level, "logfile": log},
            "remote_server": {"uds": socket, "api_key": "first"},
        });
        folder.file("config.json", &config.to_string())
    };
    let path = config("INFO");
    let mut command = Command::new(PROGRAM);
    command
        .args(["--transport", "remotehttp", "--config"])
        .arg(&path);
    let program = Program::start(&mut command);
    eventually("the socket is there", || socket.exists());
    ask(&mut Client::unix(&socket), &initialize("first"));
    let moved = folder.path("log.1");
    std::fs::rename(&log, &moved).unwrap();
    config("DEBUG");
    program.signal(Signal::HUP);
    let has = |words: &str| std::fs::read_to_string(&log).is_ok_and(|text| text.contains(words));
    eventually("the new file is written", || has(RELOADED));
    ask(&mut Client::unix(&socket), &initialize("first"));
    eventually("a step is logged", || has("POST /mcp"));
    assert!(
        !std::fs::read_to_string(&moved)
            .unwrap()
            .contains("POST /mcp")
    );
    assert!(program.end().1.success());
}

/// Many calls come while the rules change to and fro: each is judged by those in force when it came.
#[test]
fn no_call_after_the_line_is_judged_by_the_rules_before_it() {
    let broker = Mosquitto::start();
    let mut house = House::new(broker.port);
    house.connected();
    let mut client = house.client();
    for round in 0..20 {
        let (now, before) = if round % 2 == 0 {
            ("t/a", "t/b")
        } else {
            ("t/b", "t/a")
        };
        for _ in 0..3 {
            client.send(&publish(before));
        }
        house.permit(now);
        for _ in 0..3 {
            client.answer();
        }
        let refused = ask(&mut client, &publish(before)).json();
        assert!(is_error(&refused), "{round}: {refused}");
        assert!(!is_error(&ask(&mut client, &publish(now)).json()));
    }
}

/// Six queries that take turns, and their clients gone.
fn left_queries(house: &House, session: &str) -> Vec<Client> {
    (0..6)
        .map(|number| {
            let arguments = json!({
                "request_topic": format!("t/command/{number}"), "payload": "x", "qos": 1,
                "response_topic": "t/never", "timeout": 2,
            });
            let params = json!({"name": "mqtt_query", "arguments": arguments});
            let call = json!({"jsonrpc": "2.0", "id": number + 10, "method": "tools/call", "params": params});
            let mut client = house.client();
            client.send(&session_post("first", session, &call));
            client
        })
        .collect()
}

/// One of them was sent before; what is sent of the others is what came after it was said that they had ended.
fn nothing_is_sent_after(end: impl Fn(&mut House, &str)) {
    let broker = Mosquitto::start();
    let mut house = House::new(broker.port);
    house.connected();
    let session = ask(&mut house.client(), &initialize("first"))
        .field("mcp-session-id")
        .unwrap()
        .to_owned();
    let mut clients = Vec::new();
    let first = broker.subscribe(&["-t", "t/command/#", "-C", "1", "-F", "%t"], || {
        clients = left_queries(&house, &session);
    });
    assert!(first.starts_with("t/command/"), "{first}");
    drop(clients);
    for _ in 0..6 {
        house.program.until("left before the answer");
    }
    end(&mut house, &session);
    // Three turns of two seconds.
    let later = broker.subscribe(&["-t", "t/command/#", "-W", "6", "-F", "%t"], || {});
    assert_eq!(later, "", "sent after it was said that they had ended");
}

#[test]
fn queries_that_wait_for_their_turn_end_with_their_key_though_their_clients_left() {
    nothing_is_sent_after(|house, _| {
        house.reload(
            |config| config["remote_server"]["api_key"] = "second".into(),
            RELOADED,
        );
    });
}

#[test]
fn queries_that_wait_for_their_turn_end_with_their_permission_though_their_clients_left() {
    nothing_is_sent_after(|house, _| house.permit("t/other"));
}

#[test]
fn queries_that_wait_for_their_turn_end_with_their_session_though_their_clients_left() {
    nothing_is_sent_after(|house, session| {
        let delete = session_delete("first", session);
        assert_eq!(ask(&mut house.client(), &delete).status, 200);
    });
}
