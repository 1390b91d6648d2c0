//! Escapes untrusted text for messages to people and models.

use std::fmt::{self, Write as _};
use std::path::Path;

/// Displays text in backticks, cut after 100 characters (the full length is then given). Characters that [`disturbs`]
/// selects are escaped, so that no topic can break a line, flood a log or disguise itself.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a str);

/// Displays a path like [`Shown`], but whole: a person who looks for the file needs all of it.
#[derive(Clone, Copy, Debug)]
pub struct ShownPath<'a>(pub &'a Path);

/// Displays a message of several lines that may contain untrusted text: every character that [`disturbs`] selects is
/// escaped except line ends.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        f.write_str("`")?;
        for c in chars.by_ref().take(MAX_SHOWN_CHARS) {
            quoted(f, c)?;
        }
        if chars.next().is_some() {
            write!(f, "…` ({} bytes)", self.0.len())
        } else {
            f.write_str("`")
        }
    }
}

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        for c in self.0.to_string_lossy().chars() {
            quoted(f, c)?;
        }
        f.write_str("`")
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c != '\n' && disturbs(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Between backticks a backtick would end the quotation, and a backslash would look like an escape of [`Shown`].
fn quoted(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '`' => f.write_str("\\`"),
        '\\' => f.write_str("\\\\"),
        c if disturbs(c) => write!(f, "{}", c.escape_default()),
        c => f.write_char(c),
    }
}

/// Whether a character in a message could be mistaken for another one or be invisible: the categories Cc, Cf, Zl, Zp,
/// Zs (but the space) and Co, the property Default_Ignorable_Code_Point (Unicode Standard §5.21,
/// DerivedCoreProperties.txt), noncharacters (§23.7), and a few that are drawn as nothing.
#[must_use]
pub fn disturbs(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let code = u32::from(c);
    let behind = DISTURBING.partition_point(|(first, _)| *first <= code);
    let before = behind.checked_sub(1).and_then(|at| DISTURBING.get(at));
    code & 0xFFFE == 0xFFFE || before.is_some_and(|(_, last)| code <= *last)
}

/// First and last of each run, beyond ASCII.
const DISTURBING: [(u32, u32); 35] = [
    (0x80, 0xA0),
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x600, 0x605),
    (0x61C, 0x61C),
    (0x6DD, 0x6DD),
    (0x70F, 0x70F),
    (0x890, 0x891),
    (0x8E2, 0x8E2),
    (0x115F, 0x1160),
    (0x1680, 0x1680),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2000, 0x200F),
    (0x2028, 0x202F),
    (0x205F, 0x206F),
    // A Braille pattern without dots.
    (0x2800, 0x2800),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xE000, 0xF8FF),
    (0xFDD0, 0xFDEF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0x110BD, 0x110BD),
    (0x110CD, 0x110CD),
    (0x13430, 0x1343F),
    // A filler of the Khitan script.
    (0x16FE4, 0x16FE4),
    (0x1BCA0, 0x1BCA3),
    // MUSICAL SYMBOL NULL NOTEHEAD.
    (0x1D159, 0x1D159),
    (0x1D173, 0x1D17A),
    // Tags and variation selectors; the code points after them are unassigned or for private use.
    (0xE0000, 0xE0FFF),
    (0xF0000, 0xFFFFF),
    (0x10_0000, 0x10_FFFF),
];

/// Long enough for any topic that a person writes, and ten of them stay far below a 4 KB message.
const MAX_SHOWN_CHARS: usize = 100;
