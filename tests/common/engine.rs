//! An engine over a small catalog.

use std::cell::Cell;
use std::rc::Rc;

use mcpmqtt::mcp::Engine;
use mcpmqtt::mcp::catalog::{
    Annotations, Body, Catalog, Contents, Prompt, PromptArgument, ReadError, Resource, ServerInfo,
    Template, Tool, ToolCall, ToolResult,
};
use serde_json::{Value, json};
use smol::future::BoxedLocal;

/// A catalog whose tool `wait` ends when something is sent to the gate.
pub fn catalog(gate: async_channel::Receiver<()>) -> Catalog {
    Catalog {
        tools: vec![echo(), wait(gate), count(), fail(), blocks(), large()],
        resources: vec![
            resource("test://text", |uri| {
                Ok(vec![contents(uri, Body::Text("hello".into()))])
            }),
            resource("test://bytes", |uri| {
                Ok(vec![contents(uri, Body::Blob(vec![0, 255]))])
            }),
            resource("test://broken", |_| {
                Err(ReadError::Failed("the disk is on fire".into()))
            }),
        ],
        templates: vec![template()],
        prompts: vec![prompt()],
        asks: Rc::new(Cell::new(true)),
        ..Catalog::default()
    }
}

/// The engine over [`catalog`] with changes, and the gate.
pub fn engine_with(change: impl FnOnce(&mut Catalog)) -> (Engine, async_channel::Sender<()>) {
    let (open, gate) = async_channel::unbounded();
    let mut catalog = catalog(gate);
    change(&mut catalog);
    let info = ServerInfo {
        name: "test".into(),
        title: "Test server".into(),
        version: "1.2.3".into(),
        instructions: "Call `echo`.".into(),
    };
    (Engine::new(catalog, info).unwrap(), open)
}

pub fn tool(
    name: &str,
    input_schema: Value,
    handler: impl Fn(ToolCall) -> BoxedLocal<ToolResult> + 'static,
) -> Tool {
    Tool {
        name: name.into(),
        title: format!("The tool {name}"),
        description: format!("Does {name}."),
        annotations: Annotations {
            read_only: true,
            destructive: false,
            idempotent: true,
            open_world: false,
        },
        input_schema: input_schema.into(),
        judges_itself: false,
        output_schema: None,
        renamed: vec![],
        scalars: vec![],
        handler: Rc::new(handler),
    }
}

pub fn nothing() -> Value {
    json!({"type": "object", "properties": {}, "additionalProperties": false})
}

/// Gives back its arguments.
fn echo() -> Tool {
    let schema = json!({
        "type": "object",
        "properties": {
            "text": {"type": "string", "maxLength": 100_000, "description": "What to say."},
            "times": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
            "loud": {"type": "boolean"},
            "mode": {"type": "string", "enum": ["utf8", "base64"]},
            "ratio": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "where": {
                "type": "object",
                "properties": {"room": {"type": "string", "minLength": 1}},
                "required": ["room"],
                "additionalProperties": false,
            },
        },
        "required": ["text"],
        "additionalProperties": false,
    });
    let mut tool = tool("echo", schema, |call| {
        Box::pin(async move { ToolResult::structured(&call.arguments) })
    });
    tool.output_schema = Some(
        json!({
            "type": "object",
            "properties": {"text": {"type": "string"}, "times": {"type": "integer"}},
            "required": ["text", "times"],
        })
        .into(),
    );
    tool.renamed = vec![("message", "text")];
    tool
}

/// Ends when the gate lets it.
fn wait(gate: async_channel::Receiver<()>) -> Tool {
    tool("wait", nothing(), move |_| {
        let gate = gate.clone();
        Box::pin(async move {
            match gate.recv().await {
                Ok(()) => ToolResult::structured(&json!({"waited": true})),
                Err(_) => ToolResult::Error("the gate is gone".into()),
            }
        })
    })
}

/// Reports progress on the way.
fn count() -> Tool {
    tool("count", nothing(), |call| {
        Box::pin(async move {
            for (done, note) in [(1.0, "one"), (1.0, "again"), (2.0, "two"), (3.0, "three")] {
                call.progress.report(done, Some(3.0), note);
                async_io::Timer::after(std::time::Duration::from_millis(110)).await;
            }
            ToolResult::structured(&json!({"counted": 3}))
        })
    })
}

/// Fails.
fn fail() -> Tool {
    tool("fail", nothing(), |_| {
        Box::pin(async { ToolResult::Error("nothing works today".into()) })
    })
}

/// Yields blocks of every kind.
fn blocks() -> Tool {
    tool("blocks", nothing(), |_| {
        Box::pin(async {
            ToolResult::Content(vec![
                json!({"type": "text", "text": "a"}),
                json!({"type": "image", "data": "AA==", "mimeType": "image/png"}),
                json!({"type": "audio", "data": "AA==", "mimeType": "audio/wav"}),
                json!({"type": "resource", "resource": {"uri": "test://text", "text": "x"}}),
                json!({"type": "resource_link", "uri": "test://text", "name": "text"}),
            ])
        })
    })
}

/// Yields 1 MiB.
fn large() -> Tool {
    tool("large", nothing(), |_| {
        Box::pin(async { ToolResult::structured(&json!({"text": "x".repeat(1 << 20)})) })
    })
}

pub fn contents(uri: String, body: Body) -> Contents {
    Contents {
        uri,
        mime_type: "text/plain".into(),
        body,
    }
}

pub fn resource(
    uri: &str,
    read: impl Fn(String) -> Result<Vec<Contents>, ReadError> + 'static,
) -> Resource {
    Resource {
        uri: uri.into(),
        name: uri.trim_start_matches("test://").into(),
        title: "A resource".into(),
        description: "Something to read.".into(),
        mime_type: "text/plain".into(),
        reader: Rc::new(move |call| {
            let contents = read(call.uri);
            Box::pin(async move { contents })
        }),
        watcher: None,
    }
}

fn template() -> Template {
    Template {
        uri_template: "test://item/{id}".into(),
        name: "item".into(),
        title: "An item".into(),
        description: "One of many.".into(),
        mime_type: "text/plain".into(),
        accepts: Box::new(|uri| uri.starts_with("test://item/")),
        reader: Rc::new(|call| {
            Box::pin(async move {
                if call.uri.ends_with("/none") {
                    return Err(ReadError::NotFound);
                }
                Ok(vec![contents(call.uri, Body::Text("an item".into()))])
            })
        }),
        watcher: None,
        completer: None,
    }
}

fn prompt() -> Prompt {
    Prompt {
        name: "greet".into(),
        title: "Greet".into(),
        description: "Says hello.".into(),
        arguments: vec![PromptArgument {
            name: "whom".into(),
            description: "Whom to greet.".into(),
            required: true,
        }],
        handler: Rc::new(|call| {
            Box::pin(async move {
                let text = format!("Hello, {}", call.arguments["whom"].as_str().unwrap());
                Ok(vec![
                    json!({"role": "user", "content": {"type": "text", "text": text}}),
                ])
            })
        }),
        completer: None,
    }
}
