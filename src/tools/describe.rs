//! How the tools are described to a model: short, since every conversation carries it.

use std::fmt::Write as _;

use mcpmqtt_config::Policy;
use serde_json::{Value, json};

use crate::mcp::catalog::{Annotations, Tool, ToolResult};

pub(super) fn publish() -> Tool {
    tool(
        "mqtt_publish",
        "Publish to MQTT",
        "Send one message to an MQTT topic, such as a command to a device. Needs write permission \
         (and `retain` permission with retain). qos 0 answers `sent` once written; qos 1 and 2 answer \
         `delivered` once the broker has it. An error says whether the message may have reached the broker.",
        CHANGES,
        json!({"type": "object", "properties": {
            "topic": {"type": "string", "description": "Topic name, no wildcards"},
            "payload": payload(),
            "qos": qos(),
            "retain": {"type": "boolean", "default": false, "description": "Keep as the topic's last value"},
            "encoding": encoding(),
            "timeout": timeout(10),
        }, "required": ["topic", "payload"], "additionalProperties": false}),
        json!({"type": "object", "properties": {
            "topic": {"type": "string"},
            "qos": {"type": "integer"},
            "retain": {"type": "boolean"},
            "bytes": {"type": "integer"},
            "outcome": {"type": "string", "enum": ["sent", "delivered"]},
        }, "required": ["topic", "qos", "retain", "bytes", "outcome"]}),
    )
}

pub(super) fn subscribe() -> Tool {
    let mut message = received();
    message["type"] = "object".into();
    tool(
        "mqtt_subscribe",
        "Collect MQTT messages",
        "Collect messages of a topic filter (`+` one level, `#` the rest) until there are max_messages \
         or the timeout is over. Use it to watch live topics; for one current value use mqtt_read. \
         `lost` counts messages that found no room, `interrupted` tells that the connection was lost meanwhile.",
        READS,
        json!({"type": "object", "properties": {
            "topic": {"type": "string", "description": "Topic filter"},
            "timeout": timeout(30),
            "max_messages": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1},
            "qos": qos(),
            "include_retained": include_retained(),
        }, "required": ["topic"], "additionalProperties": false}),
        json!({"type": "object", "properties": {
            "topic": {"type": "string"},
            "messages_received": {"type": "integer"},
            "messages": {"type": "array", "items": message},
            "ended_by": {"type": "string", "enum": ["max_messages", "timeout", "result_bytes", "subscription_lost"]},
            "lost": {"type": "integer"},
            "interrupted": {"type": "boolean"},
            "truncated": {"type": "boolean"},
        }, "required": ["topic", "messages_received", "messages", "ended_by", "lost", "interrupted", "truncated"]}),
    )
}

pub(super) fn read() -> Tool {
    let mut read = tool(
        "mqtt_read",
        "Read one MQTT message",
        "Get the first message of a topic filter: the retained value at once if there is one, else the \
         next one published within the timeout. No message is an error.",
        READS,
        json!({"type": "object", "properties": {
            "topic": {"type": "string", "description": "Topic filter"},
            "timeout": timeout(5),
            "include_retained": include_retained(),
        }, "required": ["topic"], "additionalProperties": false}),
        received(),
    );
    // The original's name for it.
    read.renamed = vec![("response_topic", "topic")];
    read
}

pub(super) fn query() -> Tool {
    let mut reply = received();
    reply["properties"]["latency_ms"] = json!({"type": "number"});
    tool(
        "mqtt_query",
        "Ask over MQTT",
        "Publish a request and return the first message on the response topic: request/response with a \
         device. Subscribes before it publishes; retained messages are no reply. No reply is an error.",
        CHANGES,
        json!({"type": "object", "properties": {
            "request_topic": {"type": "string", "description": "Topic name, no wildcards"},
            "response_topic": {"type": "string", "description": "Topic filter"},
            "payload": payload(),
            "timeout": timeout(5),
            "qos": qos(),
            "encoding": encoding(),
        }, "required": ["request_topic", "response_topic", "payload"], "additionalProperties": false}),
        reply,
    )
}

/// The grants, so that a model can start without reading a resource, as far as they fit.
pub(super) fn instructions(policy: &Policy) -> String {
    let mut text = String::from("Access to one MQTT broker within these topic patterns:");
    let mut left = 0;
    for grant in policy.grants() {
        if text.len() > INSTRUCTIONS_BYTES {
            left += 1;
            continue;
        }
        let permissions = grant.permissions.names().collect::<Vec<_>>().join(", ");
        let _ = write!(text, "\n- `{}` ({permissions})", grant.pattern);
    }
    if policy.grants().len() == 0 {
        text.push_str(" none, so every call will be refused.");
    }
    if left > 0 {
        let _ = write!(text, "\n- and {left} more");
    }
    text.push_str("\nTheir descriptions: resource mcpmqtt://topics/allowed.");
    text
}

fn tool(
    name: &str,
    title: &str,
    description: &str,
    annotations: Annotations,
    input_schema: Value,
    output_schema: Value,
) -> Tool {
    Tool {
        name: name.into(),
        title: title.into(),
        description: description.into(),
        annotations,
        input_schema,
        judges_itself: false,
        output_schema: Some(output_schema),
        renamed: Vec::new(),
        handler: Box::new(|_| Box::pin(async { ToolResult::Error("not ready".into()) })),
    }
}

fn received() -> Value {
    json!({"type": "object", "properties": {
        "topic": {"type": "string"},
        "payload": {"type": "string"},
        "encoding": {"type": "string", "enum": ["utf8", "base64"]},
        "qos": {"type": "integer"},
        "retain": {"type": "boolean"},
        "timestamp": {"type": "string"},
    }, "required": ["topic", "payload", "encoding", "qos", "retain", "timestamp"]})
}

fn payload() -> Value {
    json!({"type": "string", "description": "text; JSON as text too"})
}

fn qos() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": 2, "default": 0})
}

fn timeout(default: u32) -> Value {
    json!({"type": "number", "exclusiveMinimum": 0, "maximum": 300, "default": default, "description": "Seconds"})
}

fn encoding() -> Value {
    json!({"type": "string", "enum": ["utf8", "base64"], "default": "utf8"})
}

fn include_retained() -> Value {
    json!({"type": "boolean", "default": true})
}

const READS: Annotations = Annotations {
    read_only: true,
    destructive: false,
    idempotent: false,
    open_world: true,
};

const CHANGES: Annotations = Annotations {
    read_only: false,
    destructive: true,
    idempotent: false,
    open_world: true,
};

/// About 500 tokens.
const INSTRUCTIONS_BYTES: usize = 2000;
