//! The items of a catalog as JSON, in the shape of a protocol version.
//!
//! Promises: no member that the version does not define; an absent member is left out, never null.

use base64::Engine as _;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Body, Contents, Prompt, Resource, SchemaText, ServerInfo, Template, Tool};
use crate::mcp::version::Shape;

pub(in crate::mcp) fn implementation(info: &ServerInfo, shape: &Shape) -> Value {
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

/// A tool as `tools/list` shows it, serialised directly: its schemas are text already.
#[derive(Serialize)]
pub(in crate::mcp) struct ToolItem<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(rename = "inputSchema")]
    input_schema: &'a SchemaText,
    #[serde(rename = "outputSchema", skip_serializing_if = "Option::is_none")]
    output_schema: Option<&'a SchemaText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Hints>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hints {
    read_only_hint: bool,
    destructive_hint: bool,
    idempotent_hint: bool,
    open_world_hint: bool,
}

impl<'a> ToolItem<'a> {
    pub(in crate::mcp) fn new(tool: &'a Tool, shape: &Shape) -> ToolItem<'a> {
        let hints = tool.annotations;
        ToolItem {
            name: &tool.name,
            title: Some(&*tool.title).filter(|title| shape.titles && !title.is_empty()),
            description: &tool.description,
            input_schema: &tool.input_schema,
            output_schema: tool.output_schema.as_ref().filter(|_| shape.titles),
            annotations: shape.annotations.then_some(Hints {
                read_only_hint: hints.read_only,
                destructive_hint: hints.destructive,
                idempotent_hint: hints.idempotent,
                open_world_hint: hints.open_world,
            }),
        }
    }
}

pub(in crate::mcp) fn resource_item(resource: &Resource, shape: &Shape) -> Value {
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

pub(in crate::mcp) fn template_item(template: &Template, shape: &Shape) -> Value {
    let mut item = named(
        &template.name,
        &template.title,
        &template.description,
        shape,
    );
    item.insert("uriTemplate".into(), template.uri_template.as_str().into());
    if !template.mime_type.is_empty() {
        item.insert("mimeType".into(), template.mime_type.as_str().into());
    }
    Value::Object(item)
}

pub(in crate::mcp) fn prompt_item(prompt: &Prompt, shape: &Shape) -> Value {
    let mut item = named(&prompt.name, &prompt.title, &prompt.description, shape);
    let arguments = prompt.arguments.iter().map(|argument| {
        let mut item = named(&argument.name, "", &argument.description, shape);
        item.insert("required".into(), argument.required.into());
        Value::Object(item)
    });
    item.insert("arguments".into(), arguments.collect());
    Value::Object(item)
}

pub(in crate::mcp) fn contents_item(part: Contents) -> Value {
    let (key, body) = match part.body {
        Body::Text(text) => ("text", text),
        Body::Blob(bytes) => ("blob", base64::prelude::BASE64_STANDARD.encode(bytes)),
    };
    json!({"uri": part.uri, "mimeType": part.mime_type, key: body})
}

/// Replaces a content block that the version does not define by a text block that names its type.
pub(in crate::mcp) fn block_for(shape: &Shape, block: &Value) -> Value {
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
