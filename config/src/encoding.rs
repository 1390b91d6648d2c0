//! Decodes the bytes of a file as UTF-8, and names other encodings in the error message.

use std::str::Utf8Error;

use crate::source_line;

/// The text of the file, without a UTF-8 byte order mark (some editors write one); or the error message.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, String> {
    if let Some(name) = wide(bytes) {
        return Err(format!("the file is {name} text; save it as UTF-8"));
    }
    if !bytes.is_empty() && bytes.iter().all(|byte| *byte == 0) {
        return Err(
            "the file holds nothing but NUL characters, as after a loss of power; restore it"
                .to_owned(),
        );
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => Err(broken(bytes, error)),
    }
}

/// Recognises UTF-16 and UTF-32 by their byte order mark, or by the zero byte in the first character, which is ASCII in
/// JSON.
fn wide(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Some("UTF-32"),
        [c, 0, 0, 0, ..] | [0, 0, 0, c, ..] if *c != 0 => Some("UTF-32"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some("UTF-16"),
        [c, 0, d, 0, ..] | [0, c, 0, d, ..] if *c != 0 && *d != 0 => Some("UTF-16"),
        _ => None,
    }
}

fn broken(bytes: &[u8], error: Utf8Error) -> String {
    let at = error.valid_up_to();
    let place = source_line::show(bytes, at);
    let byte = bytes.get(at).copied().unwrap_or_default();
    let reason = match (error.error_len(), byte) {
        (None, _) => "it ends in the middle of a character; something is missing".to_owned(),
        // Windows-1252 and ISO 8859-1 agree from 0xA0 on, and the latter has no printable characters below.
        (_, 0xA0..) => format!(
            "the byte 0x{byte:02X} does not begin a character (in Latin-1 it is `{}`); save the file as UTF-8",
            char::from(byte)
        ),
        _ => format!(
            "the byte 0x{byte:02X} does not begin a character (the file may be Windows-1252); save it as UTF-8"
        ),
    };
    format!(
        "the file is not UTF-8 text: line {}, column {}: {reason}{}",
        place.line, place.column, place.excerpt
    )
}
