//! Writes what was found out: the password, the configuration, the key.
//!
//! Promises: each file is the owner's alone to read and is made in one step, where there was none; when the
//! configuration cannot be written, nothing stays.

use std::path::{Path, PathBuf};

use mcpmqtt_config::{Secret, rotate_bytes};
use mcpmqtt_protocol::topic::ShownPath;

use super::dialog::say;
use super::draft::Draft;
use crate::app::{exposure, location, replacement, run};

/// Writes the file, the password before it, and prints the key.
pub(super) fn write(draft: &Draft, path: &Path, key: bool) -> Result<(), String> {
    let typed = match &draft.typed {
        Some(typed) => Some(write_password(path, typed)?),
        None => None,
    };
    let written = write_config(draft, path, typed.as_deref(), key);
    if let (Err(_), Some(typed)) = (&written, &typed) {
        let _ = std::fs::remove_file(typed);
    }
    written?;
    let read = draft.topics.len();
    let patterns = if read == 1 { "pattern" } else { "patterns" };
    let mut words = format!(
        "Wrote {}: {read} {patterns} to read, nothing to write.",
        ShownPath(path)
    );
    if let Some(typed) = &typed {
        words.push_str(&format!("\nThe password is in {}.", ShownPath(typed)));
    }
    words.push_str(DESCRIPTIONS);
    say(&words);
    if let Some(path) = &draft.password_file {
        let exposed = exposure::of_file(path, "mqtt.password_file", Some("it is a secret"));
        exposed
            .iter()
            .for_each(|warning| say(&format!("Warning: {warning}.")));
    }
    Ok(())
}

fn write_config(
    draft: &Draft,
    path: &Path,
    typed: Option<&Path>,
    with_key: bool,
) -> Result<(), String> {
    let mut text = draft.text(typed)?;
    if with_key {
        let entropy = replacement::random();
        let entropy =
            entropy.map_err(|error| format!("there is no randomness for a key: {error}"))?;
        let socket = location::own_socket(path);
        let rotation = rotate_bytes(text.as_bytes(), entropy, socket.as_deref());
        let rotation = rotation.map_err(|error| error.to_string())?;
        // Printed before it is in force, so that a key that could not be printed is in no file.
        run::print_key(&rotation.key)?;
        say("This is the API key, shown this once; its hash is in the file.");
        if let Some(socket) = &rotation.socket {
            say(run::about_socket(socket).trim_end());
        }
        text = rotation.text;
    }
    create(path, text.as_bytes())
}

/// Writes a typed password beside the configuration, where no file is yet.
fn write_password(path: &Path, password: &Secret) -> Result<PathBuf, String> {
    let free = ["password", "password2", "password3"]
        .into_iter()
        .map(|ending| path.with_extension(ending))
        .find(|path| path.symlink_metadata().is_err());
    let free = free.unwrap_or_else(|| path.with_extension("password"));
    create(&free, password.expose().as_bytes())?;
    Ok(free)
}

fn create(path: &Path, bytes: &[u8]) -> Result<(), String> {
    replacement::create(path, bytes).map_err(|error| {
        let error = crate::io_error::describe(&error);
        format!(
            "cannot write {}: {error}; there is no new file",
            ShownPath(path)
        )
    })
}

const DESCRIPTIONS: &str = "\nThe descriptions in it are all that an agent knows of your topics: say there what they \
    mean, and in which unit.";
