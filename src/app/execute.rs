//! Runs an executor on this thread.

use std::future::Future;
use std::pin::Pin;

use smol::LocalExecutor;
use smol::future::FutureExt as _;

/// Runs `work` to its end, and the tasks of `executor` meanwhile.
///
/// It comes boxed: on its way to the executor it would be copied over 70 KiB of the stack, which stay resident.
pub(super) fn execute<T>(executor: &LocalExecutor<'static>, work: Boxed<'_, T>) -> T {
    let mut outcome = None;
    run(executor, async { outcome = Some(work.await) }.boxed_local());
    match outcome {
        Some(outcome) => outcome,
        None => unreachable!("the work has ended"),
    }
}

/// Compiled once: an executor's turn takes some kilobytes for each type of work.
#[inline(never)]
fn run(executor: &LocalExecutor<'static>, work: Boxed<'_, ()>) {
    async_io::block_on(executor.run(work));
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
