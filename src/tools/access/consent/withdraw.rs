//! The end of questions that may not be answered any more. In MCP 2026-07-28 no call waits for the answer, which could end
//! with what was asked about.

use std::rc::Rc;

use super::Consents;
use super::digest::Digest;
use super::open::Closing;
use super::questions::Question;
use crate::mcp::Caller;
use crate::operator::Operator;
use crate::tools::access::live_policy::LivePolicy;

impl Consents {
    /// Has the questions judged at each change of what the operator says of writing.
    pub(in crate::tools::access) fn judge_at_changes(
        &self,
        operator: &Operator,
        policy: &LivePolicy,
    ) {
        // Weak: the operator must not keep alive what keeps the operator.
        let (state, policy) = (Rc::downgrade(&self.0), policy.clone());
        operator.on_change(move || {
            if let Some(state) = state.upgrade() {
                Consents(state).judge(&policy);
            }
        });
    }

    /// Ends the questions about what may not be written now, or not as it was asked.
    pub(in crate::tools::access) fn judge(&self, policy: &LivePolicy) {
        let operator = self.0.channel.operator();
        let is_halted = operator.halted().is_some();
        self.withdraw(|question| {
            let topic = &question.topic;
            let is_payload = |payload: &[u8]| Digest::of(&[payload]) == question.payload;
            let now = policy.of(&question.caller).current();
            is_halted && !operator.has_safe(topic, is_payload)
                || now.may_publish(topic, question.retain).is_err()
                || now.asks_the_same(&question.policy, topic).is_err()
        });
    }

    /// Ends the questions of these callers, who are not let in any more.
    pub(in crate::tools::access) fn dismiss(&self, whose: impl Fn(&Caller) -> bool) {
        self.withdraw(|question| whose(&question.caller));
    }

    fn withdraw(&self, ends: impl Fn(&Question) -> bool) {
        let ended = self.0.questions.borrow().of(ends);
        for asked in ended {
            self.close(asked, &Closing::Withdrawn);
        }
    }
}
