//! Who is asked about an attempt, in which order, and whose answer counts.

use std::future::pending;
use std::rc::Rc;

use mcpmqtt_config::{Consent, Policy};
use mcpmqtt_protocol::message::Message;
use smol::future;

use super::digest::Digest;
use super::open::{Open, Says};
use super::{Agreed, AgreedBy, Agreement, Request, Unagreed};
use crate::mcp::{Caller, Kind, Peer};
use crate::tools::access::{Access, Denied, may_publish};

/// An attempt while somebody is asked about it.
struct Asking<'a> {
    access: &'a Access,
    request: &'a Request<'a>,
    policy: &'a Rc<Policy>,
    need: Consent,
    attempt: Digest,
}

impl Access {
    /// Who has to agree to a write of the caller's to the topic of `message`.
    pub(in crate::tools) fn consent(&self, caller: &Caller, message: &Message) -> Option<Consent> {
        self.policy(caller).consent(&message.topic)
    }

    /// Whether those who have to agree can be asked, as far as that is known without asking.
    ///
    /// # Errors
    /// [`Unagreed::ClientUnable`].
    pub(in crate::tools) fn can_ask(&self, client: &Peer, need: Consent) -> Result<(), Unagreed> {
        match (need, unable(client)) {
            (Consent::Client | Consent::Both, Some(why)) => Err(Unagreed::ClientUnable(why)),
            _ => Ok(()),
        }
    }

    /// Whether those who have to agree could be asked; nobody is. The way to the operator is prepared where it is not.
    ///
    /// # Errors
    /// [`Unagreed::ClientUnable`], [`Unagreed::Operator`] or [`Unagreed::Nobody`].
    pub(in crate::tools) async fn could_ask(
        &self,
        client: &Peer,
        need: Consent,
    ) -> Result<(), Unagreed> {
        self.can_ask(client, need)?;
        self.consents.may_ask(client.caller())?;
        let unable = unable(client);
        if need == Consent::Client || need == Consent::Either && unable.is_none() {
            return Ok(());
        }
        let prepared = self.consents.operator_can_be_asked().await;
        prepared.map_err(|why| match (need, unable) {
            (Consent::Either, Some(client)) => Unagreed::Nobody(client, why),
            _ => Unagreed::Operator(why),
        })
    }

    /// Asks whoever has to agree to an attempt, and waits for the answer. In MCP 2026-07-28 the call ends with the question to
    /// the client instead, and the client calls again with the answer.
    ///
    /// # Errors
    /// [`Denied::Policy`], [`Denied::Halted`] or [`Denied::Consent`].
    pub(in crate::tools) async fn agree(&self, request: &Request<'_>) -> Result<Agreed, Denied> {
        let client = request.client;
        let own = self.policy.of(client.caller());
        let policy = own.current();
        let Some(need) = policy.consent(&request.message.topic) else {
            return Ok(Agreed::default());
        };
        let when = request.when.as_deref();
        let attempt = Digest::of_attempt(client.caller(), request.tool, request.message, when);
        let asking = Asking {
            access: self,
            request,
            policy: &policy,
            need,
            attempt,
        };
        let left = async {
            client.left().await;
            Err(Unagreed::Left)
        };
        let may_still = |now: &Policy| {
            may_publish(now, request.message)?;
            now.asks_the_same(&policy, &request.message.topic)
        };
        let answer = future::or(left, asking.answer());
        let answer = self.unless_halted(request.message, answer);
        let ended = own.while_permitted(may_still, answer).await;
        let agreed = ended.map_err(|denied| match denied {
            Denied::Withdrawn(refusal) => Denied::Consent(Unagreed::Withdrawn(refusal)),
            denied => denied,
        })??;
        let by = agreed.map_err(Denied::Consent)?;
        let message = request.message.clone();
        Ok(Agreed(Some(Agreement {
            by,
            message,
            policy,
        })))
    }
}

impl Asking<'_> {
    async fn answer(&self) -> Result<AgreedBy, Unagreed> {
        self.access.can_ask(self.request.client, self.need)?;
        match self.need {
            Consent::Client => self.client().await,
            Consent::Operator => self.operator().await,
            Consent::Either => self.either().await,
            Consent::Both => {
                self.client().await?;
                match self.operator().await? {
                    AgreedBy::Operator(name) => Ok(AgreedBy::Both(name)),
                    other => Ok(other),
                }
            }
        }
    }

    /// Asks a person at the client.
    async fn client(&self) -> Result<AgreedBy, Unagreed> {
        let (open, _) = self.open()?;
        let says = async {
            match open.client_says(self.request, self.policy).await? {
                Says::Yes => open.client_agrees(),
                Says::No => Err(open.client_declines()),
                Says::Nothing => Err(Unagreed::Dismissed),
            }
        };
        open.in_time(self.need, says).await
    }

    /// Asks the operator.
    async fn operator(&self) -> Result<AgreedBy, Unagreed> {
        let open = self.open_anew()?;
        let says = async {
            let asked = open.ask_operator(self.request, self.policy).await;
            asked.map_err(Unagreed::Operator)?;
            open.operator_says().await
        };
        open.in_time(self.need, says).await
    }

    /// Asks both, as far as both can be asked. The first answer counts, and a no to what was not sent yet.
    async fn either(&self) -> Result<AgreedBy, Unagreed> {
        let (open, is_new) = self.open()?;
        let client = self.request.client;
        let says = async {
            let operator = match is_new {
                true => open.ask_operator(self.request, self.policy).await,
                false if open.asks_operator() => Ok(()),
                false => Err("the question was put to the client alone".into()),
            };
            if client.asks_in_rounds() && is_new {
                open.ends_in_time();
            }
            match (unable(client), operator) {
                (None, Ok(())) if client.asks_in_rounds() => self.either_in_rounds(&open).await,
                (None, Ok(())) => {
                    let client = self.client_or_nobody(&open);
                    future::or(client, open.operator_says()).await
                }
                (None, Err(_)) => match open.client_says(self.request, self.policy).await? {
                    Says::Yes => open.client_agrees(),
                    Says::No => Err(open.client_declines()),
                    Says::Nothing => Err(Unagreed::Dismissed),
                },
                (Some(_), Ok(())) => open.operator_says().await,
                (Some(client), Err(operator)) => Err(Unagreed::Nobody(client, operator)),
            }
        };
        open.in_time(self.need, says).await
    }

    /// The same where a question to the client ends the call. The call with that question must not use an answer of the
    /// operator's, however soon it comes: the client is told to call again, and the message would be sent all the same.
    async fn either_in_rounds(&self, open: &Open) -> Result<AgreedBy, Unagreed> {
        match open.client_says(self.request, self.policy).await {
            Ok(Says::Yes) => open.client_agrees(),
            Ok(Says::No) => Err(open.client_declines()),
            Ok(Says::Nothing) | Err(_) => open.operator_says().await,
        }
    }

    /// What the client says, if it is yes or no: otherwise the operator's answer is waited for.
    async fn client_or_nobody(&self, open: &Open) -> Result<AgreedBy, Unagreed> {
        match open.client_says(self.request, self.policy).await {
            Ok(Says::Yes) => open.client_agrees(),
            Ok(Says::No) => Err(open.client_declines()),
            Ok(Says::Nothing) | Err(_) => pending().await,
        }
    }

    /// The question that the client answers with this call, or a new one; and whether it is new.
    fn open(&self) -> Result<(Open, bool), Unagreed> {
        let consents = &self.access.consents;
        match consents.answered(self.request, &self.attempt, self.policy)? {
            Some(open) => Ok((open, false)),
            None => Ok((self.open_anew()?, true)),
        }
    }

    fn open_anew(&self) -> Result<Open, Unagreed> {
        let caller = self.request.client.caller();
        let consents = &self.access.consents;
        consents.open(caller, self.attempt, self.request.message, self.policy)
    }
}

/// Why the client cannot ask a person, if it cannot.
fn unable(client: &Peer) -> Option<&'static str> {
    if client.can(Kind::Form) {
        return None;
    }
    Some(match client.version().shape().titles {
        true => "it did not declare the capability `elicitation`",
        false => "it speaks a version of MCP that has no elicitation",
    })
}
