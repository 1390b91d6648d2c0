//! Topic filters: the set of topics that a subscription matches.

use std::fmt;
use std::sync::Arc;

use super::error::{TopicError, TopicFault, check_sendable, check_text};

/// The most levels a filter, or a name that is sent, may have; more is refused by [`TopicFilter::parse`] and
/// [`TopicName::sendable`](super::TopicName::sendable).
///
/// The standard sets no limit. This limit bounds the work per level and the depth of a
/// [`FilterTree`](super::FilterTree) for every filter that an agent requests; known brokers stop at 7 to 200 levels.
pub const MAX_LEVELS: usize = 128;

/// A valid MQTT 3.1.1 topic filter of at most [`MAX_LEVELS`] levels, without characters that brokers end connections
/// for. Cheap to clone.
///
/// Two filters are equal when their strings are: `#` and `+/#` mean the same and are two subscriptions
/// ([MQTT-3.10.4-1]). `$share/…` has no special meaning here; see [`SubscribeFilter`](super::SubscribeFilter).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter(Arc<str>);

impl TopicFilter {
    /// Parses a filter; the error says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        match check_filter(text) {
            Ok(()) => Ok(Self(text.into())),
            Err(fault) => Err(TopicError::new("topic filter", text, fault)),
        }
    }

    /// The filter as sent to the broker.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the filter matches `topic`.
    pub fn matches(&self, topic: &str) -> bool {
        if topic.is_empty() || (topic.starts_with('$') && self.starts_wild()) {
            // [MQTT-4.7.2-1]: a leading wildcard does not match `$` topics.
            return false;
        }
        let mut topic = topic.split('/');
        for level in self.0.split('/') {
            if level == "#" {
                // Also the parent level itself (MQTT 3.1.1 §4.7.1.2).
                return true;
            }
            match topic.next() {
                Some(found) if level == "+" || level == found => {}
                _ => return false,
            }
        }
        topic.next().is_none()
    }

    /// Whether every topic that `narrow` matches is matched by this filter too.
    pub fn covers(&self, narrow: &Self) -> bool {
        if self.starts_wild() && narrow.0.starts_with('$') {
            return false;
        }
        let mut narrow = narrow.meaning();
        for wide in self.0.split('/') {
            if wide == "#" {
                return true;
            }
            match narrow.next() {
                None | Some("#") => return false,
                Some(level) if wide == "+" || wide == level => {}
                Some(_) => return false,
            }
        }
        narrow.next().is_none()
    }

    /// Whether some topic is matched by both filters.
    pub fn overlaps(&self, other: &Self) -> bool {
        if (self.starts_wild() && other.0.starts_with('$'))
            || (other.starts_wild() && self.0.starts_with('$'))
        {
            return false;
        }
        let (mut ours, mut theirs) = (self.meaning(), other.meaning());
        loop {
            match (ours.next(), theirs.next()) {
                (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
                (None, _) | (_, None) => return false,
                (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
                _ => return false,
            }
        }
    }

    /// The filter that matches exactly the topics that both filters match; `None` when there is no such topic.
    ///
    /// The intersection of two filters of nearly 64 KiB each can be longer than a filter may be; it is `None`, too.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if !self.overlaps(other) {
            return None;
        }
        if self.covers(other) {
            return Some(other.clone());
        }
        if other.covers(self) {
            return Some(self.clone());
        }
        let (mut ours, mut theirs) = (self.meaning(), other.meaning());
        let mut common = Vec::new();
        loop {
            match (ours.next(), theirs.next()) {
                // `#` matches whatever follows, also nothing (the parent level).
                (Some("#"), rest) => {
                    common.extend(rest.into_iter().chain(theirs));
                    break;
                }
                (rest, Some("#")) => {
                    common.extend(rest.into_iter().chain(ours));
                    break;
                }
                (Some("+"), Some(level)) | (Some(level), Some(_)) => common.push(level),
                // Overlapping filters without `#` are of the same number of levels.
                (_, None) | (None, _) => break,
            }
        }
        Self::parse(&common.join("/")).ok()
    }

    /// The levels as written.
    pub(super) fn levels(&self) -> std::str::Split<'_, char> {
        self.0.split('/')
    }

    /// The levels of the longest filter with the same meaning. A topic is never empty, so `#` has at least one level
    /// and `/#` at least two.
    fn meaning(&self) -> std::str::Split<'_, char> {
        match self.as_str() {
            "#" => "+/#",
            "/#" => "/+/#",
            as_written => as_written,
        }
        .split('/')
    }

    fn starts_wild(&self) -> bool {
        self.0.starts_with(['+', '#'])
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_filter(text: &str) -> Result<(), TopicFault> {
    check_text(text)?;
    check_sendable(text)?;
    let mut levels = text.split('/').zip(1..).peekable();
    while let Some((level, number)) = levels.next() {
        if number > MAX_LEVELS {
            return Err(TopicFault::TooManyLevels { max: MAX_LEVELS });
        }
        if level == "#" && levels.peek().is_some() {
            return Err(TopicFault::HashNotLast { level: number });
        }
        if let (true, Some(wildcard)) = (
            level.len() > 1,
            level.chars().find(|c| matches!(c, '+' | '#')),
        ) {
            return Err(TopicFault::WildcardNotAlone {
                wildcard,
                level: number,
            });
        }
    }
    Ok(())
}
