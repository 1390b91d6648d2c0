//! Whether rules can be met together, and whether one lets nothing through that another refuses.
//!
//! Both answers are safe for warnings: where it is not certain, rules can be met, and none includes another.

use std::cmp::Ordering;

use serde_json::Value;

use super::decimal::MAX_NUMBER;
use super::{Bound, Choice, Field, Kind, Numbers, PayloadRule};

/// Whether some payload meets all `rules`.
pub(crate) fn can_be_met(rules: &[&PayloadRule]) -> bool {
    can_all_be_met(rules, Place::Payload)
}

/// Whether every payload that `narrow` lets through passes `wide`, too.
pub(crate) fn includes(wide: &PayloadRule, narrow: &PayloadRule) -> bool {
    is_included(narrow, wide, Place::Payload)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Payload,
    Field,
}

fn can_all_be_met(rules: &[&PayloadRule], place: Place) -> bool {
    // A rule with few values is tried with each of them.
    if let Some(values) = rules.iter().find_map(|rule| rule.kind.values(place)) {
        let passes_all = |value: &String| rules.iter().all(|rule| passes(rule, value, place));
        return values.iter().any(passes_all);
    }
    let (mut numbers, mut objects, mut has_text) = (Vec::new(), Vec::new(), false);
    for rule in rules {
        match &rule.kind {
            Kind::Number(of_rule) => numbers.push(of_rule),
            Kind::Object(fields) => objects.push(fields.as_slice()),
            Kind::Text { .. } => has_text = true,
            Kind::Boolean(_) | Kind::Enum(_) => {}
        }
    }
    let kinds = [!numbers.is_empty(), !objects.is_empty()];
    // As a payload a number or an object is a text as well, in a field it is not.
    let has_two_kinds =
        kinds == [true, true] || (has_text && place == Place::Field && kinds.contains(&true));
    !has_two_kinds && can_numbers_be_met(&numbers) && can_objects_be_met(&objects)
}

/// Whether some number is within all ranges.
fn can_numbers_be_met(numbers: &[&Numbers]) -> bool {
    let least = numbers
        .iter()
        .filter_map(|it| it.min.as_ref())
        .max_by(|a, b| a.order(b));
    let most = numbers
        .iter()
        .filter_map(|it| it.max.as_ref())
        .min_by(|a, b| a.order(b));
    let (Some(least), Some(most)) = (least, most) else {
        return true;
    };
    match least.order(most) {
        Ordering::Greater => false,
        Ordering::Equal => least.exact.is_whole() || numbers.iter().all(|it| !it.whole),
        Ordering::Less if numbers.iter().any(|it| it.whole) => holds_a_whole_number(least, most),
        Ordering::Less => true,
    }
}

/// Whether there is a whole number between two limits, or at one of them.
fn holds_a_whole_number(least: &Bound, most: &Bound) -> bool {
    if least.exact.is_whole() || most.exact.is_whole() {
        return true;
    }
    let up = |bound: &Bound| bound.number.as_f64().map(f64::ceil);
    // Two numbers without a whole one between them are rounded up to the same.
    up(least) != up(most)
}

/// Whether some object meets all rules: each field that one requires is known to all, and can be met.
fn can_objects_be_met(objects: &[&[Field]]) -> bool {
    let required = objects
        .iter()
        .copied()
        .flatten()
        .filter(|field| field.required);
    required.into_iter().all(|field| {
        let same = objects.iter().map(|fields| find(fields, &field.name));
        let rules: Option<Vec<_>> = same.map(|same| same.map(|same| &same.rule)).collect();
        rules.is_some_and(|rules| can_all_be_met(&rules, Place::Field))
    })
}

fn is_included(narrow: &PayloadRule, wide: &PayloadRule, place: Place) -> bool {
    if let Some(values) = narrow.kind.values(place) {
        return values.iter().all(|value| passes(wide, value, place));
    }
    match (&narrow.kind, &wide.kind) {
        (Kind::Number(narrow), Kind::Number(wide)) => {
            (narrow.whole || !wide.whole)
                && is_within(narrow.min.as_ref(), wide.min.as_ref(), Ordering::is_ge)
                && is_within(narrow.max.as_ref(), wide.max.as_ref(), Ordering::is_le)
        }
        (Kind::Number(_), Kind::Text { max_bytes }) => {
            place == Place::Payload && max_bytes.is_none_or(|max| max >= MAX_NUMBER)
        }
        (Kind::Text { max_bytes: narrow }, Kind::Text { max_bytes: wide }) => {
            match (narrow, wide) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(narrow), Some(wide)) => narrow <= wide,
            }
        }
        (Kind::Object(_), Kind::Text { max_bytes: None }) => place == Place::Payload,
        (Kind::Object(narrow), Kind::Object(wide)) => is_object_included(narrow, wide),
        _ => false,
    }
}

fn is_object_included(narrow: &[Field], wide: &[Field]) -> bool {
    let fits = |field: &Field| {
        find(wide, &field.name)
            .is_some_and(|same| is_included(&field.rule, &same.rule, Place::Field))
    };
    let is_given = |name: &str| find(narrow, name).is_some_and(|field| field.required);
    narrow.iter().all(fits)
        && wide
            .iter()
            .filter(|field| field.required)
            .all(|field| is_given(&field.name))
}

/// Whether a limit of the narrow rule is as tight as that of the wide one.
fn is_within(narrow: Option<&Bound>, wide: Option<&Bound>, fits: fn(Ordering) -> bool) -> bool {
    match (narrow, wide) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(narrow), Some(wide)) => fits(narrow.order(wide)),
    }
}

fn find<'f>(fields: &'f [Field], name: &str) -> Option<&'f Field> {
    fields.iter().find(|field| field.name == name)
}

fn passes(rule: &PayloadRule, value: &str, place: Place) -> bool {
    match place {
        Place::Payload => rule.judge(value.as_bytes()).is_ok(),
        Place::Field => rule.judge_value(value).is_ok(),
    }
}

impl Kind {
    /// All that passes, as it is written, where that is a few values.
    fn values(&self, place: Place) -> Option<Vec<String>> {
        let text = |text: &String| match place {
            Place::Payload => text.clone(),
            Place::Field => Value::from(text.as_str()).to_string(),
        };
        match self {
            Self::Boolean(None) => Some(vec!["true".to_owned(), "false".to_owned()]),
            Self::Boolean(Some(words)) => Some(words.iter().map(text).collect()),
            Self::Enum(choices) => {
                let written = choices.iter().map(|choice| match choice {
                    Choice::Text(choice) => text(choice),
                    Choice::Whole(choice) => choice.to_string(),
                });
                Some(written.collect())
            }
            Self::Number(_) | Self::Text { .. } | Self::Object(_) => None,
        }
    }
}

impl Bound {
    fn order(&self, other: &Self) -> Ordering {
        self.exact.order(&other.exact)
    }
}
