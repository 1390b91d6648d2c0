//! Writes lines, opens the record again when that failed, and counts what is missing.
//!
//! Promises: a failure is logged once, and so is its end; the first line after it tells how many are missing. Time is an
//! argument.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mcpmqtt_config::Audit as Settings;
use mcpmqtt_protocol::topic::ShownPath;

use super::chain::Head;
use super::entry::Key;
use super::members::Members;
use super::opened::{Opened, Place, doubt, take_place};
use super::recovery::Rest;
use crate::logger;

/// The record as one process writes it.
#[derive(Debug)]
pub(crate) struct Writer {
    settings: Settings,
    /// The members of the process's first line, until that is written.
    start: Option<Members>,
    /// Kept once it is taken, so that no other process goes on with what this one began.
    place: Option<Place>,
    opened: Option<Opened>,
    /// After a failure: when it is tried again, and why it failed.
    pause: Option<(Instant, String)>,
    /// The head of what this process wrote.
    head: Option<Head>,
    /// Lines that could not be written since the last one.
    missing: u64,
    /// The last line failed, and the log says so.
    is_told: bool,
    /// No other failure is logged before.
    quiet_until: Option<Instant>,
}

impl Writer {
    pub(crate) fn new(settings: Settings, start: Members) -> Writer {
        Writer {
            settings,
            start: Some(start),
            place: None,
            opened: None,
            pause: None,
            head: None,
            missing: 0,
            is_told: false,
            quiet_until: None,
        }
    }

    /// Adds a line, whose members may need the key. The head with it.
    ///
    /// # Errors
    /// Why it is missing.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        time: SystemTime,
        event: &str,
        members: &dyn Fn(&Key) -> Members,
    ) -> Result<Head, String> {
        let mut added = self.try_add(now, time, event, members);
        // A file that somebody moved away is begun anew at once.
        if added.is_err() && self.pause.is_none() {
            added = self.try_add(now, time, event, members);
        }
        if added.is_err() {
            self.missing += 1;
        }
        added
    }

    /// Whether a line would fail now, as far as that is known without one.
    pub(crate) fn would_fail(&mut self, now: Instant) -> bool {
        let Some((until, _)) = &self.pause else {
            return false;
        };
        if now < *until {
            return true;
        }
        if self.opened.is_some() {
            // The next line tries again.
            return false;
        }
        if self.place.is_none() {
            // Another process may write it.
            self.place = take_place(&self.settings).ok();
        }
        self.place.is_none() || doubt(&self.settings).is_some()
    }

    fn try_add(
        &mut self,
        now: Instant,
        time: SystemTime,
        event: &str,
        members: &dyn Fn(&Key) -> Members,
    ) -> Result<Head, String> {
        let key = self.open(now, time)?;
        self.write(now, time, event, &members(&key))
    }

    /// Opens the record if it is not open, and tells of what is missing. The key of the payloads.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub(crate) fn open(&mut self, now: Instant, time: SystemTime) -> Result<Key, String> {
        if let Some((until, why)) = &self.pause {
            if now < *until {
                return Err(why.clone());
            }
        }
        self.pause = None;
        let mut members = Members::default();
        let is_new = self.opened.is_none();
        if is_new {
            match self.reopen() {
                Ok(rest) => rest.add_to(&mut members),
                Err(why) => return Err(self.fail(now, why)),
            }
        }
        if self.missing > 0 {
            members.plain("missing", self.missing);
        }
        if is_new || self.missing > 0 {
            let event = match &self.start {
                Some(start) => {
                    members.append(start);
                    "start"
                }
                None => "resume",
            };
            self.write(now, time, event, &members)?;
            self.start = None;
            let missing = std::mem::take(&mut self.missing);
            if std::mem::take(&mut self.is_told) {
                logger::warning(format_args!(
                    "audit: the record goes on; {missing} lines are missing in it"
                ));
            }
        }
        Ok(self.opened.as_ref().map(|it| it.key).unwrap_or_default())
    }

    fn reopen(&mut self) -> Result<Rest, String> {
        let place = match self.place.take() {
            Some(place) => place,
            None => take_place(&self.settings)?,
        };
        let place = self.place.insert(place);
        let (opened, rest) = Opened::open(&self.settings, place, self.head)?;
        if let Some(words) = rest.doubt() {
            let path = ShownPath(opened.path());
            logger::warning(format_args!("audit: {path}: {words}"));
        }
        self.opened = Some(opened);
        Ok(rest)
    }

    fn write(
        &mut self,
        now: Instant,
        time: SystemTime,
        event: &str,
        members: &Members,
    ) -> Result<Head, String> {
        let Some(opened) = &mut self.opened else {
            return Err("it is not open".into());
        };
        match opened.add(&self.settings, time, event, members.as_str()) {
            Ok(()) => {
                self.head = Some(opened.head);
                Ok(opened.head)
            }
            Err(failed) => {
                if failed.reopen {
                    self.opened = None;
                }
                if failed.is_moved {
                    logger::warning(format_args!("audit: {}; another is begun", failed.why));
                    return Err(failed.why);
                }
                Err(self.fail(now, failed.why))
            }
        }
    }

    /// Has it tried again after a while, and logs the failure unless one is in the log already.
    fn fail(&mut self, now: Instant, why: String) -> String {
        self.pause = Some((now + RETRY, why.clone()));
        if !self.is_told && self.quiet_until.is_none_or(|until| now >= until) {
            self.is_told = true;
            self.quiet_until = Some(now + QUIET);
            let words = unwritable(&self.settings, &why);
            logger::error(format_args!("audit: {words}"));
        }
        why
    }

    pub(crate) fn unsynced(&mut self) -> Vec<Arc<File>> {
        let opened = self.opened.as_mut();
        opened.map(Opened::unsynced).unwrap_or_default()
    }

    /// The path and the head of the record.
    pub(crate) fn anchor(&self) -> Option<(String, Head)> {
        let opened = self.opened.as_ref()?;
        Some((ShownPath(opened.path()).to_string(), opened.head))
    }
}

/// The failure and its effect.
pub(crate) fn unwritable(settings: &Settings, why: &str) -> String {
    let effect = match settings.required {
        true => "writes are refused",
        false => "writes go on without it",
    };
    format!("the record cannot be written: {why}; {effect}")
}

/// A record that flutters, as on a disk that is nearly full, is logged once in this time.
const QUIET: Duration = Duration::from_secs(60);
/// How long after a failure a line is tried again at the earliest.
const RETRY: Duration = Duration::from_secs(1);
