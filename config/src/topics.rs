//! The `topics` list: patterns, what is permitted on them, and what an agent is told about them.

use std::collections::BTreeMap;

use mcpmqtt_protocol::topic::{Shown, TopicFilter};
use serde_json::Value;

use crate::finding::Report;
use crate::policy::{Grant, Permissions};
use crate::section::{Section, found};

/// Reads the list under `topics`. Entries of the same pattern become one grant.
pub(crate) fn read(root: &Section<'_>) -> Vec<Grant> {
    let mut entries = Vec::new();
    let value = root.value("topics");
    match value {
        None => {}
        Some(Value::Array(list)) => {
            for (index, entry) in list.iter().enumerate() {
                let section = Section::new(format!("topics[{index}]"), Some(entry), root.report());
                if entry.is_object() {
                    entries.extend(read_entry(section));
                }
            }
        }
        Some(other) => root.refuse("topics", other, "a list of objects"),
    }
    if value.is_none_or(|value| value.as_array().is_some_and(Vec::is_empty)) {
        root.warn(
            "topics",
            "no topic is permitted; every publish and every subscription will be refused",
        );
    }
    merge(entries, root.report())
}

/// A grant and where it was read.
struct Entry {
    path: String,
    grant: Grant,
}

fn read_entry(section: Section<'_>) -> Option<Entry> {
    let pattern = pattern(&section);
    let permissions = permissions(&section);
    let description = section.text("description").map(str::to_owned);
    let path = section.path_of("pattern");
    section.finish();
    let grant = Grant {
        pattern: pattern?,
        permissions,
        description,
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
        Err(error) => {
            section.problem("pattern", error.to_string());
            None
        }
    }
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
            section.refuse("permissions", other, &format!("a list of {ALLOWED}"));
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
                let text = format!("found {}; allowed: {ALLOWED}", found(entry));
                section.report().problem(format!("{path}[{index}]"), text);
            }
        }
    }
    permissions
}

fn merge(entries: Vec<Entry>, report: &Report) -> Vec<Grant> {
    let mut places = BTreeMap::new();
    let mut grants: Vec<Grant> = Vec::new();
    for Entry { path, grant } in entries {
        let place = *places.entry(grant.pattern.clone()).or_insert(grants.len());
        match grants.get_mut(place) {
            Some(earlier) => {
                let text = format!(
                    "{} is given more than once; its permissions are added",
                    Shown(grant.pattern.as_str())
                );
                report.warning(path, text);
                earlier.permissions = earlier.permissions.and(grant.permissions);
                earlier.description = earlier.description.take().or(grant.description);
            }
            None => grants.push(grant),
        }
    }
    grants
}

const ALLOWED: &str = "`read`, `write`, `retain`, `share`";
