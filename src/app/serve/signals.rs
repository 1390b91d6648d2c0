//! Signals as futures.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use async_channel::Sender;
use async_signal::{Signal, Signals};
use smol::LocalExecutor;
use smol::stream::StreamExt as _;

use crate::logger;
use crate::operator::{Operator, Source};

/// Passes SIGUSR1 and SIGUSR2 on to the operator's side of the program, as soon as there is one. Cheap to clone; clones
/// share it.
#[derive(Clone, Default)]
pub(super) struct HaltSwitch(Rc<SwitchState>);

#[derive(Default)]
struct SwitchState {
    operator: RefCell<Option<Operator>>,
    /// The last signal that came before: true for a halt.
    early: Cell<Option<bool>>,
}

impl HaltSwitch {
    /// From now on signals reach the operator, the last one of before, too.
    pub(super) fn connect(&self, operator: &Operator) {
        self.0.operator.replace(Some(operator.clone()));
        if let Some(is_halt) = self.0.early.take() {
            self.turn(is_halt);
        }
    }

    fn turn(&self, is_halt: bool) {
        match (&*self.0.operator.borrow(), is_halt) {
            (None, _) => self.0.early.set(Some(is_halt)),
            (Some(operator), true) => operator.halt(Source::Signal, None, "SIGUSR1"),
            (Some(operator), false) => operator.lift(Source::Signal),
        }
    }
}

/// Ready when the first signal to stop comes. The second ends the program at once. SIGHUP stops the program, too,
/// unless the caller handles hangups. SIGUSR1 and SIGUSR2 turn the switch.
///
/// # Errors
/// When signals cannot be watched.
pub(super) fn stop(
    executor: &LocalExecutor<'static>,
    hangup: Option<Sender<()>>,
    switch: &HaltSwitch,
) -> Result<impl Future<Output = ()> + use<>, String> {
    let watched = [
        Signal::Int,
        Signal::Term,
        Signal::Hup,
        Signal::Usr1,
        Signal::Usr2,
        // A write beyond the limit on files ends with an error then, not with the program.
        Signal::Xfsz,
    ];
    let switch = switch.clone();
    let mut signals =
        Signals::new(watched).map_err(|error| format!("cannot watch for signals: {error}"))?;
    let (first, stop) = async_channel::bounded::<()>(1);
    executor
        .spawn(async move {
            while let Some(signal) = signals.next().await {
                if let (Ok(Signal::Hup), Some(hangup)) = (&signal, &hangup) {
                    // Full when one is waiting already, and one look at the file is enough.
                    let _ = hangup.try_send(());
                    continue;
                }
                if let Ok(which @ (Signal::Usr1 | Signal::Usr2)) = signal {
                    switch.turn(which == Signal::Usr1);
                    continue;
                }
                if matches!(signal, Ok(Signal::Xfsz)) {
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
