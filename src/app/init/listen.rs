//! The look at the broker: one connection, and what comes on some filters for some seconds.
//!
//! Promises: nothing is published; time, topics, memory and the bytes taken in have bounds; every wait ends.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_io::Timer;
use mcpmqtt_config::{Config, Password};
use mcpmqtt_protocol::client::{Reason, Refusal, Stranger};
use mcpmqtt_protocol::topic::{Shown, SubscribeFilter, TopicFilter};
use smol::LocalExecutor;
use smol::future::FutureExt as _;

use crate::app::execute::execute;
use crate::app::visit::{self, BACKOFF, GRACE, SUBSCRIBING, within};
use crate::app::{serve, startup};
use crate::mqtt::{self, Tap, Tapped};
use crate::observe::cover::Cover;
use crate::observe::table::{Limits, Table};

/// What came.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) table: Table,
    /// How long all filters were listened to.
    pub(super) looked: Duration,
    /// Why listening ended before its time.
    pub(super) cut_short: Option<String>,
    /// The connection was lost, so that silence says nothing.
    pub(super) is_lost: bool,
    /// The filters that the broker did not grant, and why.
    pub(super) refused: Vec<(TopicFilter, String)>,
}

/// Why there is no connection, and what may help.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreached {
    pub(super) words: String,
    pub(super) remedy: Remedy,
}

/// What may help against a connection that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// A user name and a password, or other ones.
    Login,
    /// TLS.
    Tls,
    /// The certificate of the authority that signed the broker's.
    Authority,
    /// Another file with the password.
    PasswordFile,
    /// Another address, or a change at the broker.
    Address,
}

/// Shows how far it is; each line takes the place of the one before.
type Progress<'a> = dyn FnMut(&str) + 'a;

/// Connects and listens to `filters` for `time`. The configuration becomes that of a temporary client.
///
/// # Errors
/// There is no connection, or it was lost before anything came.
pub(super) fn listen(
    config: &mut Config,
    filters: &[TopicFilter],
    time: Duration,
    progress: &mut Progress<'_>,
) -> Result<Heard, Unreached> {
    serve::as_visitor(config);
    let executor = Rc::new(LocalExecutor::new());
    let visit = visit(&executor, config, filters, time, progress);
    execute(&executor, visit.boxed_local())
}

async fn visit(
    executor: &LocalExecutor<'static>,
    config: &Config,
    filters: &[TopicFilter],
    time: Duration,
    progress: &mut Progress<'_>,
) -> Result<Heard, Unreached> {
    let unready = |words, remedy| Unreached { words, remedy };
    let password = config.mqtt.credentials.as_ref().map(|it| &it.password);
    let for_password = match password {
        Some(Password::File(_)) => Remedy::PasswordFile,
        _ => Remedy::Address,
    };
    let for_tls = match config.mqtt.tls {
        Some(_) => Remedy::Authority,
        None => Remedy::Address,
    };
    let options = startup::client_options(config);
    let mut options = options.map_err(|words| unready(words, for_password))?;
    options.backoff = BACKOFF;
    let (broker, driver) = mqtt::connect(
        options,
        startup::target(config).map_err(|words| unready(words, for_tls))?,
        startup::inbox_limits(config),
        startup::seed().map_err(|words| unready(words, Remedy::Address))?,
    );
    let driver = executor.spawn(driver);
    let reached = visit::reach(&broker, config.mqtt.connect_timeout + GRACE).await;
    let heard = match reached {
        Ok(()) => hear(&broker, filters, time, progress).await,
        Err(reason) => Err(unreached(reason, config)),
    };
    broker.shut_down();
    within(GRACE, driver).await;
    heard
}

/// What the tap takes in.
struct Intake {
    table: Table,
    messages: u64,
    bytes: usize,
    is_interrupted: bool,
}

impl Intake {
    fn new() -> Intake {
        Intake {
            table: Table::new(TABLE),
            messages: 0,
            bytes: 0,
            is_interrupted: false,
        }
    }
}

async fn hear(
    broker: &mqtt::Client,
    filters: &[TopicFilter],
    time: Duration,
    progress: &mut Progress<'_>,
) -> Result<Heard, Unreached> {
    let intake = Rc::new(RefCell::new(Intake::new()));
    let (mut refused, mut observing) = (Vec::new(), Vec::new());
    progress("connected; subscribing");
    for filter in Cover::plan(filters).filters() {
        let wanted = SubscribeFilter::from(filter.clone());
        let granted = broker.observe(wanted, true, tap(&intake));
        match within(SUBSCRIBING, granted).await {
            Some(Ok(granted)) => observing.push(granted),
            Some(Err(failure)) => refused.push((filter.clone(), failure.to_string())),
            None => refused.push((filter.clone(), "the broker did not answer in time".into())),
        }
    }
    let begin = Instant::now();
    let (mut cut_short, mut is_lost) = (None, false);
    while !observing.is_empty() && begin.elapsed() < time && cut_short.is_none() {
        let left = time.saturating_sub(begin.elapsed());
        Timer::after(left.min(SHOWN_EVERY)).await;
        let intake = intake.borrow();
        let mut line = format!(
            "listening: {} of {} s, ",
            begin.elapsed().as_secs(),
            time.as_secs()
        );
        let _ = write!(
            line,
            "{} topics, {} messages",
            intake.table.len(),
            intake.messages
        );
        progress(&line);
        if intake.bytes > MOST_BYTES {
            cut_short = Some("64 MiB of messages had come".to_owned());
        }
        if intake.is_interrupted || !broker.is_connected() {
            is_lost = true;
            cut_short = Some(lost(filters, &broker.last_reason()));
        }
    }
    let looked = begin.elapsed();
    drop(observing);
    let intake = intake.replace(Intake::new());
    match cut_short {
        Some(words) if is_lost && intake.messages == 0 && refused.is_empty() => Err(Unreached {
            words,
            remedy: Remedy::Address,
        }),
        cut_short => Ok(Heard {
            table: intake.table,
            looked,
            cut_short,
            is_lost,
            refused,
        }),
    }
}

fn lost(filters: &[TopicFilter], reason: &Reason) -> String {
    let filters: Vec<_> = filters
        .iter()
        .map(|it| Shown(it.as_str()).to_string())
        .collect();
    let filters = filters.join(", ");
    format!("the connection was lost while listening to {filters}: {reason}")
}

fn tap(intake: &Rc<RefCell<Intake>>) -> Tap {
    let intake = Rc::clone(intake);
    Rc::new(move |now, tapped| {
        let mut intake = intake.borrow_mut();
        match tapped {
            Tapped::Message {
                message,
                may_be_copy,
            } => {
                intake.messages += 1;
                intake.bytes += message.size();
                let topic = message.topic.as_str();
                let (payload, retained) = (&message.payload, message.retain);
                intake
                    .table
                    .message(now, topic, payload, retained, may_be_copy);
            }
            Tapped::TooLarge(large) => intake.bytes += large.payload_bytes,
            Tapped::Interrupted | Tapped::Ended(_) => {
                intake.is_interrupted = true;
                intake.table.interrupted(now);
            }
        }
    })
}

/// What the broker answered, in words, and what may help.
fn unreached(reason: Option<Reason>, config: &Config) -> Unreached {
    let mqtt = &config.mqtt;
    let has_tls = mqtt.tls.is_some();
    let user = mqtt.credentials.as_ref().map(|it| Shown(&it.username));
    let (words, remedy) = match (&reason, user) {
        (
            Some(Reason::Refused(
                Refusal::Credentials | Refusal::NotAuthorized | Refusal::NoUserName,
            )),
            None,
        ) => (ANONYMOUS.to_owned(), Remedy::Login),
        (Some(Reason::Refused(Refusal::Credentials)), Some(user)) => {
            let words = format!("the broker does not take the user name {user} with this password");
            (words, Remedy::Login)
        }
        (Some(Reason::Refused(Refusal::NotAuthorized | Refusal::NoUserName)), Some(user)) => {
            let words = format!(
                "the broker refuses {user}: the user name or the password is wrong, or this user may not connect"
            );
            (words, Remedy::Login)
        }
        (Some(Reason::Stranger(Stranger::Tls)), _) => (SPEAKS_TLS.to_owned(), Remedy::Tls),
        (Some(Reason::ClosedBeforeConnack(_)), _) if !has_tls => (CLOSED.to_owned(), Remedy::Tls),
        (Some(reason), _) => {
            let words = reason.to_string();
            let remedy = match has_tls && words.contains(CA_FILE) {
                true => Remedy::Authority,
                false => Remedy::Address,
            };
            // No file has these keys yet.
            let words = words.replace(CA_FILE, "`--ca-file`");
            let words = words.replace("`mqtt.port`", "the port");
            (words.replace("`mqtt.host`", "the host"), remedy)
        }
        (None, _) => (
            "the broker did not answer in time".to_owned(),
            Remedy::Address,
        ),
    };
    Unreached { words, remedy }
}

const CA_FILE: &str = "`mqtt.tls.ca_file`";
const ANONYMOUS: &str = "the broker requires a user name and a password";
const SPEAKS_TLS: &str = "the broker speaks TLS at this port";
const CLOSED: &str =
    "the broker closed the connection without an answer; it may want TLS at this port";

/// A plant of ten thousand topics fits.
const TABLE: Limits = Limits {
    topics: 10_000,
    bytes: 16 << 20,
};
/// More than a broker's retained messages, most likely; and no time to wait for on a slow link.
const MOST_BYTES: usize = 64 << 20;
const SHOWN_EVERY: Duration = Duration::from_millis(200);
