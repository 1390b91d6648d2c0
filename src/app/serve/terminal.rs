//! What a person is told who started the program in a terminal, where no MCP client is.

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
    // Nobody is left to be told that standard error is closed.
    let _ = writeln!(io::stderr(), "mcpmqtt: {text}");
}

const WAITS: &str = "waiting for an MCP client on standard input; end it with Ctrl-C; \
                     `mcpmqtt --help` says what else it does";
