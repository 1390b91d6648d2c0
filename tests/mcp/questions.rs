//! Handlers that ask their client: by requests where there is a handshake, in rounds where there is
//! none; and completion and logging beside them.

use mcpmqtt::mcp::catalog::{Catalog, Completing, Tool, ToolResult};
use mcpmqtt::mcp::{ClientSink, Kind, Level, Principal, Question, Received, Session};
use serde_json::{Value, json};
use smol::future::block_on;
use smol::{LocalExecutor, Task};

use crate::common::engine::{engine_with, nothing, tool};
use crate::common::messages::{modern, request};
use crate::common::schema::{check, check_answer, check_notification};
use crate::peer::Peer;

/// Asks for a name, then for a colour.
fn introduce() -> Tool {
    let form = |field: &str| json!({"type": "object", "properties": {field: {"type": "string"}}, "required": [field]});
    tool(
        "introduce",
        json!({"type": "object", "properties": {"polite": {"type": "boolean"}}, "additionalProperties": true}),
        {
            move |call| {
                let (name, colour) = (form("name"), form("colour"));
                Box::pin(async move {
                    let client = call.client;
                    let first = client.ask(vec![Question::form("name", "Who?", name)]).await;
                    let first = match first {
                        Ok(answers) => answers,
                        Err(why) => return ToolResult::Error(why.to_string()),
                    };
                    let Some(name) = first.accepted("name") else {
                        return ToolResult::Error("nobody".into());
                    };
                    let second = Question::form("colour", "Which?", colour);
                    let second = client.ask(vec![second]).await.unwrap();
                    let colour = second.accepted("colour").unwrap();
                    ToolResult::structured(
                        &json!({"name": name["name"], "colour": colour["colour"]}),
                    )
                })
            }
        },
    )
}

/// Asks everything at once, as far as the client can.
fn survey() -> Tool {
    tool("survey", nothing(), |call| {
        Box::pin(async move {
            let client = call.client;
            let message = json!([{"role": "user", "content": {"type": "text", "text": "Hi"}}]);
            let schema = json!({"type": "object", "properties": {}});
            let mut questions = vec![Question::sampling("model", message, 50)];
            if client.can(Kind::Roots) {
                questions.push(Question::roots("roots"));
            }
            if client.can(Kind::Form) {
                questions.push(Question::form("person", "Well?", schema));
            }
            match client.ask(questions).await {
                Ok(answers) => ToolResult::structured(&json!({
                    "said": answers.sampled("model"),
                    "roots": answers.roots("roots").map(Vec::len),
                    "person": answers.result("person").is_some(),
                })),
                Err(why) => ToolResult::Error(why.to_string()),
            }
        })
    })
}

fn chatty() -> Tool {
    tool("chatty", nothing(), |call| {
        Box::pin(async move {
            call.client.log(Level::Debug, &json!("detail"));
            call.client.log(Level::Error, &json!({"broken": true}));
            ToolResult::structured(&json!({}))
        })
    })
}

fn suggest(completing: &Completing) -> Vec<String> {
    assert_eq!(completing.argument, "whom");
    let all = (0..150).map(|n| format!("person-{n:03}"));
    all.filter(|name| name.starts_with(&completing.value))
        .collect()
}

fn peer() -> Peer {
    Peer::of(engine_with(|catalog: &mut Catalog| {
        catalog.tools.extend([introduce(), survey(), chatty()]);
        catalog.logging = true;
        catalog.prompts[0].completer = Some(Box::new(suggest));
    }))
}

fn able(mut request: Value) -> Value {
    let all = json!({"elicitation": {}, "sampling": {}, "roots": {}});
    request["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = all;
    request
}

fn call(name: &str, more: Value) -> Value {
    let mut params = json!({"name": name, "arguments": {}});
    for (key, value) in more.as_object().unwrap() {
        params[key] = value.clone();
    }
    able(modern(1, "tools/call", params))
}

fn accept(content: Value) -> Value {
    json!({"action": "accept", "content": content})
}

fn required(answer: &Value) -> (Vec<String>, Value) {
    check_answer("2026-07-28", "input_required", answer);
    let result = &answer["result"];
    assert_eq!(result["resultType"], "input_required");
    assert!(result["_meta"]["io.modelcontextprotocol/serverInfo"].is_object());
    let keys = result["inputRequests"].as_object().unwrap().keys();
    (keys.cloned().collect(), result["requestState"].clone())
}

fn structured(answer: &Value) -> &Value {
    check_answer("2026-07-28", "tools/call", answer);
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    &answer["result"]["structuredContent"]
}

fn somebody_else() -> std::rc::Rc<Principal> {
    std::rc::Rc::new(Principal {
        name: "somebody else".into(),
        profile: Principal::DEFAULT_PROFILE.into(),
        proof: [1].as_slice().into(),
    })
}

#[test]
fn a_handler_written_once_asks_in_rounds_that_need_no_session() {
    let peer = peer();
    let (keys, state) = required(&peer.ask(&call("introduce", json!({}))));
    assert_eq!(keys, ["name"]);
    let responses = json!({"name": accept(json!({"name": "Ada"})), "stray": 5});
    let first = json!({"inputResponses": responses, "requestState": state});
    // Each round may come over another connection.
    let other = Peer {
        session: Session::new(),
        ..peer
    };
    let (keys, next) = required(&other.ask(&call("introduce", first)));
    assert_eq!(keys, ["colour"]);
    assert_ne!(state, next);
    let responses = json!({"colour": accept(json!({"colour": "red"}))});
    let second = json!({"inputResponses": responses, "requestState": next});
    let answer = other.ask(&call("introduce", second));
    assert_eq!(
        *structured(&answer),
        json!({"name": "Ada", "colour": "red"})
    );
}

#[test]
fn an_answer_that_is_none_is_asked_for_again() {
    let peer = peer();
    for wrong in [
        json!(5),
        json!({}),
        json!({"action": "maybe"}),
        json!({"action": "accept", "content": []}),
        json!({"roots": []}),
    ] {
        let more = json!({"inputResponses": {"name": wrong}});
        assert_eq!(required(&peer.ask(&call("introduce", more))).0, ["name"]);
    }
    for wrong in [json!(null), json!([]), json!("name")] {
        let answer = peer.ask(&call("introduce", json!({"inputResponses": wrong})));
        assert_eq!(answer["error"]["code"], -32602, "{wrong}");
    }
    let declined = json!({"inputResponses": {"name": {"action": "decline"}}});
    let answer = peer.ask(&call("introduce", declined));
    assert_eq!(answer["result"]["content"][0]["text"], "nobody");
}

#[test]
fn a_state_is_good_for_its_request_and_its_principal_only() {
    let peer = peer();
    let (_, state) = required(&peer.ask(&call("introduce", json!({}))));
    let state = state.as_str().unwrap();
    let given = json!({"name": accept(json!({"name": "Ada"}))});
    let with = |state: &str| {
        call(
            "introduce",
            json!({"requestState": state, "inputResponses": given}),
        )
    };
    assert_eq!(required(&peer.ask(&with(state))).0, ["colour"]);

    let mut cases = vec![
        String::new(),
        ".".into(),
        "x".into(),
        format!("{state}-TAMPERED"),
    ];
    for at in 0..state.len() {
        let mut bytes = state.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        cases.push(String::from_utf8(bytes).unwrap());
    }
    for tampered in cases {
        let answer = peer.ask(&with(&tampered));
        assert_eq!(answer["error"]["code"], -32602, "{tampered}");
    }
    let mut other = with(state);
    other["params"]["arguments"] = json!({"polite": true});
    assert_eq!(peer.ask(&other)["error"]["code"], -32602, "other arguments");
    other["params"]["name"] = "survey".into();
    assert_eq!(peer.ask(&other)["error"]["code"], -32602, "another tool");
    let number = call("introduce", json!({"requestState": 1}));
    assert_eq!(peer.ask(&number)["error"]["code"], -32602);

    let stranger = Peer {
        session: Session::of(somebody_else()),
        ..peer
    };
    assert_eq!(stranger.ask(&with(state))["error"]["code"], -32602);
    let fresh = self::peer();
    assert_eq!(
        fresh.ask(&with(state))["error"]["code"],
        -32602,
        "another process"
    );
}

#[test]
fn the_order_of_arguments_does_not_matter_to_a_state() {
    let peer = peer();
    let text = |arguments: &str, more: &str| {
        let mut request = call("introduce", json!({})).to_string();
        request = request.replace(
            r#""arguments":{}"#,
            &format!(r#""arguments":{arguments}{more}"#),
        );
        serde_json::from_str::<Value>(&request).unwrap()
    };
    let (_, state) = required(&peer.ask(&text(r#"{"polite":true,"x":{"a":1,"b":[2]}}"#, "")));
    let more = format!(r#","requestState":{state}"#);
    let again = text(r#"{"x":{"b":[2],"a":1},"polite":true}"#, &more);
    assert_eq!(required(&peer.ask(&again)).0, ["name"]);
}

#[test]
fn what_a_client_cannot_do_is_not_asked_of_it() {
    let peer = peer();
    let mut request = call("survey", json!({}));
    let declared = &mut request["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    *declared = json!({"sampling": {}});
    let (keys, _) = required(&peer.ask(&request));
    assert_eq!(keys, ["model"]);

    let bare = modern(1, "tools/call", json!({"name": "survey"}));
    let Received::Call(call) = peer.receive(bare.to_string().as_bytes()) else {
        panic!("no call")
    };
    let reply = block_on(call.run()).unwrap();
    assert_eq!(
        reply.refused,
        Some(-32021),
        "over HTTP this has a status of its own"
    );
    let answer: Value = serde_json::from_slice(&reply.text).unwrap();
    check(
        "2026-07-28",
        "MissingRequiredClientCapabilityError",
        &answer,
    );
    assert_eq!(
        answer["error"]["data"],
        json!({"requiredCapabilities": {"sampling": {}}})
    );
}

/// A client with a handshake that answers what it is asked.
struct Legacy<'a> {
    peer: Peer,
    version: &'a str,
    executor: LocalExecutor<'static>,
}

impl<'a> Legacy<'a> {
    fn new(version: &'a str, capabilities: Value) -> Legacy<'a> {
        let peer = peer();
        peer.shake_hands(version, capabilities);
        Legacy {
            peer,
            version,
            executor: LocalExecutor::new(),
        }
    }

    fn call(&self, name: &str) -> Task<Value> {
        let request = request(1, "tools/call", json!({"name": name, "arguments": {}}));
        let Received::Call(call) = self.peer.receive(request.to_string().as_bytes()) else {
            panic!("no call")
        };
        let task = self
            .executor
            .spawn(async move { serde_json::from_slice(&call.run().await.unwrap().text).unwrap() });
        self.settle();
        task
    }

    fn settle(&self) {
        while self.executor.try_tick() {}
    }

    fn asked(&self) -> Vec<Value> {
        let asked = self.peer.heard();
        for request in &asked {
            check(self.version, "JSONRPCRequest", request);
            check(self.version, "ServerRequest", request);
        }
        asked
    }

    fn respond(&self, request: &Value, member: &str, value: Value) {
        let response = json!({"jsonrpc": "2.0", "id": request["id"], member: value});
        assert!(self.peer.answer(response.to_string().as_bytes()).is_none());
        self.settle();
    }

    fn end(self, task: Task<Value>) -> Value {
        let answer = block_on(self.executor.run(task));
        check_answer(self.version, "tools/call", &answer);
        answer
    }
}

#[test]
fn the_same_handler_waits_for_its_answers_where_there_is_a_handshake() {
    for version in ["2025-06-18", "2025-11-25"] {
        let legacy = Legacy::new(version, json!({"elicitation": {}}));
        let task = legacy.call("introduce");
        let asked = legacy.asked();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0]["method"], "elicitation/create");
        assert_eq!(asked[0]["params"]["message"], "Who?");
        legacy.respond(&asked[0], "result", accept(json!({"name": "Ada"})));
        let next = legacy.asked();
        assert_ne!(asked[0]["id"], next[0]["id"]);
        legacy.respond(&next[0], "result", accept(json!({"colour": "red"})));
        let answer = legacy.end(task);
        let expected = json!({"name": "Ada", "colour": "red"});
        assert_eq!(answer["result"]["structuredContent"], expected);
    }
}

#[test]
fn questions_asked_together_may_be_answered_in_any_order() {
    let all = json!({"elicitation": {}, "sampling": {}, "roots": {}});
    let legacy = Legacy::new("2025-11-25", all);
    let task = legacy.call("survey");
    let asked = legacy.asked();
    assert_eq!(asked.len(), 3);
    for request in asked.iter().rev() {
        let result = match request["method"].as_str().unwrap() {
            "sampling/createMessage" => {
                json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "Hm"}})
            }
            "roots/list" => json!({"roots": [{"uri": "file:///a"}]}),
            _ => json!({"action": "cancel"}),
        };
        legacy.respond(request, "result", result);
    }
    let expected = json!({"said": "Hm", "roots": 1, "person": true});
    assert_eq!(legacy.end(task)["result"]["structuredContent"], expected);
}

#[test]
fn a_question_without_an_answer_is_told_in_words() {
    let texts = |legacy: Legacy<'_>, task| {
        let answer = legacy.end(task);
        assert_eq!(answer["result"]["isError"], true);
        answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let unable = Legacy::new("2025-11-25", json!({"elicitation": {"url": {}}}));
    let task = unable.call("introduce");
    assert!(unable.asked().is_empty());
    assert!(texts(unable, task).contains("did not declare the capability `elicitation`"));

    let before = Legacy::new("2025-03-26", json!({"elicitation": {}}));
    let task = before.call("introduce");
    assert!(
        before.asked().is_empty(),
        "the version does not know elicitation"
    );
    assert!(texts(before, task).contains("did not declare"));

    let refusing = Legacy::new("2025-11-25", json!({"elicitation": {}}));
    let task = refusing.call("introduce");
    let asked = refusing.asked();
    refusing.respond(
        &asked[0],
        "error",
        json!({"code": -1, "message": "not now"}),
    );
    assert_eq!(
        texts(refusing, task),
        "the client answered with an error: not now"
    );

    let babbling = Legacy::new("2025-11-25", json!({"elicitation": {}}));
    let task = babbling.call("introduce");
    let asked = babbling.asked();
    babbling.respond(&json!({"id": 999}), "result", accept(json!({})));
    babbling.respond(
        &json!({"id": asked[0]["id"].to_string()}),
        "result",
        accept(json!({})),
    );
    babbling.respond(&asked[0], "result", json!({"roots": []}));
    assert_eq!(
        texts(babbling, task),
        "the client's answer does not fit `elicitation/create`"
    );
}

#[test]
fn without_a_way_to_ask_a_handler_is_told_so() {
    let peer = peer();
    peer.shake_hands("2025-11-25", json!({"elicitation": {}}));
    let bytes = request(1, "tools/call", json!({"name": "introduce"})).to_string();
    let call = peer
        .engine
        .receive(&peer.session, bytes.as_bytes(), &ClientSink::closed());
    let Received::Call(call) = call else {
        panic!("no call")
    };
    let reply = block_on(call.run()).unwrap();
    let answer: Value = serde_json::from_slice(&reply.text).unwrap();
    let text = &answer["result"]["content"][0]["text"];
    assert_eq!(*text, "the client cannot be asked anything now");
}

#[test]
fn a_question_whose_call_is_cancelled_is_withdrawn() {
    let legacy = Legacy::new("2025-11-25", json!({"elicitation": {}}));
    let task = legacy.call("introduce");
    let asked = legacy.asked();
    drop(task);
    legacy.settle();
    let heard = legacy.peer.heard();
    assert_eq!(heard.len(), 1);
    check_notification("2025-11-25", &heard[0]);
    assert_eq!(heard[0]["method"], "notifications/cancelled");
    assert_eq!(heard[0]["params"]["requestId"], asked[0]["id"]);
    legacy.respond(&asked[0], "result", accept(json!({"name": "late"})));
}

#[test]
fn completion_gives_the_first_hundred_and_says_how_many_there_are() {
    let complete = |value: &str| {
        json!({
            "ref": {"type": "ref/prompt", "name": "greet"},
            "argument": {"name": "whom", "value": value},
        })
    };
    for version in &crate::common::schema::VERSIONS {
        let peer = peer();
        let write = |params| match *version {
            "2026-07-28" => modern(1, "completion/complete", params),
            _ => request(1, "completion/complete", params),
        };
        let declared = match *version {
            "2026-07-28" => {
                let found = peer.ask(&modern(1, "server/discover", json!({})));
                found["result"]["capabilities"].clone()
            }
            version => peer.shake_hands(version, json!({}))["capabilities"].clone(),
        };
        assert_eq!(
            declared.get("completions").is_some(),
            *version > "2024-11-05"
        );
        let answer = peer.ask(&write(complete("person-")));
        check_answer(version, "completion/complete", &answer);
        let completion = &answer["result"]["completion"];
        assert_eq!(completion["values"].as_array().unwrap().len(), 100);
        assert_eq!(completion["total"], 150);
        assert_eq!(completion["hasMore"], true);
        let answer = peer.ask(&write(complete("person-14")));
        assert_eq!(answer["result"]["completion"]["values"][9], "person-149");
        assert_eq!(answer["result"]["completion"]["hasMore"], false);
        let nothing = json!({
            "ref": {"type": "ref/resource", "uri": "test://item/{id}"},
            "argument": {"name": "id", "value": ""},
        });
        let answer = peer.ask(&write(nothing));
        assert_eq!(answer["result"]["completion"]["values"], json!([]));
        for reference in [
            json!({"type": "ref/prompt", "name": "nope"}),
            json!({"type": "ref/resource", "uri": "test://nope/{id}"}),
            json!({"type": "ref/other"}),
            json!("greet"),
        ] {
            let mut params = complete("");
            params["ref"] = reference;
            assert_eq!(peer.ask(&write(params))["error"]["code"], -32602);
        }
    }
}

#[test]
fn where_there_are_no_prompts_each_is_unknown() {
    let peer = Peer::of(engine_with(|catalog| {
        catalog.prompts.clear();
        catalog.templates[0].completer = Some(Box::new(|_| vec!["7".into()]));
    }));
    let complete = |reference: Value| {
        let argument = json!({"name": "id", "value": ""});
        let params = json!({"ref": reference, "argument": argument});
        peer.ask(&modern(1, "completion/complete", params))
    };
    let answer = complete(json!({"type": "ref/prompt", "name": "any"}));
    assert_eq!(answer["error"]["code"], -32602);
    let template = json!({"type": "ref/resource", "uri": "test://item/{id}"});
    let answer = complete(template);
    assert_eq!(answer["result"]["completion"]["values"], json!(["7"]));
}

#[test]
fn a_client_hears_the_log_it_asked_for() {
    let levels = |peer: &Peer| -> Vec<String> {
        let heard = peer.heard();
        let level = |note: &Value| note["params"]["level"].as_str().unwrap().to_owned();
        heard.iter().map(level).collect()
    };
    let peer = peer();
    peer.ask(&modern(1, "tools/call", json!({"name": "chatty"})));
    assert!(
        peer.heard().is_empty(),
        "this request did not ask for a log"
    );
    let mut asking = modern(1, "tools/call", json!({"name": "chatty"}));
    asking["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = "debug".into();
    peer.ask(&asking);
    for note in peer.notes.borrow().iter() {
        check_notification("2026-07-28", note);
    }
    assert_eq!(levels(&peer), ["debug", "error"]);

    peer.shake_hands("2025-11-25", json!({}));
    let chat = || peer.ask(&request(1, "tools/call", json!({"name": "chatty"})));
    let set = |level: &str| peer.ask(&request(1, "logging/setLevel", json!({"level": level})));
    chat();
    for note in peer.notes.borrow().iter() {
        check_notification("2025-11-25", note);
    }
    assert_eq!(
        levels(&peer),
        ["error"],
        "nobody said, so details are left out"
    );
    check_answer("2025-11-25", "logging/setLevel", &set("debug"));
    chat();
    assert_eq!(levels(&peer), ["debug", "error"]);
    set("critical");
    chat();
    assert!(peer.heard().is_empty());
    assert_eq!(set("loud")["error"]["code"], -32602);
}

#[test]
fn more_answers_than_anybody_asked_for_are_refused() {
    let peer = Peer::new();
    let ask = |values: usize| {
        let given = json!({"a": vec![json!({"b": 0}); values]});
        let params = json!({"name": "echo", "arguments": {"text": "x"}, "inputResponses": given});
        peer.ask(&modern(1, "tools/call", params))
    };
    assert!(ask(400)["result"].is_object());
    let refused = ask(600);
    assert_eq!(refused["error"]["code"], -32602);
    let words = "`params.inputResponses` has more than 1000 values";
    assert_eq!(refused["error"]["message"], words);
}
