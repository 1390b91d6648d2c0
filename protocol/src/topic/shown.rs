//! Text from outside, made fit for a message to a human or a model.

use std::fmt;

/// Displays text in backticks: cut after 100 characters (the length is then said), control and invisible
/// characters escaped, so that no topic can break a line, flood a log or disguise itself.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        f.write_str("`")?;
        for c in chars.by_ref().take(MAX_SHOWN_CHARS) {
            if disturbs(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        if chars.next().is_some() {
            write!(f, "…` ({} bytes)", self.0.len())
        } else {
            f.write_str("`")
        }
    }
}

/// Control characters, line separators, and the characters that are invisible or turn the writing direction.
fn disturbs(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Enough for any topic a person would write, and ten of them stay far below a 4 KB message.
const MAX_SHOWN_CHARS: usize = 100;
