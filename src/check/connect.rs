//! `--connect`: one connection to the broker, and each readable pattern subscribed to in turn.
//!
//! Promises: the client id is a new one, with a clean session, no will and no birth message, so that a running server
//! with the same configuration is not thrown out; nothing is published but what `--publish` names; every wait ends.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_io::{Timer, block_on};
use mcpmqtt_config::Config;
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{BackoffOptions, Listen, ListenError, Outcome as Published, Reason};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{Shown, SubscribeFilter, TopicFilter, TopicName};
use smol::LocalExecutor;
use smol::future::{self, FutureExt as _};

use crate::broker::{Arrival, Broker, Changes, Inbox, ListenFailure, Status};
use crate::cli::Connect;
use crate::{link, serve, startup};

/// What came of it.
pub(super) struct Connection {
    /// The broker.
    pub(super) place: String,
    pub(super) client_id: String,
    /// Or why the broker did not take us.
    pub(super) reached: Result<(), String>,
    pub(super) tried: Vec<Tried>,
    /// Readable patterns that were one too many.
    pub(super) left_out: usize,
    pub(super) publish: Option<Publish>,
}

/// One pattern.
pub(super) struct Tried {
    pub(super) pattern: String,
    pub(super) outcome: Outcome,
}

/// What the broker made of a pattern.
pub(super) enum Outcome {
    Granted(Heard),
    /// Its access list does not let us.
    Refused(String),
    /// It ends the connection of whoever asks for it.
    Cuts(String),
    /// There is no telling.
    Failed(String),
}

/// What came while we listened.
pub(super) struct Heard {
    pub(super) retained: u64,
    pub(super) messages: u64,
    pub(super) lost: u64,
    pub(super) window: Duration,
}

/// The one message.
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) outcome: Result<String, String>,
}

/// Prints one line.
type Tell<'a> = dyn FnMut(&str) -> Result<(), String> + 'a;

/// Tries the broker, and tells each step. The configuration becomes that of a visitor.
///
/// # Errors
/// Something within this program; what the broker does is in the report.
pub(super) fn attempt(
    config: &mut Config,
    wanted: &Connect,
    tell: &mut Tell<'_>,
) -> Result<Connection, String> {
    serve::as_visitor(config);
    let executor = Rc::new(LocalExecutor::new());
    block_on(executor.run(visit(&executor, config, wanted, tell).boxed_local()))
}

async fn visit(
    executor: &LocalExecutor<'static>,
    config: &Config,
    wanted: &Connect,
    tell: &mut Tell<'_>,
) -> Result<Connection, String> {
    let mut options = startup::client_options(config)?;
    options.backoff = BACKOFF;
    let client_id = options.client_id.clone();
    let (broker, pump) = link::open(
        options,
        startup::target(config)?,
        startup::inbox_limits(config),
        startup::seed()?,
    );
    let link = executor.spawn(pump);
    let place = Shown(&format!("{}:{}", config.mqtt.host, config.mqtt.port)).to_string();
    let reached = reach(&broker, &place, config.mqtt.connect_timeout + GRACE).await;
    let mut connection = Connection {
        place: format!("{}:{}", config.mqtt.host, config.mqtt.port),
        client_id,
        reached,
        tried: Vec::new(),
        left_out: 0,
        publish: None,
    };
    tell(&connection.arrival(&place))?;
    if connection.reached.is_ok() {
        listen_to_all(&broker, config, wanted, &mut connection, tell).await?;
        if let Some(topic) = &wanted.publish {
            let published = publish(&broker, topic).await;
            tell(&published.line())?;
            connection.publish = Some(published);
        }
    }
    broker.shut_down();
    within(GRACE, link).await;
    Ok(connection)
}

/// Waits for what the first attempt comes to.
async fn reach(broker: &Broker, place: &str, limit: Duration) -> Result<(), String> {
    let mut changes = broker.changes();
    let first = async {
        loop {
            match changes.next().await {
                Status::Connected { .. } => return Ok(()),
                Status::Disconnected {
                    reason: Reason::NeverConnected,
                    ..
                } => {}
                // It names the place itself.
                Status::Disconnected {
                    reason: reason @ Reason::Transport(_),
                    ..
                } => return Err(reason.to_string()),
                Status::Disconnected { reason, .. } => {
                    return Err(format!("broker {place}: {reason}"));
                }
            }
        }
    };
    let late = || Err(format!("broker {place}: no answer in time"));
    within(limit, first).await.unwrap_or_else(late)
}

async fn listen_to_all(
    broker: &Broker,
    config: &Config,
    wanted: &Connect,
    connection: &mut Connection,
    tell: &mut Tell<'_>,
) -> Result<(), String> {
    let readable = config.policy.grants().filter(|it| it.permissions.read);
    let patterns: Vec<_> = readable.map(|grant| &grant.pattern).collect();
    let all = wanted.patience * ALL_TOGETHER;
    // All get the same time, so that the last one is not left with none.
    let most = usize::try_from(all.as_millis() / LEAST_WINDOW.as_millis()).unwrap_or(usize::MAX);
    let count = patterns.len().min(most);
    connection.left_out = patterns.len() - count;
    let share = all / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    let window = share.min(wanted.patience);
    let deadline = Instant::now() + all + SUBSCRIBING;
    let mut changes = broker.changes();
    for pattern in patterns.into_iter().take(count) {
        let left = deadline.saturating_duration_since(Instant::now());
        let outcome = match left.is_zero() {
            true => Outcome::Failed("not tried: the time for all patterns is over".into()),
            false => listen_to(broker, &mut changes, pattern, window, left).await,
        };
        let tried = Tried {
            pattern: pattern.as_str().to_owned(),
            outcome,
        };
        tell(&tried.line())?;
        connection.tried.push(tried);
    }
    match connection.left_out {
        0 => Ok(()),
        more => tell(&format!(
            "{more} more readable patterns were not tried: they would take more than {} s",
            all.as_secs()
        )),
    }
}

async fn listen_to(
    broker: &Broker,
    changes: &mut Changes,
    pattern: &TopicFilter,
    window: Duration,
    left: Duration,
) -> Outcome {
    // The pattern before may have cost the connection.
    let limit = left.min(SUBSCRIBING);
    if within(limit, changes.connected()).await != Some(true) {
        let reason = broker.last_reason();
        return Outcome::Failed(format!(
            "not tried, the connection did not come back: {reason}"
        ));
    }
    let listen = Listen {
        filter: SubscribeFilter::from(pattern.clone()),
        qos: QoS::AtMostOnce,
        retained: true,
    };
    match within(limit, broker.listen(listen)).await {
        Some(Ok(inbox)) => hear(inbox, window).await,
        Some(Err(failure)) => Outcome::from(failure),
        None => Outcome::Failed(format!("no answer in {} s", limit.as_secs())),
    }
}

async fn hear(mut inbox: Inbox, window: Duration) -> Outcome {
    let mut heard = Heard {
        retained: 0,
        messages: 0,
        lost: 0,
        window,
    };
    let mut end = pin!(Timer::after(window));
    loop {
        let next = async { Some(inbox.next().await) };
        let over = async {
            end.as_mut().await;
            None
        };
        // The clock first, or a flood would never end.
        let is_retained = match future::or(over, next).await {
            None => break,
            Some(Arrival::Message(message)) => message.retain,
            Some(Arrival::TooLarge(large)) => large.retain,
            Some(Arrival::Ended(reason)) => return Outcome::from(ListenFailure::Broker(reason)),
        };
        match is_retained {
            true => heard.retained += 1,
            false => heard.messages += 1,
        }
    }
    heard.lost = inbox.lost();
    match inbox.interruptions() {
        0 => Outcome::Granted(heard),
        times => Outcome::Failed(format!(
            "the broker granted it, and the connection was lost {times} times while listening"
        )),
    }
}

async fn publish(broker: &Broker, topic: &TopicName) -> Publish {
    let message = Message {
        topic: topic.clone(),
        payload: PAYLOAD.into(),
        qos: QoS::AtLeastOnce,
        retain: false,
    };
    let outcome = match broker.publish(message, Instant::now() + SUBSCRIBING).await {
        Ok(Published::Delivered | Published::Sent) => Ok(TAKEN.to_owned()),
        Ok(Published::NotSent(reason)) => Err(format!("not sent: {reason}")),
        Ok(Published::Unknown(reason)) => Err(format!("sent and not acknowledged: {reason}")),
        Err(error) => Err(error.to_string()),
    };
    Publish {
        topic: topic.as_str().to_owned(),
        outcome,
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(limit).await;
        None
    };
    future::or(async { Some(work.await) }, late).await
}

impl Connection {
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

    fn arrival(&self, place: &str) -> String {
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
    fn line(&self) -> String {
        let pattern = Shown(&self.pattern);
        match &self.outcome {
            Outcome::Granted(heard) => format!("{pattern}: granted; {}", heard.line()),
            Outcome::Refused(reason) => format!("{pattern}: refused: {reason}"),
            Outcome::Cuts(reason) => format!("{pattern}: ends the connection: {reason}"),
            Outcome::Failed(reason) => format!("{pattern}: {reason}"),
        }
    }
}

impl Outcome {
    fn is_granted(&self) -> bool {
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

impl From<ListenFailure> for Outcome {
    fn from(failure: ListenFailure) -> Self {
        let reason = failure.to_string();
        match failure {
            ListenFailure::Broker(Reason::FilterRefused) => Self::Refused(reason),
            ListenFailure::Broker(Reason::FilterCutsConnection)
            | ListenFailure::Refused(ListenError::GivenUp(_)) => Self::Cuts(reason),
            _ => Self::Failed(reason),
        }
    }
}

impl Heard {
    fn line(&self) -> String {
        let retained = match self.retained {
            0 => "nothing retained".to_owned(),
            1 => "1 retained value".to_owned(),
            many => format!("{many} retained values"),
        };
        let seconds = self.window.as_secs_f64();
        let live = self.messages + self.lost;
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
    fn line(&self) -> String {
        let topic = Shown(&self.topic);
        match &self.outcome {
            Ok(words) => format!("published to {topic}: {words}"),
            Err(words) => format!("not published to {topic}: {words}"),
        }
    }
}

/// Who reads it must know what it is. It is not retained, so that nothing of it stays.
const PAYLOAD: &[u8] = b"test message of mcpmqtt --check";
const TAKEN: &str =
    "the broker acknowledged it (MQTT 3.1.1 does not say whether its access list dropped it)";

/// All patterns together, in multiples of the time for one.
const ALL_TOGETHER: u32 = 10;
/// Retained values come within it from any broker.
const LEAST_WINDOW: Duration = Duration::from_millis(300);
/// For the broker to answer, or to be found again after it ended the connection.
const SUBSCRIBING: Duration = Duration::from_secs(20);
/// Those who wait guard against mistakes elsewhere.
const GRACE: Duration = Duration::from_secs(2);
/// A person waits.
const BACKOFF: BackoffOptions = BackoffOptions {
    initial: Duration::from_millis(100),
    max: Duration::from_secs(1),
    refused_initial: Duration::from_secs(1),
    refused_max: Duration::from_secs(1),
    stable: Duration::from_secs(10),
};
