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

/// Starts to watch, and waits a moment for the broker to agree.
///
/// # Errors
/// When the topic may not be read, the URI names none, or the broker refuses the subscription.
pub(super) async fn start(context: Rc<Context>, uri: String) -> Result<WatchGuard, ReadError> {
    let filter = may_read(&context.access, &uri)?;
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
        // The other end is gone when the permission is: the notifier knows that.
        let begins = async { begins.recv().await.unwrap_or(Ok(())) };
        future::or(begins, late).await.map_err(ReadError::Failed)?;
    }
    Ok(WatchGuard::new(task))
}

/// Watches as long as that is permitted.
async fn follow(
    context: Rc<Context>,
    filter: SubscribeFilter,
    uri: String,
    begun: Sender<WatchBegun>,
) {
    let why = match watch(&context, &filter, &uri, &begun).await {
        Ok(reason) => reason.to_string(),
        // Those who subscribed to what is withdrawn are told by the notifier, or not at all.
        Err(Denied::Policy(_) | Denied::Withdrawn(_)) => return,
        Err(denied) => denied.to_string(),
    };
    let why = format!("{} cannot be watched: {why}", shown(&filter));
    if let Err(unheard) = begun.try_send(Err(why)) {
        // It was said before that the watch had begun.
        if let Err(why) = unheard.into_inner() {
            logger::warning(format_args!("{why}"));
            context.notifier.lost(&uri, &why);
        }
    }
}

/// Watches until nothing more can come, and says why.
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
    // Closed when that took too long to be waited for.
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

/// Lets a moment pass, without letting messages pile up; whether there was a change meanwhile.
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
            // The end comes again when it is waited for.
            Some(Arrival::Ended(_)) | None => return Ok(changed),
            Some(arrival) => changed |= is_change(reader, &arrival),
        }
    }
}

/// The value that is there when the watch begins is none. One that is too large to be kept is.
fn is_change(reader: &Reader, arrival: &Arrival) -> bool {
    let retain = match arrival {
        Arrival::Message(message) => message.retain,
        Arrival::TooLarge(large) => large.retain,
        Arrival::Ended(_) => return false,
    };
    !retain || reader.inbox().interruptions() > 0
}

/// Whether the broker agreed.
type WatchBegun = Result<(), String>;

/// Four times a second.
const TOGETHER: Duration = Duration::from_millis(250);
const READY_WITHIN: Duration = Duration::from_secs(2);
