//! What agents may do: the one object every publish, subscription and delivery is judged by.
//!
//! Promises: a subscription is allowed only if every topic it can deliver is readable, by the exact union of the
//! grants; what is not granted is refused; an answer costs microseconds at 10,000 patterns.

use std::fmt;

use mcpmqtt_protocol::topic::{FilterTree, Shown, SubscribeFilter, TopicFilter, TopicName};

/// One pattern of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The topics meant.
    pub pattern: TopicFilter,
    /// What may be done with them.
    pub permissions: Permissions,
    /// What the operator tells agents about them.
    pub description: Option<String>,
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Messages may be received.
    pub read: bool,
    /// Messages may be published.
    pub write: bool,
    /// A message that may be published may be published as retained.
    pub retain: bool,
    /// What may be received may be received in a shared subscription, which takes it away from others.
    pub share: bool,
}

impl Permissions {
    /// The names of the permissions held, as the configuration writes them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.read, "read"),
            (self.write, "write"),
            (self.retain, "retain"),
            (self.share, "share"),
        ];
        all.into_iter()
            .filter(|(held, _)| *held)
            .map(|(_, name)| name)
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            read: self.read || other.read,
            write: self.write || other.write,
            retain: self.retain || other.retain,
            share: self.share || other.share,
        }
    }
}

/// The permissions of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    grants: Vec<Grant>,
    // Each filter with the place of its grant.
    read: FilterTree<usize>,
    write: FilterTree<usize>,
    retain: FilterTree<usize>,
    share: FilterTree<usize>,
}

/// A publish that somebody wants to make.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Where to.
    pub topic: &'a TopicName,
    /// What.
    pub payload: &'a [u8],
    /// Whether the broker is to keep it.
    pub retain: bool,
}

/// That an attempt is permitted, and by which grants.
#[derive(Clone, Copy, Debug)]
pub struct Permit<'a> {
    policy: &'a Policy,
    topic: &'a str,
}

impl<'a> Permit<'a> {
    /// The grants that permit to write to the topic, in the order of the configuration. What each of them demands of an
    /// attempt has to be fulfilled.
    pub fn grants(&self) -> impl Iterator<Item = &'a Grant> + use<'a> {
        let mut places = Vec::new();
        let write = &self.policy.write;
        write.for_each_match(self.topic, &mut |place| places.push(*place));
        places.sort_unstable();
        let grants = &self.policy.grants;
        places.into_iter().filter_map(|place| grants.get(place))
    }
}

impl Policy {
    /// The policy that grants exactly these.
    pub fn new(grants: Vec<Grant>) -> Self {
        let mut policy = Self::default();
        for (place, grant) in grants.iter().enumerate() {
            let Grant {
                pattern,
                permissions,
                ..
            } = grant;
            for (held, tree) in [
                (permissions.read, &mut policy.read),
                (permissions.write, &mut policy.write),
                (permissions.retain, &mut policy.retain),
                (permissions.share, &mut policy.share),
            ] {
                if held {
                    tree.insert(pattern, place);
                }
            }
        }
        policy.grants = grants;
        policy
    }

    /// The grants in the order of the configuration.
    pub fn grants(&self) -> impl ExactSizeIterator<Item = &Grant> {
        self.grants.iter()
    }

    /// Whether a message may be published to `topic`; retained needs both `write` and `retain`.
    pub fn may_publish(&self, topic: &TopicName, retain: bool) -> Result<(), Refusal> {
        if !self.write.matches(topic.as_str()) {
            return Err(self.refusal(Rule::Write, topic.as_str()));
        }
        if retain && !self.retain.matches(topic.as_str()) {
            return Err(self.refusal(Rule::Retain, topic.as_str()));
        }
        Ok(())
    }

    /// Judges an attempt to publish.
    ///
    /// # Errors
    /// What is not permitted, and what would be.
    pub fn judge<'a>(&'a self, attempt: &Attempt<'a>) -> Result<Permit<'a>, Refusal> {
        self.may_publish(attempt.topic, attempt.retain)?;
        Ok(Permit {
            policy: self,
            topic: attempt.topic.as_str(),
        })
    }

    /// Whether everything that `requested` can deliver is readable. A shared subscription is judged by its inner filter,
    /// all of which must be shareable, too.
    pub fn may_subscribe(&self, requested: &SubscribeFilter) -> Result<(), Refusal> {
        if !self.read.covers(requested.filter()) {
            return Err(self.refusal(Rule::Read, requested.as_str()));
        }
        // MQTT 5.0 §4.8.2: each message goes to one member of the group, so that the others go without.
        if requested.group().is_some() && !self.share.covers(requested.filter()) {
            return Err(self.refusal(Rule::Share, requested.as_str()));
        }
        Ok(())
    }

    /// Whether a message that arrived on `topic` may be handed to an agent.
    pub fn may_receive(&self, topic: &str) -> bool {
        self.read.matches(topic)
    }

    fn refusal(&self, rule: Rule, topic: &str) -> Refusal {
        let mut text = match rule {
            Rule::Read => format!("{} is not readable; ", Shown(topic)),
            Rule::Write => format!("{} is not writable; ", Shown(topic)),
            Rule::Retain => format!("{} may not be published with retain; ", Shown(topic)),
            Rule::Share => format!(
                "{} would take messages away from the others in its group, for which a topic needs the permission `share` \
                 beside `read`; ",
                Shown(topic)
            ),
        };
        let mut allowed = self
            .grants
            .iter()
            .filter(|grant| rule.held(grant.permissions))
            .peekable();
        if allowed.peek().is_none() {
            text += rule.nothing();
            return Refusal(text);
        }
        text += rule.list();
        let mut named = 0;
        while let Some(grant) = allowed.next_if(|_| named < MAX_NAMED) {
            let pattern = Shown(grant.pattern.as_str()).to_string();
            if text.len() + pattern.len() > MAX_LIST_BYTES && named > 0 {
                break;
            }
            text += if named == 0 { ": " } else { ", " };
            text += &pattern;
            named += 1;
        }
        let rest = rule.tree(self).len() - named;
        if rest > 0 {
            text += &format!(" and {rest} more");
        }
        Refusal(text)
    }
}

/// Why something is not permitted, in words for an agent: what was asked, and what would be allowed. At most 4 KB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

#[derive(Clone, Copy)]
enum Rule {
    Read,
    Write,
    Retain,
    Share,
}

impl Rule {
    fn held(self, permissions: Permissions) -> bool {
        match self {
            Self::Read => permissions.read,
            Self::Write => permissions.write,
            Self::Retain => permissions.retain,
            Self::Share => permissions.share,
        }
    }

    fn tree(self, policy: &Policy) -> &FilterTree<usize> {
        match self {
            Self::Read => &policy.read,
            Self::Write => &policy.write,
            Self::Retain => &policy.retain,
            Self::Share => &policy.share,
        }
    }

    fn nothing(self) -> &'static str {
        match self {
            Self::Read => "nothing is readable",
            Self::Write => "nothing is writable",
            Self::Retain => "retain is allowed nowhere",
            Self::Share => "no topic has it",
        }
    }

    fn list(self) -> &'static str {
        match self {
            Self::Read => "readable",
            Self::Write => "writable",
            Self::Retain => "retain is allowed on",
            Self::Share => "topics that have it",
        }
    }
}

/// Patterns named in a refusal: enough to see what is meant, few enough for a model to read.
const MAX_NAMED: usize = 10;
/// Where the list of patterns ends at the latest, so that a refusal stays below 4 KB whatever it names: before it
/// comes one shown topic, and after it one count.
const MAX_LIST_BYTES: usize = 3_800;
