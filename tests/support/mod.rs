//! What the MCP tests share: a small catalog, a peer that talks to the engine, and the official
//! schemas that every answer is held against.

#![allow(dead_code, clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

pub mod bystander;
pub mod http;
pub mod wire;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use mcpmqtt::mcp::catalog::{
    Annotations, Body, Catalog, Contents, Prompt, PromptArgument, ReadError, Resource, ServerInfo,
    Template, Tool, ToolCall, ToolResult,
};
use mcpmqtt::mcp::{ClientSink, Engine, Received, Reply, Session};
use serde_json::{Value, json};
use smol::future::{BoxedLocal, block_on};

/// The names of the versions, oldest first.
pub const VERSIONS: [&str; 5] = [
    "2024-11-05",
    "2025-03-26",
    "2025-06-18",
    "2025-11-25",
    "2026-07-28",
];

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
        asks: true,
        ..Catalog::default()
    }
}

/// The engine over [`catalog`], and the gate.
pub fn engine() -> (Engine, async_channel::Sender<()>) {
    engine_with(|_| {})
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

/// One client of an engine, without a transport.
pub struct Peer {
    pub engine: Engine,
    pub session: Rc<Session>,
    pub gate: async_channel::Sender<()>,
    pub outlet: ClientSink,
    pub notes: Rc<RefCell<Vec<Value>>>,
}

impl Peer {
    /// A client that has said nothing yet.
    pub fn new() -> Peer {
        Peer::of(engine())
    }

    /// A client of this engine that has said nothing yet.
    pub fn of((engine, gate): (Engine, async_channel::Sender<()>)) -> Peer {
        let notes = Rc::<RefCell<Vec<Value>>>::default();
        let sink = notes.clone();
        let outlet = ClientSink::new(move |text| {
            is_one_line(&text);
            sink.borrow_mut()
                .push(serde_json::from_slice(&text).unwrap());
            true
        });
        Peer {
            engine,
            session: Session::new(),
            gate,
            outlet,
            notes,
        }
    }

    /// A client that has initialized with this version.
    pub fn legacy(version: &str) -> Peer {
        let peer = Peer::new();
        peer.shake_hands(version, json!({}));
        peer
    }

    /// Initializes with this version and these capabilities.
    pub fn shake_hands(&self, version: &str, capabilities: Value) -> Value {
        let mut params = initialize(version);
        params["capabilities"] = capabilities;
        let answer = self.ask(&request(0, "initialize", params));
        assert_eq!(answer["result"]["protocolVersion"], version);
        answer["result"].clone()
    }

    /// What it was told since it was last asked for.
    pub fn heard(&self) -> Vec<Value> {
        self.notes.take()
    }

    /// What the engine makes of these bytes.
    pub fn receive(&self, bytes: &[u8]) -> Received {
        self.engine.receive(&self.session, bytes, &self.outlet)
    }

    /// The answer to these bytes, the call run to its end.
    pub fn answer(&self, bytes: &[u8]) -> Option<Value> {
        let reply: Option<Reply> = match self.receive(bytes) {
            Received::Nothing => None,
            Received::Answer(reply) => Some(reply),
            Received::Call(call) => block_on(call.run()),
        };
        reply.map(|reply| {
            is_one_line(&reply.text);
            serde_json::from_slice(&reply.text).unwrap()
        })
    }

    /// The answer to a request that must have one.
    pub fn ask(&self, request: &Value) -> Value {
        let answer = self.answer(request.to_string().as_bytes());
        answer.unwrap_or_else(|| panic!("no answer to {request}"))
    }
}

/// For every reader, also for those that take more than a newline for the end of one.
fn is_one_line(message: &[u8]) {
    let text = std::str::from_utf8(message).unwrap();
    let ends = ['\n', '\u{85}', '\u{2028}', '\u{2029}'];
    assert!(!text.contains(ends), "one line: {text:?}");
}

/// A request without `_meta`.
pub fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// A request of 2026-07-28.
pub fn modern(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    let meta = params
        .as_object_mut()
        .unwrap()
        .entry("_meta")
        .or_insert_with(|| json!({}));
    meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    request(id, method, params)
}

/// The params of `initialize`.
pub fn initialize(version: &str) -> Value {
    let client = json!({"name": "tests", "version": "0"});
    json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client})
}

/// Holds an answer against the official schema of its version, envelope and result both.
pub fn check_answer(version: &str, method: &str, answer: &Value) {
    let modern = version >= "2025-11-25";
    if answer.get("error").is_some() {
        let kind = if modern {
            "JSONRPCErrorResponse"
        } else {
            "JSONRPCError"
        };
        return check(version, kind, answer);
    }
    check(
        version,
        if modern {
            "JSONRPCResultResponse"
        } else {
            "JSONRPCResponse"
        },
        answer,
    );
    let kind = match method {
        "initialize" => "InitializeResult",
        "ping" => "EmptyResult",
        "server/discover" => "DiscoverResult",
        "tools/list" => "ListToolsResult",
        "tools/call" => "CallToolResult",
        "resources/list" => "ListResourcesResult",
        "resources/templates/list" => "ListResourceTemplatesResult",
        "resources/read" => "ReadResourceResult",
        "prompts/list" => "ListPromptsResult",
        "prompts/get" => "GetPromptResult",
        "completion/complete" => "CompleteResult",
        "subscriptions/listen" => "SubscriptionsListenResult",
        "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" => "EmptyResult",
        "input_required" => "InputRequiredResult",
        other => panic!("no result type known for {other}"),
    };
    check(version, kind, &answer["result"]);
}

/// Holds a notification of ours against the official schema of its version.
pub fn check_notification(version: &str, note: &Value) {
    check(version, "JSONRPCNotification", note);
    check(version, "ServerNotification", note);
}

/// Holds a value against one definition of a version's schema.
pub fn check(version: &str, definition: &str, value: &Value) {
    thread_local! {
        static KEPT: RefCell<HashMap<String, Rc<jsonschema::Validator>>> = RefCell::default();
    }
    let key = format!("{version} {definition}");
    let kept = KEPT.with_borrow(|kept| kept.get(&key).cloned());
    let validator = kept.unwrap_or_else(|| {
        let made = Rc::new(validator(version, definition));
        KEPT.with_borrow_mut(|kept| kept.insert(key, made.clone()));
        made
    });
    if let Err(why) = validator.validate(value) {
        let at = why.instance_path();
        panic!("{version} {definition}: {why} at `{at}` in {value}");
    }
}

fn validator(version: &str, definition: &str) -> jsonschema::Validator {
    let path = format!(
        "{}/tests/schemas/{version}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let group = if schema.get("$defs").is_some() {
        "$defs"
    } else {
        "definitions"
    };
    assert!(
        schema[group].get(definition).is_some(),
        "{version} has no {definition}"
    );
    schema["$ref"] = format!("#/{group}/{definition}").into();
    jsonschema::validator_for(&schema).unwrap()
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
        input_schema,
        judges_itself: false,
        output_schema: None,
        renamed: vec![],
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
    tool.output_schema = Some(json!({
        "type": "object",
        "properties": {"text": {"type": "string"}, "times": {"type": "integer"}},
        "required": ["text", "times"],
    }));
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
