//! Many agents that watch topics and wait for messages: none of them keeps the others from doing so.
//!
//! With `MCPMQTT_TEST_FULL` set there are two hundred of them, which ask for 256 topics each.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::config::open_config;
use crate::common::http_client::Client;
use crate::common::messages::request;
use crate::common::mosquitto::Mosquitto;
use crate::common::requests::{initialize_post, session_get, session_post};
use crate::common::size::full_size;
use crate::common::waiting::PATIENCE;
use crate::house::{House, KEY};

struct Session {
    client: Client,
    id: String,
    socket: PathBuf,
}

impl Session {
    fn begin(house: &House) -> Session {
        let socket = house.socket();
        let mut client = Client::unix(&socket);
        assert!(client.send(&initialize_post(KEY, "2025-11-25")));
        let id = client.answer().field("mcp-session-id").unwrap().to_owned();
        Session { client, id, socket }
    }

    fn request(&self, id: u64, method: &str, params: Value) -> Vec<u8> {
        session_post(KEY, &self.id, &request(id, method, params))
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let request = self.request(1, method, params);
        assert!(self.client.send(&request));
        self.client.answer().json()
    }

    fn subscribe(&mut self, topic: &str) -> Value {
        self.ask(
            "resources/subscribe",
            json!({"uri": format!("mqtt://topic/{topic}")}),
        )
    }

    /// The same for several, sent at once.
    fn subscribe_all(&mut self, topics: impl Iterator<Item = String>) -> Vec<Value> {
        let requests: Vec<_> = topics
            .enumerate()
            .map(|(id, topic)| {
                let params = json!({"uri": format!("mqtt://topic/{topic}")});
                self.request(id as u64, "resources/subscribe", params)
            })
            .collect();
        let mut answers = Vec::new();
        for few in requests.chunks(16) {
            assert!(self.client.send(&few.concat()));
            answers.extend(few.iter().map(|_| self.client.answer().json()));
        }
        answers
    }

    fn read(&mut self, topic: &str) -> Value {
        let arguments = json!({"topic": topic, "timeout": 20});
        self.ask(
            "tools/call",
            json!({"name": "mqtt_read", "arguments": arguments}),
        )
    }

    /// A call on a connection of its own, which returns when it waits or was refused.
    fn waits(&self, id: u64, topic: &str) -> Result<Client, String> {
        let arguments = json!({"topic": topic, "timeout": 60});
        let params =
            json!({"name": "mqtt_read", "arguments": arguments, "_meta": {"progressToken": id}});
        let mut client = Client::unix(&self.socket);
        assert!(client.send(&self.request(id, "tools/call", params)));
        let answer = client.head();
        if answer.field("content-type") == Some("text/event-stream") {
            assert_eq!(client.event()["method"], "notifications/progress");
            return Ok(client);
        }
        Err(String::from_utf8(client.until(b"}}")).unwrap())
    }

    /// The stream of what nobody asked for.
    fn stream(&self) -> Client {
        let mut client = Client::unix(&self.socket);
        assert!(client.send(&session_get(KEY, &self.id, "")));
        assert_eq!(client.head().status, 200);
        client
    }
}

fn is_good(answer: &Value) -> bool {
    answer.get("error").is_none() && answer["result"]["isError"] != true
}

#[test]
fn greedy_watchers_are_refused_in_words_and_cost_the_others_nothing() {
    let broker = Mosquitto::start();
    broker.publish(&["-r", "-t", "t/calm", "-m", "21.5"]);
    let (agents, topics, watches) = if full_size() {
        (200, 256, 1024)
    } else {
        (10, 16, 64)
    };
    let house = House::new(
        &broker,
        json!({"watches": watches, "listeners": watches / 4}),
    );
    let mut calm = Session::begin(&house);
    assert_eq!(calm.subscribe("t/calm")["result"], json!({}));
    let mut stream = calm.stream();
    let before = house.kb("VmRSS:");
    let (mut kept, mut granted, mut failed) = (Vec::new(), 0, 0);
    for n in 0..agents {
        let mut agent = Session::begin(&house);
        for answer in agent.subscribe_all((0..topics).map(|topic| format!("t/{n}/{topic}"))) {
            if is_good(&answer) {
                granted += 1;
                continue;
            }
            let words = answer["error"]["message"].as_str().unwrap();
            assert!(words.contains("`limits.watches`"), "{words}");
            assert!(
                words.contains(&format!("of {watches} are in use")),
                "{words}"
            );
        }
        kept.push(agent);
        failed += u32::from(!is_good(&calm.read("t/calm")));
    }
    let grown = house.kb("VmRSS:").saturating_sub(before);
    let (start, ticks) = (Instant::now(), house.ticks());
    // Nothing is waited for: this is how long the idleness is measured.
    std::thread::sleep(Duration::from_secs(if full_size() { 10 } else { 2 }));
    let (busy, over) = ((house.ticks() - ticks) as f64 / 100.0, start.elapsed());
    println!(
        "{granted} of {} watches granted, {failed} calm reads failed, {grown} kB more, {busy:.2} s of {over:?} busy while idle",
        agents * topics
    );
    assert_eq!(failed, 0, "calls have places of their own");
    assert!(granted < watches, "one was there before");
    assert!(granted > watches * 9 / 10, "{granted} of {watches}");
    assert!(
        busy < over.as_secs_f64() / 20.0,
        "{busy} s of {over:?} while nothing happens"
    );
    assert!(grown < 8 << 10, "{grown} kB");

    // What was there before is watched still, and who joins another's watch needs no place.
    let mut late = Session::begin(&house);
    assert_eq!(late.subscribe("t/calm")["result"], json!({}));
    let mut other = late.stream();
    broker.publish(&["-t", "t/calm", "-m", "22"]);
    for stream in [&mut stream, &mut other] {
        let heard = stream.event();
        assert_eq!(
            heard["method"], "notifications/resources/updated",
            "{heard}"
        );
        assert_eq!(heard["params"]["uri"], "mqtt://topic/t/calm");
    }
    // A place that is given back is there for somebody else.
    assert!(!is_good(&kept[0].subscribe("t/more")));
    let uri = json!({"uri": "mqtt://topic/t/0/0"});
    assert!(is_good(&kept[0].ask("resources/unsubscribe", uri)));
    assert!(is_good(&late.subscribe("t/late")));
}

#[test]
fn a_watch_counts_for_those_who_still_listen_and_not_for_who_was_first() {
    let broker = Mosquitto::start();
    let house = House::new(&broker, json!({"watches": 8}));
    let (mut first, mut second) = (Session::begin(&house), Session::begin(&house));
    let topics = || (0..4).map(|number| format!("t/{number}"));
    for agent in [&mut first, &mut second] {
        assert!(agent.subscribe_all(topics()).iter().all(is_good));
    }
    let refused = first.subscribe("t/more");
    assert!(!is_good(&refused), "half of them is its share: {refused}");
    for topic in topics() {
        let uri = json!({"uri": format!("mqtt://topic/{topic}")});
        assert!(is_good(&first.ask("resources/unsubscribe", uri)));
    }
    // They are the second one's now.
    let told = second.subscribe("t/other");
    let words = told["error"]["message"].as_str().unwrap_or_default();
    assert!(words.contains("4 of 8 are in use, 4 of them"), "{told}");
    let granted = first.subscribe("t/more");
    assert!(is_good(&granted), "{granted}");
}

#[test]
fn waiting_calls_of_one_agent_leave_places_for_the_others() {
    let broker = Mosquitto::start();
    broker.publish(&["-r", "-t", "t/calm", "-m", "21.5"]);
    let listeners = if full_size() { 128 } else { 8 };
    let house = House::new(&broker, json!({"listeners": listeners, "watches": 1}));
    let (greedy, mut calm) = (Session::begin(&house), Session::begin(&house));
    let waiting: Vec<_> = (0..listeners)
        .map(|id| greedy.waits(id, "t/never"))
        .collect();
    let held = waiting.iter().filter(|call| call.is_ok()).count();
    assert_eq!(held as u64, listeners / 2);
    for refused in waiting.iter().filter_map(|call| call.as_ref().err()) {
        let words =
            format!("`limits.listeners`), {held} of {listeners} are in use, {held} of them");
        assert!(refused.contains(&words), "{refused}");
    }
    for _ in 0..20 {
        assert!(is_good(&calm.read("t/calm")));
    }
    let uri = json!({"uri": "mqtt://topic/t/calm"});
    assert!(
        is_good(&calm.ask("resources/read", uri)),
        "a resource is read by a call, too"
    );
}

/// A broker that takes everybody and grants no subscription, from the `refuses`th on.
fn refusing_broker(refuses: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut subscribed = 0;
        while let Some((first, body)) = packet(&mut socket) {
            let code = if subscribed < refuses { 0 } else { 0x80 };
            let answer = match first >> 4 {
                1 => vec![0x20, 2, 0, 0],
                8 => vec![0x90, 3, body[0], body[1], code],
                10 => vec![0xB0, 2, body[0], body[1]],
                12 => vec![0xD0, 0],
                _ => break,
            };
            subscribed += usize::from(first >> 4 == 8);
            socket.write_all(&answer).unwrap();
        }
    });
    port
}

/// One short packet.
fn packet(socket: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    socket.read_exact(&mut head).ok()?;
    let mut body = vec![0; usize::from(head[1])];
    socket.read_exact(&mut body).ok()?;
    Some((head[0], body))
}

#[test]
fn a_watch_that_the_broker_refuses_is_refused_in_words_and_not_tried_again() {
    let mut agent = Agent::start(&open_config(refusing_broker(1)));
    // The first is granted: from here on the connection is up.
    agent
        .tool("mqtt_read", json!({"topic": "t/up", "timeout": 0.1}))
        .error();
    let uri = "mqtt://topic/t/x";
    let answer = agent
        .request("resources/subscribe", json!({"uri": uri}))
        .wait();
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    let words = answer["error"]["message"].as_str().unwrap();
    assert!(
        words.contains("t/x` cannot be watched: the broker refused"),
        "{words}"
    );

    let wishes = json!({"resourceSubscriptions": [uri, "mcpmqtt://topics/allowed"]});
    let _stream = agent.modern("subscriptions/listen", json!({"notifications": wishes}));
    let first = agent.others.recv_timeout(PATIENCE).unwrap();
    let honoured = json!({"resourceSubscriptions": ["mcpmqtt://topics/allowed"]});
    assert_eq!(first["params"]["notifications"], honoured);
}

#[test]
fn a_watch_that_turns_out_to_be_refused_later_ends_and_its_listeners_hear_of_it() {
    let port = crate::common::ports::free_port();
    let mut config = open_config(port);
    config["mqtt"]["backoff"] = json!({"initial": 0.05, "max": 0.1});
    let mut agent = Agent::start(&config);
    // Attempts fail, so that the subscription is taken on without the broker.
    agent
        .tool("mqtt_read", json!({"topic": "t/up", "timeout": 1}))
        .error();
    let uri = "mqtt://topic/t/x";
    let answer = agent
        .request("resources/subscribe", json!({"uri": uri}))
        .wait();
    assert_eq!(answer["result"], json!({}), "{answer}");
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (mut socket, _) = listener.accept().unwrap();
    assert_eq!(packet(&mut socket).unwrap().0 >> 4, 1);
    socket.write_all(&[0x20, 2, 0, 0]).unwrap();
    let (first, body) = packet(&mut socket).unwrap();
    assert_eq!(first >> 4, 8);
    socket
        .write_all(&[0x90, 3, body[0], body[1], 0x80])
        .unwrap();
    let heard = agent.others.recv_timeout(PATIENCE).unwrap();
    assert_eq!(heard["method"], "notifications/resources/updated");
    assert_eq!(heard["params"], json!({"uri": uri}));
}

#[test]
fn a_resource_with_a_very_long_uri_can_be_read_and_not_watched() {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&open_config(broker.port));
    let topic = format!("t/{}", "x".repeat(3000));
    let value = json!({"topic": topic, "payload": "far", "qos": 1, "retain": true});
    agent.tool("mqtt_publish", value).structured();
    let uri = json!({"uri": format!("mqtt://topic/{topic}")});
    let refused = agent.request("resources/subscribe", uri.clone()).wait();
    assert_eq!(refused["error"]["code"], -32602);
    let words = refused["error"]["message"].as_str().unwrap();
    assert!(
        words.contains("has 3015 bytes, and one that is watched at most 2048"),
        "{words}"
    );
    let read = agent.request("resources/read", uri).wait();
    assert_eq!(read["result"]["contents"][0]["text"], "far");
}
