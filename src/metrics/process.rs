//! What the system knows of the process, under the names that Prometheus clients share.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::text::Text;

/// What cannot be read is left out.
pub(super) fn describe(text: &mut Text, started: SystemTime) {
    if let Some(bytes) = resident_bytes() {
        text.gauge(
            "process_resident_memory_bytes",
            "Resident memory in bytes.",
            bytes,
        );
    }
    if let Some(count) = open_descriptors() {
        text.gauge("process_open_fds", "Open file descriptors.", count);
    }
    if let Some(seconds) = cpu_seconds() {
        let name = "process_cpu_seconds_total";
        text.family(name, "counter", "User and system time in seconds.");
        text.sample(name, &[], seconds);
    }
    let name = "process_start_time_seconds";
    let since = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    text.family(
        name,
        "gauge",
        "Start of the process, in seconds since 1970.",
    );
    text.sample(name, &[], since.as_secs_f64());
}

/// proc_pid_statm(5), in pages.
fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Without the one that reads them.
fn open_descriptors() -> Option<u64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    Some(count.saturating_sub(1))
}

/// proc_pid_stat(5): fields 14 and 15, behind the name, which may have blanks and brackets in it.
fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    let ticks = next()? + next()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}
