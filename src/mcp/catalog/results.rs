//! Turns what the catalog says and yields into results of the caller's version.
//!
//! Promises: a result never carries a member its version does not know; absent members are left
//! out, never null; lists are made once per version and kept.
//! Does not: decide anything.

use std::cell::OnceCell;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::capabilities::Capabilities;
use super::items;
use super::{Catalog, Contents, ServerInfo, ToolResult};
use crate::mcp::client::caller::Caller;
use crate::mcp::client::subscriptions::SUBSCRIPTION_ID;
use crate::mcp::jsonrpc::message::Id;
use crate::mcp::jsonrpc::response;
use crate::mcp::version::question::Question;
use crate::mcp::version::stateless::SERVER_INFO;
use crate::mcp::version::{ALL, Version};

/// Makes results; holds the ones that never change.
#[derive(Debug)]
pub(in crate::mcp) struct Results {
    info: ServerInfo,
    meta: Value,
    capabilities: Capabilities,
    lists: [[OnceCell<Vec<u8>>; ALL.len()]; 4],
}

/// One of the four lists.
#[derive(Clone, Copy, Debug)]
pub(in crate::mcp) enum List {
    Tools,
    Resources,
    Templates,
    Prompts,
}

/// A `tools/call` result as it is written, without a detour through a tree.
#[derive(Serialize)]
struct CallResult<'a> {
    content: &'a [Block<'a>],
    #[serde(rename = "structuredContent", skip_serializing_if = "Option::is_none")]
    structured: Option<&'a RawValue>,
    #[serde(rename = "isError")]
    is_error: bool,
    #[serde(rename = "resultType", skip_serializing_if = "Option::is_none")]
    result_type: Option<&'a str>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Block<'a> {
    Text {
        #[serde(rename = "type")]
        kind: &'a str,
        text: &'a str,
    },
    Any(Value),
}

impl Results {
    pub(in crate::mcp) fn new(info: ServerInfo, capabilities: Capabilities) -> Results {
        let mut meta = Map::new();
        meta.insert(
            SERVER_INFO.into(),
            items::implementation(&info, Version::MODERN.shape()),
        );
        Results {
            info,
            meta: Value::Object(meta),
            capabilities,
            lists: Default::default(),
        }
    }

    /// The result of `server/discover`.
    pub(in crate::mcp) fn discover(&self, caller: &Caller) -> Value {
        let mut result = Map::new();
        result.insert("supportedVersions".into(), json!([Version::MODERN.name()]));
        let capabilities = self.capabilities.capabilities(Version::MODERN.shape());
        result.insert("capabilities".into(), capabilities);
        self.add_instructions(&mut result, caller);
        self.finish(result, Version::MODERN, Some(STATIC_TTL_MS))
    }

    /// The result of `initialize`.
    pub(in crate::mcp) fn initialize(&self, version: Version, caller: &Caller) -> Value {
        let mut result = Map::new();
        result.insert("protocolVersion".into(), version.name().into());
        let capabilities = self.capabilities.capabilities(version.shape());
        result.insert("capabilities".into(), capabilities);
        result.insert(
            "serverInfo".into(),
            items::implementation(&self.info, version.shape()),
        );
        self.add_instructions(&mut result, caller);
        Value::Object(result)
    }

    /// The answer to one of the list requests.
    pub(in crate::mcp) fn list(
        &self,
        id: &Id,
        which: List,
        version: Version,
        all: &Catalog,
        caller: &Caller,
    ) -> Vec<u8> {
        // What depends on the caller is not kept.
        let keeps = !matches!(which, List::Tools) || all.offers.is_none();
        let slot = self
            .lists
            .get(which as usize)
            .and_then(|row| row.get(version as usize))
            .filter(|_| keeps);
        let Some(slot) = slot else {
            return response::success(id, &self.make_list(which, version, all, caller));
        };
        let text = slot.get_or_init(|| {
            self.make_list(which, version, all, caller)
                .to_string()
                .into_bytes()
        });
        response::success_text(id, text)
    }

    /// The answer to `tools/call`.
    pub(in crate::mcp) fn tool(&self, id: &Id, version: Version, result: &ToolResult) -> Vec<u8> {
        let shape = version.shape();
        let text = |text| [Block::Text { kind: "text", text }];
        let blocks: Vec<Block<'_>>;
        let one;
        let (content, structured): (&[Block<'_>], _) = match result {
            ToolResult::Structured(json) => {
                one = text(json.get());
                (&one, shape.titles.then_some(&**json))
            }
            ToolResult::Error(why) => {
                one = text(why);
                (&one, None)
            }
            ToolResult::Content(given) => {
                blocks = given
                    .iter()
                    .map(|block| Block::Any(items::block_for(shape, block)))
                    .collect();
                (&blocks, None)
            }
        };
        let result = CallResult {
            content,
            structured,
            is_error: matches!(result, ToolResult::Error(_)),
            result_type: shape.stateless.then_some("complete"),
            meta: shape.stateless.then_some(&self.meta),
        };
        response::success(id, &result)
    }

    /// The answer to `resources/read`. What a read yields may change at any time: no caching.
    pub(in crate::mcp) fn read(
        &self,
        id: &Id,
        version: Version,
        contents: Vec<Contents>,
    ) -> Vec<u8> {
        let contents: Vec<Value> = contents.into_iter().map(items::contents_item).collect();
        let mut result = Map::new();
        result.insert("contents".into(), contents.into());
        response::success(id, &self.finish(result, version, Some(0)))
    }

    /// The answer to `prompts/get`.
    pub(in crate::mcp) fn prompt(
        &self,
        id: &Id,
        version: Version,
        messages: Vec<Value>,
    ) -> Vec<u8> {
        let mut result = Map::new();
        result.insert("messages".into(), messages.into());
        response::success(id, &self.finish(result, version, None))
    }

    /// The answer to a request that cannot be served before these questions are answered.
    pub(in crate::mcp) fn input_required(
        &self,
        id: &Id,
        questions: Vec<Question>,
        state: &str,
    ) -> Vec<u8> {
        let requests = questions.into_iter().map(|question| {
            let request = json!({"method": question.kind.method(), "params": question.params});
            (question.key, request)
        });
        let result = json!({
            "resultType": "input_required",
            "inputRequests": Value::Object(requests.collect()),
            "requestState": state,
            "_meta": self.meta,
        });
        response::success(id, &result)
    }

    /// The answer to `completion/complete`: the first hundred of these, as the schema demands.
    pub(in crate::mcp) fn completion(
        &self,
        id: &Id,
        version: Version,
        mut values: Vec<String>,
    ) -> Vec<u8> {
        let total = values.len();
        values.truncate(MAX_COMPLETIONS);
        let more = total > values.len();
        let completion = json!({"values": values, "total": total, "hasMore": more});
        let mut result = Map::new();
        result.insert("completion".into(), completion);
        response::success(id, &self.finish(result, version, None))
    }

    /// The end of a `subscriptions/listen` stream.
    pub(in crate::mcp) fn listened(&self, id: &Id) -> Vec<u8> {
        let mut meta = self.meta.to_string();
        // The tag is JSON text already: it goes in as it came, as the last member.
        meta.pop();
        let tag = id.as_json();
        let text =
            format!(r#"{{"resultType":"complete","_meta":{meta},"{SUBSCRIPTION_ID}":{tag}}}}}"#);
        response::success_text(id, text.as_bytes())
    }

    fn make_list(&self, which: List, version: Version, all: &Catalog, caller: &Caller) -> Value {
        let shape = version.shape();
        let (key, items): (_, Vec<Value>) = match which {
            List::Tools => (
                "tools",
                all.tools_for(caller)
                    .map(|it| items::tool_item(it, shape))
                    .collect(),
            ),
            List::Resources => (
                "resources",
                all.resources
                    .iter()
                    .map(|it| items::resource_item(it, shape))
                    .collect(),
            ),
            List::Templates => (
                "resourceTemplates",
                all.templates
                    .iter()
                    .map(|it| items::template_item(it, shape))
                    .collect(),
            ),
            List::Prompts => (
                "prompts",
                all.prompts
                    .iter()
                    .map(|it| items::prompt_item(it, shape))
                    .collect(),
            ),
        };
        let mut result = Map::new();
        result.insert(key.into(), items.into());
        self.finish(result, version, Some(STATIC_TTL_MS))
    }

    /// Adds what every result of the version has. Everything may depend on the caller's key, hence
    /// `private`.
    fn finish(&self, mut result: Map<String, Value>, version: Version, ttl: Option<u64>) -> Value {
        if version.shape().stateless {
            result.insert("resultType".into(), "complete".into());
            if let Some(ttl) = ttl {
                result.insert("ttlMs".into(), ttl.into());
                result.insert("cacheScope".into(), "private".into());
            }
            result.insert("_meta".into(), self.meta.clone());
        }
        Value::Object(result)
    }

    fn add_instructions(&self, result: &mut Map<String, Value>, caller: &Caller) {
        let instructions = self.info.instructions.of(caller);
        if !instructions.is_empty() {
            result.insert("instructions".into(), instructions.into());
        }
    }
}

/// How long a client may keep what changes with the configuration at most, which is seen within this
/// time.
const STATIC_TTL_MS: u64 = 60_000;

/// MCP server/utilities/completion: most values of one answer.
const MAX_COMPLETIONS: usize = 100;
