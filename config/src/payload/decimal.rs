//! Exact decimal numbers, as they are written in JSON.
//!
//! Promises: a comparison is exact, whatever the number of digits; what a reader with doubles understands is never
//! beyond a limit that the exact number keeps, because rounding to the nearest double keeps the order.

use std::cmp::Ordering;

/// A number of RFC 8259 §6: `±0.DIGITS × 10^point`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Without zeros at either end; none for zero.
    digits: String,
    point: i64,
    form: Form,
}

/// How a number is written, which other readers than those of JSON mind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    /// A fraction, or an exponent.
    pub(super) fraction: bool,
    pub(super) exponent: bool,
}

impl Decimal {
    /// Reads a number of at most [`MAX_NUMBER`] bytes, with nothing around it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_NUMBER {
            return None;
        }
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (rest, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let leads_with_zero = whole.len() > 1 && whole.starts_with('0');
        if !is_digits(whole) || leads_with_zero || !fraction.is_none_or(is_digits) {
            return None;
        }
        let shift = exponent.map_or(Some(0), shift)?;
        let all = [whole, fraction.unwrap_or_default()].concat();
        let significant = all.trim_start_matches('0');
        let zeros = all.len() - significant.len();
        let digits = significant.trim_end_matches('0').to_owned();
        let point = signed(whole.len()) - signed(zeros) + shift;
        Some(Self {
            negative,
            point: if digits.is_empty() { 0 } else { point },
            digits,
            form: Form {
                fraction: fraction.is_some() || exponent.is_some(),
                exponent: exponent.is_some(),
            },
        })
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Zero with a minus, which some readers take for a direction.
    pub(super) fn is_negative_zero(&self) -> bool {
        self.negative && self.digits.is_empty()
    }

    /// Whether the number has no fraction, however it is written.
    pub(super) fn is_whole(&self) -> bool {
        signed(self.digits.len()) <= self.point || self.digits.is_empty()
    }

    /// The order of the values.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size = || {
            let digits = || self.digits.cmp(&other.digits);
            self.point.cmp(&other.point).then_with(digits)
        };
        match sign(self).cmp(&sign(other)) {
            Ordering::Equal if sign(self) < 0 => size().reverse(),
            Ordering::Equal if sign(self) > 0 => size(),
            unequal => unequal,
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn shift(exponent: &str) -> Option<i64> {
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if !is_digits(digits) {
        return None;
    }
    // A larger one only matters by its sign: no number here has so many digits.
    let size = digits.parse::<i64>().unwrap_or(HUGE).min(HUGE);
    Some(if exponent.starts_with('-') {
        -size
    } else {
        size
    })
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(HUGE)
}

/// The longest number that is read, in bytes; no double needs more than 25.
pub(super) const MAX_NUMBER: usize = 64;
const HUGE: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn order(a: &str, b: &str) -> Ordering {
        Decimal::parse(a)
            .unwrap()
            .order(&Decimal::parse(b).unwrap())
    }

    #[test]
    fn numbers_are_those_of_json_and_no_others() {
        for text in [
            "0",
            "-0",
            "1",
            "-12",
            "0.5",
            "10.50",
            "1e3",
            "1E+3",
            "1.5e-3",
            "0e0",
            "1e400",
            "9007199254740993",
        ] {
            assert!(Decimal::parse(text).is_some(), "{text}");
        }
        let long = "1".repeat(65);
        for text in [
            "", "-", "+1", "01", "-01", "00", ".5", "5.", "1,5", "1_000", "0x10", " 1", "1 ",
            "1\n", "NaN", "nan", "Infinity", "-inf", "1e", "1e+", "e3", "1e1.5", "1.2.3", "--1",
            "1-", "١", "1e-", "½", &long,
        ] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
        assert!(Decimal::parse(&"1".repeat(64)).is_some());
    }

    #[test]
    fn the_order_is_exact() {
        let ascending = [
            "-1e400",
            "-1e20",
            "-2000.5",
            "-2000",
            "-0.30000000000000004",
            "-0.3",
            "-1e-400",
            "0",
            "1e-400",
            "0.1",
            "0.29999999999999999999",
            "0.3",
            "0.30000000000000000000001",
            "0.30000000000000004",
            "1",
            "1.5",
            "9",
            "10",
            "10.01",
            "1999.9999999999999999999999",
            "2000",
            "2000.0000000000000000000001",
            "9007199254740992",
            "9007199254740993",
            "1e20",
            "1e400",
            "1e999999999999999999999",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(order(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        for (a, b) in [
            ("0", "-0"),
            ("0", "0.000e9"),
            ("-0.0", "0"),
            ("1", "1.000"),
            ("100", "1e2"),
            ("0.001", "1e-3"),
            ("1.50", "15e-1"),
        ] {
            assert_eq!(order(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    #[test]
    fn whole_numbers_are_told_by_their_value() {
        for (text, whole) in [
            ("0", true),
            ("5", true),
            ("5.0", true),
            ("5.5", false),
            ("1e3", true),
            ("1.5e1", true),
            ("1.55e1", false),
            ("1e-1", false),
            ("100", true),
        ] {
            assert_eq!(Decimal::parse(text).unwrap().is_whole(), whole, "{text}");
        }
    }
}
