//! Watches a topic for those who subscribed to it as a resource.
//!
//! Promises: a change is told at once, and what follows on its heels together, at most four times a
//! second, the last change included; what the broker kept for us while the connection was down
//! counts as a change. When the broker does not take the subscription it is tried again.

use std::rc::Rc;
use std::time::Duration;

use async_channel::Sender;
use async_io::Timer;
use mcpmqtt_config::Policy;
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::Listen;
use mcpmqtt_protocol::topic::SubscribeFilter;
use smol::future;

use super::topic::may_read;
use crate::broker::{Arrival, Inbox};
use crate::mcp::Watch;
use crate::mcp::catalog::ReadError;
use crate::tools::Access;

/// Starts to watch, and waits a moment for the broker to agree.
///
/// # Errors
/// When the topic may not be read, or the URI names none.
pub(super) async fn start(access: Rc<Access>, uri: String) -> Result<Watch, ReadError> {
    let filter = may_read(&access, &uri)?;
    let Some(executor) = access.executor.upgrade() else {
        return Err(ReadError::Failed("the program is about to end".into()));
    };
    let connected = access.broker.is_connected();
    let (ready, is_ready) = async_channel::bounded(1);
    let task = executor.spawn(follow(access, filter, uri, ready));
    if connected {
        let late = async {
            Timer::after(READY_WITHIN).await;
        };
        let ready = async {
            let _ = is_ready.recv().await;
        };
        future::or(ready, late).await;
    }
    Ok(Watch::new(task))
}

/// Watches as long as that is permitted.
async fn follow(access: Rc<Access>, filter: SubscribeFilter, uri: String, ready: Sender<()>) {
    let allowed = |policy: &Policy| policy.may_subscribe(&filter);
    let watching = watch(&access, &filter, &uri, &ready);
    // Those who subscribed are told by the notifier, or not at all.
    let _ = access.rules.within(allowed, watching).await;
}

async fn watch(access: &Access, filter: &SubscribeFilter, uri: &str, ready: &Sender<()>) {
    let mut first = true;
    loop {
        let listen = Listen {
            filter: filter.clone(),
            qos: QoS::AtMostOnce,
            retained: true,
        };
        if let Ok(mut inbox) = access.broker.listen(listen).await {
            // Full when somebody was told already.
            let _ = ready.try_send(());
            tell(access, &mut inbox, uri, first).await;
            first = false;
        }
        Timer::after(RETRY_AFTER).await;
    }
}

/// Tells of changes until no more messages can come.
async fn tell(access: &Access, inbox: &mut Inbox, uri: &str, first: bool) {
    loop {
        match inbox.next().await {
            Arrival::Ended(_) => return,
            arrival if is_news(access, inbox, &arrival, first) => {
                if let Arrival::Message(message) = &arrival {
                    access.seen.note(&message.topic);
                }
                access.notifier.resource_updated(uri);
                while pause(access, inbox, first).await {
                    access.notifier.resource_updated(uri);
                }
            }
            _ => {}
        }
    }
}

/// Lets a moment pass, without letting messages pile up; whether there was news meanwhile.
async fn pause(access: &Access, inbox: &mut Inbox, first: bool) -> bool {
    let mut timer = Timer::after(TOGETHER);
    let mut news = false;
    loop {
        let next = async { Some(inbox.next().await) };
        let over = async {
            (&mut timer).await;
            None
        };
        match future::or(next, over).await {
            // The end comes again when it is waited for.
            Some(Arrival::Ended(_)) | None => return news,
            Some(arrival) => news |= is_news(access, inbox, &arrival, first),
        }
    }
}

/// The value that is there when the watch begins is none. One that is too large to be kept is.
fn is_news(access: &Access, inbox: &Inbox, arrival: &Arrival, first: bool) -> bool {
    let (topic, retain) = match arrival {
        Arrival::Message(message) => (&message.topic, message.retain),
        Arrival::TooLarge(large) => (&large.topic, large.retain),
        Arrival::Ended(_) => return false,
    };
    let old = first && retain && inbox.interruptions() == 0;
    !old && access.rules.policy().may_receive(topic.as_str())
}

/// Four times a second.
const TOGETHER: Duration = Duration::from_millis(250);
const READY_WITHIN: Duration = Duration::from_secs(2);
const RETRY_AFTER: Duration = Duration::from_secs(1);
