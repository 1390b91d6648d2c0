//! Has a person agree to a write, where the operator demands it: what is asked, and when nobody is asked in vain.

use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{Shown, SubscribeFilter};

use super::Context;
use super::access::{Agreed, Denied, OPEN_FOR, Request, RuleReport, may_publish};
use super::deadline::Deadline;
use crate::mcp::Peer;
use crate::observe::reading::Reading;

/// A write that is attempted.
pub(super) struct Attempt<'a> {
    pub(super) client: &'a Peer,
    pub(super) tool: &'static str,
    pub(super) message: &'a Message,
    /// The condition on which it is sent, in words.
    pub(super) when: Option<String>,
    /// What the call reads beside it.
    pub(super) reads: Vec<&'a SubscribeFilter>,
}

impl Attempt<'_> {
    /// The agreement of whoever has to agree. The time of the call begins anew after it.
    ///
    /// # Errors
    /// The write is not permitted, or nobody agreed; it is recorded.
    pub(super) async fn agreed(
        self,
        context: &Context,
        deadline: &mut Deadline,
    ) -> Result<Agreed, Denied> {
        let access = &context.access;
        let caller = self.client.caller();
        if access.consent(caller, self.message).is_none() {
            return Ok(Agreed::default());
        }
        // Boxed, because a publish that nobody has to agree to must not pay for it.
        let agreed = Box::pin(self.ask(context, deadline)).await;
        agreed.inspect_err(|denied| {
            let begun = access.begin(caller, self.tool, self.message, Agreed::default());
            begun.refused(denied);
        })
    }

    async fn ask(&self, context: &Context, deadline: &mut Deadline) -> Result<Agreed, Denied> {
        let access = &context.access;
        let (caller, message) = (self.client.caller(), self.message);
        let topic = &message.topic;
        // What is forbidden, or is not permitted now, is not asked for.
        let policy = access.policy(caller);
        may_publish(&policy, message).map_err(Denied::Policy)?;
        let mut reads = self.reads.iter();
        let readable = reads.try_for_each(|filter| policy.may_subscribe(filter));
        readable.map_err(Denied::Policy)?;
        let until = deadline.until();
        let needed = access.prepare(caller, topic, until).await;
        needed.known(until).await;
        if self.when.is_none() {
            access.would_permit(caller, message)?;
        }
        let asking = deadline.part(OPEN_FOR);
        let request = Request {
            client: self.client,
            tool: self.tool,
            message,
            when: self.when.clone(),
            now: self.now(context),
        };
        let status = || "waiting for the consent to this write".into();
        let agreed = asking.with_reports(access.agree(&request), status).await;
        *deadline = deadline.anew();
        agreed
    }

    /// The present values, as far as they are known and the caller may read them: of the topic itself, and of those that
    /// rules on it name.
    fn now(&self, context: &Context) -> Vec<String> {
        let (access, caller) = (&context.access, self.client.caller());
        let topic = self.message.topic.as_str();
        let mut now = Vec::new();
        if access.policy(caller).may_receive(topic) {
            let table = context.observation.table();
            let last = table
                .row(topic)
                .and_then(|row| Reading::of(row.payload(), None).ok());
            now.extend(
                last.map(|last| format!("{} is {}", Shown(topic), last.to_json(VALUE_BYTES).value)),
            );
        }
        let reports = access.rule_report(caller, self.message);
        now.extend(reports.iter().flat_map(RuleReport::present));
        now.dedup();
        now
    }
}

/// The most bytes of the present value of a topic.
const VALUE_BYTES: usize = 100;
