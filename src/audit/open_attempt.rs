//! One attempt to write, from its beginning to its outcome.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use super::entry::{Attempt, Consent, Ending};
use super::{Audit, Unrecorded};

/// An attempt that has no outcome yet. Dropped without one, it ends by how far it got.
#[derive(Debug)]
pub struct OpenAttempt {
    audit: Audit,
    number: u64,
    pending: Rc<Pending>,
}

/// What the record knows of an attempt without an outcome.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) attempt: Attempt,
    pub(super) begun: Instant,
    /// The number of lines with the `attempt` line, once that was written or has failed.
    pub(super) line: Cell<Option<u64>>,
    /// The message may be on its way.
    is_sending: Cell<bool>,
    /// Told in the next line.
    pub(super) consent: RefCell<Option<Consent>>,
}

impl Pending {
    pub(super) fn new(attempt: Attempt, begun: Instant) -> Pending {
        Pending {
            attempt,
            begun,
            line: Cell::default(),
            is_sending: Cell::default(),
            consent: RefCell::default(),
        }
    }

    /// What comes of it if its call ends here.
    pub(super) fn dropped(&self) -> Ending {
        let (outcome, reason) = match self.is_sending.get() {
            true => ("unknown", "the call ended meanwhile"),
            false => ("not_sent", "the call ended before"),
        };
        Ending {
            outcome,
            reason: Some(reason.into()),
            without_payload: Some(reason.into()),
        }
    }
}

impl OpenAttempt {
    pub(super) fn new(audit: Audit, number: u64, pending: Rc<Pending>) -> OpenAttempt {
        OpenAttempt {
            audit,
            number,
            pending,
        }
    }

    /// What names the attempt in the record and in the log.
    #[must_use]
    pub fn id(&self) -> String {
        self.audit.0.id(self.number)
    }

    /// Somebody agreed to it or refused; the next line tells it.
    pub fn consent(&self, consent: Consent) {
        self.pending.consent.replace(Some(consent));
    }

    /// Writes the `attempt` line, unless it is written.
    ///
    /// # Errors
    /// It cannot be written, and the operator requires it. Nothing may be sent then.
    pub fn record(&self) -> Result<(), Unrecorded> {
        if self.pending.line.get().is_some() {
            return Ok(());
        }
        let shared = &self.audit.0;
        let written = shared.begin(self.number, &self.pending, usize::MAX);
        match shared.settings.required {
            true => written,
            false => Ok(()),
        }
    }

    /// Waits until the `attempt` line is on the disk, where the operator wants that before each write.
    ///
    /// # Errors
    /// It is not. Nothing may be sent then.
    pub async fn synced(&self) -> Result<(), Unrecorded> {
        let line = self.pending.line.get();
        self.audit.0.synced(line.unwrap_or_default()).await
    }

    /// The message is handed to the connection.
    pub fn sending(&self) {
        self.pending.is_sending.set(true);
    }

    /// Writes the `outcome` line, unless it is written.
    pub fn end(&self, ending: &Ending) {
        self.finish(Some(ending));
    }

    fn finish(&self, ending: Option<&Ending>) {
        let shared = &self.audit.0;
        let pending = shared.pending.borrow_mut().remove(&self.number);
        // Without one, the record was stopped, or the end was told.
        if let Some(pending) = pending {
            let dropped = || pending.dropped();
            let ending = ending.cloned().unwrap_or_else(dropped);
            shared.end(self.number, &pending, &ending);
        }
    }
}

impl Drop for OpenAttempt {
    fn drop(&mut self) {
        self.finish(None);
    }
}
