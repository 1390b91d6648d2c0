//! The configuration file as a whole.

use std::rc::Rc;

use mcpmqtt_protocol::topic::Shown;
use serde_json::{Value, json};

use crate::audit::Audit;
use crate::consent;
use crate::document;
use crate::finding::{Finding, Refused, Report};
use crate::limits::Limits;
use crate::lint;
use crate::logging::Logging;
use crate::mqtt::Mqtt;
use crate::observe::Observe;
use crate::operator::Operator;
use crate::policy::Policy;
use crate::profile::{Profiles, Quota};
use crate::remote::RemoteServer;
use crate::section::{Section, found};

/// The complete configuration, with defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The broker and this client's account there.
    pub mqtt: Mqtt,
    /// The topic permissions of agents without a profile of their own: those of the profile `default`.
    pub policy: Rc<Policy>,
    /// What each group of agents may do.
    pub profiles: Profiles,
    /// The log settings.
    pub logging: Logging,
    /// The HTTP server, if the file has the section.
    pub remote_server: Option<RemoteServer>,
    /// The limits on memory and work.
    pub limits: Limits,
    /// What may be observed for agents.
    pub observe: Observe,
    /// How a person holds agents back.
    pub operator: Operator,
    /// The record of attempts to write, if the file has the section.
    pub audit: Option<Audit>,
}

impl Config {
    /// Parses the text of a configuration file: returns the configuration and its warnings, or all faults.
    pub fn parse(text: &str) -> Result<(Self, Vec<Finding>), Refused> {
        Self::parse_bytes(text.as_bytes())
    }

    /// Like [`parse`](Self::parse), for the bytes of a file: bytes that are not UTF-8 are refused with their place.
    pub fn parse_bytes(bytes: &[u8]) -> Result<(Self, Vec<Finding>), Refused> {
        let report = Report::default();
        match document::parse(bytes, &report) {
            Some(value) if value.is_object() => {
                if let Some(fault) = lint::client_file(&value) {
                    report.problem("", fault);
                    return Err(report.refuse());
                }
                let config = Self::read(&value, &report);
                report.conclude(config)
            }
            Some(other) => {
                report.problem(
                    "",
                    format!(
                        "the file must hold one JSON object, found {}",
                        match &other {
                            // The value may be a password or a key.
                            Value::String(_) => "a string".into(),
                            other => found(other),
                        }
                    ),
                );
                Err(report.refuse())
            }
            None => Err(report.refuse()),
        }
    }

    /// The configuration without a file: the broker on this machine, and the topics `test/+`.
    pub fn without_file() -> Self {
        let value = json!({ "topics": [{
            "pattern": "test/+",
            "permissions": ["read", "write"],
            "description": "To try things out: nothing is controlled here."
        }] });
        Self::read(&value, &Report::default())
    }

    /// Gives callers without a profile of their own the profile with this name.
    ///
    /// # Errors
    /// There is no such profile.
    pub fn choose_profile(&mut self, name: &str) -> Result<(), String> {
        self.profiles
            .choose(name)
            .map_err(|names| format!("there is no profile {}; there are {names}", Shown(name)))?;
        self.policy = Rc::clone(&self.profiles.default_profile().policy);
        Ok(())
    }

    fn read(value: &Value, report: &Report) -> Self {
        let root = Section::new(String::new(), Some(value), report);
        let mqtt = Mqtt::read(root.section("mqtt"));
        let operator = Operator::read(root.section("operator"));
        let profiles = Profiles::read(&root, usual_quota(value), operator.topic.as_ref());
        let config = Self {
            mqtt,
            policy: Rc::clone(&profiles.default_profile().policy),
            logging: Logging::read(root.section("logging")),
            remote_server: root
                .value("remote_server")
                .map(|_| RemoteServer::read(root.section("remote_server"), &profiles)),
            profiles,
            limits: Limits::read(root.section("limits")),
            observe: Observe::read(root.section("observe")),
            operator,
            audit: root
                .value("audit")
                .and_then(|_| Audit::read(root.section("audit"))),
        };
        if value.pointer("/operator/topic").is_none_or(Value::is_null) {
            consent::check(&config.profiles, report);
        }
        root.finish();
        let Self {
            mqtt,
            operator,
            profiles,
            observe,
            ..
        } = &config;
        operator.judge(mqtt, profiles, observe, report);
        lint::values(value, report);
        if let Some(audit) = &config.audit {
            audit.beside(&config.logging, &config.operator, report);
        }
        config
    }
}

/// The quota of callers whose profile sets none. The faults of `limits` are reported when it is read in its turn.
fn usual_quota(file: &Value) -> Quota {
    let report = Report::default();
    let limits = file.get("limits").filter(|limits| limits.is_object());
    Quota::of(&Limits::read(Section::new(String::new(), limits, &report)))
}
