//! `--check`: what the configuration means, and whether the program would start with it.
//!
//! Promises: the check calls the start's own functions, in the start's order, so that the two cannot disagree; every
//! file that the start opens is opened, and nothing is written or kept; every fault is reported, not the first alone;
//! without `--connect` nothing is connected to. The listeners of the remote server are opened for a moment, so that a
//! stale socket file is removed, as it is at a start.

mod connect;
mod json;
mod outcome;
mod text;

use std::time::SystemTime;

use mcpmqtt_config::{Attempt, Config, Finding, Permit};
use mcpmqtt_protocol::topic::Shown;

use self::outcome::ConnectionReport;
use super::cli::{Connect, Settings, Transport};
use super::startup::{self, Loaded, Unusable};
use super::{console, descriptors, peers, serve};
use crate::audit;
use crate::http::Tls;
use crate::logger;

/// The report of a check.
struct Report {
    transport: Transport,
    /// Where the configuration is from, and what it is; none when it cannot be used.
    loaded: Option<Loaded>,
    /// What keeps the program from starting.
    faults: Vec<Finding>,
    /// What the log of the start would say of a configuration that cannot be used.
    unusable: Option<Unusable>,
    warnings: Vec<Finding>,
    /// Why `--publish` sends nothing, which keeps no program from starting.
    unpublishable: Option<Finding>,
    connection: Option<ConnectionReport>,
}

/// Checks and prints. Whether all is well.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn run(
    transport: Transport,
    settings: &Settings,
    connect: Option<&Connect>,
    json: bool,
) -> Result<bool, String> {
    let mut report = look(transport, settings);
    if let Some(wanted) = connect {
        report.refuse_publish(wanted);
    }
    if !json {
        console::print(&text::configuration(&report))?;
    }
    let may_connect = report.faults.is_empty() && report.unpublishable.is_none();
    if let (Some(wanted), true) = (connect, may_connect) {
        // What the connection has to say is in the report.
        logger::set_level(
            settings
                .log_level
                .unwrap_or(mcpmqtt_config::LogLevel::Critical),
        );
        let mut tell = |line: &str| match json {
            true => Ok(()),
            false => console::print(&format!("{line}\n")),
        };
        if let Some(loaded) = &mut report.loaded {
            // The attempt makes it the configuration of a visitor.
            let described = json.then(|| json::configuration(loaded));
            let connection = connect::attempt(&mut loaded.config, wanted, &mut tell)?;
            report.connection = Some(connection);
            logger::flush();
            if let Some(described) = described {
                console::print(&json::report(&report, Some(described)))?;
                return Ok(report.is_well());
            }
        }
    }
    if json {
        let described = report.loaded.as_ref().map(json::configuration);
        console::print(&json::report(&report, described))?;
        return Ok(report.is_well());
    }
    for fault in text::faults(&report) {
        console::complain(&fault, 1);
    }
    console::print(&text::verdict(&report))?;
    Ok(report.is_well())
}

/// Looks at all that a start looks at.
fn look(transport: Transport, settings: &Settings) -> Report {
    let mut report = Report {
        transport,
        loaded: None,
        faults: Vec::new(),
        unusable: None,
        warnings: Vec::new(),
        unpublishable: None,
        connection: None,
    };
    report.fault(descriptors::require());
    match startup::find(settings.config.as_deref()) {
        Ok(mut loaded) => {
            // Warnings about files name their key in the text.
            let warnings = std::mem::take(&mut loaded.warnings);
            report.warn(warnings.iter().map(ToString::to_string));
            take(settings, &mut loaded.config);
            report.start(&loaded.config, settings);
            report.loaded = Some(loaded);
        }
        Err(Unusable::Unreadable(words)) => report.faults.push(finding(&words)),
        Err(unusable) => report.unusable = Some(unusable),
    }
    report
}

/// The command line's overrides of the file.
fn take(settings: &Settings, config: &mut Config) {
    let logging = &mut config.logging;
    logging.level = settings.log_level.unwrap_or(logging.level);
    if let Some(path) = &settings.logfile {
        logging.logfile = Some(path.clone());
    }
}

impl Report {
    fn start(&mut self, config: &Config, settings: &Settings) {
        let doubt = config.logging.logfile.as_deref().and_then(logger::doubt);
        self.warn(doubt);
        self.warn(config.audit.as_ref().and_then(audit::doubt));
        let is_remote = self.transport == Transport::RemoteHttp;
        if is_remote {
            self.fault(serve::has_key(config, settings.config.as_deref()));
        }
        self.start_remote(config, is_remote);
        self.fault(startup::client_options(config).map(drop));
        self.fault(startup::target(config).map(drop));
        self.fault(startup::operator_secret(&config.operator).map(drop));
    }

    /// What the remote server lacks is no fault over stdio.
    fn start_remote(&mut self, config: &Config, is_remote: bool) {
        let Some(server) = &config.remote_server else {
            return;
        };
        match server.tls.as_ref().map(Tls::load).transpose() {
            Ok(tls) => self.warn(tls.into_iter().flat_map(|tls| tls.warnings)),
            Err(words) if is_remote => self.faults.push(finding(&words)),
            Err(words) => self.warn([words]),
        }
        self.warn(serve::doubts_about_keys(server, SystemTime::now()));
        match peers::find(&server.peers) {
            Ok(_) => {}
            Err(words) if is_remote => self.faults.push(finding(&words)),
            Err(words) => self.warn([words]),
        }
        if is_remote {
            match serve::try_listening(server, config.limits.connections) {
                Ok(warnings) => self.warn(warnings),
                Err(words) => self.faults.push(finding(&words)),
            }
        }
    }

    /// Refuses `--publish` to a topic where the policy does not permit the check's message: the policy holds for the check,
    /// too.
    fn refuse_publish(&mut self, wanted: &Connect) {
        let (Some(topic), Some(loaded)) = (&wanted.publish, &self.loaded) else {
            return;
        };
        let attempt = Attempt {
            topic,
            payload: connect::PAYLOAD,
            retain: false,
        };
        let policy = &loaded.config.policy;
        let judged = policy.judge(&attempt);
        let is_ruled = |permit: &Permit<'_>| permit.grants().any(|grant| !grant.write.is_empty());
        if policy.consent(topic).is_some() || judged.as_ref().is_ok_and(is_ruled) {
            let named = Shown(topic.as_str());
            let why = format!(
                "`--publish`: {named} has rules on writes or consent, which the check does not try; name another topic, or use \
                 `--call mqtt_publish`"
            );
            self.unpublishable = Some(finding(&why));
        }
        if let Err(refusal) = judged {
            // Nothing is sent in the place of a text that no device acts on, also where the limit has an example.
            let instead = match refusal.is_limit() {
                true => {
                    "; the check sends this text alone: name another topic, or send a payload there with `--call mqtt_publish`"
                }
                false => "",
            };
            self.unpublishable = Some(finding(&format!("`--publish`: {refusal}{instead}")));
        }
    }

    fn fault(&mut self, outcome: Result<(), String>) {
        self.faults
            .extend(outcome.err().map(|words| finding(&words)));
    }

    fn warn(&mut self, warnings: impl IntoIterator<Item = String>) {
        let warnings = warnings.into_iter().map(|words| finding(&words));
        self.warnings.extend(warnings);
    }

    /// Whether the program would start.
    fn would_start(&self) -> bool {
        self.faults.is_empty() && self.unusable.is_none()
    }

    fn is_well(&self) -> bool {
        let connection = self.connection.as_ref();
        self.would_start()
            && self.unpublishable.is_none()
            && connection.is_none_or(ConnectionReport::is_well)
    }

    /// `ready` or `not ready`, and why.
    fn verdict(&self) -> (&'static str, String) {
        let over = match self.transport {
            Transport::Stdio => "stdio",
            Transport::RemoteHttp => "remotehttp",
        };
        if !self.would_start() {
            return ("not ready", format!("it would not start over {over}"));
        }
        let started = format!("it would start over {over}");
        if self.unpublishable.is_some() {
            let why = "the message of `--publish` is not permitted";
            return ("not ready", format!("{started}, but {why}"));
        }
        match &self.connection {
            None => ("ready", started),
            Some(connection) if connection.is_well() => {
                ("ready", format!("{started}, and {}", connection.verdict()))
            }
            Some(connection) => (
                "not ready",
                format!("{started}, but {}", connection.verdict()),
            ),
        }
    }
}

/// A message, which mostly begins with the key of the configuration that it is about.
fn finding(words: &str) -> Finding {
    let is_key = |c: char| c.is_ascii_alphanumeric() || "._-[]".contains(c);
    let key = words.split_once(": ");
    let key = key.filter(|(key, _)| key.chars().all(is_key));
    let (path, text) = key.unwrap_or(("", words));
    Finding {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}
