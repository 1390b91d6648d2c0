//! Reads `topics[].payload`.
//!
//! An unknown key is a fault here, not a warning: a limit that is not understood would not hold.

use mcpmqtt_protocol::topic::disturbs;
use serde_json::{Map, Value};

use super::decimal::{Decimal, MAX_NUMBER};
use super::fault::Wrong;
use super::words::InJson;
use super::{Bound, Choice, Field, Kind, Numbers, PayloadRule, can_be_met};
use crate::section::{Section, found};

/// Reads the rule for a payload; faults are reported.
pub(crate) fn read(section: Section<'_>) -> Option<PayloadRule> {
    read_at(section, Place::Payload)
}

/// What a rule is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Payload,
    Field,
}

fn read_at(section: Section<'_>, place: Place) -> Option<PayloadRule> {
    let kind = match section.text("type") {
        Some("number") => numbers(&section, false),
        Some("integer") => numbers(&section, true),
        Some("boolean") => boolean(&section),
        Some("enum") => choices(&section).map(Kind::Enum),
        Some("text") => Some(Kind::Text {
            max_bytes: max_bytes(&section),
        }),
        Some("object") => object(&section),
        Some(other) => {
            let hint = type_hint(other);
            section.refuse("type", &Value::from(other), &format!("{TYPES}{hint}"));
            return None;
        }
        None if section.value("type").is_none() => {
            section.problem("type", format!("is missing; allowed: {TYPES}"));
            return None;
        }
        None => return None,
    };
    let example = section.value("example");
    let rule = kind.map(|kind| PayloadRule {
        kind,
        example: None,
    });
    let rule = rule.map(|rule| with_example(rule, example, &section, place));
    section.finish_strictly();
    rule
}

/// Adds the example, which the rule has to let through.
fn with_example(
    mut rule: PayloadRule,
    example: Option<&Value>,
    section: &Section<'_>,
    place: Place,
) -> PayloadRule {
    let Some(example) = example else { return rule };
    let text = match (place, example) {
        (Place::Payload, Value::String(text)) => text.clone(),
        (_, value) => value.to_string(),
    };
    let verdict = match place {
        Place::Payload => rule.judge(text.as_bytes()),
        Place::Field => rule.judge_value(&text),
    };
    if let Err(fault) = verdict {
        let text = match &fault.wrong {
            Wrong::Unlike { found, .. } if fault.depth == 0 => found.clone(),
            _ => format!("found {}", found(example)),
        };
        let allowed = match place {
            Place::Payload => rule.to_string(),
            Place::Field => InJson(&rule).to_string(),
        };
        section.problem("example", format!("{text}; allowed: {allowed}"));
    }
    rule.example = Some(text);
    rule
}

fn numbers(section: &Section<'_>, whole: bool) -> Option<Kind> {
    let (min, max) = (bound(section, "min"), bound(section, "max"));
    let unit = section.text("unit").filter(|unit| {
        let is_plain =
            (1..=MAX_UNIT).contains(&unit.chars().count()) && !unit.chars().any(disturbs);
        if !is_plain {
            let allowed = "a short text such as `rpm`, at most 20 characters";
            section.refuse("unit", &Value::from(*unit), allowed);
        }
        is_plain
    });
    let kind = Kind::Number(Numbers {
        whole,
        min,
        max,
        unit: unit.map(str::to_owned),
    });
    let rule = PayloadRule {
        kind,
        example: None,
    };
    if !can_be_met(&[&rule]) {
        let what = match whole {
            true => "no whole number is at least `min` and at most `max`",
            false => "`min` is above `max`",
        };
        section.problem("min", format!("{what}, so that nothing could be published"));
    }
    Some(rule.kind)
}

fn bound(section: &Section<'_>, key: &'static str) -> Option<Bound> {
    let value = section.value(key)?;
    let Value::Number(number) = value else {
        let hint = match value
            .as_str()
            .is_some_and(|text| Decimal::parse(text).is_some())
        {
            true => "; write it without quotes",
            false => "",
        };
        section.refuse(key, value, &format!("a number{hint}"));
        return None;
    };
    let exact = Decimal::parse(&number.to_string());
    if exact.is_none() {
        let allowed = format!("a number of at most {MAX_NUMBER} characters");
        section.refuse(key, value, &allowed);
    }
    Some(Bound {
        number: number.clone(),
        exact: exact?,
    })
}

fn boolean(section: &Section<'_>) -> Option<Kind> {
    let words = (section.text("true"), section.text("false"));
    match words {
        (None, None) => Some(Kind::Boolean(None)),
        (Some(yes), Some(no)) if yes != no => {
            Some(Kind::Boolean(Some([yes.to_owned(), no.to_owned()])))
        }
        (Some(yes), Some(_)) => {
            section.refuse(
                "false",
                &Value::from(yes),
                "another word than that of `true`",
            );
            None
        }
        (yes, _) => {
            let missing = if yes.is_some() { "false" } else { "true" };
            section.problem(missing, "is missing; allowed: a word beside the other one");
            None
        }
    }
}

fn choices(section: &Section<'_>) -> Option<Vec<Choice>> {
    let allowed = "a list of texts and whole numbers";
    let values = match section.value("values") {
        Some(Value::Array(values)) if !values.is_empty() => values,
        Some(Value::Array(_)) => {
            section.problem(
                "values",
                format!("is an empty list, so that nothing could be published; allowed: {allowed}"),
            );
            return None;
        }
        Some(other) => {
            section.refuse("values", other, allowed);
            return None;
        }
        None => {
            section.problem("values", format!("is missing; allowed: {allowed}"));
            return None;
        }
    };
    let mut choices = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let path = format!("{}[{index}]", section.path_of("values"));
        let choice = match value {
            Value::String(text) => Choice::Text(text.clone()),
            Value::Number(number) if number.as_i64().is_some() => {
                Choice::Whole(number.as_i64().unwrap_or_default())
            }
            other => {
                let text = format!("found {}; allowed: a text or a whole number", found(other));
                section.report().problem(path, text);
                continue;
            }
        };
        match choices.contains(&choice) {
            true => section
                .report()
                .warning(path, format!("{} is given twice", found(value))),
            false => choices.push(choice),
        }
    }
    Some(choices)
}

fn max_bytes(section: &Section<'_>) -> Option<usize> {
    section.value("max_bytes")?;
    Some(section.whole("max_bytes", 1..=MAX_TEXT, MAX_TEXT))
}

fn object(section: &Section<'_>) -> Option<Kind> {
    let fields = match section.value("fields") {
        Some(Value::Object(fields)) => read_fields(section, fields),
        Some(other) => {
            section.refuse("fields", other, FIELDS);
            return None;
        }
        None => {
            section.problem("fields", format!("is missing; allowed: {FIELDS}"));
            return None;
        }
    };
    required(section, fields?).map(Kind::Object)
}

/// The fields, none of them required yet.
fn read_fields(section: &Section<'_>, fields: &Map<String, Value>) -> Option<Vec<Field>> {
    let path = section.path_of("fields");
    let read = fields.iter().map(|(name, value)| {
        let path = crate::section::join(&path, name);
        let rule = match value {
            Value::Object(_) => read_at(
                Section::new(path, Some(value), section.report()),
                Place::Field,
            ),
            other => {
                let text = format!("found {}; allowed: an object with `type`", found(other));
                section.report().problem(path, text);
                None
            }
        };
        rule.map(|rule| Field {
            name: name.clone(),
            required: false,
            rule,
        })
    });
    // All are read, so that the faults of all are told.
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

/// Marks the fields that the list `required` names.
fn required(section: &Section<'_>, mut fields: Vec<Field>) -> Option<Vec<Field>> {
    let names = match section.value("required") {
        None => return Some(fields),
        Some(Value::Array(names)) => names,
        Some(other) => {
            section.refuse("required", other, "a list of names of `fields`");
            return None;
        }
    };
    for (index, name) in names.iter().enumerate() {
        let field = fields
            .iter_mut()
            .find(|field| name.as_str() == Some(field.name.as_str()));
        match field {
            Some(field) => field.required = true,
            None => {
                let path = format!("{}[{index}]", section.path_of("required"));
                let text = format!("found {}; allowed: a name of `fields`", found(name));
                section.report().problem(path, text);
            }
        }
    }
    Some(fields)
}

/// The type that `word` stands for in other programs.
fn type_hint(word: &str) -> String {
    let meant = match word.to_ascii_lowercase().as_str() {
        "float" | "double" | "decimal" | "real" | "numeric" | "num" => "number",
        "int" | "long" | "whole" => "integer",
        "bool" | "flag" | "switch" => "boolean",
        "choice" | "choices" | "select" | "oneof" | "const" => "enum",
        "string" | "str" => "text",
        "json" | "dict" | "map" | "struct" => "object",
        lower => match ["number", "integer", "boolean", "enum", "text", "object"]
            .into_iter()
            .find(|name| *name == lower)
        {
            Some(name) => name,
            None => return String::new(),
        },
    };
    format!("; did you mean `{meant}`?")
}

const TYPES: &str = "`number`, `integer`, `boolean`, `enum`, `text` or `object`";
const FIELDS: &str = "an object of fields, each with its `type`";
const MAX_UNIT: usize = 20;
/// The longest text: what one MQTT packet can carry (§2.2.3).
const MAX_TEXT: usize = 268_435_455;
