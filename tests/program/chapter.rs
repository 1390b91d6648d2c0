//! The blocks of a chapter of the manual, and its commands run against the broker of a test.

use std::path::Path;
use std::process::Command;

use crate::common::mosquitto::Mosquitto;

/// The blocks of a chapter in one language.
pub fn blocks(chapter: &str, language: &str) -> Vec<String> {
    let fence = format!("\n```{language}\n");
    let blocks = chapter.split(&fence).skip(1);
    blocks
        .map(|rest| rest.split("\n```").next().unwrap().to_owned())
        .collect()
}

/// Runs a command of a chapter in `folder`; the broker of the example is `broker`.
pub fn run(command: &str, broker: &Mosquitto, folder: &Path) {
    let port = format!("-h 127.0.0.1 -p {}", broker.port);
    let command = command.replace("-h broker.example", &port);
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).current_dir(folder);
    assert!(shell.status().unwrap().success(), "{command}");
}
