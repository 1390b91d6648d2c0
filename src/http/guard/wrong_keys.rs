//! Log lines about wrong keys.
//!
//! Promises: wrong keys in any number cost one log line at once and one for each ten seconds after it; none is lost
//! when the server ends.

use std::cell::RefCell;
use std::time::Instant;

use async_channel::{Receiver, Sender};
use async_io::Timer;

use super::repeats::{Repeats, Sum};
use crate::http::net::remote_addr::RemoteAddr;
use crate::logger;

/// The peers that have shown wrong keys since the last log line.
#[derive(Debug)]
pub(in crate::http) struct WrongKeys {
    repeats: RefCell<Repeats>,
    begins: Sender<()>,
    begun: Receiver<()>,
}

impl WrongKeys {
    /// Counts one wrong key.
    pub(in crate::http) fn note(&self, peer: RemoteAddr) {
        if self.repeats.borrow_mut().note(peer, Instant::now()) {
            logger::warning(format_args!("wrong API key from {peer}"));
            // Full: it begins already.
            let _ = self.begins.try_send(());
        }
    }

    /// Logs the events held back whenever they are due. Without a wrong key the task is never woken.
    pub(in crate::http) async fn tell(&self) {
        while self.begun.recv().await.is_ok() {
            loop {
                let ends = self.repeats.borrow().ends();
                let Some(ends) = ends else {
                    break;
                };
                Timer::at(ends).await;
                self.sum_up();
            }
        }
    }

    fn sum_up(&self) {
        let sum: Option<Sum> = self.repeats.borrow_mut().sum_up(Instant::now());
        if let Some(sum) = sum {
            logger::warning(format_args!("wrong API key from {sum}"));
        }
    }
}

impl Default for WrongKeys {
    fn default() -> WrongKeys {
        let (begins, begun) = async_channel::bounded(1);
        WrongKeys {
            repeats: RefCell::default(),
            begins,
            begun,
        }
    }
}

impl Drop for WrongKeys {
    fn drop(&mut self) {
        self.sum_up();
    }
}
