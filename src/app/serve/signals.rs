//! Signals as futures.

use std::future::Future;

use async_channel::Sender;
use async_signal::{Signal, Signals};
use smol::LocalExecutor;
use smol::stream::StreamExt as _;

use crate::logger;

/// Ready when the first signal to stop comes. The second ends the program at once. SIGHUP stops the program, too,
/// unless the caller handles hangups.
///
/// # Errors
/// When signals cannot be watched.
pub(super) fn stop(
    executor: &LocalExecutor<'static>,
    hangup: Option<Sender<()>>,
) -> Result<impl Future<Output = ()> + use<>, String> {
    let mut signals = Signals::new([Signal::Int, Signal::Term, Signal::Hup])
        .map_err(|error| format!("cannot watch for signals: {error}"))?;
    let (first, stop) = async_channel::bounded::<()>(1);
    executor
        .spawn(async move {
            while let Some(signal) = signals.next().await {
                if let (Ok(Signal::Hup), Some(hangup)) = (&signal, &hangup) {
                    // Full when one is waiting already, and one look at the file is enough.
                    let _ = hangup.try_send(());
                    continue;
                }
                if first.is_closed() {
                    logger::warning(format_args!("second signal, ending at once"));
                    logger::flush();
                    std::process::exit(1);
                }
                let name = match signal {
                    Ok(Signal::Int) => "SIGINT",
                    Ok(Signal::Hup) => "SIGHUP",
                    _ => "SIGTERM",
                };
                logger::info(format_args!("{name} received, stopping"));
                first.close();
            }
        })
        .detach();
    Ok(async move {
        let _ = stop.recv().await;
    })
}
