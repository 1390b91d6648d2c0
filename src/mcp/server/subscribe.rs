//! Subscriptions: `subscriptions/listen` of 2026-07-28, and `resources/subscribe` before it.
//!
//! Promises: a stream begins with the honoured part of its request and ends with a result, unless its client cancels
//! it; a resource is watched before its subscription is confirmed.
//! Does not: detect changes (see `subscriptions`).

use std::rc::Rc;

use serde_json::{Map, Value, json};
use smol::future::BoxedLocal;

use super::admission::AdmittedRequest;
use super::call::{Part, RequestOutcome};
use super::methods::{self, Methods, take_object, take_text};
use crate::mcp::client::caller::Caller;
use crate::mcp::client::join;
use crate::mcp::client::subscriptions::{Lists, Subscriber};
use crate::mcp::jsonrpc::message::{
    INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, Id, Params, RpcError,
};
use crate::mcp::jsonrpc::response;

/// The notifications that a client asks for.
struct Wishes {
    lists: Lists,
    resources: Vec<String>,
}

impl Methods {
    pub(in crate::mcp) fn listen(
        self: &Rc<Self>,
        request: AdmittedRequest<'_>,
        mut params: Params,
    ) -> Result<Part, RpcError> {
        let wishes = Wishes::read(&take_object(&mut params, "notifications")?)?;
        if self.catalog.notifier.streams() >= MAX_STREAMS {
            return Err(RpcError::new(INTERNAL_ERROR, "too many open subscriptions"));
        }
        let (methods, id) = (self.clone(), request.id.clone());
        let sink = request.sink.clone();
        let by = request.caller.clone();
        let part = request.wait(async move {
            let lists = methods.honoured(wishes.lists);
            let subscriber = Rc::new(Subscriber::new(id.clone(), &sink, lists));
            methods.watch_all(&subscriber, wishes.resources, &by).await;
            if !subscriber.acknowledge() {
                let text = "this needs a stream of events that takes notifications";
                return Err(RpcError::new(INVALID_REQUEST, text));
            }
            methods.catalog.notifier.add(&subscriber);
            subscriber.ended().await;
            Ok(RequestOutcome {
                text: methods.results.listened(&id),
                refused: None,
                after: sink.is_shared().then(|| cancelled(&id)),
            })
        });
        Ok(part.without_end())
    }

    pub(in crate::mcp) fn subscribe(
        self: &Rc<Self>,
        request: AdmittedRequest<'_>,
        mut params: Params,
    ) -> Result<Part, RpcError> {
        let uri = take_text(&mut params, "uri")?;
        let (methods, id, version) = (self.clone(), request.id.clone(), request.version);
        let (session, by) = (request.session.clone(), request.caller.clone());
        Ok(request.wait(async move {
            let Some((_, watcher)) = methods.source(&uri) else {
                return Err(methods::no_resource(version, &uri));
            };
            let notifier = &methods.catalog.notifier;
            let watched = notifier.watch(&uri, watcher, &by).await;
            let watched = watched.map_err(|why| methods::read_error(version, &uri, why))?;
            // Counted again here, because other subscriptions may have been added while this one waited.
            if !session.subscriber().keep_within(MAX_RESOURCES, watched) {
                let text = format!("a session has at most {MAX_RESOURCES} subscriptions");
                return Err(RpcError::new(INVALID_PARAMS, text));
            }
            Ok(response::success(&id, &json!({})))
        }))
    }

    fn honoured(&self, wanted: Lists) -> Lists {
        if self.capabilities.lists_change {
            wanted
        } else {
            Lists::default()
        }
    }

    /// Watches all resources concurrently. A resource that does not exist, is not permitted or exceeds the limit is
    /// left out.
    async fn watch_all(
        self: &Rc<Self>,
        subscriber: &Rc<Subscriber>,
        uris: Vec<String>,
        by: &Caller,
    ) {
        let watching = uris.into_iter().map(|uri| {
            let (methods, subscriber, by) = (self.clone(), subscriber.clone(), by.clone());
            let watching = async move {
                let Some((_, watcher)) = methods.source(&uri) else {
                    return;
                };
                let notifier = &methods.catalog.notifier;
                if let Ok(watched) = notifier.watch(&uri, watcher, &by).await {
                    subscriber.keep_within(MAX_RESOURCES, watched);
                }
            };
            Box::pin(watching) as BoxedLocal<()>
        });
        join::all(watching.collect()).await;
    }
}

impl Wishes {
    fn read(members: &Map<String, Value>) -> Result<Wishes, RpcError> {
        let flag = |key: &str| match members.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(wrong(key, "true or false")),
        };
        let lists = Lists {
            tools: flag("toolsListChanged")?,
            prompts: flag("promptsListChanged")?,
            resources: flag("resourcesListChanged")?,
        };
        let key = "resourceSubscriptions";
        let uris = match members.get(key) {
            None => &Vec::new(),
            Some(Value::Array(uris)) if uris.len() <= MAX_RESOURCES => uris,
            Some(_) => return Err(wrong(key, "an array of at most 256 URIs")),
        };
        let mut resources: Vec<String> = Vec::new();
        for uri in uris {
            let uri = uri.as_str().ok_or_else(|| wrong(key, "an array of URIs"))?;
            if !resources.iter().any(|known| known == uri) {
                resources.push(uri.to_owned());
            }
        }
        Ok(Wishes { lists, resources })
    }
}

/// MCP 2026-07-28 basic/utilities/cancellation: on a channel that stays open, this notification also reports the end of
/// a stream.
fn cancelled(id: &Id) -> Vec<u8> {
    let id = id.as_json();
    let reason = "the subscription has ended";
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"{reason}"}}}}"#)
        .into_bytes()
}

fn wrong(key: &str, kind: &str) -> RpcError {
    RpcError::new(
        INVALID_PARAMS,
        format!("`params.notifications.{key}` must be {kind}"),
    )
}

/// The limit on open `subscriptions/listen` requests of all clients together.
const MAX_STREAMS: usize = 4096;
/// The limit on resources of one stream or session.
const MAX_RESOURCES: usize = 256;
