//! Consent (`topics[].consent`): somebody agrees to exactly one attempt to write, before it is made, within a time.
//!
//! Promises: an agreement is used once, for the message that was asked about, by the caller that asked, under the limits
//! and the consent that the question named; a question ends with its call, its time, its permission, the departure of its
//! client, or a halt, also where no call waits for its answer. Where nobody has to agree, nothing of this runs.
//! Does not: decide whether the message may be sent; everything is judged again when it is.

mod answer;
mod asking;
mod digest;
mod open;
mod operator;
mod question_text;
mod questions;
mod unagreed;
mod withdraw;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use mcpmqtt_config::{Consent, Policy, Profiles};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::Shown;
use smol::LocalExecutor;

use self::operator::Channel;
pub(in crate::tools) use self::questions::OPEN_FOR;
use self::questions::Questions;
pub(in crate::tools) use self::unagreed::Unagreed;
use super::quota::Quotas;
use crate::audit;
use crate::local::notify::NotifyAll;
use crate::logger;
use crate::mcp::Peer;
use crate::metrics::Metrics;
use crate::mqtt;
use crate::operator::Operator;

/// The questions of all callers. Cheap to clone; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Consents(Rc<ConsentState>);

#[derive(Debug)]
struct ConsentState {
    questions: Rc<RefCell<Questions>>,
    /// The questions of the last minute, by the caller's name.
    asked: Quotas,
    /// Notified when something came from the operator.
    came: Rc<NotifyAll>,
    channel: Channel,
    /// Whether any policy in force asks a person at the client.
    asks_clients: Rc<Cell<bool>>,
    /// Runs what outlives the call that asks.
    executor: Weak<LocalExecutor<'static>>,
}

/// An attempt that somebody has to agree to.
pub(in crate::tools) struct Request<'a> {
    pub(in crate::tools) client: &'a Peer,
    pub(in crate::tools) tool: &'static str,
    pub(in crate::tools) message: &'a Message,
    /// The condition on which it is sent, in words.
    pub(in crate::tools) when: Option<String>,
    /// The present values of what it changes, in words.
    pub(in crate::tools) now: Vec<String>,
}

/// The agreement to one attempt, or that nobody was asked. An admission uses it up.
#[derive(Debug, Default)]
pub(in crate::tools) struct Agreed(Option<Agreement>);

#[derive(Debug)]
struct Agreement {
    by: AgreedBy,
    message: Message,
    /// The policy under which it was asked for.
    policy: Rc<Policy>,
}

/// Who agreed to an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tools) enum AgreedBy {
    /// A person at the client.
    Client,
    /// The operator, by the name that came with the answer.
    Operator(Option<String>),
    /// Both.
    Both(Option<String>),
}

impl Consents {
    /// No question yet.
    pub(super) fn new(
        client: &mqtt::Client,
        operator: &Operator,
        metrics: &Metrics,
        executor: Weak<LocalExecutor<'static>>,
    ) -> Consents {
        let (questions, came) = (Rc::default(), Rc::default());
        let channel = Channel::new(client.clone(), operator.clone(), &questions, &came, metrics);
        Consents(Rc::new(ConsentState {
            questions,
            asked: Quotas::default(),
            came,
            channel,
            asks_clients: Rc::default(),
            executor,
        }))
    }

    /// Whether any policy in force asks a person at the client.
    pub(super) fn asks_clients(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.0.asks_clients)
    }

    /// Looks whom the profiles in force ask.
    pub(super) fn replace_profiles(&self, profiles: &Profiles) {
        let anyone = profiles.anyone();
        self.0
            .asks_clients
            .set(anyone.any_consent(Consent::asks_client));
    }

    /// Prepares the way to the operator where the profiles ask him, so that the operator hears of a fault before an agent
    /// does.
    pub(super) fn prepare(&self, client: &mqtt::Client, profiles: &Profiles) {
        let asks = profiles.anyone().any_consent(Consent::asks_operator);
        let Some(executor) = self.0.executor.upgrade().filter(|_| asks) else {
            return;
        };
        let (consents, client) = (self.clone(), client.clone());
        let preparing = async move {
            let mut states = client.changes();
            while states.connected().await {
                match consents.0.channel.prepare().await {
                    Ok(()) => return,
                    Err(why) if client.is_connected() => {
                        return logger::warning(format_args!(
                            "no write gets the operator's consent, because the operator cannot be asked: {why}"
                        ));
                    }
                    // The connection ended meanwhile.
                    Err(_) => {}
                }
            }
        };
        executor.spawn(preparing).detach();
    }
}

impl Consents {
    /// Whether the operator can be asked.
    async fn operator_can_be_asked(&self) -> Result<(), String> {
        self.0.channel.look().await
    }
}

impl Agreed {
    /// Who agreed; None where nobody was asked.
    pub(super) fn by(&self) -> Option<&AgreedBy> {
        self.0.as_ref().map(|agreement| &agreement.by)
    }

    /// Whether a write of `message` has, under `policy`, the consent that it needs.
    ///
    /// # Errors
    /// [`Unagreed::Another`] or [`Unagreed::Withdrawn`].
    pub(super) fn permits(&self, policy: &Policy, message: &Message) -> Result<(), Unagreed> {
        let topic = &message.topic;
        match &self.0 {
            None if policy.consent(topic).is_none() => Ok(()),
            Some(agreement) if agreement.message != *message => Err(Unagreed::Another),
            Some(agreement) => {
                let same = policy.asks_the_same(&agreement.policy, topic);
                same.map_err(Unagreed::Withdrawn)
            }
            None => Err(Unagreed::Another),
        }
    }
}

impl AgreedBy {
    /// For the operator's record.
    pub(super) fn for_record(&self) -> audit::Consent {
        let (of, by) = match self {
            AgreedBy::Client => ("client", None),
            AgreedBy::Operator(name) => ("operator", name.clone()),
            AgreedBy::Both(name) => ("client and operator", name.clone()),
        };
        audit::Consent {
            of,
            by,
            allowed: true,
        }
    }
}

/// In words for the log: `a person at the client`.
impl std::fmt::Display for AgreedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (client, name) = match self {
            AgreedBy::Client => return f.write_str("a person at the client"),
            AgreedBy::Operator(name) => ("", name),
            AgreedBy::Both(name) => ("a person at the client and ", name),
        };
        write!(f, "{client}the operator")?;
        match name {
            Some(name) => write!(f, " {}", Shown(name)),
            None => Ok(()),
        }
    }
}

/// Random bytes that name a question.
fn random() -> Result<[u8; 32], String> {
    let mut random = [0; 32];
    let filled = getrandom::fill(&mut random);
    filled.map_err(|error| format!("there are no random numbers: {error}"))?;
    Ok(random)
}
