//! Event streams over HTTP: what is told on them, what comes after a lost connection, and how they end.
#![allow(clippy::unwrap_used)]

mod support;

use std::rc::Rc;

use mcpmqtt::http::Limits;
use mcpmqtt::mcp::catalog::{Body, Catalog, ToolCall, ToolResult};
use mcpmqtt::mcp::{Question, Watch};
use serde_json::{Value, json};
use support::http::{Client, Frame, KEY, Server, Wanted, post};
use support::{
    check_answer, check_notification, contents, initialize, modern, nothing, request, resource,
    tool,
};

/// Tools that make streams, and a resource that changes.
fn catalog(catalog: &mut Catalog) {
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
    catalog.tools.extend([change, touch, slow, wait, ask]);
    let mut watched = resource("test://watched", |uri| {
        Ok(vec![contents(uri, Body::Text("now".into()))])
    });
    watched.watcher = Some(Box::new(|_| Box::pin(async { Ok(Watch::new(())) })));
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
        let text = format!(
            "GET /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n\
             accept: text/event-stream\r\nmcp-session-id: {}\r\n{more}\r\n",
            self.id
        );
        client.send(text.as_bytes());
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
        let text = format!(
            "DELETE /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n\
             mcp-session-id: {}\r\n\r\n",
            self.id
        );
        assert_eq!(self.server.ask(text.as_bytes()).status, 200);
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
    let words = "`last-event-id` is none of this session, or too old; open a stream without it";
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
