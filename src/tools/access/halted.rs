//! What an operator's halt means for writes: before they are handed over, and while they wait for something.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use mcpmqtt_protocol::message::Message;

use super::{Access, Denied};
use crate::operator::Verdict;

impl Access {
    /// Whether an operator lets this message be written now.
    ///
    /// # Errors
    /// [`Denied::Halted`].
    pub(super) fn may_write_now(&self, message: &Message) -> Result<(), Denied> {
        match self.operator.halted() {
            Some(verdict) if !self.operator.is_safe(message) => {
                Err(Denied::Halted(verdict.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// As [`may_write_now`](Self::may_write_now), for an attempt that began after so many halts: one that came since ends
    /// it, also when it is lifted.
    ///
    /// # Errors
    /// [`Denied::Halted`].
    pub(super) fn may_write_since(&self, halts: u64, message: &Message) -> Result<(), Denied> {
        self.may_write_now(message)?;
        match self.client.halted_since(halts) {
            Some(words) if !self.operator.is_safe(message) => {
                Err(Denied::Halted(words.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Runs `work` until an operator halts writing, unless this message is safe. To be run within
    /// [`while_permitted`](Self::while_permitted), which is what has it look again after a change.
    ///
    /// # Errors
    /// [`Denied::Halted`]; the work is dropped.
    pub(in crate::tools) async fn unless_halted<T>(
        &self,
        message: &Message,
        work: impl Future<Output = T>,
    ) -> Result<T, Denied> {
        let (mut work, halts) = (pin!(work), self.client.halts());
        poll_fn(|context| match self.may_write_since(halts, message) {
            Ok(()) => work.as_mut().poll(context).map(Ok),
            Err(halted) => Poll::Ready(Err(halted)),
        })
        .await
    }

    /// Why a message was taken back that no rule refused.
    pub(super) fn halted_meanwhile(&self, message: &Message) -> Denied {
        let halted = self.may_write_now(message).err();
        halted.unwrap_or_else(|| Denied::Halted("an operator halted writing meanwhile".into()))
    }

    /// Whether what is not sent waits for nothing but the word that nobody has halted writing.
    pub(super) fn waits_for_operator(&self) -> bool {
        self.operator.verdict() == Verdict::Waiting && self.client.is_connected()
    }
}
