//! Hints for a person who started the program in a terminal, where there is no MCP client.

use std::io::{self, IsTerminal as _, Write as _};

/// Says on standard error that the program waits for a client, and how it is ended, when standard input is a terminal.
pub(super) fn say_that_it_waits() {
    if io::stdin().is_terminal() {
        say(WAITS);
    }
}

/// Says how the demo can be watched, when a person can read it.
pub(super) fn say_how_to_watch(port: u16) {
    if io::stdin().is_terminal() {
        say(&format!(
            "watch the demo in another terminal: mosquitto_sub -p {port} -v -t '#'"
        ));
    }
}

fn say(text: &str) {
    // A closed standard error cannot be reported anywhere.
    let _ = writeln!(io::stderr(), "mcpmqtt: {text}");
}

const WAITS: &str = "waiting for an MCP client on standard input; Ctrl-C ends it; `mcpmqtt --help` \
shows its other uses";
