//! Who calls.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use crate::mcp::jsonrpc::strict::cut;

/// Whom the transport has found its client to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// [`Principal::STDIO`], or the name of the key that was shown. The same after a restart.
    pub name: Rc<str>,
    /// Tells apart two keys of one name; empty over stdio. It does not leave the process.
    pub proof: Rc<[u8]>,
}

/// What a client says of itself (`clientInfo`). Nobody has proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// At most 128 characters.
    pub name: String,
    /// At most 128 characters.
    pub version: String,
}

/// Who makes one call. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Rc<Principal>,
    id: CallerId,
    client: Option<Rc<ClientInfo>>,
}

/// One client, as far as it can be told from the others: whose share of a budget a call uses. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CallerId {
    /// The client of one session: the process at standard input and output, or a session over HTTP.
    Session(u64),
    /// Whoever shows one key at one place, in the era without sessions.
    Place(Rc<[u8]>),
}

impl Principal {
    /// The name of the process at standard input and output.
    pub const STDIO: &'static str = "stdio";
    /// The name of the one key of a configuration that gives its keys no names.
    pub const DEFAULT_KEY: &'static str = "default";
}

/// The process that started this one.
impl Default for Principal {
    fn default() -> Principal {
        Principal {
            name: Principal::STDIO.into(),
            proof: Rc::default(),
        }
    }
}

impl ClientInfo {
    /// From the member of a request; `None` without a name.
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

    /// Who it is: [`Principal::name`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.principal.name
    }

    /// What its client says of itself.
    #[must_use]
    pub fn client(&self) -> Option<&ClientInfo> {
        self.client.as_deref()
    }

    /// Whose share of a budget its calls use.
    #[must_use]
    pub fn id(&self) -> &CallerId {
        &self.id
    }
}

impl CallerId {
    /// Whoever shows the key of `principal` at `peer`.
    pub(in crate::mcp) fn at(principal: &Principal, peer: &[u8]) -> CallerId {
        CallerId::Place([&*principal.proof, peer].concat().into())
    }
}

/// One that no other session of the process has.
impl Default for CallerId {
    fn default() -> CallerId {
        CallerId::Session(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

static LAST: AtomicU64 = AtomicU64::new(0);
