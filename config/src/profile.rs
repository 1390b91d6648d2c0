//! `profiles`: what a group of callers may do. The top-level `topics` are the topics of the profile `default`.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::limits::{self, Limits};
use crate::operator::OperatorTopic;
use crate::policy::{Grant, Policy};
use crate::section::{Section, found, join};
use crate::topics;

/// What a group of callers may do: with which topics, with which tools, and how often.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// The topic permissions.
    pub policy: Rc<Policy>,
    /// The tools that its callers are offered.
    pub tools: Tools,
    /// How often each of its callers may publish.
    pub quota: Quota,
}

/// The tools that a caller is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tools {
    /// Every tool.
    #[default]
    All,
    /// The tools with these names.
    Only(Vec<&'static str>),
}

/// How often one caller may publish; 0 stands for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// `publishes_per_second`: for each client, with as many at once after a pause.
    pub per_second: usize,
    /// `publishes_per_minute`: for all clients with one key together, in any 60 seconds.
    pub per_minute: usize,
}

/// All profiles by name.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    default: Profile,
    named: BTreeMap<String, Profile>,
}

impl Tools {
    /// Whether the tool with this name is offered.
    #[must_use]
    pub fn offers(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(&name),
        }
    }

    fn read(section: &Section<'_>) -> Self {
        let entries = match section.value("tools") {
            None => return Self::All,
            Some(Value::Array(entries)) => entries,
            Some(other) => {
                section.refuse("tools", other, &format!("a list of {}", listed(&TOOLS)));
                return Self::All;
            }
        };
        let mut names = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let known = TOOLS.into_iter().find(|name| entry == *name);
            match known {
                Some(name) => names.push(name),
                None => {
                    let path = format!("{}[{index}]", section.path_of("tools"));
                    let text = format!("found {}; allowed: {}", found(entry), listed(&TOOLS));
                    section.report().problem(path, text);
                }
            }
        }
        if entries.is_empty() {
            section.warn("tools", "is an empty list; its callers get no tool");
        }
        Self::Only(names)
    }
}

impl Quota {
    /// The quota of callers whose profile sets none.
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            per_second: limits.publishes_per_second,
            per_minute: limits.publishes_per_minute,
        }
    }

    fn read(section: Section<'_>, usual: Self) -> Self {
        let quota = Self {
            per_second: limits::read_one(&section, "publishes_per_second", usual.per_second),
            per_minute: limits::read_one(&section, "publishes_per_minute", usual.per_minute),
        };
        section.finish_strictly();
        quota
    }
}

impl Profiles {
    /// The name of the profile whose topics are the top-level `topics`.
    pub const DEFAULT: &'static str = "default";

    /// Profiles of which there is only the default.
    #[must_use]
    pub fn only(default: Profile) -> Self {
        Self {
            default,
            named: BTreeMap::new(),
        }
    }

    /// The profile with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Profile> {
        match name {
            Self::DEFAULT => Some(&self.default),
            name => self.named.get(name),
        }
    }

    /// Whether there is a profile with this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The profile of callers that no key, user or option gives another.
    #[must_use]
    pub fn default_profile(&self) -> &Profile {
        &self.default
    }

    /// The profiles under `profiles`, which the default is not one of, in the order of their names.
    pub fn named(&self) -> impl ExactSizeIterator<Item = (&str, &Profile)> {
        let named = self.named.iter();
        named.map(|(name, profile)| (name.as_str(), profile))
    }

    /// The names of all profiles, for a message: `` `default`, `line` ``.
    #[must_use]
    pub fn names(&self) -> String {
        let named = self.named.keys().map(String::as_str);
        let names: Vec<_> = std::iter::once(Self::DEFAULT).chain(named).collect();
        listed(&names)
    }

    /// Gives callers without a profile of their own the profile with this name.
    ///
    /// # Errors
    /// There is none; the names of those that there are.
    pub(crate) fn choose(&mut self, name: &str) -> Result<(), String> {
        match self.get(name).cloned() {
            Some(profile) => {
                self.default = profile;
                Ok(())
            }
            None => Err(self.names()),
        }
    }

    /// What any profile permits: for work that is done for all callers together.
    #[must_use]
    pub fn anyone(&self) -> Rc<Policy> {
        if self.named.is_empty() {
            return Rc::clone(&self.default.policy);
        }
        let all = std::iter::once(&self.default).chain(self.named.values());
        let grants: Vec<Grant> = all
            .flat_map(|profile| profile.policy.grants().cloned())
            .collect();
        let reserved = self.default.policy.reserved().cloned();
        Rc::new(Policy::new(grants).reserving(reserved))
    }

    /// Reads `profiles`, with the top-level `topics` as those of the default; `usual` is the quota of those that
    /// set none. None reaches the topics of `operator`.
    pub(crate) fn read(root: &Section<'_>, usual: Quota, operator: Option<&OperatorTopic>) -> Self {
        let mut profiles = Self::only(Profile {
            policy: policy(root, operator),
            tools: Tools::All,
            quota: usual,
        });
        let entries = match root.value("profiles") {
            None => return profiles,
            Some(Value::Object(entries)) => entries,
            Some(other) => {
                root.refuse("profiles", other, "an object with a profile for each name");
                return profiles;
            }
        };
        profiles.read_default(root, entries, usual);
        let named = entries
            .iter()
            .filter(|(name, value)| *name != Self::DEFAULT && !value.is_null());
        for (name, value) in named {
            let path = join("profiles", name);
            if !is_name(name) {
                root.report().problem(&path, NAMES);
            }
            let section = Section::new(path, Some(value), root.report());
            if value.is_object() {
                let profile = Profile::read(section, usual, operator);
                profiles.named.insert(name.clone(), profile);
            }
        }
        profiles
    }

    /// The default may have tools and limits, and has its topics at the top level.
    fn read_default(&mut self, root: &Section<'_>, entries: &Map<String, Value>, usual: Quota) {
        let value = entries.get(Self::DEFAULT).filter(|value| !value.is_null());
        let section = Section::new(join("profiles", Self::DEFAULT), value, root.report());
        if section.value("topics").is_some() {
            let text =
                "the topics of the profile `default` are the top-level `topics`; move them there";
            section.problem("topics", text);
        }
        self.default.tools = Tools::read(&section);
        self.default.quota = Quota::read(section.section("limits"), usual);
        section.finish_strictly();
    }
}

impl Profile {
    fn read(section: Section<'_>, usual: Quota, operator: Option<&OperatorTopic>) -> Self {
        let profile = Self {
            policy: policy(&section, operator),
            tools: Tools::read(&section),
            quota: Quota::read(section.section("limits"), usual),
        };
        section.finish_strictly();
        profile
    }
}

fn policy(section: &Section<'_>, operator: Option<&OperatorTopic>) -> Rc<Policy> {
    let reserved = operator.map(|topic| topic.all().clone());
    let grants = topics::read(section, operator);
    Rc::new(Policy::new(grants).reserving(reserved))
}

/// Reads the name of a profile under `profile`.
pub(crate) fn read_name(section: &Section<'_>, profiles: &Profiles) -> String {
    let allowed = || format!("the name of a profile: {}", profiles.names());
    match section.text("profile") {
        Some(name) if profiles.has(name) => return name.to_owned(),
        Some(name) => section.refuse("profile", &Value::from(name), &allowed()),
        None if section.value("profile").is_none() => {
            section.problem("profile", format!("is missing; allowed: {}", allowed()));
        }
        None => {}
    }
    Profiles::DEFAULT.to_owned()
}

/// Whether the text can name a profile or a key.
pub(crate) fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_part) && !text.starts_with('-')
}

fn listed(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// What a name may be, for a message.
pub(crate) const NAMES: &str = "is not a valid name; allowed: 1 to 64 letters, digits and `.`, `_`, `-`, no `-` at the beginning";

/// The names of the tools.
pub const TOOLS: [&str; 7] = [
    "mqtt_publish",
    "mqtt_subscribe",
    "mqtt_read",
    "mqtt_query",
    "mqtt_topics",
    "mqtt_wait",
    "mqtt_stats",
];
