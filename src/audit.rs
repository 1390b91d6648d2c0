//! The record of what agents attempted to write: two lines for each attempt, before and after it.
//!
//! Promises: each attempt has one `attempt` line, written before anything is sent, and one `outcome` line, also when its
//! call is dropped or the program stops; where the operator requires the record, an attempt without its line is refused;
//! lines that could not be written are counted, and the record tells their number. The lines are chained by hashes
//! ([`chain`]), which the log repeats at times, so that a record which was cut off or written anew can be told.
//! Does not: block. A line is handed to the system in one call; a sync, which takes as long as the disk does, runs on
//! another thread.

mod chain;
mod entry;
mod feed;
mod members;
mod names;
mod open_attempt;
mod opened;
mod recovery;
#[cfg(test)]
mod tests;
pub mod verify;
mod writer;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, SystemTime};

use mcpmqtt_config::{Audit as Settings, AuditPayload, AuditSync};
use smol::LocalExecutor;

use self::entry::Key;
pub use self::entry::{Attempt, Consent, Ending};
pub use self::feed::Feed;
use self::members::Members;
pub use self::open_attempt::OpenAttempt;
use self::open_attempt::Pending;
use self::writer::Writer;
use crate::clock;
use crate::local::time;
use crate::local::watch::Watch;
use crate::logger;
use crate::mcp::Caller;
use crate::metrics::Metrics;
use crate::operator::Verdict;

/// The record. Cheap to clone; clones write the same.
#[derive(Clone, Debug)]
pub struct Audit(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    transport: &'static str,
    /// The beginning of each attempt's id: another in each process.
    ids: String,
    last_id: Cell<u64>,
    writer: RefCell<Writer>,
    feed: Option<Feed>,
    /// The attempts without an outcome.
    pending: RefCell<BTreeMap<u64, Rc<Pending>>>,
    syncs: Syncs,
    is_stopped: Cell<bool>,
    /// The halt that was recorded last.
    halted: RefCell<Option<Verdict>>,
    metrics: Metrics,
    executor: Weak<LocalExecutor<'static>>,
}

/// How far the lines are on the disk.
#[derive(Debug, Default)]
struct Syncs {
    /// The number of lines that were written.
    written: Cell<u64>,
    /// How many of them are on the disk.
    done: Watch<u64>,
    /// A sync runs, or is to run soon.
    is_due: Cell<bool>,
    /// Why the last one failed.
    failed: RefCell<Option<String>>,
}

/// Why a write was not recorded, where that is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrecorded;

/// What would keep a start from writing the record, in the words of its log. Nothing is made or written.
#[must_use]
pub fn doubt(settings: &Settings) -> Option<String> {
    let why = opened::doubt(settings)?;
    Some(format!(
        "audit.file: {}",
        writer::unwritable(settings, &why)
    ))
}

/// What the first line of a process says.
#[derive(Clone, Debug)]
pub struct Start {
    /// `stdio`, `http`, or `call` for one call.
    pub transport: &'static str,
    /// Where the configuration is from.
    pub origin: String,
    /// The names of the API keys.
    pub keys: Vec<String>,
}

impl Audit {
    /// Opens the record and writes its `start`; further lines go to `feed`, too. A record that cannot be written is told in the log, and tried again with
    /// each line.
    ///
    /// # Errors
    /// The operating system has no random numbers.
    pub fn start(
        settings: Settings,
        start: &Start,
        feed: Option<Feed>,
        metrics: &Metrics,
        executor: &Rc<LocalExecutor<'static>>,
    ) -> Result<Audit, String> {
        let ids = getrandom::u32();
        let ids = ids.map_err(|error| format!("no random numbers: {error}"))?;
        let mut first = Members::default();
        first
            .text("version", env!("CARGO_PKG_VERSION"))
            .plain("pid", std::process::id())
            .text("transport", start.transport)
            .text("configuration", &start.origin)
            .list("keys", &start.keys);
        let audit = Audit(Rc::new(Shared {
            writer: RefCell::new(Writer::new(settings.clone(), first)),
            feed,
            settings,
            transport: start.transport,
            ids: format!("{ids:08x}"),
            last_id: Cell::default(),
            pending: RefCell::default(),
            syncs: Syncs::default(),
            is_stopped: Cell::default(),
            halted: RefCell::default(),
            metrics: metrics.clone(),
            executor: Rc::downgrade(executor),
        }));
        metrics.keeps_record();
        audit.0.open();
        audit.0.tell_anchor();
        Ok(audit)
    }

    /// Logs an anchor every hour in which a line was written.
    pub async fn tell_hourly(self) {
        // The start told the one of then.
        let number = || self.0.writer.borrow().anchor().map(|(_, head)| head.n);
        let mut told = number();
        loop {
            time::after(HOUR).await;
            if number() != told {
                told = self.0.tell_anchor();
            }
        }
    }

    /// Begins an attempt; nothing is written yet.
    #[must_use]
    pub fn begin(&self, attempt: Attempt) -> OpenAttempt {
        let number = self.0.last_id.get() + 1;
        self.0.last_id.set(number);
        let pending = Rc::new(Pending::new(attempt, time::now()));
        let kept = Rc::clone(&pending);
        self.0.pending.borrow_mut().insert(number, kept);
        OpenAttempt::new(self.clone(), number, pending)
    }

    /// Whether an attempt could be recorded, as far as that is known without a line.
    ///
    /// # Errors
    /// It cannot, and the operator requires it.
    pub fn would_record(&self) -> Result<(), Unrecorded> {
        let shared = &self.0;
        let must_sync = shared.settings.sync == AuditSync::Always;
        let is_unsynced = must_sync && shared.syncs.failed.borrow().is_some();
        let would_fail = || shared.writer.borrow_mut().would_fail(time::now());
        match shared.settings.required && (shared.is_stopped.get() || is_unsynced || would_fail()) {
            true => Err(Unrecorded),
            false => Ok(()),
        }
    }

    /// Records that a caller began to read what matches a filter, or was refused, if reads are recorded.
    pub fn read(&self, caller: &Caller, filter: &str, refused: Option<&str>) {
        if !self.0.settings.reads {
            return;
        }
        let mut members = entry::caller("", caller, self.0.transport);
        members.text("filter", filter);
        members.text("outcome", refused.map_or("permitted", |_| "refused"));
        if let Some(why) = refused {
            members.text("reason", entry::start_of(why, 512));
        }
        let _ = self.0.add("read", members);
    }

    /// Records that the configuration was loaded again, and the API keys that came or went since it was last.
    pub fn reloaded(&self, origin: &str, made: &[String], revoked: &[String]) {
        let mut members = Members::default();
        members.text("configuration", origin);
        let _ = self.0.add("reload", members);
        if !made.is_empty() || !revoked.is_empty() {
            let mut members = Members::default();
            members.list("made", made).list("revoked", revoked);
            let _ = self.0.add("keys", members);
        }
    }

    /// Records that writing was halted or is permitted again, if that is another verdict than before.
    pub fn halts(&self, verdict: &Verdict) {
        let halted = Some(verdict).filter(|verdict| verdict.is_halted());
        let before = self.0.halted.replace(halted.cloned());
        if before.as_ref() == halted {
            return;
        }
        let mut members = Members::default();
        let event = match verdict {
            Verdict::Halted(halt) => {
                if let Some(by) = &halt.by {
                    members.text("by", by);
                }
                members.text("since", &clock::rfc3339(halt.at));
                members.text("reason", &halt.reason);
                "halt"
            }
            Verdict::Deaf(why) => {
                members.text("reason", why);
                "halt"
            }
            Verdict::Open | Verdict::Waiting => "lift",
        };
        let _ = self.0.add(event, members);
    }

    /// Ends the record: attempts without an outcome get one, as far as it is known. What ends later leaves no line.
    pub async fn stop(&self) {
        let pending = std::mem::take(&mut *self.0.pending.borrow_mut());
        for (number, attempt) in pending {
            self.0.end(number, &attempt, &attempt.dropped());
        }
        let mut members = Members::default();
        members.plain("pid", std::process::id());
        let _ = self.0.add("stop", members);
        self.0.is_stopped.set(true);
        self.0.tell_anchor();
        if self.0.settings.sync != AuditSync::Never {
            self.0.sync().await;
        }
    }
}

impl Shared {
    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.ids)
    }

    fn open(self: &Rc<Self>) {
        let opened = self
            .writer
            .borrow_mut()
            .open(time::now(), SystemTime::now());
        if opened.is_ok() {
            self.wrote();
        }
    }

    /// Writes a line.
    fn add(self: &Rc<Self>, event: &str, members: Members) -> Result<(), Unrecorded> {
        self.add_with(event, &|_, _| members.clone())
    }

    /// Writes a line whose members depend on what is told of payloads, and may need the key.
    fn add_with(
        self: &Rc<Self>,
        event: &str,
        members: &dyn Fn(AuditPayload, &Key) -> Members,
    ) -> Result<(), Unrecorded> {
        if self.is_stopped.get() {
            return Err(Unrecorded);
        }
        let at = (time::now(), SystemTime::now());
        let added = self.writer.borrow_mut().add(at.0, at.1, event, &|key| {
            members(self.settings.payload, key)
        });
        self.metrics.recorded(added.is_ok());
        // The log has the reason, which names a path.
        let head = added.map_err(|_| Unrecorded)?;
        if let Some(feed) = &self.feed {
            let payload = match feed.has_payloads() {
                true => self.settings.payload,
                false => AuditPayload::None,
            };
            feed.offer(at, &head, event, &members(payload, &Key::default()));
        }
        self.wrote();
        Ok(())
    }

    /// Writes the line of an attempt.
    fn begin(
        self: &Rc<Self>,
        number: u64,
        pending: &Pending,
        most: usize,
    ) -> Result<(), Unrecorded> {
        let (id, attempt) = (self.id(number), &pending.attempt);
        let consent = pending.consent.take();
        let added = self.add_with("attempt", &|payload, key| {
            let mut members = attempt.members(&id, self.transport, (payload, key), most);
            if let Some(consent) = &consent {
                consent.add_to(&mut members);
            }
            members
        });
        pending.line.set(Some(self.syncs.written.get()));
        added
    }

    /// Writes the line of an outcome, and that of the attempt if it has none yet.
    fn end(self: &Rc<Self>, number: u64, pending: &Pending, ending: &Ending) {
        if pending.line.get().is_none() {
            // What an agent is refused costs it nothing, so it takes little room.
            let _ = self.begin(number, pending, REFUSED_BYTES);
        }
        let millis = time::now()
            .saturating_duration_since(pending.begun)
            .as_millis();
        let (id, consent) = (self.id(number), pending.consent.take());
        let _ = self.add_with("outcome", &|payload, _| {
            let mut members = ending.members(&id, millis, payload);
            if let Some(consent) = &consent {
                consent.add_to(&mut members);
            }
            members
        });
    }

    /// A line was written: it is to be synced as the operator wants.
    fn wrote(self: &Rc<Self>) {
        let syncs = &self.syncs;
        syncs.written.set(syncs.written.get() + 1);
        let delay = match self.settings.sync {
            AuditSync::Never => return,
            AuditSync::Always => Duration::ZERO,
            AuditSync::Within(period) => period,
        };
        let Some(executor) = self.executor.upgrade().filter(|_| !syncs.is_due.get()) else {
            return;
        };
        syncs.is_due.set(true);
        let shared = Rc::downgrade(self);
        executor.spawn(Shared::sync_after(shared, delay)).detach();
    }

    async fn sync_after(shared: Weak<Shared>, delay: Duration) {
        if !delay.is_zero() {
            time::after(delay).await;
        }
        let Some(shared) = shared.upgrade() else {
            return;
        };
        loop {
            shared.sync().await;
            let syncs = &shared.syncs;
            let is_behind = syncs.done.get() < syncs.written.get();
            // Lines came meanwhile: at once, or after the next period.
            match (is_behind, shared.settings.sync) {
                (true, AuditSync::Always) => {}
                (true, AuditSync::Within(period)) => time::after(period).await,
                _ => break,
            }
        }
        shared.syncs.is_due.set(false);
    }

    /// Has the lines so far on the disk. One sync at a time.
    async fn sync(self: &Rc<Self>) {
        let upto = self.syncs.written.get();
        let files = self.writer.borrow_mut().unsynced();
        let synced =
            smol::unblock(move || files.iter().try_for_each(|file| file.sync_data())).await;
        let failed = synced.err().map(|error| crate::io_error::describe(&error));
        let syncs = &self.syncs;
        if let (Some(why), None) = (&failed, &*syncs.failed.borrow()) {
            logger::error(format_args!("audit: the record is not on the disk: {why}"));
        }
        syncs.failed.replace(failed);
        syncs.done.set(upto);
    }

    /// Waits until so many lines are on the disk, where writes have to wait for that.
    async fn synced(&self, lines: u64) -> Result<(), Unrecorded> {
        if !self.settings.required || self.settings.sync != AuditSync::Always {
            return Ok(());
        }
        let syncs = &self.syncs;
        syncs.done.until(|done| *done >= lines).await;
        match &*syncs.failed.borrow() {
            Some(_) => Err(Unrecorded),
            None => Ok(()),
        }
    }

    /// Logs the head: what the log has, whoever writes the record anew cannot change there.
    fn tell_anchor(&self) -> Option<u64> {
        let (path, head) = self.writer.borrow().anchor()?;
        logger::info(format_args!("audit: anchor {head} of {path}"));
        Some(head.n)
    }
}

/// For agents: the log says why, with the path.
impl std::fmt::Display for Unrecorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = "the operator requires a record of each write, and it cannot be written now";
        f.write_str(words)
    }
}

const HOUR: Duration = Duration::from_secs(3600);
/// How much is recorded of a topic, and of a payload, that was refused.
const REFUSED_BYTES: usize = 1024;
