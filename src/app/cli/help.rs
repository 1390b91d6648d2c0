//! The text of `--help`: a screen of it, held against the options by tests.

/// The text of `--help`.
pub const HELP: &str = "\
mcpmqtt lets AI agents use an MQTT broker, within a list of permitted topics.
An MCP client starts it and speaks to it on standard input and output.

Usage: mcpmqtt [OPTIONS]

  --config PATH      configuration file (else $MCPMQTT_CONFIG, ~/.config, /etc)
  --transport NAME   stdio (default) or remotehttp
  --log-level LEVEL  DEBUG, INFO, WARNING, ERROR or CRITICAL; wins over the file
  --logfile PATH     append the log to this file, not to standard error
  --drain SECONDS    stdio: time for calls when the input has ended (default: 1)
  --check            show what the configuration means and if it would start
  --connect          with --check: try the broker and each readable pattern
  --seconds N        with --connect: listen so long to each (default: 3)
  --publish TOPIC    with --connect: publish one message there
  --profile NAME     stdio, --call: the caller's profile; --genkey: the key's
  --genkey [NAME]    put a new API key into the configuration, print it, exit
  --revoke NAME      remove this API key from the file (of two, the older)
  --keys             list the API keys with their names and dates
  --init [PATH]      make a first configuration: connect, listen, propose topics
  --broker HOST[:PORT], --username NAME, --password-file PATH, --tls,
  --ca-file PATH, --topic FILTER, --key, --yes   the answers to its questions
  --install CLIENT, --uninstall CLIENT   put it into an MCP client, take it out
  --name NAME, --url URL, --dry-run      with --install: see the manual
  --demo             use a broker and a simulated plant inside the program
  --call TOOL ARG... call one tool, print its result, exit; ARG is NAME=VALUE
  --json             with --call or --check: print the result as JSON
  --explain WHAT...  may an agent publish TOPIC PAYLOAD or subscribe FILTER?
  --as NAME          with --explain: who asks, by the name of a key or a profile
  --verify-audit FILE..., --anchor N:HASH   is this record as it was written?
  -h, --help, -V, --version   print this help, print the version

Examples:
  mcpmqtt --init && mcpmqtt --install claude
  mcpmqtt --genkey && mcpmqtt --transport remotehttp

Exit codes: 0 done, 1 failed, 2 wrong arguments. Manual: man mcpmqtt
";
