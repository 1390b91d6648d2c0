//! The identity of a caller.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use crate::mcp::jsonrpc::strict::cut;

/// The client's identity as authenticated by the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// [`Principal::STDIO`], or the name of the client's key; stable across restarts.
    pub name: Rc<str>,
    /// The name of the profile that says what the client may do.
    pub profile: Rc<str>,
    /// Distinguishes two keys with the same name; empty over stdio. This value never leaves the process.
    pub proof: Rc<[u8]>,
}

/// The client's own name and version (`clientInfo`), which nothing proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client's name, cut to 128 characters.
    pub name: String,
    /// The client's version, cut to 128 characters.
    pub version: String,
}

/// The caller of one request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Rc<Principal>,
    id: CallerId,
    client: Option<Rc<ClientInfo>>,
}

/// Identifies one client, as far as clients can be told apart: every limit per caller is counted under this id. Cheap
/// to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallerId {
    /// The name of the principal: [`Principal::name`].
    name: Rc<str>,
    client: ClientId,
}

/// What distinguishes the clients of one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ClientId {
    /// The client of one session: the process at standard input and output, or an HTTP session.
    Session(u64),
    /// In the era without sessions: a client with one key at one address.
    Place(Rc<[u8]>),
}

impl Principal {
    /// The principal's name of the process at standard input and output.
    pub const STDIO: &'static str = "stdio";
    /// The principal's name for a configuration with one unnamed key.
    pub const DEFAULT_KEY: &'static str = "default";
    /// The profile of a client that has no other.
    pub const DEFAULT_PROFILE: &'static str = "default";
}

/// The principal over stdio: the process that started this one.
impl Default for Principal {
    fn default() -> Principal {
        Principal {
            name: Principal::STDIO.into(),
            profile: Principal::DEFAULT_PROFILE.into(),
            proof: Rc::default(),
        }
    }
}

impl ClientInfo {
    /// Reads `clientInfo`; `None` when it has no name.
    pub(in crate::mcp) fn read(given: Option<&Map<String, Value>>) -> Option<Rc<ClientInfo>> {
        let text = |key| {
            given?
                .get(key)?
                .as_str()
                .map(|text| cut(text, 128).to_string())
        };
        Some(Rc::new(ClientInfo {
            name: text("name")?,
            version: text("version").unwrap_or_default(),
        }))
    }
}

impl Caller {
    pub(in crate::mcp) fn new(
        principal: Rc<Principal>,
        id: CallerId,
        client: Option<Rc<ClientInfo>>,
    ) -> Caller {
        Caller {
            principal,
            id,
            client,
        }
    }

    pub(in crate::mcp) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The name of the principal: [`Principal::name`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.principal.name
    }

    /// The name of the caller's profile: [`Principal::profile`].
    #[must_use]
    pub fn profile(&self) -> &Rc<str> {
        &self.principal.profile
    }

    /// The client's `clientInfo`.
    #[must_use]
    pub fn client(&self) -> Option<&ClientInfo> {
        self.client.as_deref()
    }

    /// The id under which the caller's limits are counted.
    #[must_use]
    pub fn id(&self) -> &CallerId {
        &self.id
    }
}

impl CallerId {
    /// The id of a new session of `principal`, unique in the process.
    pub(in crate::mcp) fn session(principal: &Principal) -> CallerId {
        CallerId {
            name: Rc::clone(&principal.name),
            client: ClientId::Session(LAST.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// The id of a client with the key of `principal` at the address `peer`.
    pub(in crate::mcp) fn at(principal: &Principal, peer: &[u8]) -> CallerId {
        CallerId {
            name: Rc::clone(&principal.name),
            client: ClientId::Place([&*principal.proof, peer].concat().into()),
        }
    }

    /// The name that several clients may share.
    pub(in crate::mcp) fn name(&self) -> &Rc<str> {
        &self.name
    }
}

/// A new session over stdio.
impl Default for CallerId {
    fn default() -> CallerId {
        CallerId::session(&Principal::default())
    }
}

static LAST: AtomicU64 = AtomicU64::new(0);
