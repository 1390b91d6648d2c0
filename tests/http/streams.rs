//! Event streams over HTTP: what is told on them, what comes after a lost connection, and how they end.

use std::rc::Rc;
use std::time::Duration;

use mcpmqtt::http::Limits;
use mcpmqtt::mcp::catalog::Watcher;
use mcpmqtt::mcp::catalog::{Body, Catalog, ToolCall, ToolResult};
use mcpmqtt::mcp::{Question, WatchGuard};
use serde_json::{Value, json};

use crate::common::engine::{contents, nothing, resource, tool};
use crate::common::http_client::{Client, Frame};
use crate::common::http_server::{Server, Wanted};
use crate::common::messages::{initialize, modern, request};
use crate::common::requests::{KEY, post, session_delete, session_get};
use crate::common::schema::{check, check_answer, check_notification};

/// Tools that make streams, and a resource that changes.
pub fn catalog(catalog: &mut Catalog) {
    let notifier = catalog.notifier.clone();
    let change = tool("change", nothing(), move |_| {
        notifier.tools_changed();
        Box::pin(async { ToolResult::structured(&json!({})) })
    });
    let notifier = catalog.notifier.clone();
    let touch = tool("touch", nothing(), move |_| {
        notifier.resource_updated("test://watched");
        Box::pin(async { ToolResult::structured(&json!({})) })
    });
    // Reports progress, then waits for the gate.
    let wait = catalog.tools.iter().position(|it| it.name == "wait");
    let wait = Rc::new(catalog.tools.remove(wait.unwrap()).handler);
    let handler = wait.clone();
    let slow = tool("slow", nothing(), move |call: ToolCall| {
        call.progress.report(1.0, Some(2.0), "begun");
        handler(call)
    });
    let wait = tool("wait", nothing(), move |call| wait(call));
    let ask = tool("ask", nothing(), |call| Box::pin(ask(call)));
    // Reports progress, then yields 1 MiB.
    let grow = tool("grow", nothing(), |call: ToolCall| {
        call.progress.report(1.0, None, "");
        Box::pin(async { ToolResult::structured(&json!({"text": "x".repeat(1 << 20)})) })
    });
    let endless = tool("endless", nothing(), |call: ToolCall| {
        Box::pin(async move {
            for done in 1.. {
                call.progress.report(f64::from(done), None, "");
                async_io::Timer::after(Duration::from_millis(110)).await;
            }
            ToolResult::Error("the end of all numbers".into())
        })
    });
    let mut place = tool("place", nothing(), |_| {
        Box::pin(async { ToolResult::structured(&json!({})) })
    });
    place.input_schema = json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "floor": {"type": "integer", "x-mcp-header": "Floor"},
        "warm": {"type": "boolean", "x-mcp-header": "Warm"},
    }})
    .into();
    catalog
        .tools
        .extend([change, touch, slow, wait, ask, grow, endless, place]);
    let mut watched = resource("test://watched", |uri| {
        Ok(vec![contents(uri, Body::Text("now".into()))])
    });
    watched.watcher = Some(Watcher::new(|_| {
        Box::pin(async { Ok(WatchGuard::new(())) })
    }));
    catalog.resources.push(watched);
    catalog.lists_change = true;
}

/// Asks for a form and for a sample, as far as the client can.
async fn ask(call: ToolCall) -> ToolResult {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let hello = json!([{"role": "user", "content": {"type": "text", "text": "Hi"}}]);
    let questions = vec![
        Question::form("who", "Who are you?", schema),
        Question::sampling("said", hello, 10),
    ];
    match call.client.ask(questions).await {
        Ok(answers) => ToolResult::structured(&json!({
            "name": answers.accepted("who").map(|form| form["name"].clone()),
            "said": answers.sampled("said"),
        })),
        Err(why) => ToolResult::Error(why.to_string()),
    }
}

fn server() -> Server {
    with(Limits::default())
}

fn with(limits: Limits) -> Server {
    Server::with(Wanted {
        catalog,
        limits,
        ..Wanted::default()
    })
}

/// A client with a session.
struct Session<'a> {
    server: &'a Server,
    id: String,
}

impl<'a> Session<'a> {
    fn begin(server: &'a Server, version: &'static str) -> Session<'a> {
        Session::able(server, version, json!({}))
    }

    fn able(server: &'a Server, version: &'static str, capabilities: Value) -> Session<'a> {
        let mut params = initialize(version);
        params["capabilities"] = capabilities;
        let answer = server.ask(&post("", &request(0, "initialize", params).to_string()));
        let id = answer.field("mcp-session-id").unwrap().to_owned();
        Session { server, id }
    }

    fn send(&self, client: &mut Client, message: &Value) {
        let field = format!("mcp-session-id: {}\r\n", self.id);
        client.send(&post(&field, &message.to_string()));
    }

    /// The result of a call that is answered at once.
    fn call(&self, tool: &str) -> Value {
        let mut client = self.server.connect();
        let params = json!({"name": tool, "arguments": {}});
        self.send(&mut client, &request("now", "tools/call", params));
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        answer.json()["result"].clone()
    }

    /// Begins the slow call, whose stream is open now.
    fn slow(&self, id: i64) -> Client {
        let mut client = self.server.connect();
        let params = json!({"name": "slow", "arguments": {}, "_meta": {"progressToken": id}});
        self.send(&mut client, &request(id, "tools/call", params));
        assert_eq!(
            client.head().field("content-type"),
            Some("text/event-stream")
        );
        client
    }

    fn get(&self, more: &str) -> Client {
        let mut client = self.server.connect();
        client.send(&session_get(KEY, &self.id, more));
        client
    }

    /// An open stream: the session's own, or one that goes on.
    fn stream(&self, after: Option<&str>) -> Client {
        let more = after.map(|id| format!("last-event-id: {id}\r\n"));
        let mut client = self.get(&more.unwrap_or_default());
        let head = client.head();
        assert_eq!(head.status, 200, "{after:?}");
        assert_eq!(head.field("content-type"), Some("text/event-stream"));
        client
    }

    fn refused(&self, after: &str) -> (u16, String) {
        let answer = self.get(&format!("last-event-id: {after}\r\n")).answer();
        (answer.status, answer.sentence())
    }

    fn end(&self) {
        let request = session_delete(KEY, &self.id);
        assert_eq!(self.server.ask(&request).status, 200);
    }
}

/// The next event, which has a message.
fn told(client: &mut Client) -> (String, Value) {
    let Frame { id, message, .. } = client.frame().expect("the stream has ended");
    (id.unwrap(), message.expect("an event without a message"))
}

fn primed(client: &mut Client) -> String {
    let frame = client.frame().unwrap();
    assert_eq!((frame.message, frame.retry), (None, Some(1000)));
    frame.id.unwrap()
}

/// Waits until the server has found out that someone left.
fn until_noticed(server: &Server) {
    for _ in 0..3 {
        assert!(server.connect().is_served());
    }
}

// ---- resumption

#[test]
fn an_answer_that_a_lost_connection_missed_comes_on_the_resumed_stream() {
    let server = server();
    let session = Session::begin(&server, "2025-11-25");
    let mut client = session.slow(1);
    let primer = primed(&mut client);
    let (progress, note) = told(&mut client);
    check_notification("2025-11-25", &note);
    drop(client);
    until_noticed(&server);
    server.gate.send_blocking(()).unwrap();
    // The answer is made while nobody is there, or while the stream is resumed.
    let mut resumed = session.stream(Some(&progress));
    let (last, answer) = loop {
        let frame = resumed.frame().unwrap();
        if let Some(message) = frame.message {
            break (frame.id.unwrap(), message);
        }
    };
    assert_eq!(answer["result"]["structuredContent"]["waited"], true);
    check_answer("2025-11-25", "tools/call", &answer);
    assert!(resumed.frame().is_none());
    // From the beginning: all of it, in order.
    let mut again = session.stream(Some(&primer));
    assert_eq!(told(&mut again).0, progress);
    assert_eq!(told(&mut again).0, last);
    assert!(again.frame().is_none());
    assert_eq!(session.refused(&last).0, 400);
}

#[test]
fn a_call_whose_client_left_its_stream_keeps_no_place_from_the_next_call() {
    // Of six connections that can wait for the end of a call, one caller gets three.
    let server = with(Limits {
        connections: 8,
        ..Limits::default()
    });
    let session = Session::begin(&server, "2025-06-18");
    for id in 1..=8 {
        // Its answer is a stream only if it was not turned away.
        drop(session.slow(id));
        until_noticed(&server);
    }
}

#[test]
fn a_resumed_stream_follows_the_call_live() {
    let server = server();
    let session = Session::begin(&server, "2025-06-18");
    let mut client = session.slow(7);
    let (id, _) = told(&mut client);
    // The connection is not lost as far as the server can see: the new one takes over all the same.
    let mut resumed = session.stream(Some(&id));
    server.gate.send_blocking(()).unwrap();
    let (_, answer) = told(&mut resumed);
    assert_eq!(answer["id"], 7);
    assert!(resumed.frame().is_none());
    assert!(client.frame().is_none());
}

#[test]
fn who_resumes_later_takes_over_from_who_resumed_before() {
    let server = server();
    let session = Session::begin(&server, "2025-06-18");
    let (id, _) = told(&mut session.slow(1));
    let mut first = session.stream(Some(&id));
    let mut second = session.stream(Some(&id));
    assert!(first.frame().is_none());
    server.gate.send_blocking(()).unwrap();
    assert_eq!(told(&mut second).1["id"], 1);
}

#[test]
fn only_newer_versions_are_primed_and_every_id_is_new() {
    let server = server();
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let session = Session::begin(&server, version);
        let mut clients = [session.slow(1), session.slow(2), session.stream(None)];
        let mut ids = Vec::new();
        if version == "2025-11-25" {
            ids.extend(clients.iter_mut().map(primed));
        }
        ids.push(told(&mut clients[0]).0);
        ids.push(told(&mut clients[1]).0);
        session.call("change");
        ids.push(told(&mut clients[2]).0);
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{ids:?}");
        server.gate.send_blocking(()).unwrap();
        server.gate.send_blocking(()).unwrap();
        assert_eq!(told(&mut clients[0]).1["id"], 1);
        assert_eq!(told(&mut clients[1]).1["id"], 2);
    }
}

#[test]
fn the_streams_of_two_calls_are_not_mixed() {
    let server = server();
    let session = Session::begin(&server, "2025-06-18");
    let (one, _) = told(&mut session.slow(1));
    let (two, _) = told(&mut session.slow(2));
    assert_ne!(one, two);
    until_noticed(&server);
    server.gate.send_blocking(()).unwrap();
    server.gate.send_blocking(()).unwrap();
    session.call("change");
    for (id, call) in [(two, 2), (one, 1)] {
        let mut resumed = session.stream(Some(&id));
        assert_eq!(told(&mut resumed).1["id"], call);
        assert!(resumed.frame().is_none());
    }
}

#[test]
fn the_own_stream_goes_on_where_it_was() {
    let server = server();
    let session = Session::begin(&server, "2025-11-25");
    let mut stream = session.stream(None);
    let primer = primed(&mut stream);
    session.call("change");
    let (first, note) = told(&mut stream);
    assert_eq!(note["method"], "notifications/tools/list_changed");
    drop(stream);
    until_noticed(&server);
    session.call("change");
    session.call("change");
    let mut resumed = session.stream(Some(&first));
    let (second, _) = told(&mut resumed);
    let (third, _) = told(&mut resumed);
    session.call("change");
    let (fourth, _) = told(&mut resumed);
    // And all of it again, for whoever lost that too.
    let mut resumed = session.stream(Some(&primer));
    let ids: Vec<_> = (0..4).map(|_| told(&mut resumed).0).collect();
    assert_eq!(ids, [first, second, third, fourth.clone()]);
    // Without an id it goes on with what nobody has heard.
    drop(resumed);
    until_noticed(&server);
    session.call("change");
    let mut fresh = session.stream(None);
    let (fifth, _) = told(&mut fresh);
    assert_ne!(fifth, fourth);
}

#[test]
fn an_id_that_cannot_be_resumed_is_refused_in_words_and_the_session_goes_on() {
    let server = server();
    let session = Session::begin(&server, "2025-11-25");
    let other = Session::begin(&server, "2025-11-25");
    let mut calling = other.slow(1);
    let foreign = primed(&mut calling);
    let words =
        "`last-event-id` is not an event of this session, or is too old; open a stream without it";
    for id in [&foreign, "0.99", "nonsense", "1", "18446744073709551616.1"] {
        assert_eq!(session.refused(id), (400, words.to_owned()), "{id}");
    }
    let answer = session
        .get("last-event-id: 0.0\r\nlast-event-id: 0.0\r\n")
        .answer();
    assert_eq!(answer.status, 400);
    session.call("change");
    server.gate.send_blocking(()).unwrap();
}

#[test]
fn what_is_remembered_is_bounded_and_what_was_forgotten_is_said() {
    let limits = Limits {
        session_replay_events: 3,
        ..Limits::default()
    };
    let server = with(limits);
    let session = Session::begin(&server, "2025-11-25");
    let mut stream = session.stream(None);
    let primer = primed(&mut stream);
    let mut ids = Vec::new();
    for _ in 0..5 {
        session.call("change");
        ids.push(told(&mut stream).0);
    }
    assert_eq!(session.refused(&primer).0, 400);
    assert_eq!(session.refused(&ids[0]).0, 400);
    let mut resumed = session.stream(Some(&ids[1]));
    let left: Vec<_> = (0..3).map(|_| told(&mut resumed).0).collect();
    assert_eq!(left, ids[2..]);
}

#[test]
fn a_session_that_ends_ends_its_resumed_streams() {
    let server = server();
    let session = Session::begin(&server, "2025-11-25");
    let mut client = session.slow(1);
    let id = primed(&mut client);
    drop(client);
    let mut resumed = session.stream(Some(&id));
    told(&mut resumed);
    session.end();
    assert!(resumed.frame().is_none());
    assert_eq!(session.refused(&id).0, 404);
    server.gate.send_blocking(()).unwrap();
}

#[test]
fn the_stateless_era_has_no_ids_and_leaving_still_cancels() {
    let server = server();
    let params = json!({"name": "slow", "arguments": {}, "_meta": {"progressToken": 1}});
    let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: slow\r\n";
    let message = modern(1, "tools/call", params).to_string();
    let mut client = server.connect();
    client.send(&post(fields, &message));
    client.head();
    let frame = client.frame().unwrap();
    assert!(frame.id.is_none() && frame.message.is_some());
    drop(client);
    until_noticed(&server);
    // Nobody takes this any more but the next one.
    let mut client = server.connect();
    client.send(&post(&format!("{fields}last-event-id: 1.1\r\n"), &message));
    client.head();
    client.frame().unwrap();
    server.gate.send_blocking(()).unwrap();
    assert_eq!(client.event()["id"], 1);
}

// ---- bounds of streams

/// A modern request on a connection of its own.
fn modern_call(server: &Server, id: Value, method: &str, params: Value) -> Client {
    let subject = ["name", "uri"].iter().find_map(|key| params[key].as_str());
    let name = subject.map(|name| format!("mcp-name: {name}\r\n"));
    let fields = format!(
        "mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n{}",
        name.unwrap_or_default()
    );
    let mut client = server.connect();
    client.send(&post(&fields, &modern(id, method, params).to_string()));
    client
}

#[test]
fn an_answer_too_large_for_an_event_becomes_an_error_that_says_so() {
    let server = server();
    let params = json!({"name": "grow", "arguments": {}, "_meta": {"progressToken": 1}});
    let too_large = |mut client: Client, id: Value| {
        assert_eq!(
            client.head().field("content-type"),
            Some("text/event-stream")
        );
        loop {
            let frame = client.frame().unwrap();
            assert!(frame.bytes < 1 << 20);
            let message = frame.message.unwrap_or_default();
            if message["id"] == id {
                assert_eq!(message["error"]["code"], -32603);
                let words = message["error"]["message"].as_str().unwrap();
                assert!(words.contains("accept only `application/json`"), "{words}");
                check_answer("2026-07-28", "tools/call", &message);
                break;
            }
        }
        assert!(client.frame().is_none());
        assert!(client.is_served());
    };
    let client = modern_call(&server, json!("a"), "tools/call", params.clone());
    too_large(client, json!("a"));
    let session = Session::begin(&server, "2025-11-25");
    let mut client = server.connect();
    session.send(&mut client, &request(3, "tools/call", params.clone()));
    too_large(client, json!(3));
    // Without progress it is no event, and may be as large as it is.
    let plain = json!({"name": "grow", "arguments": {}});
    let answer = modern_call(&server, json!(1), "tools/call", plain).answer();
    assert!(answer.body.len() > 2 << 20);

    let session = Session::begin(&server, "2025-03-26");
    let mut client = server.connect();
    let batch = json!([
        request(1, "tools/call", params.clone()),
        request(2, "ping", json!({})),
    ]);
    session.send(&mut client, &batch);
    client.head();
    let mut answers = Vec::new();
    while let Some(frame) = client.frame() {
        assert!(frame.bytes < 1 << 20);
        answers.extend(frame.message.filter(|it| it.get("method").is_none()));
    }
    answers.sort_by_key(|answer| answer["id"].as_i64());
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0]["error"]["code"], -32603);
    assert_eq!(answers[1]["result"], json!({}));
}

#[test]
fn a_call_that_tells_nothing_begins_its_stream_after_a_while_and_keeps_it_alive() {
    let mut wanted = Wanted {
        catalog,
        ..Wanted::default()
    };
    wanted.deadlines.silence = Duration::from_millis(100);
    let server = Server::with(wanted);
    let params = json!({"name": "wait", "arguments": {}});
    let mut stateless = modern_call(&server, json!(1), "tools/call", params.clone());
    let session = Session::begin(&server, "2025-06-18");
    let mut legacy = server.connect();
    session.send(&mut legacy, &request(1, "tools/call", params.clone()));
    for client in [&mut stateless, &mut legacy] {
        // The call goes on meanwhile: nothing has opened the gate.
        let head = client.head();
        assert_eq!(head.field("content-type"), Some("text/event-stream"));
        assert_eq!(client.chunk().as_deref(), Some(&b":\n\n"[..]));
    }
    for _ in 0..2 {
        server.gate.send_blocking(()).unwrap();
    }
    for client in [&mut stateless, &mut legacy] {
        assert_eq!(
            client.event()["result"]["structuredContent"]["waited"],
            true
        );
        assert!(client.frame().is_none());
        assert!(client.is_served());
    }
    // Whoever takes no stream waits.
    let mut plain = server.connect();
    let only = String::from_utf8(post(
        "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: wait\r\n",
        &modern(1, "tools/call", params).to_string(),
    ))
    .unwrap()
    .replace("application/json, text/event-stream", "application/json");
    plain.send(only.as_bytes());
    assert!(plain.is_silent(Duration::from_millis(400)));
    server.gate.send_blocking(()).unwrap();
    assert_eq!(
        plain.answer().field("content-type"),
        Some("application/json")
    );
}

#[test]
fn a_call_that_streams_without_end_is_given_up_and_streams_that_have_none_are_not() {
    let mut wanted = Wanted {
        catalog,
        ..Wanted::default()
    };
    wanted.deadlines.handler = Duration::from_millis(300);
    let server = Server::with(wanted);
    let session = Session::begin(&server, "2025-06-18");
    let mut own = session.stream(None);
    let wishes = json!({"notifications": {"toolsListChanged": true}});
    let mut listening = modern_call(&server, json!(1), "subscriptions/listen", wishes);
    listening.head();
    listening.event();
    let params = json!({"name": "endless", "arguments": {}, "_meta": {"progressToken": 1}});
    let mut legacy = server.connect();
    session.send(&mut legacy, &request(1, "tools/call", params.clone()));
    for client in [
        &mut modern_call(&server, json!(1), "tools/call", params),
        &mut legacy,
    ] {
        assert_eq!(client.head().status, 200);
        let mut progress = 0;
        let answer = loop {
            let event = client.event();
            if event.get("method").is_none() {
                break event;
            }
            progress += 1;
        };
        assert!((1..20).contains(&progress), "{progress}");
        assert_eq!(answer["id"], 1);
        let words = answer["error"]["message"].as_str().unwrap();
        assert_eq!(words, "the call took too long and was given up");
        assert!(client.frame().is_none());
        assert!(client.is_served());
    }
    session.call("change");
    let changed = "notifications/tools/list_changed";
    assert_eq!(told(&mut own).1["method"], changed);
    assert_eq!(listening.event()["method"], changed);
}

// ---- what is told without being asked for

const TAG: &str = "io.modelcontextprotocol/subscriptionId";

#[test]
fn each_listener_hears_what_it_asked_for_under_its_own_tag() {
    let mut server = server();
    let session = Session::begin(&server, "2025-11-25");
    let tools = json!({"notifications": {"toolsListChanged": true}});
    let both = json!({"notifications": {
        "toolsListChanged": true, "resourceSubscriptions": ["test://watched", "test://none"],
    }});
    let mut one = modern_call(&server, json!("7"), "subscriptions/listen", tools.clone());
    let mut two = modern_call(&server, json!(7), "subscriptions/listen", both);
    for client in [&mut one, &mut two] {
        assert_eq!(
            client.head().field("content-type"),
            Some("text/event-stream")
        );
    }
    let heard = |client: &mut Client, tag: Value| {
        let frame = client.frame().unwrap();
        assert_eq!(frame.id, None);
        let note = frame.message.unwrap();
        check_notification("2026-07-28", &note);
        assert_eq!(note["params"]["_meta"][TAG], tag);
        note
    };
    let first = heard(&mut one, json!("7"));
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], tools["notifications"]);
    let first = heard(&mut two, json!(7));
    assert_eq!(
        first["params"]["notifications"]["resourceSubscriptions"],
        json!(["test://watched"])
    );
    session.call("touch");
    session.call("change");
    let note = heard(&mut two, json!(7));
    assert_eq!(note["method"], "notifications/resources/updated");
    assert_eq!(note["params"]["uri"], "test://watched");
    for (client, tag) in [(&mut one, json!("7")), (&mut two, json!(7))] {
        let note = heard(client, tag);
        assert_eq!(note["method"], "notifications/tools/list_changed");
    }
    // Who leaves is forgotten, and the other one hears on.
    drop(one);
    until_noticed(&server);
    session.call("change");
    heard(&mut two, json!(7));
    // At the end comes the result.
    server.ask_to_stop();
    let end = two.event();
    check_answer("2026-07-28", "subscriptions/listen", &end);
    assert_eq!(end["id"], 7);
    assert_eq!(end["result"]["_meta"][TAG], 7);
    assert!(two.frame().is_none());
    drop(two);
    server.stop();
}

#[test]
fn a_listener_needs_a_stream_and_something_to_hear() {
    let server = server();
    let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: subscriptions/listen\r\n";
    let wishes = json!({"notifications": {"toolsListChanged": true}});
    let message = modern(1, "subscriptions/listen", wishes).to_string();
    let bytes = String::from_utf8(post(fields, &message)).unwrap();
    let json_alone = bytes.replace(", text/event-stream", "");
    let answer = server.ask(json_alone.as_bytes());
    assert_eq!(
        answer.json()["error"]["code"],
        -32600,
        "{:?}",
        answer.json()
    );
    let wrong = json!({"notifications": {"toolsListChanged": "yes"}});
    let answer = modern_call(&server, json!(1), "subscriptions/listen", wrong).answer();
    assert_eq!(answer.json()["error"]["code"], -32602);
}

#[test]
fn a_subscriber_of_a_session_hears_of_its_resource_on_the_own_stream() {
    let server = server();
    let session = Session::begin(&server, "2025-06-18");
    let other = Session::begin(&server, "2025-06-18");
    let (mut stream, mut others) = (session.stream(None), other.stream(None));
    let subscribe = |method: &str, uri: &str| {
        let mut client = server.connect();
        session.send(&mut client, &request(1, method, json!({"uri": uri})));
        let answer = client.answer().json();
        check_answer("2025-06-18", method, &answer);
        answer
    };
    assert_eq!(
        subscribe("resources/subscribe", "test://watched")["result"],
        json!({})
    );
    let missing = subscribe("resources/subscribe", "test://none");
    assert_eq!(missing["error"]["code"], -32002);
    session.call("touch");
    let (_, note) = told(&mut stream);
    check_notification("2025-06-18", &note);
    assert_eq!(note["method"], "notifications/resources/updated");
    assert_eq!(note["params"], json!({"uri": "test://watched"}));
    subscribe("resources/unsubscribe", "test://watched");
    session.call("touch");
    // The next thing to hear is another one, and the only one for the other session.
    session.call("change");
    for stream in [&mut stream, &mut others] {
        let (_, note) = told(stream);
        assert_eq!(note["method"], "notifications/tools/list_changed");
    }
}

// ---- questions to the client

fn answered(session: &Session<'_>, question: &Value) {
    let result = match question["method"].as_str().unwrap() {
        "elicitation/create" => {
            check("2025-11-25", "ElicitRequest", question);
            json!({"action": "accept", "content": {"name": "Ada"}})
        }
        "sampling/createMessage" => {
            check("2025-11-25", "CreateMessageRequest", question);
            let said = json!({"type": "text", "text": "Hello"});
            json!({"role": "assistant", "content": said, "model": "m"})
        }
        other => panic!("{other}"),
    };
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
    let mut client = session.server.connect();
    session.send(&mut client, &answer);
    assert_eq!(client.answer().status, 202);
}

const ABLE: [&str; 2] = ["elicitation", "sampling"];

fn able() -> Value {
    let all = ABLE.map(|name| (name.to_owned(), json!({})));
    Value::Object(all.into_iter().collect())
}

#[test]
fn a_handler_asks_its_client_on_the_stream_of_the_call() {
    let server = server();
    let session = Session::able(&server, "2025-11-25", able());
    let mut client = server.connect();
    let params = json!({"name": "ask", "arguments": {}});
    session.send(&mut client, &request(1, "tools/call", params));
    assert_eq!(
        client.head().field("content-type"),
        Some("text/event-stream")
    );
    primed(&mut client);
    for _ in ABLE {
        answered(&session, &told(&mut client).1);
    }
    let (_, answer) = told(&mut client);
    check_answer("2025-11-25", "tools/call", &answer);
    let expected = json!({"name": "Ada", "said": "Hello"});
    assert_eq!(answer["result"]["structuredContent"], expected);
    assert!(client.frame().is_none());
}

#[test]
fn a_question_on_a_lost_stream_can_be_heard_and_answered_on_the_resumed_one() {
    let server = server();
    let session = Session::able(&server, "2025-11-25", able());
    let mut client = server.connect();
    let params = json!({"name": "ask", "arguments": {}});
    session.send(&mut client, &request(1, "tools/call", params));
    client.head();
    let id = primed(&mut client);
    drop(client);
    let mut resumed = session.stream(Some(&id));
    for _ in ABLE {
        answered(&session, &told(&mut resumed).1);
    }
    assert_eq!(told(&mut resumed).1["id"], 1);
}

#[test]
fn a_handler_asks_on_the_sessions_stream_when_the_call_has_none() {
    let server = server();
    let session = Session::able(&server, "2025-06-18", able());
    let params = json!({"name": "ask", "arguments": {}});
    let field = format!("mcp-session-id: {}\r\n", session.id);
    let bytes = post(&field, &request(1, "tools/call", params).to_string());
    let bytes = String::from_utf8(bytes).unwrap();
    let bytes = bytes.replace(", text/event-stream", "");
    // Without that stream there is no way to ask.
    let answer = server.ask(bytes.as_bytes()).json();
    assert_eq!(answer["result"]["isError"], true);
    let mut stream = session.stream(None);
    let mut client = server.connect();
    client.send(bytes.as_bytes());
    for _ in ABLE {
        answered(&session, &told(&mut stream).1);
    }
    let answer = client.answer();
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(answer.json()["result"]["structuredContent"]["name"], "Ada");
}

// ---- fields that repeat arguments

#[test]
fn fields_that_repeat_arguments_have_to_agree_with_them() {
    let server = server();
    let ask = |arguments: Value, fields: &str| {
        let params = json!({"name": "place", "arguments": arguments});
        let message = modern(1, "tools/call", params).to_string();
        let known =
            "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: place\r\n";
        let answer = server.ask(&post(&format!("{known}{fields}"), &message));
        (answer.status, answer.json()["error"]["code"].as_i64())
    };
    for (arguments, fields) in [
        (json!({}), ""),
        (json!({}), "mcp-param-unknown: x\r\n"),
        (json!({"region": null}), ""),
        (json!({"region": "west"}), "Mcp-Param-Region: west\r\n"),
        (json!({"region": "west"}), "mcp-param-region:  west \r\n"),
        (
            json!({"region": "we\u{df}t"}),
            "mcp-param-region: =?base64?d2XDn3Q=?=\r\n",
        ),
        (json!({"floor": 7}), "mcp-param-floor: 7\r\n"),
        (json!({"floor": 7.0}), "mcp-param-floor: 7\r\n"),
        (json!({"warm": true}), "mcp-param-warm: true\r\n"),
    ] {
        let (status, code) = ask(arguments.clone(), fields);
        // `null` is not a string, which the tool's own schema says in its result.
        assert_eq!((status, code), (200, None), "{arguments} {fields}");
    }
    for (arguments, fields) in [
        (json!({"region": "west"}), ""),
        (json!({}), "mcp-param-region: west\r\n"),
        (json!({"region": "west"}), "mcp-param-region: East\r\n"),
        (json!({"region": "west"}), "mcp-param-region: West\r\n"),
        (
            json!({"region": "west"}),
            "mcp-param-region: =?base64?d2VzdA?=\r\n",
        ),
        (
            json!({"region": "west"}),
            "mcp-param-region: west\r\nmcp-param-region: west\r\n",
        ),
        (json!({"floor": 7}), "mcp-param-floor: 8\r\n"),
        (json!({"floor": 7}), "mcp-param-floor: seven\r\n"),
        (json!({"warm": true}), "mcp-param-warm: True\r\n"),
        (json!({"warm": true}), "mcp-param-warm: 1\r\n"),
    ] {
        let found = ask(arguments.clone(), fields);
        assert_eq!(found, (400, Some(-32020)), "{arguments} {fields}");
    }
}
