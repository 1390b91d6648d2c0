//! The state machine's events: who is told of each.

use std::time::Instant;

use mcpmqtt_protocol::client::Event;

use super::{Driver, SocketState};
use crate::mqtt::state::Status;
use crate::mqtt::too_large::TooLarge;

impl Driver {
    pub(super) fn handle_event(&mut self, now: Instant, event: Event) {
        self.told += 1;
        match event {
            Event::Message { ticket, message } => {
                self.coalescer.arrived();
                self.calls.message(ticket, message, &self.shared);
            }
            Event::Observed {
                ticket,
                message,
                may_be_copy,
            } => {
                self.coalescer.arrived();
                self.calls
                    .observed(now, ticket, &message, may_be_copy, &self.shared);
            }
            Event::Pong { ticket } => self.calls.answered(ticket),
            Event::TooLarge {
                ticket,
                topic,
                payload_bytes,
                retain,
            } => {
                let large = TooLarge {
                    topic,
                    payload_bytes,
                    retain,
                    limit: self.packet_bytes,
                };
                self.calls.too_large(now, ticket, large, &self.shared);
            }
            Event::Published { ticket, outcome } => {
                self.coalescer.arrived();
                self.calls.published(ticket, outcome);
            }
            Event::Listening { ticket, .. } => self.calls.listening_now(ticket),
            Event::ListenRefused { ticket, reason } => self.calls.refused(now, ticket, reason),
            Event::Connected { session_present } => {
                if let SocketState::Open(socket) = &self.socket {
                    let protocol = socket.protocol();
                    self.log.up(&self.target, protocol, session_present);
                }
                self.shared.count(|counts| counts.connects += 1);
                self.shared.state.set(Status::Connected { session_present });
            }
            Event::OldSession => self.log.old_session(&self.target),
            Event::Disconnected { reason, retry_in } => {
                let was_up = self.shared.state.is_connected();
                if was_up {
                    self.calls.interrupted(now);
                }
                if retry_in.is_some() {
                    self.shared.count(|counts| match was_up {
                        true => counts.connections_lost += 1,
                        false => counts.connect_failures += 1,
                    });
                }
                if retry_in.is_none() {
                    self.calls.ended(now, &reason);
                }
                self.log.down(&self.target, &reason, retry_in);
                self.shared
                    .state
                    .set(Status::Disconnected { reason, retry_in });
            }
        }
    }
}
