//! The error of a listener that could not be set up.

use std::fmt;

use mcpmqtt_protocol::client::{ListenError, Reason};

/// Why a listener could not be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenFailure {
    /// The state machine refused the request at once.
    Refused(ListenError),
    /// The broker refused the filter, or the connection could not be made.
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
