//! The filter of a SUBSCRIBE: a plain filter or a shared subscription.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::error::{TopicError, TopicFault, check_sendable, check_text};
use super::filter::TopicFilter;

/// A requested subscription: a topic filter, or `$share/group/filter`, which MQTT 5 defines and most 3.1.1 brokers
/// support. Permissions and dispatch use [`filter`](Self::filter); the SUBSCRIBE packet carries
/// [`as_str`](Self::as_str).
///
/// A malformed `$share/…` does not parse, although MQTT 3.1.1 alone would treat it as a plain filter.
#[derive(Clone, Debug)]
pub struct SubscribeFilter {
    wire: Arc<str>,
    group: Option<Arc<str>>,
    filter: TopicFilter,
}

impl SubscribeFilter {
    /// Parses a plain filter or a shared subscription; the error says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let Some(after) = text
            .strip_prefix("$share")
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        else {
            return TopicFilter::parse(text).map(Self::from);
        };
        let refuse = |fault| Err(TopicError::new("shared subscription", text, fault));
        if let Err(fault) = check_text(text).and_then(|()| check_sendable(text)) {
            return refuse(fault);
        }
        let after = after.strip_prefix('/').unwrap_or_default();
        let (group, filter) = match after.split_once('/') {
            Some((group, filter)) => (group, filter),
            None => (after, ""),
        };
        // MQTT 5.0 §4.8.2: the share name has at least one character and none of `/`, `+`, `#`.
        if group.is_empty() || group.contains(['+', '#']) {
            return refuse(TopicFault::BadShareGroup);
        }
        if filter.is_empty() {
            return refuse(TopicFault::NoShareFilter);
        }
        let filter = TopicFilter::parse(filter)?;
        Ok(Self {
            wire: text.into(),
            group: Some(group.into()),
            filter,
        })
    }

    /// The string in the SUBSCRIBE packet.
    pub fn as_str(&self) -> &str {
        &self.wire
    }

    /// The filter that delivered topics match: the inner one of a shared subscription.
    pub fn filter(&self) -> &TopicFilter {
        &self.filter
    }

    /// The group of a shared subscription.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }
}

/// Treats the filter as plain, whatever it starts with.
impl From<TopicFilter> for SubscribeFilter {
    fn from(filter: TopicFilter) -> Self {
        Self {
            wire: filter.as_str().into(),
            group: None,
            filter,
        }
    }
}

impl PartialEq for SubscribeFilter {
    fn eq(&self, other: &Self) -> bool {
        self.wire == other.wire
    }
}

impl Eq for SubscribeFilter {}

impl PartialOrd for SubscribeFilter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SubscribeFilter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.wire.cmp(&other.wire)
    }
}

impl Hash for SubscribeFilter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.wire.hash(state);
    }
}

impl fmt::Display for SubscribeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.wire)
    }
}
