//! Watches a topic for its resource's subscribers.
//!
//! Promises: the first change is notified at once; the changes right after it are combined, so that at most four
//! notifications a second are sent, and the last change is always notified. Messages that the broker queued while the
//! connection was down count as a change. Without a connection the watcher waits for one. A subscription that the
//! broker refuses ends the watch, with the reason.

use std::rc::Rc;
use std::time::Duration;

use async_channel::Sender;
use async_io::Timer;
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{Listen, Reason};
use mcpmqtt_protocol::topic::SubscribeFilter;
use smol::future;

use super::topic::may_read;
use crate::logger;
use crate::mcp::WatchGuard;
use crate::mcp::catalog::ReadError;
use crate::mqtt::Arrival;
use crate::tools::Context;
use crate::tools::access::{Denied, Reader};
use crate::tools::subscribe::shown;

/// Starts a watch, and waits a moment for the broker's grant.
///
/// # Errors
/// When the topic may not be read, the URI names no topic, or the broker refuses the subscription.
pub(super) async fn start(context: Rc<Context>, uri: String) -> Result<WatchGuard, ReadError> {
    // Whether each subscriber may read it is judged before, and when the policies change.
    let filter = may_read(&context.access.policy_of_anyone(), &uri)?;
    let Some(executor) = context.executor.upgrade() else {
        return Err(ReadError::Failed("the program is about to end".into()));
    };
    let connected = context.access.is_connected();
    let (begun, begins) = async_channel::bounded(1);
    let task = executor.spawn(follow(context, filter, uri, begun));
    if connected {
        let late = async {
            Timer::after(READY_WITHIN).await;
            Ok(())
        };
        // The sender is dropped when the permission is withdrawn, which the notifier handles.
        let begins = async { begins.recv().await.unwrap_or(Ok(())) };
        future::or(begins, late).await.map_err(ReadError::Failed)?;
    }
    Ok(WatchGuard::new(task))
}

/// Watches as long as the policy permits it.
async fn follow(
    context: Rc<Context>,
    filter: SubscribeFilter,
    uri: String,
    begun: Sender<WatchBegun>,
) {
    let why = match watch(&context, &filter, &uri, &begun).await {
        Ok(reason) => reason.to_string(),
        // The notifier informs the subscribers of a withdrawn topic.
        Err(Denied::Policy(_) | Denied::Withdrawn(_)) => return,
        Err(denied) => denied.to_string(),
    };
    let why = format!("{} cannot be watched: {why}", shown(&filter));
    if let Err(unheard) = begun.try_send(Err(why)) {
        // The start of the watch was confirmed before.
        if let Err(why) = unheard.into_inner() {
            logger::warning(format_args!("{why}"));
            context.notifier.lost(&uri, &why);
        }
    }
}

/// Watches until no more messages can come; returns the reason.
async fn watch(
    context: &Context,
    filter: &SubscribeFilter,
    uri: &str,
    begun: &Sender<WatchBegun>,
) -> Result<Reason, Denied> {
    let listen = Listen {
        filter: filter.clone(),
        qos: QoS::AtMostOnce,
        retained: true,
    };
    let mut reader = context.access.watch(listen).await?;
    // The channel is closed when the caller stopped waiting for the start.
    let _ = begun.try_send(Ok(()));
    loop {
        match reader.next().await? {
            Arrival::Ended(reason) => return Ok(reason),
            arrival if is_change(&reader, &arrival) => {
                context.notifier.resource_updated(uri);
                while pause(&mut reader).await? {
                    context.notifier.resource_updated(uri);
                }
            }
            _ => {}
        }
    }
}

/// Collects messages for the pause between two notifications; returns whether there was a change.
async fn pause(reader: &mut Reader) -> Result<bool, Denied> {
    let mut timer = Timer::after(TOGETHER);
    let mut changed = false;
    loop {
        let next = async { Some(reader.next().await) };
        let over = async {
            (&mut timer).await;
            None
        };
        match future::or(next, over).await.transpose()? {
            // The next wait returns the end again.
            Some(Arrival::Ended(_)) | None => return Ok(changed),
            Some(arrival) => changed |= is_change(reader, &arrival),
        }
    }
}

/// Whether a message is a change. The value at the start of the watch is not a change; a message too large to be kept
/// is one.
fn is_change(reader: &Reader, arrival: &Arrival) -> bool {
    let retain = match arrival {
        Arrival::Message(message) => message.retain,
        Arrival::TooLarge(large) => large.retain,
        Arrival::Ended(_) => return false,
    };
    !retain || reader.inbox().interruptions() > 0
}

/// The broker's answer to the subscription.
type WatchBegun = Result<(), String>;

/// The shortest time between two notifications: four a second.
const TOGETHER: Duration = Duration::from_millis(250);
const READY_WITHIN: Duration = Duration::from_secs(2);
