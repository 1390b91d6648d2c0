//! The verdict on a payload.

use std::cmp::Ordering;

use super::decimal::Decimal;
use super::fault::{Side, Wrong, shown};
use super::{Bound, Choice, Field, Kind, Numbers, PayloadFault, PayloadRule, members};

type Verdict<'r> = Result<(), PayloadFault<'r>>;

impl PayloadRule {
    /// Whether the rule lets `payload` through.
    #[must_use]
    pub fn permits(&self, payload: &[u8]) -> bool {
        self.judge(payload).is_ok()
    }

    /// Judges the payload of a message.
    pub(crate) fn judge(&self, payload: &[u8]) -> Verdict<'_> {
        let unlike = |what: &str| self.unlike(format!("{} is {what}", shown(payload)));
        let Ok(text) = std::str::from_utf8(payload) else {
            return Err(unlike(self.kind.not_one()));
        };
        match &self.kind {
            Kind::Number(numbers) => self.number(numbers, text, Place::Payload),
            Kind::Boolean(None) if LITERALS.contains(&text) => Ok(()),
            Kind::Boolean(Some(words)) if as_texts(words).contains(&text) => Ok(()),
            Kind::Enum(choices) if choices.iter().any(|choice| choice.is_payload(text)) => Ok(()),
            Kind::Boolean(_) | Kind::Enum(_) => Err(unlike(self.kind.not_one())),
            Kind::Text { max_bytes } => self.text(*max_bytes, text),
            Kind::Object(fields) => match members::of_text(text) {
                Ok(members) => self.object(fields, members),
                Err(why) => Err(unlike(&why)),
            },
        }
    }

    /// Judges the value of a field, as it is written in JSON that is known to be valid.
    pub(super) fn judge_value(&self, value: &str) -> Verdict<'_> {
        let unlike = |what: &str| self.unlike(format!("{} is {what}", shown(value.as_bytes())));
        match &self.kind {
            Kind::Number(numbers) => self.number(numbers, value, Place::Field),
            Kind::Boolean(None) if LITERALS.contains(&value) => Ok(()),
            Kind::Boolean(Some(words)) if is_string_of(value, &as_texts(words)) => Ok(()),
            Kind::Enum(choices) if choices.iter().any(|choice| choice.is_value(value)) => Ok(()),
            Kind::Boolean(_) | Kind::Enum(_) => Err(unlike(self.kind.not_one())),
            Kind::Text { max_bytes } => match members::string(value) {
                Some(text) => self.text(*max_bytes, &text),
                None => Err(unlike("not a string")),
            },
            Kind::Object(fields) => match members::of_value(value) {
                Some(members) => self.object(fields, members),
                None => Err(unlike(self.kind.not_one())),
            },
        }
    }

    fn number<'r>(&'r self, numbers: &'r Numbers, text: &str, place: Place) -> Verdict<'r> {
        let unlike = |hint: &str| {
            let what = self.kind.not_one();
            let hint = match hint.is_empty() {
                true => String::new(),
                false => format!(" ({hint})"),
            };
            self.unlike(format!("{} is {what}{hint}", shown(text.as_bytes())))
        };
        let number = Decimal::parse(text).ok_or_else(|| unlike(hint(text)))?;
        if let Some(doubt) = numbers.doubt(&number, place) {
            return Err(unlike(doubt));
        }
        if let Some((bound, side)) = numbers.passed(&number) {
            return Err(PayloadFault::new(Wrong::Beyond {
                found: text.to_owned(),
                bound,
                unit: numbers.unit.as_deref(),
                side,
            }));
        }
        let is_held = match numbers.whole {
            true => text.parse::<i64>().is_ok(),
            false => text.parse::<f64>().is_ok_and(f64::is_finite),
        };
        match is_held {
            true => Ok(()),
            false => Err(unlike("it is too large for devices to hold")),
        }
    }

    fn text(&self, max_bytes: Option<usize>, text: &str) -> Verdict<'_> {
        match max_bytes {
            Some(max) if text.len() > max => {
                Err(self.unlike(format!("{} bytes are more than {max}", text.len())))
            }
            _ => Ok(()),
        }
    }

    fn object<'r>(&'r self, fields: &'r [Field], members: members::Members<'_>) -> Verdict<'r> {
        let mut given = vec![false; fields.len()];
        for member in members {
            let (name, value) = match member {
                Ok(member) => member,
                Err(name) => {
                    let wrong = Wrong::Unknown { rule: self };
                    return Err(PayloadFault::new(wrong).inside(&name));
                }
            };
            let known = fields
                .iter()
                .zip(&mut given)
                .find(|(field, _)| field.name == name);
            let verdict = match known {
                None => Err(PayloadFault::new(Wrong::Unknown { rule: self })),
                Some((_, true)) => Err(PayloadFault::new(Wrong::Twice)),
                Some((field, given)) => {
                    *given = true;
                    field.rule.judge_value(value)
                }
            };
            verdict.map_err(|fault| fault.inside(&name))?;
        }
        let mut fields = fields.iter().zip(given);
        match fields.find(|(field, given)| field.required && !given) {
            None => Ok(()),
            Some((field, _)) => {
                Err(PayloadFault::new(Wrong::Missing { rule: self }).inside(&field.name))
            }
        }
    }

    fn unlike(&self, found: String) -> PayloadFault<'_> {
        PayloadFault::new(Wrong::Unlike { found, rule: self })
    }
}

/// Where a value stands. In a JSON object a device reads it with a reader of JSON; alone with whatever it has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Payload,
    Field,
}

impl Numbers {
    /// Why some readers would not understand a number that is written so.
    fn doubt(&self, number: &Decimal, place: Place) -> Option<&'static str> {
        let form = number.form();
        if number.is_negative_zero() {
            Some("write `0`")
        } else if form.exponent && place == Place::Payload {
            Some("write it without an exponent, which not every device reads")
        } else if form.fraction && self.whole {
            Some("write it without a fraction or an exponent")
        } else {
            None
        }
    }

    /// The limit that a number is beyond.
    fn passed(&self, number: &Decimal) -> Option<(&Bound, Side)> {
        let is = |bound: &&Bound, order| number.order(&bound.exact) == order;
        let above = self.max.as_ref().filter(|max| is(max, Ordering::Greater));
        let below = self.min.as_ref().filter(|min| is(min, Ordering::Less));
        let below = || below.map(|min| (min, Side::Below));
        above.map(|max| (max, Side::Above)).or_else(below)
    }
}

impl Kind {
    /// What a payload is that is not of this kind.
    fn not_one(&self) -> &'static str {
        match self {
            Self::Number(Numbers { whole: true, .. }) => "not a whole number",
            Self::Number(Numbers { whole: false, .. }) => "not a number",
            Self::Boolean(_) | Self::Enum(_) => "not permitted",
            Self::Text { .. } => "not text",
            Self::Object(_) => "not a JSON object",
        }
    }
}

impl Choice {
    fn is_payload(&self, text: &str) -> bool {
        match self {
            Self::Text(choice) => choice == text,
            Self::Whole(choice) => choice.to_string() == text,
        }
    }

    fn is_value(&self, value: &str) -> bool {
        match self {
            Self::Text(choice) => is_string_of(value, &[choice]),
            Self::Whole(choice) => choice.to_string() == value,
        }
    }
}

fn is_string_of(value: &str, texts: &[&str]) -> bool {
    members::string(value).is_some_and(|text| texts.contains(&&*text))
}

fn as_texts(words: &[String; 2]) -> [&str; 2] {
    words.each_ref().map(String::as_str)
}

/// What is wrong with a text that is not a number of JSON, if it can be told.
fn hint(text: &str) -> &'static str {
    let bare = text.trim();
    let is_number = |text: &str| Decimal::parse(text).is_some();
    if text.len() > super::decimal::MAX_NUMBER {
        "it is too long"
    } else if bare.len() < text.len() && is_number(bare) {
        "leave out the white space around it"
    } else if is_number(bare.trim_matches(['"', '\''])) {
        "leave out the quotation marks"
    } else if is_number(&bare.replacen(',', ".", 1)) {
        "write no comma; the decimal point is `.`"
    } else if is_number(bare.trim_start_matches('+')) {
        "leave out the plus"
    } else if is_number(bare.trim_start_matches("-0")) || is_number(bare.trim_start_matches('0')) {
        "leave out the leading zeros"
    } else if bare.ends_with('.') || bare.trim_start_matches('-').starts_with('.') {
        "write digits on both sides of the decimal point"
    } else if number_before_a_word(bare) {
        "write the number alone"
    } else {
        ""
    }
}

/// Whether the text is a number with something behind it, as `20 rpm`.
fn number_before_a_word(text: &str) -> bool {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-')));
    let number = end.and_then(|end| text.get(..end)).unwrap_or_default();
    Decimal::parse(number).is_some()
}

/// True and false, without words of the file.
const LITERALS: [&str; 2] = ["true", "false"];
