//! Turns what the catalog says and yields into results of the caller's version.
//!
//! Promises: a result never carries a member its version does not know; absent members are left
//! out, never null; lists are made once per version and kept.
//! Does not: decide anything.

use std::cell::OnceCell;

use base64::Engine as _;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::answer;
use super::catalog::{
    Body, Catalog, Contents, Prompt, Resource, ServerInfo, Template, Tool, ToolResult,
};
use super::modern::SERVER_INFO;
use super::rpc::Id;
use super::version::{ALL, Shape, Version};

/// Makes results; holds the ones that never change.
#[derive(Debug)]
pub(super) struct Results {
    info: ServerInfo,
    meta: Value,
    lists: [[OnceCell<Vec<u8>>; ALL.len()]; 4],
}

/// One of the four lists.
#[derive(Clone, Copy, Debug)]
pub(super) enum List {
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
    pub(super) fn new(info: ServerInfo) -> Results {
        let mut meta = Map::new();
        meta.insert(
            SERVER_INFO.into(),
            implementation(&info, Version::MODERN.shape()),
        );
        Results {
            info,
            meta: Value::Object(meta),
            lists: Default::default(),
        }
    }

    /// The result of `server/discover`.
    pub(super) fn discover(&self) -> Value {
        let mut result = Map::new();
        result.insert("supportedVersions".into(), json!([Version::MODERN.name()]));
        result.insert("capabilities".into(), capabilities());
        self.add_instructions(&mut result);
        self.finish(result, Version::MODERN, Some(STATIC_TTL_MS))
    }

    /// The result of `initialize`.
    pub(super) fn initialize(&self, version: Version) -> Value {
        let mut result = Map::new();
        result.insert("protocolVersion".into(), version.name().into());
        result.insert("capabilities".into(), capabilities());
        result.insert(
            "serverInfo".into(),
            implementation(&self.info, version.shape()),
        );
        self.add_instructions(&mut result);
        Value::Object(result)
    }

    /// The answer to one of the list requests.
    pub(super) fn list(&self, id: &Id, which: List, version: Version, all: &Catalog) -> Vec<u8> {
        let slot = self
            .lists
            .get(which as usize)
            .and_then(|row| row.get(version as usize));
        let Some(slot) = slot else {
            return answer::success(id, &self.make_list(which, version, all));
        };
        let text =
            slot.get_or_init(|| self.make_list(which, version, all).to_string().into_bytes());
        answer::success_text(id, text)
    }

    /// The answer to `tools/call`.
    pub(super) fn tool(&self, id: &Id, version: Version, result: &ToolResult) -> Vec<u8> {
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
                    .map(|block| Block::Any(block_for(shape, block)))
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
        answer::success(id, &result)
    }

    /// The answer to `resources/read`. What a read yields may change at any time: no caching.
    pub(super) fn read(&self, id: &Id, version: Version, contents: Vec<Contents>) -> Vec<u8> {
        let contents: Vec<Value> = contents.into_iter().map(contents_item).collect();
        let mut result = Map::new();
        result.insert("contents".into(), contents.into());
        answer::success(id, &self.finish(result, version, Some(0)))
    }

    /// The answer to `prompts/get`.
    pub(super) fn prompt(&self, id: &Id, version: Version, messages: Vec<Value>) -> Vec<u8> {
        let mut result = Map::new();
        result.insert("messages".into(), messages.into());
        answer::success(id, &self.finish(result, version, None))
    }

    fn make_list(&self, which: List, version: Version, all: &Catalog) -> Value {
        let shape = version.shape();
        let (key, items): (_, Vec<Value>) = match which {
            List::Tools => (
                "tools",
                all.tools.iter().map(|it| tool_item(it, shape)).collect(),
            ),
            List::Resources => (
                "resources",
                all.resources
                    .iter()
                    .map(|it| resource_item(it, shape))
                    .collect(),
            ),
            List::Templates => (
                "resourceTemplates",
                all.templates
                    .iter()
                    .map(|it| template_item(it, shape))
                    .collect(),
            ),
            List::Prompts => (
                "prompts",
                all.prompts
                    .iter()
                    .map(|it| prompt_item(it, shape))
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

    fn add_instructions(&self, result: &mut Map<String, Value>) {
        if !self.info.instructions.is_empty() {
            result.insert(
                "instructions".into(),
                self.info.instructions.as_str().into(),
            );
        }
    }
}

/// No `listChanged`, no `subscribe`, no `logging`: nothing is declared that is not done.
fn capabilities() -> Value {
    json!({"tools": {}, "resources": {}, "prompts": {}})
}

fn implementation(info: &ServerInfo, shape: &Shape) -> Value {
    let mut item = named(&info.name, &info.title, "", shape);
    item.insert("version".into(), info.version.as_str().into());
    Value::Object(item)
}

fn named(name: &str, title: &str, description: &str, shape: &Shape) -> Map<String, Value> {
    let mut item = Map::new();
    item.insert("name".into(), name.into());
    if shape.titles && !title.is_empty() {
        item.insert("title".into(), title.into());
    }
    if !description.is_empty() {
        item.insert("description".into(), description.into());
    }
    item
}

fn tool_item(tool: &Tool, shape: &Shape) -> Value {
    let mut item = named(&tool.name, &tool.title, &tool.description, shape);
    item.insert("inputSchema".into(), tool.input_schema.clone());
    if let Some(schema) = tool.output_schema.as_ref().filter(|_| shape.titles) {
        item.insert("outputSchema".into(), schema.clone());
    }
    if shape.annotations {
        let hints = tool.annotations;
        let hints = json!({
            "readOnlyHint": hints.read_only,
            "destructiveHint": hints.destructive,
            "idempotentHint": hints.idempotent,
            "openWorldHint": hints.open_world,
        });
        item.insert("annotations".into(), hints);
    }
    Value::Object(item)
}

fn resource_item(resource: &Resource, shape: &Shape) -> Value {
    let mut item = named(
        &resource.name,
        &resource.title,
        &resource.description,
        shape,
    );
    item.insert("uri".into(), resource.uri.as_str().into());
    item.insert("mimeType".into(), resource.mime_type.as_str().into());
    Value::Object(item)
}

fn template_item(template: &Template, shape: &Shape) -> Value {
    let mut item = named(
        &template.name,
        &template.title,
        &template.description,
        shape,
    );
    item.insert("uriTemplate".into(), template.uri_template.as_str().into());
    item.insert("mimeType".into(), template.mime_type.as_str().into());
    Value::Object(item)
}

fn prompt_item(prompt: &Prompt, shape: &Shape) -> Value {
    let mut item = named(&prompt.name, &prompt.title, &prompt.description, shape);
    let arguments = prompt.arguments.iter().map(|argument| {
        let mut item = named(&argument.name, "", &argument.description, shape);
        item.insert("required".into(), argument.required.into());
        Value::Object(item)
    });
    item.insert("arguments".into(), arguments.collect());
    Value::Object(item)
}

fn contents_item(part: Contents) -> Value {
    let (key, body) = match part.body {
        Body::Text(text) => ("text", text),
        Body::Blob(bytes) => ("blob", base64::prelude::BASE64_STANDARD.encode(bytes)),
    };
    json!({"uri": part.uri, "mimeType": part.mime_type, key: body})
}

/// A content block a version does not know becomes a text block that says what it was.
fn block_for(shape: &Shape, block: &Value) -> Value {
    let text = |text: String| json!({"type": "text", "text": text});
    match block.get("type").and_then(Value::as_str) {
        Some("audio") if !shape.annotations => text("[audio]".into()),
        Some("resource_link") if !shape.titles => {
            let uri = block.get("uri").and_then(Value::as_str).unwrap_or_default();
            text(format!("[resource {uri}]"))
        }
        _ => block.clone(),
    }
}

/// How long a client may keep what never changes while the program runs; a restart with another
/// configuration is seen within this time.
const STATIC_TTL_MS: u64 = 60_000;
