//! Tools that answer by themselves.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use async_io::Timer;
use mcpmqtt::mcp::catalog::{Annotations, Tool, ToolCall, ToolResult};
use mcpmqtt::mcp::{Level, Notifier};
use serde_json::{Value, json};

pub fn all(notifier: &Notifier) -> Vec<Tool> {
    let mut tools = content();
    tools.extend(over_time());
    tools.extend(schemas());
    tools.extend(triggers(notifier));
    tools
}

/// A tool without arguments, unless its schema is replaced.
pub fn tool<F>(name: &str, description: &str, handler: impl Fn(ToolCall) -> F + 'static) -> Tool
where
    F: Future<Output = ToolResult> + 'static,
{
    Tool {
        name: name.into(),
        title: String::new(),
        description: description.into(),
        annotations: Annotations {
            read_only: true,
            destructive: false,
            idempotent: true,
            open_world: false,
        },
        input_schema: json!({"type": "object", "additionalProperties": false}).into(),
        judges_itself: false,
        output_schema: None,
        renamed: Vec::new(),
        scalars: Vec::new(),
        handler: Rc::new(move |call| Box::pin(handler(call))),
    }
}

pub fn text(text: impl Into<String>) -> ToolResult {
    ToolResult::Content(vec![json!({"type": "text", "text": text.into()})])
}

pub fn image() -> Value {
    json!({"type": "image", "data": PNG, "mimeType": "image/png"})
}

/// Each kind of content.
fn content() -> Vec<Tool> {
    let embedded = |uri: &str, mime: &str, text: &str| json!({"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": text}});
    let audio = json!({"type": "audio", "data": WAV, "mimeType": "audio/wav"});
    let resource = embedded(
        "test://embedded-resource",
        "text/plain",
        "This is an embedded resource content.",
    );
    let mixed = vec![
        json!({"type": "text", "text": "Multiple content types test:"}),
        image(),
        embedded(
            "test://mixed-content-resource",
            "application/json",
            r#"{"test":"data","value":123}"#,
        ),
    ];
    vec![
        tool("test_simple_text", "Text.", |_| async {
            text("This is a simple text response for testing.")
        }),
        constant("test_image_content", "An image.", vec![image()]),
        constant("test_audio_content", "A sound.", vec![audio]),
        constant("test_embedded_resource", "A resource.", vec![resource]),
        constant(
            "test_multiple_content_types",
            "Text, image, resource.",
            mixed,
        ),
        tool("test_error_handling", "Fails.", |_| async {
            ToolResult::Error("This tool intentionally returns an error for testing".into())
        }),
    ]
}

fn constant(name: &str, description: &str, blocks: Vec<Value>) -> Tool {
    tool(name, description, move |_| {
        let blocks = blocks.clone();
        async { ToolResult::Content(blocks) }
    })
}

/// Tools that tell something on the way.
fn over_time() -> Vec<Tool> {
    vec![
        tool(
            "test_tool_with_progress",
            "Reports progress.",
            |call| async move {
                for done in [0.0, 50.0, 100.0] {
                    call.progress.report(done, Some(100.0), "");
                    // Reports that come faster are dropped.
                    Timer::after(Duration::from_millis(110)).await;
                }
                text("All progress was reported.")
            },
        ),
        tool(
            "test_tool_with_logging",
            "Logs thrice.",
            |call| async move {
                for line in [
                    "Tool execution started",
                    "Tool processing data",
                    "Tool execution completed",
                ] {
                    call.client.log(Level::Info, &json!(line));
                    Timer::after(Duration::from_millis(50)).await;
                }
                text("Three lines were logged.")
            },
        ),
        tool("test_logging_tool", "Logs once.", |call| async move {
            call.client.log(Level::Info, &json!("a line"));
            text("If a log was asked for, a line was logged.")
        }),
        tool("test_reconnection", "Takes a moment.", |_| async {
            Timer::after(Duration::from_millis(100)).await;
            text("The moment is over.")
        }),
    ]
}

/// Tools whose arguments matter.
fn schemas() -> Vec<Tool> {
    let mut header = tool(
        "test_x_mcp_header",
        "Has a header field.",
        |call| async move {
            let region = call.arguments.get("region").and_then(Value::as_str);
            text(format!("Region: {}", region.unwrap_or("none")))
        },
    );
    header.input_schema = json!({
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
        "additionalProperties": false,
    })
    .into();
    vec![draft(), header]
}

fn draft() -> Tool {
    let mut draft = tool(
        "json_schema_2020_12_tool",
        "Has a rich schema.",
        |_| async { text("ok") },
    );
    draft.judges_itself = true;
    draft.input_schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            },
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
    .into();
    draft
}

/// Tools that say that a list changed.
fn triggers(notifier: &Notifier) -> Vec<Tool> {
    let (tools, prompts) = (notifier.clone(), notifier.clone());
    vec![
        tool(
            "test_trigger_tool_change",
            "Tells of new tools.",
            move |_| {
                tools.tools_changed();
                async { text("It was told.") }
            },
        ),
        tool(
            "test_trigger_prompt_change",
            "Tells of new prompts.",
            move |_| {
                prompts.prompts_changed();
                async { text("It was told.") }
            },
        ),
    ]
}

/// One red pixel.
pub const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC";
/// One sample of silence.
const WAV: &str = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQIAAAAAAA==";
