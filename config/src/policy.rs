//! The permissions of agents: every publish, subscription and delivery is checked against one [`Policy`].
//!
//! Promises: a subscription is allowed only if every topic that it can deliver is readable, by the exact union of the
//! grants; anything not granted is refused; a check takes microseconds at 10,000 patterns.

use std::fmt;

use mcpmqtt_protocol::topic::{FilterTree, Shown, SubscribeFilter, TopicFilter, TopicName};

use crate::consent::Consent;
use crate::payload::{self, PayloadRule};
use crate::write_rule::WriteRule;

/// One pattern of the configuration with its permissions.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The topics that the grant applies to.
    pub pattern: TopicFilter,
    /// The permissions on these topics.
    pub permissions: Permissions,
    /// The operator's description of these topics for agents.
    pub description: Option<String>,
    /// What may be published to these topics; without it, anything.
    pub payload: Option<Box<PayloadRule>>,
    /// The rules on writes, each of which holds.
    pub write: Vec<WriteRule>,
    /// Who agrees to each write; without it, nobody.
    pub consent: Option<Consent>,
    /// Where the grant is from: the indices in the list `topics` of the file. Several, where a pattern is given more than
    /// once.
    pub places: Vec<usize>,
}

impl Grant {
    /// The limits of what the grant permits to publish.
    #[must_use]
    pub fn writes(&self) -> Option<&PayloadRule> {
        self.payload.as_deref().filter(|_| self.permissions.write)
    }

    /// Who agrees to each write that the grant permits.
    #[must_use]
    pub fn needs(&self) -> Option<Consent> {
        self.consent.filter(|_| self.permissions.write)
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Permits receiving messages.
    pub read: bool,
    /// Permits publishing messages.
    pub write: bool,
    /// Permits publishing retained messages, together with `write`.
    pub retain: bool,
    /// Permits receiving in a shared subscription, which takes messages from other subscribers.
    pub share: bool,
}

impl Permissions {
    /// The names of the permissions in the set, as in the configuration.
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
    // The filters, each with the index of its grant.
    read: FilterTree<usize>,
    write: FilterTree<usize>,
    retain: FilterTree<usize>,
    share: FilterTree<usize>,
    /// Those of `write` that limit the payload.
    limited: FilterTree<usize>,
    /// The writable ones that have rules on writes.
    ruled: FilterTree<usize>,
    /// The writable ones that somebody has to agree to.
    consented: FilterTree<usize>,
    /// The topics of the operator, which no grant opens.
    reserved: Option<TopicFilter>,
}

/// A publish that a caller attempts.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The topic to publish to.
    pub topic: &'a TopicName,
    /// The payload to publish.
    pub payload: &'a [u8],
    /// Whether the message is to be retained.
    pub retain: bool,
}

/// The permission for an attempt, with the grants that give it.
#[derive(Clone, Copy, Debug)]
pub struct Permit<'a> {
    policy: &'a Policy,
    topic: &'a str,
}

impl<'a> Permit<'a> {
    /// The grants that permit publishing to the topic, in the order of the configuration. The attempt has to meet the
    /// conditions of each.
    pub fn grants(&self) -> impl Iterator<Item = &'a Grant> + use<'a> {
        self.policy.matching(&self.policy.write, self.topic)
    }
}

impl Policy {
    /// Creates a policy of exactly these grants.
    pub fn new(grants: Vec<Grant>) -> Self {
        let mut policy = Self::default();
        for (place, grant) in grants.iter().enumerate() {
            let Grant {
                pattern,
                permissions,
                write,
                ..
            } = grant;
            let is_ruled = permissions.write && !write.is_empty();
            for (held, tree) in [
                (permissions.read, &mut policy.read),
                (permissions.write, &mut policy.write),
                (permissions.retain, &mut policy.retain),
                (permissions.share, &mut policy.share),
                (grant.writes().is_some(), &mut policy.limited),
                (is_ruled, &mut policy.ruled),
                (grant.needs().is_some(), &mut policy.consented),
            ] {
                if held {
                    tree.insert(pattern, place);
                }
            }
        }
        policy.grants = grants;
        policy
    }

    /// The same policy, in which no caller reads or writes on a topic of `reserved`. A request for a filter that has
    /// other topics, too, stays permitted, as `#` does beside topics that begin with `$`.
    #[must_use]
    pub fn reserving(mut self, reserved: Option<TopicFilter>) -> Self {
        self.reserved = reserved;
        self
    }

    /// The topics that no grant opens.
    #[must_use]
    pub fn reserved(&self) -> Option<&TopicFilter> {
        self.reserved.as_ref()
    }

    /// The grants in the order of the configuration.
    pub fn grants(&self) -> impl ExactSizeIterator<Item = &Grant> {
        self.grants.iter()
    }

    /// Whether a message may be published to `topic`; a retained message needs both `write` and `retain`.
    pub fn may_publish(&self, topic: &TopicName, retain: bool) -> Result<(), Refusal> {
        if !self.write.matches(topic.as_str()) {
            return Err(self.refusal(Rule::Write, topic.as_str()));
        }
        if retain && !self.retain.matches(topic.as_str()) {
            return Err(self.refusal(Rule::Retain, topic.as_str()));
        }
        match self.is_reserved(topic.as_str()) {
            true => Err(Refusal::reserved(topic.as_str())),
            false => Ok(()),
        }
    }

    /// Checks an attempt to publish: the permission for its topic, and the limits of all grants that give it.
    ///
    /// # Errors
    /// The refusal, which says what would be permitted.
    pub fn judge<'a>(&'a self, attempt: &Attempt<'a>) -> Result<Permit<'a>, Refusal> {
        self.may_publish(attempt.topic, attempt.retain)?;
        self.may_say(attempt.topic.as_str(), attempt.payload)?;
        Ok(Permit {
            policy: self,
            topic: attempt.topic.as_str(),
        })
    }

    /// The grants that permit publishing to `topic` and limit what, in the order of the configuration. All of them hold.
    pub fn limits<'a>(&'a self, topic: &str) -> impl Iterator<Item = &'a Grant> + use<'a> {
        self.matching(&self.limited, topic)
    }

    /// The rules on writes to `topic`, in the order of the configuration. All of them hold.
    pub fn write_rules(&self, topic: &TopicName) -> Vec<&WriteRule> {
        let grants = self.matching(&self.ruled, topic.as_str());
        grants.flat_map(|grant| &grant.write).collect()
    }

    /// Who agrees to each write to `topic`: what all grants demand together.
    pub fn consent(&self, topic: &TopicName) -> Option<Consent> {
        let grants = self.matching(&self.consented, topic.as_str());
        grants.filter_map(Grant::needs).reduce(Consent::and)
    }

    /// Whether any grant demands what `asks` says.
    pub fn any_consent(&self, asks: impl Fn(Consent) -> bool) -> bool {
        self.grants.iter().filter_map(Grant::needs).any(asks)
    }

    /// Whether writes to `topic` have the same limits, rules and consent as in an `earlier` policy, under which somebody
    /// was asked.
    ///
    /// # Errors
    /// They have others.
    pub fn asks_the_same(&self, earlier: &Self, topic: &TopicName) -> Result<(), Refusal> {
        let limits = |policy: &'_ Self| -> Vec<Option<PayloadRule>> {
            let limits = policy.limits(topic.as_str());
            limits.map(|grant| grant.writes().cloned()).collect()
        };
        let same = self.consent(topic) == earlier.consent(topic)
            && self.write_rules(topic) == earlier.write_rules(topic)
            && limits(self) == limits(earlier);
        match same {
            true => Ok(()),
            false => Err(Refusal::of_topic(format!(
                "the limits or the consent of {} are others now",
                Shown(topic.as_str())
            ))),
        }
    }

    fn may_say(&self, topic: &str, payload: &[u8]) -> Result<(), Refusal> {
        let faults = self.limits(topic).filter_map(|grant| {
            let fault = grant.writes()?.judge(payload).err()?;
            Some((grant, fault))
        });
        match payload::strictest(faults) {
            None => Ok(()),
            Some((grant, fault)) => Err(Refusal {
                text: fault.tell(&grant.pattern),
                is_limit: true,
            }),
        }
    }

    /// The grants in one of the trees whose patterns match `topic`, in the order of the configuration.
    fn matching<'a>(
        &'a self,
        tree: &'a FilterTree<usize>,
        topic: &str,
    ) -> impl Iterator<Item = &'a Grant> + use<'a> {
        let mut places = Vec::new();
        tree.for_each_match(topic, &mut |place| places.push(*place));
        places.sort_unstable();
        places
            .into_iter()
            .filter_map(|place| self.grants.get(place))
    }

    /// Whether every topic that `requested` can deliver is readable, but for the operator's. For a shared subscription its inner filter counts,
    /// and all of its topics must be shareable, too.
    pub fn may_subscribe(&self, requested: &SubscribeFilter) -> Result<(), Refusal> {
        if !self.read.covers(requested.filter()) {
            return Err(self.refusal(Rule::Read, requested.as_str()));
        }
        // MQTT 5.0 §4.8.2: each message goes to one member of the group, so the other members do not get it.
        if requested.group().is_some() && !self.share.covers(requested.filter()) {
            return Err(self.refusal(Rule::Share, requested.as_str()));
        }
        let reserved = self.reserved.as_ref();
        match reserved.is_some_and(|reserved| reserved.covers(requested.filter())) {
            true => Err(Refusal::reserved(requested.as_str())),
            false => Ok(()),
        }
    }

    /// Whether a message on `topic` may be delivered to an agent.
    pub fn may_receive(&self, topic: &str) -> bool {
        self.read.matches(topic) && !self.is_reserved(topic)
    }

    fn is_reserved(&self, topic: &str) -> bool {
        let reserved = self.reserved.as_ref();
        reserved.is_some_and(|reserved| reserved.matches(topic))
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
            return Refusal::of_topic(text);
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
        Refusal::of_topic(text)
    }
}

/// Why a request is not permitted, as an error message for an agent: what was requested, and what would be allowed. At
/// most 4 KB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    text: String,
    is_limit: bool,
}

impl Refusal {
    fn of_topic(text: String) -> Self {
        Self {
            text,
            is_limit: false,
        }
    }

    /// Said only to callers that a grant would permit it: others are told what they may do, as for any topic.
    fn reserved(topic: &str) -> Self {
        Self::of_topic(format!(
            "{} is kept for the operator; no agent may read or write there, whatever else is permitted",
            Shown(topic)
        ))
    }

    /// Whether the topic is permitted, and a limit of the file is not kept.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        self.is_limit
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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

/// The number of patterns that a refusal names: enough to show what is meant, few enough for a model to read.
const MAX_NAMED: usize = 10;
/// The size limit of the list of patterns, which keeps a refusal below 4 KB: before the list comes one shown topic, and
/// after it one count.
const MAX_LIST_BYTES: usize = 3_800;
