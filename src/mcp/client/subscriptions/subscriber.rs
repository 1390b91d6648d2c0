//! A subscriber: one stream of change notifications.
//!
//! Promises: a subscriber gets exactly the kinds and resources that it asked for; a stream that does not keep up is
//! ended, so that it never has an unnoticed gap.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use serde_json::{Map, Value};

use super::Listening;
use crate::mcp::client::sink::ClientSink;
use crate::mcp::jsonrpc::message::Id;

/// A stream of notifications: a `subscriptions/listen` request, or a session with a handshake.
#[derive(Debug, Default)]
pub(in crate::mcp) struct Subscriber {
    /// The id of the request that opened the stream; every notification carries it.
    pub(super) tag: Option<Id>,
    pub(super) sink: RefCell<ClientSink>,
    pub(super) lists: Cell<Lists>,
    pub(super) resources: RefCell<HashMap<Rc<str>, Listening>>,
    pub(super) ended: Cell<bool>,
    pub(super) waker: RefCell<Option<Waker>>,
}

/// The lists whose changes the subscriber wants.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::mcp) struct Lists {
    pub(in crate::mcp) tools: bool,
    pub(in crate::mcp) prompts: bool,
    pub(in crate::mcp) resources: bool,
}

impl Subscriber {
    pub(in crate::mcp) fn new(tag: Id, sink: &ClientSink, lists: Lists) -> Subscriber {
        Subscriber {
            tag: Some(tag),
            sink: RefCell::new(sink.clone()),
            lists: Cell::new(lists),
            ..Subscriber::default()
        }
    }

    pub(in crate::mcp) fn set_sink(&self, sink: ClientSink) {
        self.sink.replace(sink);
    }

    pub(in crate::mcp) fn sink(&self) -> ClientSink {
        self.sink.borrow().clone()
    }

    pub(in crate::mcp) fn set_lists(&self, lists: Lists) {
        self.lists.set(lists);
    }

    /// Adds a resource; false when the subscriber has `most` other resources already.
    pub(in crate::mcp) fn keep_within(&self, most: usize, listening: Listening) -> bool {
        let mut resources = self.resources.borrow_mut();
        let uri = &listening.watched.uri;
        let room = resources.len() < most || resources.contains_key(uri);
        if room {
            // Replaces an earlier subscription to the same resource.
            resources.insert(uri.clone(), listening);
        }
        room
    }

    pub(in crate::mcp) fn forget(&self, uri: &str) {
        // Dropped after the borrow ends: the drop may end a task that reads this table.
        let forgotten = self.resources.borrow_mut().remove(uri);
        drop(forgotten);
    }

    /// Forgets the resources whose subscriptions are over; returns whether there was one.
    pub(super) fn drop_ended(&self) -> bool {
        let mut kept = HashMap::new();
        let mut gone = Vec::new();
        for (uri, listening) in self.resources.take() {
            match listening.is_over() {
                true => gone.push(listening),
                false => drop(kept.insert(uri, listening)),
            }
        }
        self.resources.replace(kept);
        !gone.is_empty()
    }

    /// Sends the first notification, which lists the honoured subscriptions.
    pub(in crate::mcp) fn acknowledge(&self) -> bool {
        // A resource may have been lost while other watchers were waited for.
        self.drop_ended();
        let lists = self.lists.get();
        let mut honoured = Map::new();
        let flags = [
            ("toolsListChanged", lists.tools),
            ("promptsListChanged", lists.prompts),
            ("resourcesListChanged", lists.resources),
        ];
        for (key, _) in flags.into_iter().filter(|(_, honoured)| *honoured) {
            honoured.insert(key.into(), true.into());
        }
        let uris: Vec<Value> = self
            .resources
            .borrow()
            .keys()
            .map(|uri| Value::from(&**uri))
            .collect();
        if !uris.is_empty() {
            honoured.insert("resourceSubscriptions".into(), uris.into());
        }
        let members = format!(r#","notifications":{}"#, Value::Object(honoured));
        let text = self.notification("notifications/subscriptions/acknowledged", &members);
        self.sink().offer(text)
    }

    /// Waits until the server ends the stream.
    pub(in crate::mcp) async fn ended(&self) {
        poll_fn(|context| {
            if self.ended.get() {
                return Poll::Ready(());
            }
            self.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    pub(super) fn tell(&self, method: &str, uri: Option<&str>) {
        let members = uri.map(|uri| format!(r#","uri":{}"#, Value::from(uri)));
        let text = self.notification(method, &members.unwrap_or_default());
        if !self.sink().offer(text) {
            self.end();
        }
    }

    /// Ends the stream. A session with a handshake has no end to report: it continues when its client reads again.
    pub(super) fn end(&self) {
        if self.tag.is_none() {
            return;
        }
        self.ended.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// `members` begins with a comma. The id is JSON text already and is spliced in unchanged.
    fn notification(&self, method: &str, members: &str) -> Vec<u8> {
        let params = match &self.tag {
            Some(tag) => format!(
                r#"{{"_meta":{{"{SUBSCRIPTION_ID}":{}}}{members}}}"#,
                tag.as_json()
            ),
            None => format!("{{{}}}", members.trim_start_matches(',')),
        };
        format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#).into_bytes()
    }
}

/// The `_meta` key of the stream that a notification belongs to.
pub(in crate::mcp) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
