//! The report as one JSON object, for scripts.

use mcpmqtt_config::{Finding, Refused};
use serde_json::{Value, json};

use super::outcome::{ConnectOutcome, ConnectionReport, Tried};
use super::{Report, Unusable};
use crate::app::cli::Transport;
use crate::app::startup::Loaded;

/// The configuration in force, and the file that it is from.
pub(super) fn configuration(loaded: &Loaded) -> Value {
    let mut described = loaded.config.describe_json(&[]);
    if let Some(described) = described.as_object_mut() {
        // They are beside it, with those that the start has.
        described.remove("findings");
        described.insert("origin".into(), loaded.origin.clone().into());
    }
    described
}

/// The report, on one line.
pub(super) fn report(report: &Report, configuration: Option<Value>) -> String {
    let (verdict, text) = report.verdict();
    let none = Refused {
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let refused = match &report.unusable {
        Some(Unusable::Wrong { refused, .. }) => refused,
        _ => &none,
    };
    let errors = report.faults.iter().chain(&report.unpublishable);
    let errors = errors.chain(&refused.problems);
    let warnings = report.warnings.iter().chain(&refused.warnings);
    let findings = errors.map(|found| finding(found, "error"));
    let findings = findings.chain(warnings.map(|found| finding(found, "warning")));
    let transport = match report.transport {
        Transport::Stdio => "stdio",
        Transport::RemoteHttp => "remotehttp",
    };
    let mut object = json!({
        "verdict": verdict,
        "text": text,
        "transport": transport,
        "configuration": configuration,
        "findings": findings.collect::<Vec<_>>(),
    });
    if let (Some(connection), Some(object)) = (&report.connection, object.as_object_mut()) {
        object.insert("connection".into(), of_connection(connection));
    }
    format!("{object}\n")
}

fn finding(Finding { path, text }: &Finding, severity: &str) -> Value {
    json!({"path": path, "text": text, "severity": severity})
}

fn of_connection(connection: &ConnectionReport) -> Value {
    let publish = connection.publish.as_ref().map(|published| {
        let (outcome, text) = match &published.outcome {
            Ok(words) => ("delivered", words),
            Err(words) => ("failed", words),
        };
        json!({"topic": published.topic, "outcome": outcome, "text": text})
    });
    json!({
        "broker": connection.place,
        "client_id": connection.client_id,
        "connected": connection.reached.is_ok(),
        "reason": connection.reached.as_ref().err(),
        "patterns": connection.tried.iter().map(pattern).collect::<Vec<_>>(),
        "patterns_left_out": connection.left_out,
        "publish": publish,
    })
}

fn pattern(Tried { pattern, outcome }: &Tried) -> Value {
    let reason = match outcome {
        ConnectOutcome::Granted(heard) => {
            return json!({
                "pattern": pattern,
                "outcome": outcome.name(),
                "retained": heard.retained,
                "messages": heard.messages,
                "lost": heard.lost,
                "seconds": heard.window.as_secs_f64(),
            });
        }
        ConnectOutcome::Refused(reason)
        | ConnectOutcome::Cuts(reason)
        | ConnectOutcome::Failed(reason) => reason,
    };
    json!({"pattern": pattern, "outcome": outcome.name(), "reason": reason})
}
