//! Who calls, as handlers see it, and what depends on it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mcpmqtt::mcp::catalog::{Body, Catalog, Instructions, ReadError, Watcher};
use mcpmqtt::mcp::{Caller, Engine, Notifier, Principal, Received, Session, WatchGuard};
use serde_json::{Value, json};

use crate::common::engine::{catalog, contents, resource};
use crate::common::messages::{modern, request};
use crate::peer::Peer;

fn principal(name: &str) -> Rc<Principal> {
    Rc::new(Principal {
        name: name.into(),
        profile: Principal::DEFAULT_PROFILE.into(),
        proof: name.as_bytes().into(),
    })
}

fn engine(change: impl FnOnce(&mut Catalog)) -> (Engine, async_channel::Sender<()>) {
    let (open, gate) = async_channel::unbounded();
    let mut catalog = catalog(gate);
    change(&mut catalog);
    let info = mcpmqtt::mcp::catalog::ServerInfo {
        name: "test".into(),
        title: "Test server".into(),
        version: "1.2.3".into(),
        instructions: Instructions::new(|caller| format!("You are {}.", caller.name())),
    };
    (Engine::new(catalog, info).unwrap(), open)
}

/// A client of the same engine that the transport knows as this principal.
fn another(peer: &Peer, name: &str) -> Peer {
    Peer {
        engine: peer.engine.clone(),
        session: Session::of(principal(name)),
        ..Peer::of(engine(|_| {}))
    }
}

/// Notes who calls `echo`.
fn noting(seen: &Rc<RefCell<Vec<Caller>>>) -> impl FnOnce(&mut Catalog) + use<> {
    let seen = Rc::clone(seen);
    move |catalog| {
        let handler = Rc::clone(&catalog.tools[0].handler);
        catalog.tools[0].handler = Rc::new(move |call| {
            seen.borrow_mut().push(call.client.caller().clone());
            handler(call)
        });
    }
}

fn echo() -> Value {
    json!({"name": "echo", "arguments": {"text": "hello"}})
}

#[test]
fn a_handler_sees_the_name_of_its_caller_and_what_the_client_says_of_itself() {
    let seen = Rc::default();
    let peer = Peer::of(engine(noting(&seen)));
    peer.shake_hands("2025-11-25", json!({}));
    peer.ask(&request(1, "tools/call", echo()));
    let key = another(&peer, "line3");
    key.ask(&modern(1, "tools/call", echo()));
    let mut told = echo();
    told["_meta"] =
        json!({"io.modelcontextprotocol/clientInfo": {"name": "codex", "version": "7"}});
    key.ask(&modern(2, "tools/call", told));
    let seen: Vec<_> = seen
        .borrow()
        .iter()
        .map(|caller| {
            let client = caller.client();
            let client = client.map(|it| format!("{} {}", it.name, it.version));
            (caller.name().to_owned(), client)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("stdio".into(), Some("tests 0".into())),
            ("line3".into(), None),
            ("line3".into(), Some("codex 7".into())),
        ]
    );
}

#[test]
fn what_a_client_says_of_itself_is_cut() {
    let seen = Rc::default();
    let peer = Peer::of(engine(noting(&seen)));
    for (name, expected) in [
        (json!("x".repeat(5000)), true),
        (json!("é".repeat(5000)), true),
        (json!(7), false),
        (json!(null), false),
    ] {
        let mut call = echo();
        call["_meta"] = json!({"io.modelcontextprotocol/clientInfo": {"name": name}});
        peer.ask(&modern(1, "tools/call", call));
        let caller = seen.borrow_mut().pop().unwrap();
        let length = caller.client().map(|client| client.name.chars().count());
        // With the sign that something was left out.
        assert_eq!(length.is_some(), expected);
        assert!(length.is_none_or(|length| length <= 129), "{length:?}");
    }
}

#[test]
fn advice_and_tools_can_differ_from_caller_to_caller() {
    let peer = Peer::of(engine(|catalog| {
        catalog.offers = Some(Box::new(|caller, tool| {
            caller.name() == "line3" || tool != "echo"
        }));
    }));
    let key = another(&peer, "line3");
    let names = |peer: &Peer| -> Vec<Value> {
        let listed = peer.ask(&modern(1, "tools/list", json!({})));
        let tools = listed["result"]["tools"].as_array().unwrap().clone();
        tools.into_iter().map(|it| it["name"].clone()).collect()
    };
    // Twice: what one was told is not kept for the other.
    for _ in 0..2 {
        assert!(names(&key).contains(&json!("echo")));
        assert!(!names(&peer).contains(&json!("echo")));
        assert_eq!(names(&key).len(), names(&peer).len() + 1);
    }
    let call = modern(1, "tools/call", echo());
    assert_eq!(key.ask(&call)["result"]["isError"], false);
    let refused = &peer.ask(&call)["error"];
    assert_eq!(refused["code"], -32602);
    assert_eq!(refused["message"], "unknown tool `echo`");
    for (peer, advice) in [(&key, "You are line3."), (&peer, "You are stdio.")] {
        let discovered = peer.ask(&modern(2, "server/discover", json!({})));
        assert_eq!(discovered["result"]["instructions"], advice);
        assert_eq!(
            peer.shake_hands("2025-11-25", json!({}))["instructions"],
            advice
        );
    }
}

/// A resource that `who` may not watch while `closed` is set.
fn guarded(closed: &Rc<Cell<bool>>, started: &Rc<Cell<usize>>) -> impl FnOnce(&mut Catalog) {
    let (closed, started) = (Rc::clone(closed), Rc::clone(started));
    move |catalog| {
        let mut guarded = resource("test://guarded", |uri| {
            Ok(vec![contents(uri, Body::Text("now".into()))])
        });
        let watcher = Watcher::new(move |_| {
            started.set(started.get() + 1);
            Box::pin(async { Ok(WatchGuard::new(())) })
        });
        guarded.watcher = Some(watcher.permitting(move |_, caller| {
            match closed.get() && caller.name() == "stranger" {
                true => Err(ReadError::Refused("you may not".into())),
                false => Ok(()),
            }
        }));
        catalog.resources.push(guarded);
    }
}

#[test]
fn each_subscriber_needs_the_permission_and_loses_it_alone() {
    let (closed, started) = (Rc::new(Cell::new(true)), Rc::default());
    let mut notifier = Notifier::default();
    let peer = Peer::of(engine(|catalog| {
        guarded(&closed, &started)(catalog);
        notifier = catalog.notifier.clone();
    }));
    let stranger = another(&peer, "stranger");
    for client in [&peer, &stranger] {
        client.session.attach(client.outlet.clone());
        client.shake_hands("2025-11-25", json!({}));
    }
    let subscribe = request(1, "resources/subscribe", json!({"uri": "test://guarded"}));
    assert_eq!(peer.ask(&subscribe)["result"], json!({}));
    // The resource is watched already: that gives nobody else the permission.
    assert_eq!(stranger.ask(&subscribe)["error"]["message"], "you may not");
    notifier.resource_updated("test://guarded");
    assert_eq!((peer.heard().len(), stranger.heard().len()), (1, 0));

    closed.set(false);
    assert_eq!(stranger.ask(&subscribe)["result"], json!({}));
    assert_eq!(started.get(), 1, "one watch serves both");
    notifier.resource_updated("test://guarded");
    assert_eq!((peer.heard().len(), stranger.heard().len()), (1, 1));

    closed.set(true);
    notifier.withdraw(|_, caller| caller.name() == "stranger");
    notifier.resource_updated("test://guarded");
    assert_eq!((peer.heard().len(), stranger.heard().len()), (1, 0));
    assert_eq!(stranger.ask(&subscribe)["error"]["message"], "you may not");
}

/// Between the permission for one resource of a stream and the stream's first notification others are waited for.
#[test]
fn what_is_withdrawn_from_one_caller_while_its_stream_is_set_up_is_not_honoured() {
    let (closed, started) = (Rc::new(Cell::new(false)), Rc::default());
    let (open, gate) = async_channel::bounded::<()>(1);
    let mut notifier = Notifier::default();
    let peer = Peer::of(engine(|catalog| {
        guarded(&closed, &started)(catalog);
        let mut slow = resource("test://slow", |uri| {
            Ok(vec![contents(uri, Body::Text("now".into()))])
        });
        slow.watcher = Some(Watcher::new(move |_| {
            let gate = gate.clone();
            Box::pin(async move {
                let _ = gate.recv().await;
                Ok(WatchGuard::new(()))
            })
        }));
        catalog.resources.push(slow);
        notifier = catalog.notifier.clone();
    }));
    let stranger = another(&peer, "stranger");
    peer.session.attach(peer.outlet.clone());
    peer.shake_hands("2025-11-25", json!({}));
    let subscribe = request(1, "resources/subscribe", json!({"uri": "test://guarded"}));
    assert_eq!(peer.ask(&subscribe)["result"], json!({}));

    let wishes = json!({"resourceSubscriptions": ["test://guarded", "test://slow"]});
    let listen = modern(1, "subscriptions/listen", json!({"notifications": wishes}));
    let Received::Call(call) = stranger.receive(listen.to_string().as_bytes()) else {
        panic!("no call");
    };
    let executor = smol::LocalExecutor::new();
    let _listening = executor.spawn(call.run());
    while executor.try_tick() {}
    closed.set(true);
    notifier.withdraw(|uri, caller| uri == "test://guarded" && caller.name() == "stranger");
    open.try_send(()).unwrap();
    while executor.try_tick() {}
    let told = stranger.heard();
    let honoured = &told[0]["params"]["notifications"]["resourceSubscriptions"];
    assert_eq!(*honoured, json!(["test://slow"]));
    notifier.resource_updated("test://guarded");
    assert_eq!((peer.heard().len(), stranger.heard().len()), (1, 0));
}
