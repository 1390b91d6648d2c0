//! What one payload is.

use serde_json::Value;

/// The longest text that counts as a word.
const LONGEST_WORD: usize = 32;
/// Longer JSON texts are not parsed for their fields.
const LONGEST_JSON: usize = 16 * 1024;

/// The format of an image, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// GIF.
    Gif,
    /// WebP.
    Webp,
}

/// What one payload is.
#[derive(Debug, PartialEq)]
pub(in crate::observe) enum Found<'a> {
    Empty,
    Number {
        value: f64,
        integer: bool,
    },
    Word(&'a str),
    Text,
    /// Without a value if the text is too long to be parsed.
    Json(Option<Value>),
    Image(ImageFormat),
    Binary,
}

impl<'a> Found<'a> {
    /// `None` for what looks like JSON if `sample` forbids to parse it.
    pub(in crate::observe) fn of(payload: &'a [u8], sample: bool) -> Option<Self> {
        let trimmed = payload.trim_ascii();
        match trimmed {
            [] => return Some(Self::Empty),
            [b'0'..=b'9' | b'+' | b'-' | b'.', ..] => {
                if let Some((value, integer)) = number(trimmed) {
                    return Some(Self::Number { value, integer });
                }
            }
            [b'{', .., b'}'] | [b'[', .., b']'] => {
                if payload.len() > LONGEST_JSON {
                    return Some(Self::text(payload, Self::Json(None)));
                }
                if !sample {
                    return None;
                }
                if let Ok(value) = serde_json::from_slice(trimmed) {
                    return Some(Self::Json(Some(value)));
                }
            }
            [b'"', inner @ .., b'"'] if !inner.iter().any(|it| matches!(it, b'"' | b'\\')) => {
                return Self::of(inner, false)
                    .filter(|it| matches!(it, Self::Number { .. }))
                    .or(Some(Self::of_text(inner)));
            }
            _ => {}
        }
        Some(Self::of_text(trimmed))
    }

    fn of_text(payload: &'a [u8]) -> Self {
        if let Some(format) = ImageFormat::of(payload) {
            return Self::Image(format);
        }
        match std::str::from_utf8(payload) {
            Ok(word) if word.len() <= LONGEST_WORD && !word.contains(char::is_control) => {
                Self::Word(word)
            }
            _ => Self::text(payload, Self::Text),
        }
    }

    /// `then` if the payload's beginning is text.
    fn text(payload: &[u8], then: Self) -> Self {
        let beginning = payload.get(..1024).unwrap_or(payload);
        let whole = beginning.len() == payload.len();
        let is_text = match std::str::from_utf8(beginning) {
            Ok(_) => true,
            // The cut can be within a character.
            Err(error) => !whole && error.error_len().is_none(),
        };
        let is_control = |it: &u8| *it < b' ' && !matches!(it, b'\t' | b'\n' | b'\r' | 0x1b);
        if is_text && !beginning.iter().any(is_control) {
            then
        } else {
            Self::Binary
        }
    }
}

/// Whether a payload is worth an attempt to parse it as a JSON object or array.
pub(in crate::observe) fn looks_like_json(payload: &[u8]) -> bool {
    matches!(payload.trim_ascii(), [b'{', .., b'}'] | [b'[', .., b']'])
}

impl ImageFormat {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }

    fn of(payload: &[u8]) -> Option<Self> {
        match payload {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(Self::Webp),
            _ => None,
        }
    }
}

/// A finite decimal number, and whether it is written as a whole one; not `inf`, `NaN`, `0x10` or `21.5 °C`.
fn number(text: &[u8]) -> Option<(f64, bool)> {
    if !text
        .iter()
        .all(|it| matches!(it, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
    {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    Some((value, !text.contains(['.', 'e', 'E'])))
}
