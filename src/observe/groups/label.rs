//! The inner structure of one level of a topic: text, numbers and identifiers.

use std::cmp::Ordering;

/// A piece of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    /// Anything else.
    Text(&'a str),
    /// Decimal digits.
    Number(&'a str),
    /// A hexadecimal or other generated identifier, such as a MAC address.
    Id(&'a str),
}

/// What two levels have in common when they differ in nothing but numbers and identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Equal for equal shapes.
    pub(super) hash: u64,
    /// Whether the level has a number or an identifier at all.
    pub(super) varies: bool,
}

/// The shape of a level.
pub(super) fn shape(label: &str) -> Shape {
    let mut hash = Hash::new();
    let mut varies = false;
    for segment in segments(label) {
        match segment {
            Segment::Text(text) => hash.text(text),
            // Bytes that UTF-8 has not.
            Segment::Number(_) => hash.byte(0xFF),
            Segment::Id(_) => hash.byte(0xFE),
        }
        varies |= !matches!(segment, Segment::Text(_));
    }
    let hash = hash.0;
    Shape { hash, varies }
}

/// FNV-1a: the same in every run, so that equal plants get equal answers.
pub(super) struct Hash(pub(super) u64);

impl Hash {
    pub(super) fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }

    pub(super) fn text(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.byte(byte));
    }

    pub(super) fn of(text: &str) -> u64 {
        let mut hash = Self::new();
        hash.text(text);
        hash.0
    }
}

/// The pieces of a level in order. Two adjacent texts are possible.
pub(super) fn segments(label: &str) -> impl Iterator<Item = Segment<'_>> {
    let mut rest = label;
    // The end of the word that is being taken apart, as the length of what follows it.
    let mut after_word = label.len();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if rest.len() <= after_word {
            let (separators, tail) = cut(rest, word_start(rest));
            if !separators.is_empty() {
                (rest, after_word) = (tail, tail.len());
                return Some(Segment::Text(separators));
            }
            if let Some(length) = id_length(rest) {
                let (id, tail) = cut(rest, length);
                (rest, after_word) = (tail, tail.len());
                return Some(Segment::Id(id));
            }
            after_word = rest.len() - word_end(rest);
        }
        let word = rest.get(..rest.len() - after_word).unwrap_or(rest);
        let digits = word.starts_with(|c: char| c.is_ascii_digit());
        let end = word
            .find(|c: char| c.is_ascii_digit() != digits)
            .unwrap_or(word.len());
        let (piece, tail) = cut(rest, end);
        rest = tail;
        Some(match digits {
            true => Segment::Number(piece),
            false => Segment::Text(piece),
        })
    })
}

/// The words of a level in lower and upper case as written: runs of letters, split where lower case is followed by
/// upper case, and runs of digits.
pub(super) fn tokens(label: &str) -> impl Iterator<Item = &str> {
    let mut rest = label;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        let mut chars = rest.char_indices();
        let (_, mut before) = chars.next()?;
        let end = chars
            .find(|&(_, c)| {
                let ends = !c.is_alphanumeric()
                    || c.is_numeric() != before.is_numeric()
                    || (before.is_lowercase() && c.is_uppercase());
                before = c;
                ends
            })
            .map_or(rest.len(), |(at, _)| at);
        let (token, tail) = cut(rest, end);
        rest = tail;
        Some(token)
    })
}

/// The order in which people sort levels: numbers by value. Different texts are never equal.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let equal = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let before = a.bytes().take(equal).rev();
    let start = equal - before.take_while(u8::is_ascii_digit).count();
    let number = |text| {
        let rest = cut(text, start).1;
        let end = rest.find(|c: char| !c.is_ascii_digit());
        cut(rest, end.unwrap_or(rest.len())).0
    };
    match (number(a), number(b)) {
        ("", _) | (_, "") => a.cmp(b),
        (x, y) => {
            let (p, q) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            let by_value = (p.len(), p).cmp(&(q.len(), q));
            by_value.then(x.len().cmp(&y.len())).then_with(|| a.cmp(b))
        }
    }
}

/// The length of the identifier that `text` starts with. `text` starts with a word.
fn id_length(text: &str) -> Option<usize> {
    let end = word_end(text);
    let (word, _) = cut(text, end);
    if let Some(length) = joined_hex(text) {
        return Some(length);
    }
    let hex = word.strip_prefix("0x").unwrap_or(word);
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let has_digit = hex.bytes().any(|byte| byte.is_ascii_digit());
    let prefixed = hex.len() < word.len() && hex.len() >= 2;
    let id = (is_hex && (prefixed || (hex.len() >= 6 && has_digit)))
        || (word.len() >= 6 && switches(word) >= 4);
    id.then_some(end)
}

/// Whether a word can be a hexadecimal identifier of which there are many.
pub(super) fn is_hex(word: &str) -> bool {
    word.len() >= 4 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a word has both letters and digits.
pub(super) fn is_mixed(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    digits > 0 && digits < word.len()
}

/// The length of a UUID, a MAC address and the like: at least four hexadecimal words, joined by the same `-` or `:`.
fn joined_hex(text: &str) -> Option<usize> {
    let separator = text.get(word_end(text)..)?.chars().next()?;
    if !matches!(separator, '-' | ':') {
        return None;
    }
    let (mut length, mut words, mut digits, mut decimal) = (0, 0, 0, false);
    // No more, so that a long label does not cost the square of its length.
    for word in text.split(separator).take(16) {
        let end = word_end(word);
        let (part, rest) = cut(word, end);
        if part.len() < 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            break;
        }
        length += part.len() + usize::from(words > 0);
        words += 1;
        digits += part.len();
        decimal |= part.bytes().any(|byte| byte.is_ascii_digit());
        if !rest.is_empty() {
            break;
        }
    }
    (words >= 4 && digits >= 8 && decimal).then_some(length)
}

/// How often letters and digits take turns.
fn switches(word: &str) -> usize {
    let digit = |byte: u8| byte.is_ascii_digit();
    let bytes = word.bytes();
    bytes
        .clone()
        .zip(bytes.skip(1))
        .filter(|&(a, b)| digit(a) != digit(b))
        .count()
}

fn word_start(text: &str) -> usize {
    text.find(|c: char| c.is_ascii_alphanumeric())
        .unwrap_or(text.len())
}

fn word_end(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(text.len())
}

/// `text` before and after `at`.
pub(super) fn cut(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_of_labels() {
        use Segment::{Id, Number, Text};
        let cases: [(&str, &[Segment<'_>]); 12] = [
            ("", &[]),
            ("hall", &[Text("hall")]),
            ("motor12", &[Text("motor"), Number("12")]),
            (
                "line1motor2",
                &[Text("line"), Number("1"), Text("motor"), Number("2")],
            ),
            ("gw-00a1f3", &[Text("gw"), Text("-"), Id("00a1f3")]),
            ("0x00158d0001a2b3c4", &[Id("0x00158d0001a2b3c4")]),
            ("aa:bb:cc:dd:ee:0f", &[Id("aa:bb:cc:dd:ee:0f")]),
            (
                "123e4567-e89b-12d3-a456-426614174000",
                &[Id("123e4567-e89b-12d3-a456-426614174000")],
            ),
            (
                "2026-11-28",
                &[
                    Number("2026"),
                    Text("-"),
                    Number("11"),
                    Text("-"),
                    Number("28"),
                ],
            ),
            ("K3F9Q2", &[Id("K3F9Q2")]),
            (
                "küche 1",
                &[Text("k"), Text("ü"), Text("che"), Text(" "), Number("1")],
            ),
            ("facade", &[Text("facade")]),
        ];
        for (label, want) in cases {
            assert_eq!(segments(label).collect::<Vec<_>>(), want, "{label}");
        }
    }

    #[test]
    fn shapes_are_equal_when_only_numbers_and_ids_differ() {
        assert_eq!(shape("motor1"), shape("motor27"));
        assert_eq!(shape("gw-00a1f3"), shape("gw-ffe901"));
        assert_ne!(shape("motor1").hash, shape("pump1").hash);
        assert_ne!(shape("a1").hash, shape("a").hash);
        assert!(!shape("hall").varies);
    }

    #[test]
    fn tokens_of_labels() {
        let cases: [(&str, &[&str]); 5] = [
            ("kitchen_temperature", &["kitchen", "temperature"]),
            ("kitchenTemperature2", &["kitchen", "Temperature", "2"]),
            ("--", &[]),
            ("küche.ist", &["küche", "ist"]),
            ("STATE", &["STATE"]),
        ];
        for (label, want) in cases {
            assert_eq!(tokens(label).collect::<Vec<_>>(), want, "{label}");
        }
    }
}
