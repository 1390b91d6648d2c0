//! How many files this process may have open at once (RLIMIT_NOFILE, getrlimit(2)).
//!
//! Promises: the connections of agents leave descriptors for the broker, the log and the configuration; a process that
//! may open too few says so before it begins.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// Fails with an error message when the program cannot run with the files that it may open.
pub(crate) fn require() -> Result<(), String> {
    if free() >= LEAST {
        return Ok(());
    }
    Err(format!(
        "this process may have only {} files open, and needs at least {} more than it was started with; raise the \
         limit (`ulimit -n`, `LimitNOFILE=` of systemd)",
        limit(),
        LEAST
    ))
}

/// The number of connections that can be served, at most `wanted`, and a warning when the number is smaller.
///
/// # Errors
/// There is room for no connection.
pub(crate) fn connections(wanted: usize) -> Result<(usize, Option<String>), String> {
    let room = free().saturating_sub(RESERVE);
    if wanted <= room {
        return Ok((wanted, None));
    }
    let limit = limit();
    let remedy = "raise the limit (`ulimit -n`, `LimitNOFILE=` of systemd)";
    if room == 0 {
        return Err(format!(
            "this process may have only {limit} files open, which leaves none for connections of agents; {remedy}"
        ));
    }
    let warning = format!(
        "limits.connections is {wanted}, but this process may have only {limit} files open: {room} connections are \
         served at a time; {remedy}"
    );
    Ok((room, Some(warning)))
}

/// How many more files may be opened now.
fn free() -> usize {
    let open = match fs::read_dir("/proc/self/fd") {
        // One of them reads the directory.
        Ok(found) => found.count().saturating_sub(1),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            return 0;
        }
        // Without /proc: standard input, output and error, and what a runtime needs.
        Err(_) => UNKNOWN,
    };
    limit().saturating_sub(open)
}

fn limit() -> usize {
    let soft = getrlimit(Resource::Nofile).current;
    soft.map_or(usize::MAX, |soft| {
        usize::try_from(soft).unwrap_or(usize::MAX)
    })
}

/// The runtime's own (epoll, event, timer, signals), the broker's and those of a name that is looked up, the log.
const LEAST: usize = 16;
/// Beside the agents' connections: all of the above, the operator's connections, files that are read again.
const RESERVE: usize = 32;
const UNKNOWN: usize = 16;
