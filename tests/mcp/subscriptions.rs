//! What clients are told without asking: `subscriptions/listen` and `resources/subscribe`.

use std::cell::Cell;
use std::rc::Rc;

use mcpmqtt::mcp::catalog::{Body, Catalog, ReadError};
use mcpmqtt::mcp::{Notifier, Outlet, Received, Reply, Session, Watch};
use serde_json::{Value, json};
use smol::future::{block_on, poll_once};
use smol::{LocalExecutor, Task};

use crate::common::engine::{contents, engine_with, resource};
use crate::common::messages::{modern, request};
use crate::common::schema::{check, check_answer, check_notification};
use crate::peer::Peer;
use crate::wire::{Wire, dialogue};

const TAG: &str = "io.modelcontextprotocol/subscriptionId";

/// A peer whose catalog has a resource that is watched, and how many watch it at the moment.
struct Scene {
    peer: Peer,
    notifier: Notifier,
    watching: Rc<Cell<usize>>,
}

struct Count(Rc<Cell<usize>>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn watched(catalog: &mut Catalog, watching: &Rc<Cell<usize>>) {
    let mut watched = resource("test://watched", |uri| {
        Ok(vec![contents(uri, Body::Text("now".into()))])
    });
    let count = watching.clone();
    watched.watcher = Some(Box::new(move |uri| {
        assert_eq!(uri, "test://watched");
        count.set(count.get() + 1);
        let guard = Watch::new(Count(count.clone()));
        Box::pin(async { Ok(guard) })
    }));
    let mut secret = resource("test://secret", |_| Err(ReadError::Refused("no".into())));
    secret.watcher = Some(Box::new(|_| {
        Box::pin(async { Err(ReadError::Refused("you may not".into())) })
    }));
    catalog.resources.extend([watched, secret]);
    catalog.lists_change = true;
}

impl Scene {
    fn new() -> Scene {
        let watching = Rc::<Cell<usize>>::default();
        let mut notifier = Notifier::default();
        let engine = engine_with(|catalog| {
            watched(catalog, &watching);
            notifier = catalog.notifier.clone();
        });
        let peer = Peer::of(engine);
        Scene {
            peer,
            notifier,
            watching,
        }
    }

    /// Opens a stream and runs until nothing moves.
    fn listen<'a>(&self, executor: &LocalExecutor<'a>, request: &Value) -> Task<Option<Reply>> {
        let task = executor.spawn(self.call(request).run());
        while executor.try_tick() {}
        task
    }

    fn call(&self, request: &Value) -> mcpmqtt::mcp::Call {
        match self.peer.receive(request.to_string().as_bytes()) {
            Received::Call(call) => call,
            other => panic!("no call: {other:?}"),
        }
    }
}

fn listen(id: impl Into<Value>, wishes: Value) -> Value {
    modern(id, "subscriptions/listen", json!({"notifications": wishes}))
}

fn everything() -> Value {
    json!({
        "toolsListChanged": true,
        "promptsListChanged": true,
        "resourcesListChanged": true,
        "resourceSubscriptions": ["test://watched", "test://watched"],
    })
}

fn updated(tag: Value) -> Value {
    json!({
        "jsonrpc": "2.0",
        "method": "notifications/resources/updated",
        "params": {"_meta": {TAG: tag}, "uri": "test://watched"},
    })
}

#[test]
fn a_stream_begins_with_what_is_honoured_and_tells_exactly_that() {
    let scene = Scene::new();
    let executor = LocalExecutor::new();
    let id = json!(9_007_199_254_740_993_u64);
    let wishes = json!({
        "toolsListChanged": true,
        "promptsListChanged": false,
        "resourceSubscriptions": ["test://watched", "test://secret", "test://nope", "test://text"],
    });
    let stream = scene.listen(&executor, &listen(id.clone(), wishes));
    let heard = scene.peer.heard();
    assert_eq!(heard.len(), 1);
    check_notification("2026-07-28", &heard[0]);
    assert_eq!(
        heard[0]["method"],
        "notifications/subscriptions/acknowledged"
    );
    assert_eq!(heard[0]["params"]["_meta"], json!({TAG: id}));
    let mut honoured = heard[0]["params"]["notifications"].clone();
    let uris = honoured["resourceSubscriptions"].as_array_mut().unwrap();
    uris.sort_by_key(Value::to_string);
    let expected = json!({
        "toolsListChanged": true,
        "resourceSubscriptions": ["test://text", "test://watched"],
    });
    assert_eq!(honoured, expected);

    scene.notifier.prompts_changed();
    scene.notifier.resources_changed();
    scene.notifier.resource_updated("test://nope");
    assert!(scene.peer.heard().is_empty());
    scene.notifier.resource_updated("test://watched");
    scene.notifier.tools_changed();
    let heard = scene.peer.heard();
    assert_eq!(heard[0], updated(id.clone()));
    assert_eq!(heard[1]["method"], "notifications/tools/list_changed");
    assert_eq!(heard[1]["params"], json!({"_meta": {TAG: id}}));
    for note in &heard {
        check_notification("2026-07-28", note);
    }
    drop(stream);
}

#[test]
fn every_stream_gets_its_own_copy_and_a_resource_is_watched_once() {
    let scene = Scene::new();
    let executor = LocalExecutor::new();
    let tags = [json!("a"), json!(1), json!("1"), json!(0)];
    let mut streams: Vec<_> = tags
        .iter()
        .map(|tag| scene.listen(&executor, &listen(tag.clone(), everything())))
        .collect();
    assert_eq!(scene.peer.heard().len(), tags.len());
    assert_eq!(scene.watching.get(), 1);
    scene.notifier.resource_updated("test://watched");
    let expected: Vec<Value> = tags.iter().cloned().map(updated).collect();
    assert_eq!(scene.peer.heard(), expected);

    drop(streams.remove(1));
    while executor.try_tick() {}
    scene.notifier.resource_updated("test://watched");
    let tags: Vec<Value> = scene
        .peer
        .heard()
        .iter()
        .map(|note| note["params"]["_meta"][TAG].clone())
        .collect();
    assert_eq!(tags, [json!("a"), json!("1"), json!(0)]);
    assert_eq!(scene.watching.get(), 1);
    drop(streams);
    while executor.try_tick() {}
    assert_eq!(scene.watching.get(), 0, "nobody listens any more");
    assert_eq!(scene.peer.session.in_flight(), 0);
}

#[test]
fn a_stream_that_is_cancelled_says_nothing_more() {
    let scene = Scene::new();
    let executor = LocalExecutor::new();
    let stream = scene.listen(&executor, &listen("x", everything()));
    scene.peer.heard();
    let cancel =
        br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}"#;
    assert!(scene.peer.answer(cancel).is_none());
    while executor.try_tick() {}
    assert!(block_on(stream).is_none());
    scene.notifier.resource_updated("test://watched");
    assert!(scene.peer.heard().is_empty());
    assert_eq!(scene.watching.get(), 0);
}

#[test]
fn all_streams_end_with_a_result_when_the_server_stops() {
    let scene = Scene::new();
    let executor = LocalExecutor::new();
    for id in [json!("x"), json!(18_446_744_073_709_551_615_u64)] {
        let stream = scene.listen(&executor, &listen(id.clone(), everything()));
        scene.peer.engine.end_listening();
        let reply = block_on(executor.run(stream)).unwrap();
        let answer: Value = serde_json::from_slice(&reply.text).unwrap();
        check_answer("2026-07-28", "subscriptions/listen", &answer);
        assert_eq!(answer["id"], id);
        assert_eq!(answer["result"]["resultType"], "complete");
        assert_eq!(answer["result"]["_meta"][TAG], id);
        assert!(reply.after.is_none(), "the stream is the request's own");
        assert!(reply.refused.is_none());
    }
}

#[test]
fn on_a_shared_channel_the_end_is_told_in_both_ways() {
    let scene = Scene::new();
    let outlet = Outlet::shared(|_| true);
    let bytes = listen(7, everything()).to_string();
    let call = scene
        .peer
        .engine
        .receive(&scene.peer.session, bytes.as_bytes(), &outlet);
    let Received::Call(call) = call else {
        panic!("no call")
    };
    scene.peer.engine.end_listening();
    let reply = block_on(call.run()).unwrap();
    let after: Value = serde_json::from_slice(&reply.after.unwrap()).unwrap();
    check_notification("2026-07-28", &after);
    assert_eq!(after["method"], "notifications/cancelled");
    assert_eq!(after["params"]["requestId"], 7);
}

#[test]
fn a_stream_whose_client_does_not_keep_up_ends_instead_of_leaving_things_out() {
    let scene = Scene::new();
    let room = Rc::new(Cell::new(3));
    let left = room.clone();
    let outlet = Outlet::new(move |_| {
        left.set(left.get() - 1);
        left.get() >= 0
    });
    let bytes = listen(1, everything()).to_string();
    let call = scene
        .peer
        .engine
        .receive(&scene.peer.session, bytes.as_bytes(), &outlet);
    let Received::Call(call) = call else {
        panic!("no call")
    };
    let mut stream = Box::pin(call.run());
    let mut ended = || block_on(poll_once(stream.as_mut())).is_some();
    assert!(!ended());
    scene.notifier.tools_changed();
    scene.notifier.tools_changed();
    assert!(!ended(), "there was room for these");
    scene.notifier.tools_changed();
    scene.notifier.tools_changed();
    assert_eq!(room.get(), -1, "after the first refusal nothing is offered");
    assert!(ended());
}

#[test]
fn wishes_that_are_none_are_refused() {
    let scene = Scene::new();
    let many: Vec<String> = (0..257).map(|n| format!("test://{n}")).collect();
    let table = [
        modern(1, "subscriptions/listen", json!({})),
        modern(1, "subscriptions/listen", json!({"notifications": []})),
        listen(1, json!({"toolsListChanged": 1})),
        listen(1, json!({"resourceSubscriptions": "test://watched"})),
        listen(1, json!({"resourceSubscriptions": [1]})),
        listen(1, json!({"resourceSubscriptions": many})),
    ];
    for request in table {
        let answer = scene.peer.ask(&request);
        assert_eq!(answer["error"]["code"], -32602, "{request}");
    }
    let old = request(1, "subscriptions/listen", json!({"notifications": {}}));
    scene.peer.shake_hands("2025-11-25", json!({}));
    assert_eq!(scene.peer.ask(&old)["error"]["code"], -32601);
    assert!(scene.peer.heard().is_empty());
}

#[test]
fn without_a_stream_to_tell_on_there_is_no_subscription() {
    let scene = Scene::new();
    let bytes = listen(1, everything()).to_string();
    let session = Session::new();
    let call = scene
        .peer
        .engine
        .receive(&session, bytes.as_bytes(), &Outlet::closed());
    let Received::Call(call) = call else {
        panic!("no call")
    };
    let reply = block_on(call.run()).unwrap();
    let answer: Value = serde_json::from_slice(&reply.text).unwrap();
    assert_eq!(answer["error"]["code"], -32600);
    assert_eq!(scene.watching.get(), 0);
}

#[test]
fn a_session_hears_of_what_it_subscribed_to_until_it_unsubscribes() {
    for version in &crate::common::schema::VERSIONS[..4] {
        let scene = Scene::new();
        let Scene { peer, notifier, .. } = &scene;
        peer.session.attach(peer.outlet.clone());
        let subscribe = |method: &str, uri: &str| {
            let answer = peer.ask(&request(1, method, json!({"uri": uri})));
            check_answer(version, method, &answer);
            answer
        };
        let begun = peer.shake_hands(version, json!({}));
        let declared = json!({"subscribe": true, "listChanged": true});
        assert_eq!(begun["capabilities"]["resources"], declared);
        notifier.resource_updated("test://watched");
        assert!(peer.heard().is_empty());

        let answer = subscribe("resources/subscribe", "test://watched");
        assert_eq!(answer["result"], json!({}));
        subscribe("resources/subscribe", "test://watched");
        assert_eq!(scene.watching.get(), 1);
        notifier.resource_updated("test://watched");
        notifier.tools_changed();
        let heard = peer.heard();
        assert_eq!(heard.len(), 2);
        for note in &heard {
            check_notification(version, note);
        }
        assert_eq!(heard[0]["params"], json!({"uri": "test://watched"}));

        subscribe("resources/unsubscribe", "test://never");
        subscribe("resources/unsubscribe", "test://watched");
        assert_eq!(scene.watching.get(), 0);
        notifier.resource_updated("test://watched");
        assert!(peer.heard().is_empty());

        let missing = subscribe("resources/subscribe", "test://nope");
        assert_eq!(missing["error"]["code"], -32002);
        let refused = subscribe("resources/subscribe", "test://secret");
        assert_eq!(refused["error"]["code"], -32602);
        assert_eq!(refused["error"]["message"], "you may not");
    }
}

#[test]
fn over_a_pipe_streams_share_the_channel_and_end_when_the_client_leaves() {
    dialogue(|executor| async move {
        let mut notifier = Notifier::default();
        let engine = engine_with(|catalog| {
            watched(catalog, &Rc::default());
            notifier = catalog.notifier.clone();
        });
        let mut wire = Wire::open_to(&executor, engine);
        for tag in [json!(1), json!("1")] {
            let note = wire.ask(&listen(tag.clone(), everything())).await;
            assert_eq!(note["params"]["_meta"][TAG], tag);
        }
        // An answer much larger than what progress may wait behind does not end a stream.
        // Both lines at once, so that the list is answered before the call has run.
        let large = modern(2, "tools/call", json!({"name": "large"}));
        let list = modern(3, "tools/list", json!({}));
        wire.write(format!("{large}\n{list}\n").as_bytes()).await;
        assert_eq!(wire.hear().await["id"], 3);
        notifier.resource_updated("test://watched");
        assert_eq!(wire.hear().await["id"], 2);
        assert_eq!(wire.hear().await, updated(json!(1)));
        assert_eq!(wire.hear().await, updated(json!("1")));

        let cancel = json!({"requestId": 1});
        wire.say(&json!({
            "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel,
        }))
        .await;
        wire.ask(&modern(4, "tools/list", json!({}))).await;
        notifier.resource_updated("test://watched");
        assert_eq!(wire.hear().await, updated(json!("1")));

        wire.hang_up();
        let (_, rest) = wire.end().await;
        assert_eq!(rest.len(), 2, "{rest:?}");
        assert_eq!(rest[0]["id"], "1");
        check_answer("2026-07-28", "subscriptions/listen", &rest[0]);
        assert_eq!(rest[1]["method"], "notifications/cancelled");
        check_notification("2026-07-28", &rest[1]);
    });
}

#[test]
fn a_session_that_begins_anew_still_hears_everything_once() {
    let scene = Scene::new();
    let Scene { peer, notifier, .. } = &scene;
    peer.session.attach(peer.outlet.clone());
    peer.shake_hands("2025-06-18", json!({}));
    peer.shake_hands("2025-11-25", json!({}));
    notifier.tools_changed();
    assert_eq!(peer.heard().len(), 1);
}

#[test]
fn a_session_has_a_bounded_number_of_subscriptions() {
    let peer = Peer::of(engine_with(|catalog| {
        catalog.templates[0].watcher = Some(Box::new(|_| Box::pin(async { Ok(Watch::new(())) })));
    }));
    peer.shake_hands("2025-11-25", json!({}));
    let subscribe = |n: usize| {
        let uri = format!("test://item/{n}");
        peer.ask(&request(
            n as u64,
            "resources/subscribe",
            json!({"uri": uri}),
        ))
    };
    for n in 0..256 {
        assert_eq!(subscribe(n)["result"], json!({}));
    }
    assert_eq!(subscribe(256)["error"]["code"], -32602);
    assert_eq!(
        subscribe(7)["result"],
        json!({}),
        "that one is there already"
    );
    let gone = json!({"uri": "test://item/0"});
    peer.ask(&request(1, "resources/unsubscribe", gone));
    assert_eq!(subscribe(256)["result"], json!({}));
}

#[test]
fn a_session_that_is_gone_watches_nothing() {
    let Scene { peer, watching, .. } = Scene::new();
    peer.shake_hands("2025-06-18", json!({}));
    peer.ask(&request(
        1,
        "resources/subscribe",
        json!({"uri": "test://watched"}),
    ));
    assert_eq!(watching.get(), 1);
    drop(peer);
    assert_eq!(watching.get(), 0);
}

#[test]
fn what_a_catalog_does_not_offer_is_neither_declared_nor_there() {
    let peer = Peer::new();
    let discovered = peer.ask(&modern(1, "server/discover", json!({})));
    let declared = &discovered["result"]["capabilities"];
    assert_eq!(
        *declared,
        json!({"tools": {}, "resources": {}, "prompts": {}})
    );
    let answer = peer.ask(&listen(2, everything()));
    assert_eq!(answer["error"]["code"], -32601);
    peer.shake_hands("2025-11-25", json!({}));
    for method in [
        "resources/subscribe",
        "resources/unsubscribe",
        "completion/complete",
        "logging/setLevel",
    ] {
        let answer = peer.ask(&request(3, method, json!({"uri": "test://text"})));
        assert_eq!(answer["error"]["code"], -32601, "{method}");
    }
    check(
        "2025-11-25",
        "JSONRPCErrorResponse",
        &peer.ask(&request(4, "x", json!({}))),
    );
}
