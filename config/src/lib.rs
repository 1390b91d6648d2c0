//! The configuration file of mcpmqtt, parsed into types once, at the start.
//!
//! # Layout
//!
//! * `settings`: the whole file, [`Config`]; `mqtt` (with `tls` and `notice`), `topics`, `logging`, `remote` (with
//!   `https`) and `limits` read one section each;
//! * `policy`: the topic permissions that every request is checked against; `profile`: those of a group of callers, with
//!   its tools and quota; `callers` (with `date`): the keys and users that have a profile;
//! * `operator`: the topics of the person who holds agents back, which no policy opens;
//! * `payload`: the limits of what may be published (`topics[].payload`);
//! * `write_rule` (with `topic_template`, `ambiguous`): rules on writes, `topics[].write`;
//! * `audit`: the record of what agents attempted to write;
//! * `consent`: who agrees to a write, `topics[].consent`;
//! * [`condition`], [`path`], [`reading`]: conditions on messages, as the file and the tools take them;
//! * `host`: hosts and origins that requests may name;
//! * `kdf`, `genkey`, `named_keys`: the check and the generation of API keys;
//! * `document`, `section`, `finding`: JSON text, reading a section, and the faults found on the way;
//! * `hint`: the probable meaning of an unknown key or word;
//! * `lint` (with `lint_text`, `lint_payload`): valid values that their author probably does not mean;
//! * `encoding`, `json_fault` (with `json_scan`, `json_token`), `source_line` (with `secret_spans`): why a file is not
//!   JSON, in words and with the line of the fault;
//! * `describe`, `describe_json`: the configuration as text and as JSON, for `--check`;
//! * `client_file` (with `json_edit`, as `genkey`): an entry in the file of an MCP client;
//! * `changes`: the differences between two configurations that take effect only after a restart.
//!
//! # Promises
//!
//! All faults of a file are reported together, each with its path, the value found and the values allowed; every
//! ignored part of the file causes a warning; no secret appears in a message or in `Debug`.
//!
//! # What it does not do
//!
//! This crate reads no file, no clock and no randomness: text and entropy are arguments.
#![warn(clippy::indexing_slicing)]

mod ambiguous;
mod audit;
mod callers;
mod changes;
mod client_file;
pub mod condition;
mod consent;
mod date;
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
mod lint_payload;
mod lint_text;
mod logging;
mod mqtt;
mod named_keys;
mod notice;
mod observe;
mod operator;
pub mod path;
mod payload;
mod policy;
mod profile;
pub mod reading;
mod remote;
mod secret;
mod secret_spans;
mod section;
mod settings;
mod source_line;
mod tls;
mod topic_template;
mod topics;
mod write_rule;

pub use ambiguous::{is_ambiguous, is_ambiguous_at};
pub use audit::{Audit, AuditFeed, AuditPayload, AuditSync};
pub use callers::{CertificateRule, NamedKey, PeerRule, PeerUser};
pub use client_file::{ClientFileError, put_entry, take_entry};
pub use consent::Consent;
pub use date::Expiry;
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
pub use named_keys::{KeyRequest, NamedKeyError, NewKey, Revoked, add_key, revoke_key};
pub use observe::Observe;
pub use operator::{Operator, OperatorTopic, SafeMessage};
pub use payload::PayloadRule;
pub use policy::{Attempt, Grant, Permissions, Permit, Policy, Refusal};
pub use profile::{Profile, Profiles, Quota, TOOLS, Tools};
pub use remote::{ApiKey, Listen, MetricsListen, RemoteServer};
pub use secret::Secret;
pub use settings::Config;
pub use tls::{Identity, Tls, Trust};
pub use topic_template::TopicTemplate;
pub use write_rule::{
    Counts, Effect, Expected, HIDDEN, In, MaxChange, Requirement, Shows, Source, WriteLimit,
    WriteRule,
};
