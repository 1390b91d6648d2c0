//! How much is in flight for the client.
//!
//! Promises: what entered leaves again when its permit is dropped, which is after its answer was
//! written, or when it was cancelled.
//! Does not: queue.

use std::cell::Cell;
use std::rc::Rc;

use super::StdioLimits;
use crate::local::notify::Notify;

#[derive(Default)]
pub(super) struct InFlight {
    requests: Cell<usize>,
    bytes: Cell<usize>,
    left: Notify,
}

/// The share of the load that some requests hold.
pub(super) struct Permit {
    in_flight: Rc<InFlight>,
    requests: usize,
    bytes: usize,
}

impl InFlight {
    pub(super) fn requests(&self) -> usize {
        self.requests.get()
    }

    /// Whether so much more may enter. When nothing is in flight anything may, so that no limit
    /// makes a request impossible.
    pub(super) fn has_room(&self, requests: usize, bytes: usize, limits: &StdioLimits) -> bool {
        let fits = self.requests.get() + requests <= limits.requests
            && self.bytes.get() + bytes <= limits.request_bytes;
        fits || self.requests.get() == 0
    }

    pub(super) fn enter(self: &Rc<Self>, requests: usize, bytes: usize) -> Permit {
        self.requests.set(self.requests.get() + requests);
        self.bytes.set(self.bytes.get() + bytes);
        let in_flight = self.clone();
        Permit {
            in_flight,
            requests,
            bytes,
        }
    }

    /// Waits until nothing is in flight.
    pub(super) async fn idle(&self) {
        self.until(|| self.requests.get() == 0).await;
    }

    /// Waits until the condition holds; looked at whenever something left.
    pub(super) async fn until(&self, holds: impl Fn() -> bool) {
        self.left.until(holds).await;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let in_flight = &self.in_flight;
        in_flight
            .requests
            .set(in_flight.requests.get() - self.requests);
        in_flight.bytes.set(in_flight.bytes.get() - self.bytes);
        in_flight.left.notify();
    }
}
