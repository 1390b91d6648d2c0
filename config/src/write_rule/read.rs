//! Reads `topics[].write`.

use mcpmqtt_protocol::topic::TopicFilter;
use serde_json::Value;

use super::{Counts, Effect, MaxChange, Requirement, Shows, Source, WriteLimit, WriteRule};
use crate::condition::{Condition, Op, RawCondition};
use crate::path::Path;
use crate::section::{Section, found};
use crate::topic_template::TopicTemplate;

/// The state of what is written, as `write.state` says it.
struct State {
    source: Source,
    field: Option<Path>,
}

/// Reads the rule of an entry with `pattern`, if it has one.
pub(crate) fn read(entry: &Section<'_>, pattern: Option<&TopicFilter>) -> Option<WriteRule> {
    entry.value("write")?;
    let section = entry.section("write");
    // A fault of the pattern is reported where it is; the rest is read as if every level could stand in it.
    let pattern = pattern?;
    let place = entry.path_of("write");
    let field = field(&section, "field");
    let state = state(&section, pattern);
    let mut limits = requirements(&section, pattern);
    limits.extend(max_change(&section, field.as_ref(), state.as_ref()));
    if section.value("min_interval").is_some() {
        let least = section.seconds("min_interval", 0.001..=A_DAY, 1.0);
        limits.push(WriteLimit::MinInterval(least));
    }
    if section.value("max_per_minute").is_some() {
        let most = section.whole("max_per_minute", 1..=MOST_PER_MINUTE, 1);
        limits.push(WriteLimit::MaxPerMinute(most));
    }
    limits.extend(confirm(&section, field.as_ref(), state.as_ref()));
    let uses_state =
        |limit: &WriteLimit| matches!(limit, WriteLimit::MaxChange(_) | WriteLimit::Confirm(_));
    if state.is_some() && !limits.iter().any(uses_state) {
        section.warn(
            "state",
            "is used by `max_change` and `confirm`, and neither is given",
        );
    }
    section.finish_strictly();
    (!limits.is_empty()).then_some(WriteRule { place, limits })
}

fn state(section: &Section<'_>, pattern: &TopicFilter) -> Option<State> {
    section.value("state")?;
    let state = section.section("state");
    let source = source(&state, pattern);
    let field = field(&state, "field");
    state.finish_strictly();
    Some(State {
        source: source?,
        field,
    })
}

/// The topic of a state or a requirement, and which of its values count.
fn source(section: &Section<'_>, pattern: &TopicFilter) -> Option<Source> {
    let topic = match section.value("topic") {
        None => {
            section.problem("topic", format!("is missing; allowed: {TOPIC}"));
            None
        }
        Some(Value::String(text)) => match TopicTemplate::parse(text, pattern) {
            Ok(topic) => Some(topic),
            Err(why) => {
                section.problem("topic", why);
                None
            }
        },
        Some(other) => {
            section.refuse("topic", other, TOPIC);
            None
        }
    };
    let max_age = section.value("max_age");
    let age = section.seconds("max_age", 0.1..=A_DAY, DEFAULT_AGE);
    let counts = match (section.flag("retained", false), max_age) {
        (false, _) => Counts::Live(age),
        (true, None) => Counts::Last,
        (true, Some(_)) => {
            section.problem(
                "max_age",
                "cannot be given with `retained`: no broker tells the age of a retained value",
            );
            Counts::Last
        }
    };
    Some(Source {
        topic: topic?,
        counts,
    })
}

fn requirements(section: &Section<'_>, pattern: &TopicFilter) -> Vec<WriteLimit> {
    let list = match section.value("requires") {
        None => return Vec::new(),
        Some(Value::Array(list)) => list,
        Some(other) => {
            section.refuse("requires", other, "a list of objects");
            return Vec::new();
        }
    };
    if list.len() > MOST_REQUIRED {
        let fault = format!("has {} entries; at most {MOST_REQUIRED}", list.len());
        section.problem("requires", fault);
        return Vec::new();
    }
    let path = section.path_of("requires");
    let mut limits = Vec::new();
    for (n, value) in list.iter().enumerate() {
        let entry = Section::new(format!("{path}[{n}]"), Some(value), section.report());
        let source = source(&entry, pattern);
        let field = entry.text("field").map(str::to_owned);
        let condition = condition(&entry, field);
        entry.finish_strictly();
        if let (Some(source), Some(condition)) = (source, condition) {
            limits.push(WriteLimit::Requires(Requirement { source, condition }));
        }
    }
    limits
}

fn max_change(
    section: &Section<'_>,
    field: Option<&Path>,
    state: Option<&State>,
) -> Option<WriteLimit> {
    let may_be_unknown = match section.text("if_unknown") {
        None | Some("refuse") => false,
        Some("allow") => true,
        Some(other) => {
            section.refuse("if_unknown", &Value::from(other), "`refuse`, `allow`");
            false
        }
    };
    let Some(value) = section.value("max_change") else {
        if section.value("if_unknown").is_some() {
            section.warn("if_unknown", "is used by `max_change`, which is not given");
        }
        return None;
    };
    let Some(most) = value.as_f64().filter(|most| *most > 0.0) else {
        section.refuse("max_change", value, "a number above 0");
        return None;
    };
    if section.value("state").is_none() {
        section.problem("max_change", format!("needs `state`: {STATE}"));
    }
    let state = state?;
    Some(WriteLimit::MaxChange(MaxChange {
        most,
        field: field.cloned(),
        state: state.source.clone(),
        state_field: state.field.clone(),
        may_be_unknown,
    }))
}

fn confirm(
    section: &Section<'_>,
    field: Option<&Path>,
    state: Option<&State>,
) -> Option<WriteLimit> {
    section.value("confirm")?;
    let confirm = section.section("confirm");
    let within = confirm.seconds("within", 0.1..=300.0, 5.0);
    let has_condition = ["op", "value"].map(|key| confirm.value(key).is_some());
    let shows = match has_condition {
        [false, false] => tolerance(&confirm).map(|tolerance| Shows::Written {
            field: field.cloned(),
            state_field: state.and_then(|state| state.field.clone()),
            tolerance,
        }),
        _ => {
            let field = state.and_then(|state| state.field.as_ref());
            condition(&confirm, field.map(ToString::to_string)).map(Shows::Meets)
        }
    };
    confirm.finish_strictly();
    if section.value("state").is_none() {
        section.problem("confirm", format!("needs `state`: {STATE}"));
    }
    Some(WriteLimit::Confirm(Effect {
        state: state?.source.topic.clone(),
        within,
        shows: shows?,
    }))
}

fn tolerance(section: &Section<'_>) -> Option<f64> {
    let Some(value) = section.value("tolerance") else {
        return Some(0.0);
    };
    let tolerance = value.as_f64().filter(|tolerance| *tolerance >= 0.0);
    if tolerance.is_none() {
        section.refuse("tolerance", value, "a number, 0 or more");
    }
    tolerance
}

/// The condition of `op`, `value` and `tolerance` beside `field`.
fn condition(section: &Section<'_>, field: Option<String>) -> Option<Condition> {
    let raw = RawCondition {
        field,
        op: section.text("op").map(str::to_owned),
        value: section.value("value").cloned(),
        tolerance: match section.value("tolerance") {
            None => None,
            Some(_) => Some(tolerance(section)?),
        },
        hold_s: None,
    };
    match Condition::parse(raw) {
        Ok(condition) if condition.op() == Op::Changed => {
            section.problem(
                "op",
                "`changed` compares with a message before; use another",
            );
            None
        }
        Ok(condition) => Some(condition),
        Err(why) => {
            section.problem_of_itself(why);
            None
        }
    }
}

fn field(section: &Section<'_>, key: &'static str) -> Option<Path> {
    let text = section.text(key)?;
    match Path::parse_optional(Some(text)) {
        Ok(path) => path,
        Err(why) => {
            let found = found(&Value::from(text));
            section.problem(key, format!("found {found}: {why}"));
            None
        }
    }
}

const TOPIC: &str = "a topic, in which `{1}` stands for what the pattern's first wildcard matches";
const STATE: &str = "the topic that tells the present value";

const A_DAY: f64 = 86_400.0;
/// The age up to which a live value counts, in seconds.
const DEFAULT_AGE: f64 = 60.0;
const MOST_PER_MINUTE: usize = 600;
const MOST_REQUIRED: usize = 16;
