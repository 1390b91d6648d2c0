//! Watches a topic for those who subscribed to it as a resource.
//!
//! Promises: a change is told at once, and what follows on its heels together, at most four times a
//! second, the last change included; what the broker kept for us while the connection was down
//! counts as a change. While there is no connection it waits for one, and does nothing meanwhile; a subscription that the
//! broker refuses ends the watch, with the reason.

use std::rc::Rc;
use std::time::Duration;

use async_channel::Sender;
use async_io::Timer;
use mcpmqtt_config::Policy;
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{Listen, ListenError, Reason};
use mcpmqtt_protocol::topic::SubscribeFilter;
use smol::future;

use super::topic::may_read;
use crate::logger;
use crate::mcp::Watch;
use crate::mcp::catalog::ReadError;
use crate::mqtt::{Arrival, Inbox, ListenFailure};
use crate::tools::Access;
use crate::tools::subscribe::shown;

/// Starts to watch, and waits a moment for the broker to agree.
///
/// # Errors
/// When the topic may not be read, the URI names none, or the broker refuses the subscription.
pub(super) async fn start(access: Rc<Access>, uri: String) -> Result<Watch, ReadError> {
    let filter = may_read(&access, &uri)?;
    let Some(executor) = access.executor.upgrade() else {
        return Err(ReadError::Failed("the program is about to end".into()));
    };
    let connected = access.broker.is_connected();
    let (begun, begins) = async_channel::bounded(1);
    let task = executor.spawn(follow(access, filter, uri, begun));
    if connected {
        let late = async {
            Timer::after(READY_WITHIN).await;
            Ok(())
        };
        // The other end is gone when the permission is: the notifier knows that.
        let begins = async { begins.recv().await.unwrap_or(Ok(())) };
        future::or(begins, late).await.map_err(ReadError::Failed)?;
    }
    Ok(Watch::new(task))
}

/// Watches as long as that is permitted.
async fn follow(access: Rc<Access>, filter: SubscribeFilter, uri: String, begun: Sender<Begun>) {
    let allowed = |policy: &Policy| policy.may_subscribe(&filter);
    let watching = watch(&access, &filter, &uri, &begun);
    // Those who subscribed to what is withdrawn are told by the notifier, or not at all.
    let Ok(why) = access.rules.within(allowed, watching).await else {
        return;
    };
    let why = format!("{} cannot be watched: {why}", shown(&filter));
    if let Err(unheard) = begun.try_send(Err(why)) {
        // It was said before that the watch had begun.
        if let Err(why) = unheard.into_inner() {
            logger::warning(format_args!("{why}"));
            access.notifier.lost(&uri, &why);
        }
    }
}

/// Watches until nothing more can come, and says why.
async fn watch(
    access: &Access,
    filter: &SubscribeFilter,
    uri: &str,
    begun: &Sender<Begun>,
) -> String {
    let mut changes = access.broker.changes();
    let mut inbox = loop {
        let listen = Listen {
            filter: filter.clone(),
            qos: QoS::AtMostOnce,
            retained: true,
        };
        match access.broker.listen(listen).await {
            Ok(inbox) => break inbox,
            Err(ListenFailure::Refused(ListenError::NotConnected(why))) => {
                if !changes.connected().await {
                    return why.to_string();
                }
            }
            Err(why) => return why.to_string(),
        }
    };
    // Closed when that took too long to be waited for.
    let _ = begun.try_send(Ok(()));
    tell(access, &mut inbox, uri).await.to_string()
}

/// Tells of changes until no more messages can come.
async fn tell(access: &Access, inbox: &mut Inbox, uri: &str) -> Reason {
    loop {
        match inbox.next().await {
            Arrival::Ended(reason) => return reason,
            arrival if is_news(access, inbox, &arrival) => {
                if let Arrival::Message(message) = &arrival {
                    access.seen.note(&message.topic);
                }
                access.notifier.resource_updated(uri);
                while pause(access, inbox).await {
                    access.notifier.resource_updated(uri);
                }
            }
            _ => {}
        }
    }
}

/// Lets a moment pass, without letting messages pile up; whether there was news meanwhile.
async fn pause(access: &Access, inbox: &mut Inbox) -> bool {
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
            Some(arrival) => news |= is_news(access, inbox, &arrival),
        }
    }
}

/// The value that is there when the watch begins is none. One that is too large to be kept is.
fn is_news(access: &Access, inbox: &Inbox, arrival: &Arrival) -> bool {
    let (topic, retain) = match arrival {
        Arrival::Message(message) => (&message.topic, message.retain),
        Arrival::TooLarge(large) => (&large.topic, large.retain),
        Arrival::Ended(_) => return false,
    };
    let old = retain && inbox.interruptions() == 0;
    !old && access.rules.policy().may_receive(topic.as_str())
}

/// Whether the broker agreed.
type Begun = Result<(), String>;

/// Four times a second.
const TOGETHER: Duration = Duration::from_millis(250);
const READY_WITHIN: Duration = Duration::from_secs(2);
