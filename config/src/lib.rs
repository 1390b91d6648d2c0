//! The configuration file of mcpmqtt: what it says becomes types, once, at the start.
//!
//! # Layout
//!
//! * `settings`: the whole file, [`Config`]; `mqtt` (with `tls` and `notice`), `topics`, `logging`, `remote` (with `https`), `limits` read one section each;
//! * `policy`: the topic permissions that every request is judged by;
//! * `host`: whom a request may name as its target and its origin;
//! * `kdf`, `genkey`: API keys, how they are checked and how a new one is made;
//! * `document`, `section`, `finding`: JSON text, reading a section, and the faults found on the way;
//! * `hint`: what was probably meant by a key or word that does not exist;
//! * `lint` (with `lint_text`): what a file says and its author probably does not mean;
//! * `encoding`, `json_fault` (with `json_scan`, `json_token`), `source_line` (with `secret_spans`): why a file is not
//!   JSON, in words and with the line of the fault;
//! * `describe`, `describe_json`: the configuration in words and as JSON, for `--check`; `changes`: what differs and takes a restart.
//!
//! # Promises
//!
//! All faults of a file are reported together, each with its path, what was found and what is allowed; nothing in
//! the file is ignored without a warning; no secret appears in a message or in `Debug`.
//!
//! # What it does not do
//!
//! It reads no file, no clock and no randomness: text and entropy are arguments.
#![warn(clippy::indexing_slicing)]

mod changes;
mod describe;
mod describe_json;
mod document;
mod encoding;
mod finding;
mod genkey;
mod hint;
mod host;
mod https;
mod json_edit;
mod json_fault;
mod json_scan;
mod json_token;
mod kdf;
mod key_check;
mod limits;
mod lint;
mod lint_text;
mod logging;
mod mqtt;
mod notice;
mod policy;
mod remote;
mod secret;
mod secret_spans;
mod section;
mod settings;
mod source_line;
mod tls;
mod topics;

pub use document::MAX_FILE_BYTES;
pub use finding::{Finding, Refused};
pub use genkey::{FIRST_FILE, GenkeyError, Rotation, rotate, rotate_bytes};
pub use host::{Host, Origin};
pub use https::ServerTls;
pub use kdf::{KeyRecord, OutOfMemory};
pub use key_check::KeyDigest;
pub use limits::{LIMITS, Limit, Limits};
pub use logging::{LogLevel, Logging};
pub use mqtt::{Backoff, Credentials, Mqtt, Password};
pub use policy::{Attempt, Grant, Permissions, Permit, Policy, Refusal};
pub use remote::{ApiKey, Listen, MetricsListen, RemoteServer};
pub use secret::Secret;
pub use settings::Config;
pub use tls::{Identity, Tls, Trust};
