//! `dry_run`: what a publish would do now, and nothing done.

use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;

use super::{Confirm, Publication, When};
use crate::mcp::catalog::ToolResult;
use crate::tools::access::{Denied, RuleReport};

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
        let caller = self.client.caller();
        let filters = [when.map(When::filter), confirm.map(Confirm::filter)];
        let filters: Vec<_> = filters.into_iter().flatten().collect();
        let refused = self.refusal(&filters, when.is_none()).await;
        let need = access.consent(caller, &self.message);
        ToolResult::structured(&DryRun {
            topic: self.message.topic.as_str(),
            qos: self.message.qos as u8,
            retain: self.message.retain,
            bytes: self.message.payload.len(),
            outcome: match refused {
                Err(_) => "would_refuse",
                Ok(()) => "would_send",
            },
            reason: refused.err(),
            consent: need.map(|need| format!("{}; nobody was asked now", need.words())),
            rules: access.rule_report(caller, &self.message),
        })
    }

    /// Why the message would be refused, in the order of a publish.
    async fn refusal(&self, filters: &[&SubscribeFilter], now: bool) -> Result<(), String> {
        let access = &self.context.access;
        let (caller, until) = (self.client.caller(), self.deadline.until());
        let in_words = |denied: Denied| denied.to_string();
        // What no wait changes is said without one.
        access
            .would_begin(caller, &self.message)
            .map_err(in_words)?;
        let policy = access.policy(caller);
        let mut filters = filters.iter();
        let readable = filters.try_for_each(|filter| policy.may_subscribe(filter));
        readable.map_err(|refusal| refusal.to_string())?;
        access.ready(until).await;
        let needed = access.prepare(caller, &self.message.topic, until).await;
        needed.known(until).await;
        access
            .would_permit(caller, &self.message)
            .map_err(in_words)?;
        if let Some(need) = access.consent(caller, &self.message) {
            let asked = access.could_ask(self.client, need).await;
            asked.map_err(|why| why.to_string())?;
        }
        access
            .would_admit(caller, &self.message, now)
            .map_err(in_words)?;
        match access.is_connected() {
            true => Ok(()),
            false => Err(format!(
                "not connected to the broker: {}",
                access.last_reason()
            )),
        }
    }
}
