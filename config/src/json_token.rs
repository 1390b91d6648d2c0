//! Tokens and formats that people write in place of JSON, and the hint for each.

use mcpmqtt_protocol::topic::Shown;

use crate::json_scan::{self, Expect, is_number};

/// The place and the reason, when the whole text is in another format than JSON.
pub(crate) fn other_format(text: &str) -> Option<(usize, String)> {
    let mut at = 0;
    let mut lines = text.split_inclusive('\n').map(|line| {
        let begin = at + (line.len() - line.trim_start().len());
        at += line.len();
        (begin, line.trim())
    });
    let (at, line) = lines.find(|(_, line)| {
        let is_comment = line.starts_with('#') || line.starts_with("//") || line.starts_with(';');
        !line.is_empty() && !is_comment
    })?;
    let name = if line.starts_with('<') {
        "XML or HTML"
    } else if is_yaml(line) {
        "YAML"
    } else if is_toml(line) {
        "TOML, INI or a list of variables"
    } else if is_prose(line) {
        "plain text, or the file of another program"
    } else {
        return None;
    };
    let reason = format!(
        "this looks like {name}; the configuration is JSON, as in `{{\"mqtt\": {{\"host\": \"localhost\"}}}}`"
    );
    Some((at, reason))
}

fn is_yaml(line: &str) -> bool {
    let is_item = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '"');
    line == "---"
        || line.starts_with("%YAML")
        || line.strip_prefix("- ").is_some_and(is_item)
        || after_name(line).is_some_and(|rest| rest == ":" || rest.starts_with(": "))
}

fn is_toml(line: &str) -> bool {
    let assigned = after_name(line.strip_prefix("export ").unwrap_or(line));
    let assigned = assigned.is_some_and(|rest| rest.trim_start().starts_with('='));
    let inner = line.trim_start_matches('[').trim_end_matches(']');
    let is_header = line.starts_with('[') && line.ends_with(']');
    assigned || (is_header && after_name(inner) == Some("") && !LITERALS.contains(&inner))
}

/// Whether a line consists of plain words, as in `listener 1883`.
fn is_prose(line: &str) -> bool {
    after_name(line).is_some_and(|rest| rest.starts_with([' ', '\t']))
}

/// The text after the bare name at the start of the line.
fn after_name(line: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        .then(|| line.trim_start_matches(is_part))
}

/// The hint for a token that is invalid everywhere in JSON outside of strings.
pub(crate) fn never_json(rest: &str, expected: Expect) -> Option<String> {
    let found = rest.chars().next()?;
    let reason = match found {
        '#' => COMMENT.to_owned(),
        '/' if rest.starts_with("//") || rest.starts_with("/*") => COMMENT.to_owned(),
        '\'' | '`' => format!(
            "found {}; strings and keys stand in double quotes `\"`",
            quote(found)
        ),
        '“' | '”' | '„' | '‟' | '‘' | '’' | '‚' | '‛' | '«' | '»' | '＂' => {
            format!(
                "`{found}` is a typographic quotation mark, as word processors and web pages write it; write the plain `\"`"
            )
        }
        '：' | '，' | '｛' | '｝' | '［' | '］' => {
            format!("`{found}` is a full-width character; write the plain one of ASCII")
        }
        '…' => DOTS.to_owned(),
        '.' if rest.starts_with("...") => DOTS.to_owned(),
        ';' => "JSON has no `;`; commas separate entries".to_owned(),
        '=' if expected == Expect::Next => "`:` separates a key and its value, not `=`".to_owned(),
        '$' | '%' if is_variable(rest) => {
            "variables are not expanded here; write the value".to_owned()
        }
        '\0' => "a NUL character; the file may be damaged".to_owned(),
        '\u{feff}' => "a byte order mark (U+FEFF) in the middle of the file; remove it".to_owned(),
        _ if found.is_whitespace() || found.is_control() || is_invisible(found) => format!(
            "the character U+{:04X} is not white space in JSON; write a plain space or nothing",
            u32::from(found)
        ),
        _ => return None,
    };
    Some(reason)
}

fn is_variable(rest: &str) -> bool {
    rest.chars()
        .nth(1)
        .is_some_and(|c| c == '{' || c == '(' || c.is_ascii_alphabetic() || c == '_')
}

/// Characters that [`shown`] escapes although they are not control characters.
fn is_invisible(c: char) -> bool {
    !c.is_ascii() && shown(c).starts_with("`\\u")
}

fn quote(c: char) -> String {
    // A backtick in backticks would not be visible.
    if c == '`' {
        "a backtick".to_owned()
    } else {
        format!("`{c}`")
    }
}

/// The hint for a bare word in the place of a value.
pub(crate) fn word(word: &str) -> String {
    let literal = match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "tru" | "ture" => "true",
        "false" | "no" | "off" | "flase" | "fals" => "false",
        "null" | "none" | "nil" | "undefined" | "nul" => "null",
        "nan" | "infinity" | "inf" => {
            return format!("JSON has no `{word}`; write a number, or `null` for none");
        }
        _ => return format!("text needs double quotes; write {}", in_quotes(word)),
    };
    format!("JSON has no `{word}`; write `{literal}`")
}

/// The hint for an invalid number.
pub(crate) fn number(text: &str) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let decimal = digits.trim_start_matches('0');
    let is_whole = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let instead =
        |write: String| format!("a number is not written `{}`; write `{write}`", cut(text));
    if is_number(text) {
        return format!("`{}` is too large for a number", cut(text));
    }
    if text.starts_with('+') && is_number(digits) {
        return instead(digits.to_owned());
    }
    if let Some(fraction) = digits.strip_prefix('.').filter(|rest| is_whole(rest)) {
        return instead(format!("{sign}0.{fraction}"));
    }
    if let Some(whole) = digits.strip_suffix('.').filter(|rest| is_number(rest)) {
        return instead(format!("{sign}{whole}.0"));
    }
    if digits.len() > decimal.len()
        && decimal.starts_with(|c: char| c.is_ascii_digit())
        && is_number(decimal)
    {
        return format!(
            "a number does not begin with 0; write `{sign}{decimal}`, or {} where digits are meant",
            in_quotes(cut(text))
        );
    }
    if let Some(value) = hexadecimal(digits) {
        return format!("JSON has no hexadecimal numbers; write `{sign}{value}`");
    }
    let without: String = digits.chars().filter(|c| *c != '_').collect();
    if digits.contains('_') && is_number(&without) {
        return instead(format!("{sign}{without}"));
    }
    match digits.to_ascii_lowercase().as_str() {
        "infinity" | "inf" | "nan" => {
            format!("JSON has no `{text}`; write a number, or `null` for none")
        }
        _ => format!(
            "`{}` is not a number, and text needs double quotes",
            cut(text)
        ),
    }
}

/// Whether the text begins a number in other languages, but not in JSON.
pub(crate) fn begins_number(rest: &str) -> bool {
    rest.trim_start_matches(['+', '.', '-'])
        .starts_with(|c: char| c.is_ascii_digit())
        && json_scan::run_length(rest) > 1
}

fn hexadecimal(digits: &str) -> Option<u64> {
    let digits = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))?;
    u64::from_str_radix(digits, 16).ok()
}

/// Cuts a token of the ASCII characters that [`json_scan::run_length`] accepts to a readable length.
fn cut(token: &str) -> &str {
    token.get(..MAX_TOKEN).unwrap_or(token)
}

const COMMENT: &str = "JSON has no comments; remove this one";
const DOTS: &str = "JSON has no `...`; write what is left out, or remove the dots";
const LITERALS: [&str; 3] = ["true", "false", "null"];
const MAX_TOKEN: usize = 40;

/// A character as a message names it.
pub(crate) fn shown(c: char) -> String {
    Shown(c.encode_utf8(&mut [0; 4])).to_string()
}

/// Text from the file as a JSON string in backticks.
pub(crate) fn in_quotes(text: &str) -> String {
    Shown(&format!("\"{text}\"")).to_string()
}
