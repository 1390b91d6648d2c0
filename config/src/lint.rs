//! Warnings about valid values that their author probably does not mean.
//!
//! Promises: no secret is shown; ten thousand rules cost no more than one walk through the tree of patterns each; of
//! the warnings of one kind, the first are reported and the rest are counted.

use mcpmqtt_protocol::topic::{FilterTree, MAX_LEVELS, Shown, TopicFilter};
use serde_json::Value;

use crate::finding::Report;
use crate::policy::{Grant, Permissions};
use crate::{lint_payload, lint_text};

/// The fault of a file that is the configuration of an MCP client, which lists servers to start.
pub(crate) fn client_file(file: &Value) -> Option<String> {
    if ["mqtt", "topics"].iter().any(|key| file.get(key).is_some()) {
        return None;
    }
    let is_object = |key: &str| file.get(key).is_some_and(Value::is_object);
    let lists = CLIENT_KEYS.into_iter().find(|key| is_object(key));
    // The entry of one server alone.
    let starts = || file.get("command").and(file.get("args")).map(|_| "command");
    let key = lists.or_else(starts)?;
    Some(format!(
        "this is the file of an MCP client (`{key}`), which says how to start mcpmqtt; mcpmqtt has a file of its own, \
         with `mqtt` and `topics`, and `--config` in the client's file names it"
    ))
}

/// Warnings about single values, and about keys that exclude each other.
pub(crate) fn values(file: &Value, report: &Report) {
    let given = |path: &str| {
        let pointer = format!("/{}", path.replace('.', "/"));
        file.pointer(&pointer).filter(|value| !value.is_null())
    };
    for (path, instead) in VARIABLES {
        let text = given(path).and_then(Value::as_str).unwrap_or_default();
        if let Some(variable) = lint_text::variable(text) {
            let variable = Shown(variable);
            report.warning(path, format!("{variable} is not expanded; {instead}"));
        }
    }
    for (path, instead) in SECRETS {
        let text = given(path).and_then(Value::as_str).unwrap_or_default();
        if lint_text::variable(text) == Some(text) {
            report.warning(
                path,
                format!("looks like a variable, and variables are not expanded; {instead}"),
            );
        }
    }
    if given("remote_server.uds").is_some() && given("remote_server.port").is_some() {
        report.warning(
            "remote_server.uds",
            "is not used, because `port` means TCP; remove one of them",
        );
    }
}

/// A grant and where it was read.
pub(crate) struct Entry {
    /// The path of the pattern, as in `topics[2].pattern`.
    pub(crate) path: String,
    pub(crate) grant: Grant,
}

/// Warnings about the rules of the list at `place`. Those without limits have different patterns.
pub(crate) fn rules(rules: &[Entry], place: &str, report: &Report) {
    for (find, rest) in [
        (patterns as fn(&[Entry], &mut Few<'_>), "have odd patterns"),
        (everything, "permit to publish to every topic"),
        (descriptions, "permit to publish without a description"),
        (retain, "have `retain` without `write`"),
        (swallowed, "are covered by others"),
        (
            lint_payload::without_write,
            "limit what is published without `write`",
        ),
        (lint_payload::unmet, "have limits that nothing meets"),
        (lint_payload::slack, "have limits that take nothing away"),
    ] {
        let mut few = Few { report, count: 0 };
        find(rules, &mut few);
        if let Some(more @ 1..) = few.count.checked_sub(MAX_NAMED) {
            report.warning(place, format!("{more} more rules {rest}"));
        }
    }
}

/// Reports the first findings of a kind and counts all.
pub(crate) struct Few<'a> {
    report: &'a Report,
    count: usize,
}

impl Few<'_> {
    pub(crate) fn warning(&mut self, path: &str, text: impl FnOnce() -> String) {
        self.count += 1;
        if !self.is_full() {
            self.report.warning(path, text());
        }
    }

    fn is_full(&self) -> bool {
        self.count > MAX_NAMED
    }
}

impl Entry {
    /// The path of a key beside `pattern`.
    pub(crate) fn path_of(&self, key: &str) -> String {
        format!("{}.{key}", self.place())
    }

    /// The place of the rule, as in `topics[2]`.
    pub(crate) fn place(&self) -> &str {
        self.path.strip_suffix(".pattern").unwrap_or(&self.path)
    }

    fn has_description(&self) -> bool {
        let text = self.grant.description.as_deref().unwrap_or_default();
        !text.trim().is_empty()
    }
}

fn patterns(rules: &[Entry], few: &mut Few<'_>) {
    for rule in rules {
        if let Some(doubt) = lint_text::pattern(rule.grant.pattern.as_str()) {
            few.warning(&rule.path, || doubt);
        }
    }
}

fn everything(rules: &[Entry], few: &mut Few<'_>) {
    for rule in rules {
        let permissions = rule.grant.permissions;
        // `#` and `+/#` mean the same.
        if permissions.write && matches!(rule.grant.pattern.as_str(), "#" | "+/#") {
            let also = match (permissions.read, permissions.retain) {
                (true, true) => ", to retain what they like, and to read everything",
                (true, false) => ", and to read everything",
                (false, true) => ", and to retain what they like",
                (false, false) => "",
            };
            few.warning(&rule.path, || {
                format!("permits agents to publish to every topic of the broker{also}; name the topics that they need")
            });
        }
    }
}

fn descriptions(rules: &[Entry], few: &mut Few<'_>) {
    let untold = |rule: &&Entry| rule.grant.permissions.write && !rule.has_description();
    for rule in rules.iter().filter(untold) {
        few.warning(&rule.path_of("description"), || {
            "is missing; agents may publish here and do not learn what it does".to_owned()
        });
    }
}

/// Warns of a `retain` without effect: it needs `write` on the same topic, from the same rule or another.
fn retain(rules: &[Entry], few: &mut Few<'_>) {
    let mut writable = FilterTree::new();
    let (writing, retaining): (Vec<_>, Vec<_>) =
        rules.iter().partition(|r| r.grant.permissions.write);
    for rule in &writing {
        writable.insert(&rule.grant.pattern, ());
    }
    let mut doubtful = FilterTree::new();
    let is_doubtful =
        |rule: &&Entry| rule.grant.permissions.retain && !writable.covers(&rule.grant.pattern);
    let retaining: Vec<_> = retaining.into_iter().filter(is_doubtful).collect();
    for (index, rule) in retaining.iter().enumerate() {
        doubtful.insert(&rule.grant.pattern, index);
    }
    // A wide `retain` over narrow rules with `write` is intended.
    let mut is_used = vec![false; retaining.len()];
    for rule in &writing {
        doubtful.for_each_match(&witness(&rule.grant.pattern), &mut |index: &usize| {
            if let Some(is_used) = is_used.get_mut(*index) {
                *is_used = true;
            }
        });
    }
    for (rule, _) in retaining
        .iter()
        .zip(is_used)
        .filter(|(_, is_used)| !is_used)
    {
        let pattern = &rule.grant.pattern;
        // Beyond the reported findings it is not worth checking all rules for each.
        let overlaps = |other: &&Entry| other.grant.pattern.overlaps(pattern);
        if few.is_full() || !writing.iter().any(overlaps) {
            few.warning(&rule.path_of("permissions"), || {
                "`retain` counts only together with `write`, which no rule grants here".to_owned()
            });
        }
    }
}

/// Warns of a rule within a wider one that permits as much: such a rule has no effect, whether it was meant to restrict
/// or to add. A rule with a description of its own is not reported, because it informs agents.
fn swallowed(rules: &[Entry], few: &mut Few<'_>) {
    let mut tree = FilterTree::new();
    for (index, rule) in rules.iter().enumerate() {
        tree.insert(&rule.grant.pattern, index);
    }
    let limits = |rule: &Entry| rule.grant.writes().is_some();
    for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| !limits(rule)) {
        let mut first: Option<(usize, &Entry)> = None;
        tree.for_each_match(&witness(&rule.grant.pattern), &mut |other: &usize| {
            let is_earlier = first.is_none_or(|(first, _)| *other < first);
            let wide = rules.get(*other).filter(|_| is_earlier && *other != index);
            let is_later_twin = |wide: &Entry| *other > index && is_covered(wide, rule);
            if let Some(wide) = wide.filter(|wide| is_covered(rule, wide) && !is_later_twin(wide)) {
                first = Some((*other, wide));
            }
        });
        let Some((_, wide)) = first else { continue };
        if !rule.grant.write.is_empty() || rule.grant.needs().is_some() {
            // Rules on writes and consent hold whatever else is granted.
            continue;
        }
        let restricts = wide.grant.permissions != rule.grant.permissions;
        if restricts || !rule.has_description() {
            few.warning(&rule.path, || words(rule, wide, restricts));
        }
    }
}

fn words(rule: &Entry, wide: &Entry, restricts: bool) -> String {
    let (narrow, place) = (Shown(rule.grant.pattern.as_str()), wide.place());
    let pattern = Shown(wide.grant.pattern.as_str());
    let permissions: Vec<_> = wide.grant.permissions.names().collect();
    let permissions = permissions.join(", ");
    if restricts {
        format!(
            "{narrow} is covered by {pattern} of {place}, which permits {permissions}; rules add up, and this one takes \
             nothing away"
        )
    } else {
        format!(
            "{narrow} is covered by {pattern} of {place} with the same permissions; it adds nothing"
        )
    }
}

/// Whether `wide` has every permission of `narrow`.
fn is_covered(narrow: &Entry, wide: &Entry) -> bool {
    contains(wide.grant.permissions, narrow.grant.permissions)
        && wide.grant.pattern.covers(&narrow.grant.pattern)
}

fn contains(all: Permissions, some: Permissions) -> bool {
    all.and(some) == all
}

/// A topic of the pattern that only patterns with wildcards in the same places or before them match: its wildcard
/// levels contain NUL, which no pattern has.
pub(crate) fn witness(pattern: &TopicFilter) -> String {
    let mut topic = String::new();
    for level in pattern.as_str().split('/') {
        let (level, times) = match level {
            "+" => ("\0", 1),
            "#" => ("\0", MAX_LEVELS),
            literal => (literal, 1),
        };
        for _ in 0..times {
            topic.push_str(level);
            topic.push('/');
        }
    }
    topic.pop();
    topic
}

/// The keys under which MCP clients list their servers.
const CLIENT_KEYS: [&str; 5] = [
    "mcpServers",
    "mcp_servers",
    "servers",
    "context_servers",
    "mcp",
];

/// Settings in which a variable is often meant to be expanded, and the hint for each.
const VARIABLES: [(&str, &str); 19] = [
    ("mqtt.host", NAME),
    ("mqtt.username", NAME),
    ("mqtt.client_id", NAME),
    ("mqtt.password_file", PATH),
    ("mqtt.tls.ca_file", PATH),
    ("mqtt.tls.cert_file", PATH),
    ("mqtt.tls.key_file", PATH),
    ("mqtt.tls.server_name", NAME),
    ("mqtt.will.topic", NAME),
    ("mqtt.birth.topic", NAME),
    ("logging.logfile", PATH),
    ("operator.topic", NAME),
    ("operator.secret_file", PATH),
    ("audit.file", PATH),
    ("remote_server.uds", PATH),
    ("remote_server.host", NAME),
    ("remote_server.tls.cert_file", PATH),
    ("remote_server.tls.key_file", PATH),
    ("remote_server.tls.client_ca_file", PATH),
];

/// The same for settings whose values are not shown.
const SECRETS: [(&str, &str); 2] = [
    (
        "mqtt.password",
        "`password_env` takes the name of a variable",
    ),
    ("remote_server.api_key", "`--genkey` makes a key"),
];

const NAME: &str = "write the value itself";
const PATH: &str = "write the path itself";
/// The number of findings of one kind that are reported singly.
const MAX_NAMED: usize = 10;
