//! The report for people.

use std::fmt::Write as _;

use super::Report;

/// What holds, and what is doubtful.
pub(super) fn configuration(report: &Report) -> String {
    let mut text = String::new();
    let Some(loaded) = &report.loaded else {
        return text;
    };
    let _ = write!(
        text,
        "configuration: {}\n{}",
        loaded.origin,
        loaded.config.describe()
    );
    for warning in &report.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// The faults, those that prevent the start with its error messages.
pub(super) fn faults(report: &Report) -> Vec<String> {
    let unusable = report.unusable.iter().map(ToString::to_string);
    let faults = report.faults.iter().chain(&report.unpublishable);
    let faults = faults.map(ToString::to_string);
    unusable.chain(faults).collect()
}

pub(super) fn verdict(report: &Report) -> String {
    let (verdict, why) = report.verdict();
    format!("{verdict}: {why}\n")
}
