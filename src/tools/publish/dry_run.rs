//! `dry_run`: what a publish would do now, and nothing done.

use mcpmqtt_config::Consent;
use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;

use super::{Confirm, Publication, When};
use crate::mcp::catalog::ToolResult;
use crate::tools::access::RuleReport;

#[derive(Serialize)]
struct DryRun<'a> {
    topic: &'a str,
    qos: u8,
    retain: bool,
    bytes: usize,
    outcome: &'static str,
    /// Why it would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Who would be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    consent: Option<String>,
    /// The operator's rules on writes to the topic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<RuleReport>,
}

impl Publication<'_> {
    /// Judges the message as a publish would, and counts nothing.
    pub(super) async fn dry_run(
        &self,
        when: Option<&When>,
        confirm: Option<&Confirm>,
    ) -> ToolResult {
        let access = &self.context.access;
        let until = self.deadline.until();
        let caller = self.client.caller();
        let needed = access.prepare(caller, &self.message.topic, until).await;
        needed.known(until).await;
        let filters = [when.map(When::filter), confirm.map(Confirm::filter)];
        let need = access.consent(caller, &self.message);
        let refused = self.refusal(filters.into_iter().flatten(), need);
        ToolResult::structured(&DryRun {
            topic: self.message.topic.as_str(),
            qos: self.message.qos as u8,
            retain: self.message.retain,
            bytes: self.message.payload.len(),
            outcome: match refused {
                Some(_) => "would_refuse",
                None => "would_send",
            },
            reason: refused,
            consent: need.map(|need| format!("{}; nobody was asked now", need.words())),
            rules: access.rule_report(caller, &self.message),
        })
    }

    fn refusal<'a>(
        &self,
        filters: impl Iterator<Item = &'a SubscribeFilter>,
        need: Option<Consent>,
    ) -> Option<String> {
        let access = &self.context.access;
        let caller = self.client.caller();
        if let Err(denied) = access.would_permit(caller, &self.message) {
            return Some(denied.to_string());
        }
        let policy = access.policy(caller);
        for filter in filters {
            if let Err(refusal) = policy.may_subscribe(filter) {
                return Some(refusal.to_string());
            }
        }
        if let Some(Err(why)) = need.map(|need| access.can_ask(self.client, need)) {
            return Some(why.to_string());
        }
        let is_connected = access.is_connected();
        (!is_connected).then(|| format!("not connected to the broker: {}", access.last_reason()))
    }
}
