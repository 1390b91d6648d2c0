//! `topics[].consent`: who agrees to a write before it is done.

use serde_json::Value;

use crate::finding::Report;
use crate::profile::{Profile, Profiles};
use crate::section::Section;

/// Who agrees to each write to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// A person at the MCP client that calls.
    Client,
    /// The operator, over MQTT.
    Operator,
    /// One of the two: the first answer counts.
    Either,
    /// Both of them. No entry says so; two that match one topic do.
    Both,
}

impl Consent {
    /// What two entries demand together that match the same topic.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (one, Self::Either) | (Self::Either, one) => one,
            (one, other) if one == other => one,
            _ => Self::Both,
        }
    }

    /// Whether the operator is asked.
    #[must_use]
    pub fn asks_operator(self) -> bool {
        self != Self::Client
    }

    /// Whether a person at the client is asked.
    #[must_use]
    pub fn asks_client(self) -> bool {
        self != Self::Operator
    }

    /// The name, as in the configuration and in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Operator => "operator",
            Self::Either => "either",
            Self::Both => "both",
        }
    }

    /// The demand in words, for people and models.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Client => "a person at the client has to agree to each write",
            Self::Operator => "the operator has to agree to each write",
            Self::Either => "a person at the client or the operator has to agree to each write",
            Self::Both => "a person at the client and the operator have to agree to each write",
        }
    }

    /// Reads the key of an entry of `topics`.
    pub(crate) fn read(entry: &Section<'_>) -> Option<Self> {
        let text = entry.text("consent")?;
        let all = [Self::Client, Self::Operator, Self::Either];
        let named = all.into_iter().find(|consent| consent.name() == text);
        if named.is_none() {
            let allowed = "`client`, `operator`, `either`";
            entry.refuse("consent", &Value::from(text), allowed);
        }
        named
    }
}

/// Reports each entry that asks an operator whom nothing in the file reaches.
pub(crate) fn check(profiles: &Profiles, report: &Report) {
    let check = |place: &str, profile: &Profile| {
        let grants = profile.policy.grants();
        for grant in grants.filter(|grant| grant.consent.is_some_and(Consent::asks_operator)) {
            for index in &grant.places {
                let path = format!("{place}topics[{index}].consent");
                report.problem(
                    path,
                    "needs `operator.topic`, below which the operator is asked",
                );
            }
        }
    };
    check("", profiles.default_profile());
    for (name, profile) in profiles.named() {
        check(&format!("profiles.{name}."), profile);
    }
}
