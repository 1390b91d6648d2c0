//! Who has halted writing, and what follows from it.
//!
//! Promises: writing is halted while any source says so, and each source lifts its own halt only; as long as it is not known
//! whether the operator's topic holds a halt, nothing is written.
//! Does not: know MQTT, files or signals; time is an argument.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcpmqtt_protocol::topic::Printable;

use crate::clock;

/// What can halt writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// SIGUSR1; SIGUSR2 lifts it.
    Signal,
    /// A message on the operator's halt topic.
    Topic,
}

/// An operator's word that nothing be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// When this program learned of it.
    pub at: SystemTime,
    /// Who says so, where the operator says it.
    pub by: Option<String>,
    /// Why.
    pub reason: String,
}

/// What is known of the operator's halt topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HaltTopic {
    /// There is none.
    None,
    /// It is not known what it holds: it is not subscribed on this connection yet.
    Unknown,
    /// What it holds is known.
    Known,
    /// The broker does not let this program subscribe to it, with the reason.
    Refused(String),
}

/// The state of all sources.
#[derive(Clone, Debug)]
pub(super) struct Halts {
    signal: Option<Halt>,
    topic: Option<Halt>,
    halt_topic: HaltTopic,
    /// Whether something came on the topic since it was asked for on this connection.
    has_spoken: bool,
}

/// Whether anything may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Open,
    /// It waits until it is known whether the operator's topic holds a halt.
    Waiting,
    /// It may not: an operator has halted writing.
    Halted(Halt),
    /// It may not: nobody could halt it, since the broker refuses the operator's topic, for this reason.
    Deaf(String),
}

impl Halts {
    pub(super) fn new(has_topic: bool) -> Halts {
        Halts {
            signal: None,
            topic: None,
            halt_topic: match has_topic {
                true => HaltTopic::Unknown,
                false => HaltTopic::None,
            },
            has_spoken: false,
        }
    }

    pub(super) fn of(&self, source: Source) -> Option<&Halt> {
        match source {
            Source::Signal => self.signal.as_ref(),
            Source::Topic => self.topic.as_ref(),
        }
    }

    /// A source halts. A halt that is there already keeps its time.
    pub(super) fn halt(&mut self, source: Source, halt: Halt) {
        if source == Source::Topic {
            self.has_spoken = true;
        }
        let held = match source {
            Source::Signal => &mut self.signal,
            Source::Topic => &mut self.topic,
        };
        let at = held.as_ref().map_or(halt.at, |held| held.at);
        *held = Some(Halt { at, ..halt });
    }

    /// A source lifts its halt, if it has one.
    pub(super) fn lift(&mut self, source: Source) -> Option<Halt> {
        match source {
            Source::Signal => self.signal.take(),
            Source::Topic => {
                self.has_spoken = true;
                self.topic.take()
            }
        }
    }

    /// What the topic holds is not known any more.
    pub(super) fn forget_topic(&mut self) {
        self.has_spoken = false;
        if self.halt_topic != HaltTopic::None {
            self.halt_topic = HaltTopic::Unknown;
        }
    }

    /// All that the topic held has come. A halt of it that came before and did not come again was lifted meanwhile, unless
    /// `must_be_lifted` by a message.
    pub(super) fn topic_is_known(&mut self, must_be_lifted: bool) -> Option<Halt> {
        self.halt_topic = HaltTopic::Known;
        match self.has_spoken || must_be_lifted {
            true => None,
            false => self.topic.take(),
        }
    }

    /// The broker refuses the topic. False when that was known.
    pub(super) fn topic_is_refused(&mut self, why: String) -> bool {
        let refused = HaltTopic::Refused(why);
        let is_news = self.halt_topic != refused;
        self.halt_topic = refused;
        is_news
    }

    /// The operator's topic is another one, or there is none: what the old one said counts no more.
    pub(super) fn replace_topic(&mut self, has_topic: bool) {
        self.topic = None;
        self.has_spoken = false;
        self.halt_topic = Halts::new(has_topic).halt_topic;
    }

    pub(super) fn verdict(&self) -> Verdict {
        let all = [&self.signal, &self.topic];
        let first = all.into_iter().flatten().min_by_key(|halt| halt.at);
        match (first, &self.halt_topic) {
            (Some(halt), _) => Verdict::Halted(halt.clone()),
            (None, HaltTopic::Refused(why)) => Verdict::Deaf(why.clone()),
            (None, HaltTopic::Unknown) => Verdict::Waiting,
            (None, HaltTopic::None | HaltTopic::Known) => Verdict::Open,
        }
    }
}

/// `an operator halted writing at 14:03 UTC: the press is open`; with the day when it is not the day of the reason.
impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an operator ")?;
        if let Some(by) = &self.by {
            write!(f, "({}) ", Printable(by))?;
        }
        write!(
            f,
            "halted writing at {}: {}",
            time_of_day(self.at),
            Printable(&self.reason)
        )
    }
}

/// In words for a caller. No topic of the operator's is named.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Open => f.write_str("writing is permitted"),
            Verdict::Waiting => f.write_str(
                "writing waits until it is known that no operator has halted it; try again in a moment",
            ),
            Verdict::Halted(halt) => halt.fmt(f),
            Verdict::Deaf(why) => write!(
                f,
                "writing is stopped, since no operator could halt it: the broker does not let this program subscribe to the \
                 operator's topic ({why}); the operator of this server has to mend that"
            ),
        }
    }
}

impl Halt {
    /// With a reason that is no longer than people read.
    pub(super) fn new(at: SystemTime, by: Option<&str>, reason: &str) -> Halt {
        let reason = match reason.trim() {
            "" => "no reason was given",
            reason => reason,
        };
        let by = by.map(str::trim).filter(|by| !by.is_empty());
        Halt {
            at,
            by: by.map(|by| cut(by, MAX_NAME_CHARS)),
            reason: cut(reason, MAX_REASON_CHARS),
        }
    }
}

/// `14:03 UTC`; of another day than today, `2026-11-28 14:03 UTC`.
fn time_of_day(at: SystemTime) -> String {
    let text = clock::rfc3339(at);
    let day = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        since.as_secs() / 86_400
    };
    let minutes = text.get(11..16).unwrap_or_default();
    match day(at) == day(SystemTime::now()) {
        true => format!("{minutes} UTC"),
        false => format!("{} {minutes} UTC", text.get(..10).unwrap_or_default()),
    }
}

fn cut(text: &str, most: usize) -> String {
    let mut chars = text.chars();
    let mut cut: String = chars.by_ref().take(most).collect();
    if chars.next().is_some() {
        cut.push('…');
    }
    cut.replace(['\n', '\r'], " ")
}

const MAX_REASON_CHARS: usize = 200;
const MAX_NAME_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn halt(reason: &str, minutes: u64) -> Halt {
        let at = UNIX_EPOCH + Duration::from_secs(minutes * 60);
        Halt::new(at, None, reason)
    }

    fn is_halted(halts: &Halts) -> bool {
        matches!(halts.verdict(), Verdict::Halted(_))
    }

    #[test]
    fn each_source_lifts_its_own_halt_only() {
        let mut halts = Halts::new(false);
        assert_eq!(halts.verdict(), Verdict::Open);
        for (first, second) in [
            (Source::Signal, Source::Topic),
            (Source::Topic, Source::Signal),
        ] {
            halts.halt(first, halt("a", 1));
            halts.lift(second);
            assert!(is_halted(&halts));
            halts.halt(second, halt("b", 2));
            halts.lift(first);
            assert_eq!(halts.verdict(), Verdict::Halted(halt("b", 2)));
            halts.lift(second);
            assert_eq!(halts.verdict(), Verdict::Open);
        }
    }

    #[test]
    fn the_first_halt_is_named_and_keeps_its_time() {
        let mut halts = Halts::new(false);
        halts.halt(Source::Signal, halt("later", 5));
        halts.halt(Source::Topic, halt("first", 3));
        halts.halt(Source::Topic, halt("first, in other words", 9));
        let Verdict::Halted(named) = halts.verdict() else {
            panic!("not halted");
        };
        assert_eq!(named, halt("first, in other words", 3));
        assert_eq!(
            named.to_string(),
            "an operator halted writing at 1970-01-01 00:03 UTC: first, in other words"
        );
    }

    /// Every order of what can happen on the topic, six steps long: writing is open only when the topic is known to hold no
    /// halt.
    #[test]
    fn writing_is_open_only_when_the_topic_is_known_to_be_quiet() {
        for must_be_lifted in [false, true] {
            for order in 0..5_u32.pow(6) {
                let mut halts = Halts::new(true);
                // The judge: what the topic is known to hold.
                let (mut known, mut halted, mut came) = (false, false, false);
                for step in 0..6 {
                    match order / 5_u32.pow(step) % 5 {
                        0 => {
                            halts.halt(Source::Topic, halt("x", 1));
                            (halted, came) = (true, true);
                        }
                        1 => {
                            halts.lift(Source::Topic);
                            (halted, came) = (false, true);
                        }
                        2 => {
                            halts.forget_topic();
                            (known, came) = (false, false);
                        }
                        3 => {
                            halts.topic_is_known(must_be_lifted);
                            (known, halted) = (true, halted && (came || must_be_lifted));
                        }
                        _ => {
                            halts.topic_is_refused("no".into());
                            known = false;
                        }
                    }
                    let is_open = halts.verdict() == Verdict::Open;
                    assert_eq!(is_open, known && !halted, "{order} {step} {halts:?}");
                    assert_eq!(is_halted(&halts), halted, "{order} {step} {halts:?}");
                }
            }
        }
    }

    #[test]
    fn a_reason_is_short_and_on_one_line() {
        let now = SystemTime::now();
        let told = Halt::new(
            now,
            Some(" Anna "),
            &format!("a\nb\u{1b}[2J{}", "x".repeat(500)),
        );
        let text = told.to_string();
        assert!(
            text.starts_with("an operator (Anna) halted writing at "),
            "{text}"
        );
        assert!(text.contains(" UTC: a b\\u{1b}[2Jx"), "{text}");
        assert!(text.len() < 300 && !text.contains('\n'), "{text}");
        assert!(
            Halt::new(now, Some(""), " ")
                .to_string()
                .ends_with("no reason was given")
        );
    }
}
