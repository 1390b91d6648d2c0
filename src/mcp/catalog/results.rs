//! Builds the results of MCP methods from the catalog, in the shape of the caller's protocol version.
//!
//! Promises: a result never carries a member that its version does not define; absent members are left out, never null;
//! lists are built once per version and cached.
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

/// Builds results and caches those that never change.
#[derive(Debug)]
pub(in crate::mcp) struct Results {
    info: ServerInfo,
    meta: Value,
    capabilities: Capabilities,
    lists: [[OnceCell<Vec<u8>>; ALL.len()]; 4],
}

#[derive(Clone, Copy, Debug)]
pub(in crate::mcp) enum List {
    Tools,
    Resources,
    Templates,
    Prompts,
}

/// A `tools/call` result, serialised directly, without a `Value` tree.
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

    pub(in crate::mcp) fn discover(&self, caller: &Caller) -> Value {
        let mut result = Map::new();
        result.insert("supportedVersions".into(), json!([Version::MODERN.name()]));
        let capabilities = self.capabilities.capabilities(Version::MODERN.shape());
        result.insert("capabilities".into(), capabilities);
        self.add_instructions(&mut result, caller);
        self.finish(result, Version::MODERN, Some(STATIC_TTL_MS))
    }

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

    pub(in crate::mcp) fn list(
        &self,
        id: &Id,
        which: List,
        version: Version,
        all: &Catalog,
        caller: &Caller,
    ) -> Vec<u8> {
        // A list that depends on the caller is not cached.
        let keeps = !matches!(which, List::Tools) || all.offers.is_none();
        let slot = self
            .lists
            .get(which as usize)
            .and_then(|row| row.get(version as usize))
            .filter(|_| keeps);
        let Some(slot) = slot else {
            let text = self.make_list(which, version, all, caller);
            return response::success_text(id, text.as_bytes());
        };
        let text = slot.get_or_init(|| self.make_list(which, version, all, caller).into_bytes());
        response::success_text(id, text)
    }

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

    /// The response to `resources/read`. The contents may change at any time, so the result allows no caching.
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

    /// The `input_required` result: the client has to answer `questions` before the request can be served.
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

    /// The response to `completion/complete`: the first hundred values, the most that the schema allows.
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

    /// The result that ends a `subscriptions/listen` stream.
    pub(in crate::mcp) fn listened(&self, id: &Id) -> Vec<u8> {
        let mut meta = self.meta.to_string();
        // The subscription id is JSON text already: it is spliced in unchanged, as the last member.
        meta.pop();
        let tag = id.as_json();
        let text =
            format!(r#"{{"resultType":"complete","_meta":{meta},"{SUBSCRIPTION_ID}":{tag}}}}}"#);
        response::success_text(id, text.as_bytes())
    }

    /// The result of a list, as text: first the items, then what every result has.
    fn make_list(&self, which: List, version: Version, all: &Catalog, caller: &Caller) -> String {
        let shape = version.shape();
        let (key, items) = match which {
            List::Tools => {
                let tools = all.tools_for(caller);
                let tools: Vec<_> = tools.map(|it| items::ToolItem::new(it, shape)).collect();
                // Text, numbers and JSON: none of it can fail to be written.
                ("tools", serde_json::to_string(&tools).unwrap_or_default())
            }
            List::Resources => {
                let resources = all.resources.iter();
                (
                    "resources",
                    text(resources.map(|it| items::resource_item(it, shape))),
                )
            }
            List::Templates => {
                let templates = all.templates.iter();
                (
                    "resourceTemplates",
                    text(templates.map(|it| items::template_item(it, shape))),
                )
            }
            List::Prompts => {
                let prompts = all.prompts.iter();
                (
                    "prompts",
                    text(prompts.map(|it| items::prompt_item(it, shape))),
                )
            }
        };
        let rest = self
            .finish(Map::new(), version, Some(STATIC_TTL_MS))
            .to_string();
        let separator = if rest == "{}" { "" } else { "," };
        let rest = rest.trim_start_matches('{');
        format!(r#"{{"{key}":{items}{separator}{rest}"#)
    }

    /// Adds the members that every result of the version has. The cache scope is `private`, because every result may
    /// depend on the caller's key.
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

fn text(items: impl Iterator<Item = Value>) -> String {
    Value::from_iter(items).to_string()
}

/// How long a client may cache what depends on the configuration: a changed configuration is seen within this time.
const STATIC_TTL_MS: u64 = 60_000;

/// The most values of one completion result (MCP server/utilities/completion).
const MAX_COMPLETIONS: usize = 100;
