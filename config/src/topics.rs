//! The `topics` list: patterns, their permissions, and their descriptions for agents.

use std::collections::BTreeMap;

use mcpmqtt_protocol::topic::{Shown, TopicFault, TopicFilter};
use serde_json::Value;

use crate::consent::Consent;
use crate::finding::Report;
use crate::hint;
use crate::lint::{self, Entry};
use crate::operator::{self, OperatorTopic};
use crate::payload::{self, PayloadRule};
use crate::policy::{Grant, Permissions};
use crate::section::{Section, found};
use crate::write_rule::{self, WriteLimit};

/// Reads the list under `topics` of the file or of a profile. Entries with the same pattern become one grant, unless one of
/// them has limits, rules on writes or `consent`: these hold for what the entry itself permits. What is wholly the
/// operator's is left out.
pub(crate) fn read(section: &Section<'_>, operator: Option<&OperatorTopic>) -> Vec<Grant> {
    let mut entries = Vec::new();
    let (report, place) = (section.report(), section.path_of("topics"));
    let value = section.value("topics");
    match value {
        None => {}
        Some(Value::Array(list)) => {
            for (index, entry) in list.iter().enumerate() {
                let section = Section::new(format!("{place}[{index}]"), Some(entry), report);
                if entry.is_object() {
                    entries.extend(read_entry(section, index));
                }
            }
        }
        Some(other) => section.refuse("topics", other, "a list of objects"),
    }
    if value.is_none_or(|value| value.as_array().is_some_and(Vec::is_empty)) {
        section.warn(
            "topics",
            "no topic is permitted; every publish and every subscription will be refused",
        );
    }
    let mut rules = merge(entries, report);
    if let Some(topic) = operator {
        rules.retain(|rule| operator::leaves(topic, &rule.grant, &rule.path, report));
    }
    lint::rules(&rules, &place, report);
    rules.into_iter().map(|rule| rule.grant).collect()
}

fn read_entry(section: Section<'_>, index: usize) -> Option<Entry> {
    let pattern = pattern(&section);
    let permissions = permissions(&section);
    let description = section.text("description").map(str::to_owned);
    let payload = payload(&section);
    let path = section.path_of("pattern");
    let write = write_rule::read(&section, pattern.as_ref());
    if write.is_some() && !permissions.write {
        section.warn("write", "has no effect, since `permissions` has no `write`");
    }
    let consent = Consent::read(&section);
    if consent.is_some() && !permissions.write {
        section.warn(
            "consent",
            "has no effect, since `permissions` has no `write`",
        );
    }
    if let (Some(payload), Some(write)) = (&payload, &write) {
        let is_unmet = |limit: &WriteLimit| matches!(limit, WriteLimit::MaxChange(it) if !payload.may_be_number(it.field.as_ref()));
        if write.limits.iter().any(is_unmet) {
            let place = section.path_of("write") + ".max_change";
            let why = "nothing can be published here: `payload` permits no number, and only a number has a change";
            section.report().warning(place, why);
        }
    }
    section.finish();
    let grant = Grant {
        pattern: pattern?,
        permissions,
        description,
        payload,
        write: write.into_iter().collect(),
        consent,
        places: vec![index],
    };
    Some(Entry { path, grant })
}

fn pattern(section: &Section<'_>) -> Option<TopicFilter> {
    let Some(value) = section.value("pattern") else {
        section.problem("pattern", "is missing; allowed: a topic filter");
        return None;
    };
    let Some(text) = value.as_str() else {
        section.refuse("pattern", value, "a topic filter");
        return None;
    };
    if text == "$share" || text.starts_with("$share/") {
        let text =
            "a shared subscription as a pattern grants nothing; write its inner filter instead";
        section.warn("pattern", text);
        return None;
    }
    match TopicFilter::parse(text) {
        Ok(filter) => Some(filter),
        Err(error) if matches!(error.fault, TopicFault::Unsendable { .. }) => {
            section.warn("pattern", format!("{error}; it grants nothing"));
            None
        }
        Err(error) => {
            section.problem("pattern", error.to_string());
            None
        }
    }
}

fn payload(section: &Section<'_>) -> Option<Box<PayloadRule>> {
    let value = section.value("payload")?;
    if !value.is_object() {
        section.refuse("payload", value, "an object with `type`");
        return None;
    }
    payload::read(section.section("payload")).map(Box::new)
}

fn permissions(section: &Section<'_>) -> Permissions {
    let mut permissions = Permissions::default();
    let path = section.path_of("permissions");
    let entries = match section.value("permissions") {
        Some(Value::Array(entries)) if !entries.is_empty() => entries,
        Some(Value::Array(_)) => {
            section.problem(
                "permissions",
                format!("is an empty list; allowed: {ALLOWED}"),
            );
            return permissions;
        }
        Some(other) => {
            let hint = other.as_str().map(instead_of_text).unwrap_or_default();
            section.refuse("permissions", other, &format!("a list of {ALLOWED}{hint}"));
            return permissions;
        }
        None => {
            section.problem(
                "permissions",
                format!("is missing; allowed: a list of {ALLOWED}"),
            );
            return permissions;
        }
    };
    for (index, entry) in entries.iter().enumerate() {
        match entry.as_str() {
            Some("read") => permissions.read = true,
            Some("write") => permissions.write = true,
            Some("retain") => permissions.retain = true,
            Some("share") => permissions.share = true,
            _ => {
                let hint = entry.as_str().map(instead_of_entry).unwrap_or_default();
                let text = format!("found {}; allowed: {ALLOWED}{hint}", found(entry));
                section.report().problem(format!("{path}[{index}]"), text);
            }
        }
    }
    permissions
}

/// The hint for an unknown permission.
fn instead_of_entry(entry: &str) -> String {
    match hint::of_permission(entry, names()).as_slice() {
        [] => String::new(),
        [name] => format!("; did you mean `{name}`?"),
        names => format!(
            "; did you mean `{}`, each an entry of its own?",
            names.join("` and `")
        ),
    }
}

/// The hint for a string in the place of a list.
fn instead_of_text(text: &str) -> String {
    let words = text
        .split([',', ' ', ';', '|', '+'])
        .filter(|word| !word.is_empty());
    let mut names: Vec<_> = words
        .flat_map(|word| hint::of_permission(word, names()))
        .collect();
    names.dedup();
    match names.as_slice() {
        [] => String::new(),
        names => format!("; write `{names:?}`"),
    }
}

/// The names of all permissions.
fn names() -> impl Iterator<Item = &'static str> {
    ALLOWED.split('`').skip(1).step_by(2)
}

fn merge(entries: Vec<Entry>, report: &Report) -> Vec<Entry> {
    let mut places = BTreeMap::new();
    let mut rules: Vec<Entry> = Vec::new();
    for entry in entries {
        let Entry { path, grant } = &entry;
        // Limits and consent hold for what their entry permits.
        if grant.payload.is_some() || !grant.write.is_empty() || grant.consent.is_some() {
            rules.push(entry);
            continue;
        }
        let place = *places.entry(grant.pattern.clone()).or_insert(rules.len());
        match rules.get_mut(place) {
            Some(Entry { grant: earlier, .. }) => {
                let text = format!(
                    "{} is given more than once; its permissions are added",
                    Shown(grant.pattern.as_str())
                );
                report.warning(path, text);
                earlier.permissions = earlier.permissions.and(grant.permissions);
                earlier.description = earlier.description.take().or(entry.grant.description);
                earlier.places.extend(entry.grant.places);
            }
            None => rules.push(entry),
        }
    }
    rules
}

const ALLOWED: &str = "`read`, `write`, `retain`, `share`";
