//! The present, and waiting for a moment. A test of this crate may set the time of its own thread.

use std::time::{Duration, Instant};

use async_io::Timer;

/// The present.
pub(crate) fn now() -> Instant {
    #[cfg(test)]
    if let Some(now) = simulated::now() {
        return now;
    }
    Instant::now()
}

/// Waits until `moment`.
pub(crate) async fn at(moment: Instant) {
    #[cfg(test)]
    if simulated::now().is_some() {
        return simulated::at(moment).await;
    }
    Timer::at(moment).await;
}

/// Waits for `duration`.
pub(crate) async fn after(duration: Duration) {
    at(now() + duration).await;
}

/// The time of a thread that only goes on when its test says so.
#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::task::{Poll, Waker};
    use std::time::Instant;

    thread_local! {
        static TIME: RefCell<Option<SimulatedTime>> = const { RefCell::new(None) };
    }

    struct SimulatedTime {
        now: Instant,
        waiting: Vec<(Instant, Waker)>,
    }

    /// Sets the time, and wakes those whose moment has come.
    pub(crate) fn set(now: Instant) {
        let due: Vec<Waker> = TIME.with_borrow_mut(|time| {
            let time = time.get_or_insert_with(|| SimulatedTime {
                now,
                waiting: Vec::new(),
            });
            time.now = now;
            let waiting = std::mem::take(&mut time.waiting);
            let (due, later) = waiting.into_iter().partition(|(moment, _)| *moment <= now);
            time.waiting = later;
            let due: Vec<(Instant, Waker)> = due;
            due.into_iter().map(|(_, waker)| waker).collect()
        });
        due.into_iter().for_each(Waker::wake);
    }

    pub(super) fn now() -> Option<Instant> {
        TIME.with_borrow(|time| time.as_ref().map(|time| time.now))
    }

    pub(super) async fn at(moment: Instant) {
        poll_fn(|context| {
            TIME.with_borrow_mut(|time| match time {
                Some(time) if time.now < moment => {
                    time.waiting.push((moment, context.waker().clone()));
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            })
        })
        .await;
    }

    /// The next moment that somebody waits for.
    pub(crate) fn next() -> Option<Instant> {
        TIME.with_borrow(|time| {
            let waiting = time.as_ref()?.waiting.iter();
            waiting.map(|(moment, _)| *moment).min()
        })
    }
}
