//! Copies of programs.

use std::path::Path;
use std::process::Command;

/// Copies a program that is to be run. Another process does it: a child that another test starts meanwhile would have the
/// file open for writing as this process has, and nothing that is open for writing can be run (`ETXTBSY`).
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").args([from, to]).status().unwrap();
    assert!(copied.success());
}
