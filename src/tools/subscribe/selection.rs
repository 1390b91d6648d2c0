//! Which messages `mqtt_subscribe` collects.

use std::sync::Arc;

use mcpmqtt_protocol::message::Message;

use crate::observe::condition::{Condition, Op, Verdict};
use crate::tools::arguments::Arguments;
use crate::tools::message;

/// Which messages are collected.
pub(super) struct Selection {
    condition: Option<Condition>,
    pub(super) retained: Retained,
    pub(super) max_payload_bytes: Option<usize>,
    /// Messages that did not meet the condition.
    pub(super) not_met: u64,
}

/// Whether retained messages are collected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Retained {
    Also,
    None,
    Only,
}

impl Selection {
    pub(super) fn parse(arguments: &mut Arguments) -> Result<Selection, String> {
        let condition = match arguments.object("where")? {
            None => None,
            Some(mut arguments) => {
                let condition = arguments
                    .condition()
                    .map_err(|why| format!("`where`: {why}"))?;
                if condition.op() == Op::Changed {
                    return Err(
                        "`where.op`: `changed` compares with an earlier message; use mqtt_wait"
                            .into(),
                    );
                }
                Some(condition)
            }
        };
        let include_retained = arguments.flag("include_retained")?;
        let retained = match arguments.optional_text("retained")?.as_deref() {
            Some("none") => Retained::None,
            Some(word) if !include_retained => {
                return Err(format!(
                    "`retained` is `{word}` and `include_retained` is false, which contradict each other; \
                     leave `include_retained` out"
                ));
            }
            Some("only") => Retained::Only,
            Some(_) => Retained::Also,
            None if include_retained => Retained::Also,
            None => Retained::None,
        };
        Ok(Selection {
            condition,
            retained,
            max_payload_bytes: arguments.optional_count("max_payload_bytes")?,
            not_met: 0,
        })
    }

    /// Whether a message is one of those that were asked for.
    pub(super) fn takes(&mut self, message: &Message) -> bool {
        if self.retained == Retained::Only && !message.retain {
            return false;
        }
        let Some(condition) = &self.condition else {
            return true;
        };
        let is_met = condition.judge(&message.payload, None).verdict == Verdict::Met;
        self.not_met += u64::from(!is_met);
        is_met
    }

    /// The message with its payload cut, and the size of the whole payload if it was.
    pub(super) fn cut(&self, mut message: Message) -> (Message, Option<usize>) {
        let whole = message.payload.len();
        let Some(most) = self.max_payload_bytes.filter(|most| *most < whole) else {
            return (message, None);
        };
        message.payload = Arc::from(message::beginning_of(&message.payload, most));
        (message, Some(whole))
    }
}
