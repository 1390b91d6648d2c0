//! Questions to the person at the terminal.
//!
//! Promises: everything goes to standard error, so that standard output is left for a key; what came from a broker or a
//! file reaches the terminal escaped; a password that is typed is not shown, and the terminal is as before afterwards.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use mcpmqtt_config::Secret;
use mcpmqtt_protocol::topic::Printable;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// Whether there is a person who reads the questions and can answer them.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Says a line.
pub(super) fn say(text: &str) {
    // A closed standard error cannot be reported anywhere.
    let _ = writeln!(io::stderr(), "{}", Printable(text));
}

/// Shows a line in the place of the last one that was shown so; an empty one only takes that away. Nothing where no
/// person looks.
pub(super) fn show(text: &str) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        // ECMA-48: `CSI K` erases to the end of the line.
        let _ = write!(stderr, "\r{}\x1b[K", Printable(text));
        let _ = stderr.flush();
    }
}

/// The answer to a question; `default` if it is empty.
///
/// # Errors
/// The input ended.
pub(super) fn ask(question: &str, default: &str) -> Result<String, String> {
    let shown = match default {
        "" => String::new(),
        default => format!(" [{default}]"),
    };
    prompt(&format!("{question}{shown}: "));
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(0) | Err(_) => Err(ended()),
        Ok(_) => Ok(match line.trim() {
            "" => default.to_owned(),
            answer => answer.to_owned(),
        }),
    }
}

/// The answer to a question that is answered with yes or no.
///
/// # Errors
/// The input ended.
pub(super) fn agree(question: &str, default: bool) -> Result<bool, String> {
    let shown = if default { "Y/n" } else { "y/N" };
    loop {
        match ask(&format!("{question} [{shown}]"), "")?
            .to_lowercase()
            .as_str()
        {
            "" => return Ok(default),
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => say("Please answer with y or n."),
        }
    }
}

/// Asks for a password, which is not shown.
///
/// # Errors
/// The input ended, or the person ended it.
pub(super) fn secret(question: &str) -> Result<Secret, String> {
    // Before the question: the answer may come at once.
    let silence = Silence::begin().map_err(|error| format!("cannot hide the password: {error}"))?;
    prompt(&format!("{question} (not shown): "));
    let mut bytes = Vec::new();
    let mut byte = [0];
    let typed = loop {
        match (io::stdin().read(&mut byte), byte) {
            (Ok(0) | Err(_), _) | (_, [INTERRUPT | END]) => break Err(ended()),
            (_, [b'\r' | b'\n']) => break Ok(()),
            (_, [BACKSPACE | DELETE]) => erase(&mut bytes),
            (_, [ERASE_ALL]) => bytes.clear(),
            (_, [byte]) => bytes.push(byte),
        }
    };
    drop(silence);
    say("");
    typed?;
    let text = String::from_utf8(bytes).map_err(|_| "the password is not UTF-8 text".to_owned());
    text.map(Secret::new)
}

/// Takes the last character away, which may have several bytes.
fn erase(bytes: &mut Vec<u8>) {
    while bytes.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {}
}

fn prompt(text: &str) {
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{}", Printable(text));
    let _ = stderr.flush();
}

fn ended() -> String {
    "ended before anything was written".to_owned()
}

/// As long as it lives the terminal shows nothing of what is typed and hands it over byte by byte. Ctrl-C comes as a
/// byte, since a signal would leave the terminal so.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Silence> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &silent)?;
        Ok(Silence(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

const INTERRUPT: u8 = 3;
const END: u8 = 4;
const BACKSPACE: u8 = 8;
const ERASE_ALL: u8 = 21;
const DELETE: u8 = 127;
