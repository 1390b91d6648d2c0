//! The text that Prometheus reads, line by line.

use std::fmt::Write as _;

use super::histogram::Histogram;

#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample. Labels' values are our own words: nothing in them has to be escaped.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (index, (label, word)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{word}\"");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value as f64);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value as f64);
    }

    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], times: &Histogram) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in times.cumulative() {
            let bound = bound.to_string();
            self.sample(&bucket, &with(labels, &bound), count as f64);
        }
        self.sample(&bucket, &with(labels, "+Inf"), times.count() as f64);
        self.sample(&format!("{name}_sum"), labels, times.sum());
        self.sample(&format!("{name}_count"), labels, times.count() as f64);
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

fn with<'a>(labels: &[(&'a str, &'a str)], bound: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut labels = labels.to_vec();
    labels.push(("le", bound));
    labels
}
