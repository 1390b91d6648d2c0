//! The outcome of an attempt to use the broker, and the line for each part of it.

use std::time::Duration;

use mcpmqtt_protocol::client::{ListenError, Reason};
use mcpmqtt_protocol::frame::FrameError;
use mcpmqtt_protocol::topic::Shown;

use crate::mqtt::ListenFailure;

pub(super) struct ConnectionReport {
    pub(super) place: String,
    pub(super) client_id: String,
    /// Whether the broker accepted the connection, or why not.
    pub(super) reached: Result<(), String>,
    pub(super) tried: Vec<Tried>,
    /// The number of readable patterns that were not tried, because there are too many.
    pub(super) left_out: usize,
    pub(super) publish: Option<Publish>,
}

pub(super) struct Tried {
    pub(super) pattern: String,
    pub(super) outcome: ConnectOutcome,
}

/// The broker's answer to a subscription.
pub(super) enum ConnectOutcome {
    Granted(Heard),
    /// The broker's access list refuses the subscription.
    Refused(String),
    /// The broker ends the connection after the request.
    Cuts(String),
    /// The answer is unknown.
    Failed(String),
}

/// The messages that arrived while the check listened.
pub(super) struct Heard {
    pub(super) retained: u64,
    pub(super) messages: u64,
    pub(super) lost: u64,
    pub(super) window: Duration,
    /// The last message would halt writing, if it came on the operator's halt topic.
    pub(super) halts: bool,
}

pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) outcome: Result<String, String>,
}

impl ConnectionReport {
    pub(super) fn is_well(&self) -> bool {
        let published = self.publish.as_ref();
        self.reached.is_ok()
            && self.tried.iter().all(|tried| tried.outcome.is_granted())
            && published.is_none_or(|published| published.outcome.is_ok())
    }

    /// What the verdict says of it.
    pub(super) fn verdict(&self) -> String {
        if self.reached.is_err() {
            return "the broker cannot be used".into();
        }
        let all = self.tried.len();
        let granted = self.tried.iter().filter(|it| it.outcome.is_granted());
        let missing = all - granted.count();
        if missing > 0 {
            return format!("the broker does not grant {missing} of {all} readable patterns");
        }
        if self.publish.as_ref().is_some_and(|it| it.outcome.is_err()) {
            return "the message was not published".into();
        }
        match (all, self.left_out) {
            (0, _) => "the broker takes it; no pattern is readable".into(),
            (1, 0) => "the broker grants the readable pattern".into(),
            (all, 0) => format!("the broker grants all {all} readable patterns"),
            (all, more) => {
                let total = all + more;
                format!("the broker grants the first {all} of {total} readable patterns")
            }
        }
    }

    pub(super) fn arrival(&self, place: &str) -> String {
        match &self.reached {
            Ok(()) => format!(
                "connected to the broker at {place} as {}: a client id of this check's own with a clean session, so that a running server keeps its connection",
                Shown(&self.client_id)
            ),
            Err(why) => format!("not connected: {why}"),
        }
    }
}

impl Tried {
    pub(super) fn line(&self) -> String {
        let pattern = Shown(&self.pattern);
        match &self.outcome {
            ConnectOutcome::Granted(heard) => format!("{pattern}: granted; {}", heard.line()),
            ConnectOutcome::Refused(reason) => format!("{pattern}: refused: {reason}"),
            ConnectOutcome::Cuts(reason) => format!("{pattern}: ends the connection: {reason}"),
            ConnectOutcome::Failed(reason) => format!("{pattern}: {reason}"),
        }
    }
}

impl ConnectOutcome {
    pub(super) fn is_granted(&self) -> bool {
        matches!(self, Self::Granted(_))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Granted(_) => "granted",
            Self::Refused(_) => "refused",
            Self::Cuts(_) => "ends the connection",
            Self::Failed(_) => "failed",
        }
    }
}

impl From<ListenFailure> for ConnectOutcome {
    fn from(failure: ListenFailure) -> Self {
        let reason = failure.to_string();
        match failure {
            ListenFailure::Broker(Reason::FilterRefused) => Self::Refused(reason),
            ListenFailure::Broker(Reason::BringsMalformed(FrameError::SubackCode(code)))
                if code >= SUBACK_FAILURE =>
            {
                Self::Refused(format!(
                    "the broker refused the subscription with {code:#04x}, a return code of MQTT 5, so that the \
                     connection has to be closed"
                ))
            }
            ListenFailure::Broker(
                Reason::FilterCutsConnection
                | Reason::FilterEndsConnection(_)
                | Reason::BringsMalformed(_),
            )
            | ListenFailure::Refused(ListenError::GivenUp(_)) => Self::Cuts(reason),
            _ => Self::Failed(reason),
        }
    }
}

/// From here on a return code is a refusal: MQTT 3.1.1 has only this one ([MQTT-3.9.3-2]), MQTT 5 more.
const SUBACK_FAILURE: u8 = 0x80;

impl Heard {
    pub(super) fn line(&self) -> String {
        let retained = match self.retained {
            0 => "nothing retained".to_owned(),
            1 => "1 retained value".to_owned(),
            many => format!("{many} retained values"),
        };
        let seconds = self.window.as_secs_f64();
        let live = self.messages + self.lost;
        if self.retained == 0 && live == 0 {
            return format!(
                "{retained}, nothing new came in {seconds:.1} s; some brokers grant what their access list then withholds"
            );
        }
        let came = match live {
            0 => format!("nothing new came in {seconds:.1} s"),
            // The figure is a count over a few seconds: one place is all that it can have.
            live => {
                let rate = u32::try_from(live).map_or(f64::INFINITY, f64::from) / seconds;
                format!("{rate:.1} messages a second in {seconds:.1} s")
            }
        };
        format!("{retained}, {came}")
    }
}

impl Publish {
    pub(super) fn line(&self) -> String {
        let topic = Shown(&self.topic);
        match &self.outcome {
            Ok(words) => format!("published to {topic}: {words}"),
            Err(words) => format!("not published to {topic}: {words}"),
        }
    }
}
