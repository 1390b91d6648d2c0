//! `--connect`: one connection to the broker, and each readable pattern subscribed to in turn.
//!
//! Promises: the client id is a new one, with a clean session, no will and no birth message, so that a running server
//! with the same configuration is not thrown out; nothing is published but what `--publish` names; every wait ends.

use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_io::Timer;
use mcpmqtt_config::{Config, OperatorTopic};
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{Listen, Outcome as Published, Reason};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{Shown, SubscribeFilter, TopicFilter, TopicName};
use smol::LocalExecutor;
use smol::future::{self, FutureExt as _};

use super::outcome::{ConnectOutcome, ConnectionReport, Heard, Publish, Tried};
use crate::app::cli::Connect;
use crate::app::execute::execute;
use crate::app::visit::{self, BACKOFF, GRACE, SUBSCRIBING, within};
use crate::app::{serve, startup};
use crate::mqtt::{self, Arrival, Inbox, ListenFailure, StateReceiver};
use crate::operator;

/// Prints one line.
type Tell<'a> = dyn FnMut(&str) -> Result<(), String> + 'a;

/// Tries the broker, and reports each step. The configuration becomes that of a temporary client.
///
/// # Errors
/// Something within this program; what the broker does is in the report.
pub(super) fn attempt(
    config: &mut Config,
    wanted: &Connect,
    tell: &mut Tell<'_>,
) -> Result<ConnectionReport, String> {
    serve::as_visitor(config);
    let executor = Rc::new(LocalExecutor::new());
    let visit = visit(&executor, config, wanted, tell);
    execute(&executor, visit.boxed_local())
}

async fn visit(
    executor: &LocalExecutor<'static>,
    config: &Config,
    wanted: &Connect,
    tell: &mut Tell<'_>,
) -> Result<ConnectionReport, String> {
    let mut options = startup::client_options(config)?;
    options.backoff = BACKOFF;
    let client_id = options.client_id.clone();
    let (broker, driver) = mqtt::connect(
        options,
        startup::target(config)?,
        startup::inbox_limits(config),
        startup::seed()?,
    );
    let driver = executor.spawn(driver);
    let place = mqtt::place(&config.mqtt.host, config.mqtt.port);
    let shown = Shown(&place).to_string();
    let mut reached = reach(&broker, &shown, config.mqtt.connect_timeout + GRACE).await;
    let is_silent = matches!(broker.last_reason(), Reason::ClosedBeforeConnack(_));
    if let (Err(words), true, Some(_)) = (&mut reached, is_silent, &config.mqtt.credentials) {
        words.push_str(SILENT_REFUSAL);
    }
    let mut connection = ConnectionReport {
        place,
        client_id,
        reached,
        tried: Vec::new(),
        left_out: 0,
        publish: None,
    };
    tell(&connection.arrival(&shown))?;
    if connection.reached.is_ok() {
        listen_to_all(&broker, config, wanted, &mut connection, tell).await?;
        if let Some(topic) = &wanted.publish {
            let published = match halted(config, &connection.tried) {
                Some(why) => Publish {
                    topic: topic.as_str().to_owned(),
                    outcome: Err(why),
                },
                None => publish(&broker, topic).await,
            };
            tell(&published.line())?;
            connection.publish = Some(published);
        }
    }
    broker.shut_down();
    within(GRACE, driver).await;
    Ok(connection)
}

/// Waits for the outcome of the first attempt.
async fn reach(broker: &mqtt::Client, place: &str, limit: Duration) -> Result<(), String> {
    let reached = visit::reach(broker, limit).await;
    reached.map_err(|reason| match reason {
        // The reason names the broker's address itself.
        Some(reason @ Reason::Transport(_)) => reason.to_string(),
        Some(reason) => format!("broker {place}: {reason}"),
        None => format!("broker {place}: no answer in time"),
    })
}

async fn listen_to_all(
    broker: &mqtt::Client,
    config: &Config,
    wanted: &Connect,
    connection: &mut ConnectionReport,
    tell: &mut Tell<'_>,
) -> Result<(), String> {
    let readable = config.policy.grants().filter(|it| it.permissions.read);
    // Without the operator's halt topic nothing is written.
    let halt_topic = config.operator.topic.as_ref().and_then(halt_filter);
    let readable = readable.map(|grant| &grant.pattern);
    let patterns: Vec<_> = halt_topic.iter().chain(readable).collect();
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
            true => ConnectOutcome::Failed("not tried: the time for all patterns is over".into()),
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

fn halt_filter(topic: &OperatorTopic) -> Option<TopicFilter> {
    let topic = topic.below(operator::HALT).ok()?;
    TopicFilter::parse(topic.as_str()).ok()
}

async fn listen_to(
    broker: &mqtt::Client,
    changes: &mut StateReceiver,
    pattern: &TopicFilter,
    window: Duration,
    left: Duration,
) -> ConnectOutcome {
    // The broker may have ended the connection after the pattern before.
    let limit = left.min(SUBSCRIBING);
    if within(limit, changes.connected()).await != Some(true) {
        let reason = broker.last_reason();
        return ConnectOutcome::Failed(format!(
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
        Some(Err(failure)) => ConnectOutcome::from(failure),
        None => ConnectOutcome::Failed(format!("no answer in {} s", limit.as_secs())),
    }
}

async fn hear(mut inbox: Inbox, window: Duration) -> ConnectOutcome {
    let mut heard = Heard {
        retained: 0,
        messages: 0,
        lost: 0,
        window,
        halts: false,
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
            Some(Arrival::Message(message)) => {
                heard.halts = operator::halts(&message.payload);
                message.retain
            }
            Some(Arrival::TooLarge(large)) => {
                heard.halts = true;
                large.retain
            }
            Some(Arrival::Ended(reason)) => {
                return ConnectOutcome::from(ListenFailure::Broker(reason));
            }
        };
        match is_retained {
            true => heard.retained += 1,
            false => heard.messages += 1,
        }
    }
    heard.lost = inbox.lost();
    match inbox.interruptions() {
        0 => ConnectOutcome::Granted(heard),
        times => ConnectOutcome::Failed(format!(
            "the broker granted it, and the connection was lost {times} times while listening"
        )),
    }
}

/// Why nothing may be published: the topic on which an operator halts all writes says so, or is not heard.
fn halted(config: &Config, tried: &[Tried]) -> Option<String> {
    let halt = config.operator.topic.as_ref()?.below(operator::HALT).ok()?;
    let of_halt = tried.iter().find(|it| it.pattern == halt.as_str());
    let halt = Shown(halt.as_str());
    match of_halt.map(|it| &it.outcome) {
        Some(ConnectOutcome::Granted(heard)) if !heard.halts => None,
        Some(ConnectOutcome::Granted(_)) => Some(format!("not sent: writing is halted on {halt}")),
        _ => Some(format!(
            "not sent: whether writing is halted on {halt} is not known"
        )),
    }
}

async fn publish(broker: &mqtt::Client, topic: &TopicName) -> Publish {
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

/// The payload says what the message is, for its readers. The message is not retained, so that the broker keeps nothing
/// of it.
/// What `--publish` sends.
pub(super) const PAYLOAD: &[u8] = b"test message of mcpmqtt --check";
const TAKEN: &str =
    "the broker acknowledged it (MQTT 3.1.1 does not say whether its access list dropped it)";

const SILENT_REFUSAL: &str = "; some brokers do this to a wrong `mqtt.username` or `mqtt.password`";

/// All patterns together, in multiples of the time for one.
const ALL_TOGETHER: u32 = 10;
/// Retained values come within it from any broker.
const LEAST_WINDOW: Duration = Duration::from_millis(300);
