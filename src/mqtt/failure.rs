//! Why there are no messages for somebody who wants some.

use std::fmt;

use mcpmqtt_protocol::client::{ListenError, Reason};

/// Why a listener could not be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenFailure {
    /// Not accepted at once.
    Refused(ListenError),
    /// The broker did not take the filter.
    Broker(Reason),
    /// The driver has ended.
    Ended,
}

impl fmt::Display for ListenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Broker(reason) => reason.fmt(f),
            Self::Ended => Reason::ShuttingDown.fmt(f),
        }
    }
}

impl std::error::Error for ListenFailure {}
