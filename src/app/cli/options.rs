//! The names of the options.

pub(super) const CONFIG: &str = "--config";
pub(super) const TRANSPORT: &str = "--transport";
pub(super) const LOG_LEVEL: &str = "--log-level";
pub(super) const LOGFILE: &str = "--logfile";
pub(super) const CALL: &str = "--call";
pub(super) const DRAIN: &str = "--drain";
pub(super) const PUBLISH: &str = "--publish";
pub(super) const SECONDS: &str = "--seconds";
pub(super) const EXPLAIN: &str = "--explain";
pub(super) const AS: &str = "--as";
pub(super) const PROFILE: &str = "--profile";
pub(super) const REVOKE: &str = "--revoke";
pub(super) const VERIFY_AUDIT: &str = "--verify-audit";
pub(super) const ANCHOR: &str = "--anchor";
/// The options that take a value.
pub(super) const VALUED: [&str; 14] = [
    CONFIG,
    TRANSPORT,
    LOG_LEVEL,
    LOGFILE,
    DRAIN,
    CALL,
    PUBLISH,
    SECONDS,
    EXPLAIN,
    AS,
    PROFILE,
    REVOKE,
    VERIFY_AUDIT,
    ANCHOR,
];

pub(super) const VERSION: &str = "--version";
pub(super) const GENKEY: &str = "--genkey";
pub(super) const KEYS: &str = "--keys";
pub(super) const CHECK: &str = "--check";
pub(super) const DEMO: &str = "--demo";
pub(super) const JSON: &str = "--json";
pub(super) const CONNECT: &str = "--connect";
/// The options that take none.
pub(super) const FLAGS: [&str; 8] = [VERSION, GENKEY, KEYS, CHECK, CONNECT, DEMO, JSON, "--help"];

pub(super) const CALL_OR_CHECK: &str = "--call` and `--check";
pub(super) const FOR_PROFILE: &str = "--genkey NAME`, `--call` and serving over `stdio";
pub(super) const REMOTE: &str = "--transport remotehttp";
pub(super) const CHECK_CONNECT: &str = "--check --connect";

/// Every option that a suggestion may name, beside those of `setup`.
pub(super) const OPTIONS: [&str; 21] = [
    CONFIG,
    TRANSPORT,
    LOG_LEVEL,
    LOGFILE,
    CALL,
    EXPLAIN,
    AS,
    VERSION,
    GENKEY,
    CHECK,
    CONNECT,
    PUBLISH,
    SECONDS,
    DEMO,
    JSON,
    PROFILE,
    REVOKE,
    KEYS,
    VERIFY_AUDIT,
    ANCHOR,
    "--help",
];
