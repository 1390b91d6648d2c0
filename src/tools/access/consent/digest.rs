//! What names an attempt and nothing else.

use std::fmt;

use blake2::Blake2b;
use blake2::digest::Digest as _;
use blake2::digest::consts::U32;
use mcpmqtt_protocol::message::Message;

use crate::mcp::Caller;

/// BLAKE2b-256 of an attempt: who writes what, where, how, and on which condition.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of_attempt(
        caller: &Caller,
        tool: &str,
        message: &Message,
        when: Option<&str>,
    ) -> Digest {
        let how = [message.qos as u8, message.retain.into()];
        Digest::of(&[
            message.topic.as_str().as_bytes(),
            &message.payload,
            &how,
            caller.name().as_bytes(),
            caller.profile().as_bytes(),
            tool.as_bytes(),
            when.unwrap_or_default().as_bytes(),
        ])
    }

    pub(super) fn of(parts: &[&[u8]]) -> Digest {
        let mut hasher = Blake2b::<U32>::new();
        for part in parts {
            // The length before each part keeps two adjacent parts from being read as another pair.
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Digest(hasher.finalize().into())
    }

    /// The first of its digits, for people to compare.
    pub(super) fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}
