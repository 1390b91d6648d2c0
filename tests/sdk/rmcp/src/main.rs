//! The Rust SDK (`rmcp`) as a client of mcpmqtt over HTTP.
//!
//! usage: `mcpmqtt-rmcp-client auto|legacy http://HOST:PORT/mcp|unix:PATH`
//!
//! `auto` begins with `server/discover`, `legacy` with `initialize`, which is what `serve` does. The
//! environment variable `MCPMQTT_KEY` has the key. Holds the whole conversation against the plant
//! of the manual's sample configuration; the first answer that is wrong ends it with an exit code.

use std::error::Error;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ProtocolVersion, ReadResourceRequestParams,
    ResourceContents, ResourceUpdatedNotificationParam, ServerNotification, SubscribeRequestParams,
    SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient, ServiceExt};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

type Outcome<T> = Result<T, Box<dyn Error>>;
type Client = RunningService<RoleClient, Ear>;

/// Hears of resources that changed.
struct Ear(UnboundedSender<String>);

impl ClientHandler for Ear {
    async fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let _ = self.0.send(params.uri);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().ok_or("no mode")?;
    let place = arguments.next().ok_or("no place")?;
    let key = std::env::var("MCPMQTT_KEY")?;

    let (tell, mut heard) = unbounded_channel();
    let client = connect(Ear(tell), &mode, &place, &key).await?;
    let server = client
        .peer_info()
        .ok_or("the server must introduce itself")?;
    let introduction = format!("{server:?}");
    must(
        introduction.contains("mcpmqtt"),
        "the server must say who it is",
        &introduction,
    )?;
    call_all_tools(&client).await?;
    read_all_resources(&client).await?;
    follow_a_topic(&client, &mode, &mut heard).await?;
    see_errors(&client).await?;
    client.cancel().await?;
    be_refused(&mode, &place, &format!("not-{key}")).await?;
    println!("Rust SDK rmcp 3.11.0, {mode}: all exchanges as they must be");
    Ok(())
}

async fn connect(ear: Ear, mode: &str, place: &str, key: &str) -> Outcome<Client> {
    if let Some(path) = place.strip_prefix("unix:") {
        let config = StreamableHttpClientTransportConfig::with_uri("http://localhost/mcp");
        let config = config.auth_header(key);
        let transport = StreamableHttpClientTransport::from_unix_socket_with_config(path, config);
        return Ok(match mode {
            "auto" => ear.serve_with_lifecycle(transport, discover()).await?,
            _ => ear.serve(transport).await?,
        });
    }
    let config = StreamableHttpClientTransportConfig::with_uri(place).auth_header(key);
    let transport = StreamableHttpClientTransport::from_config(config);
    Ok(match mode {
        "auto" => ear.serve_with_lifecycle(transport, discover()).await?,
        _ => ear.serve(transport).await?,
    })
}

fn discover() -> ClientLifecycleMode {
    ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: None,
    }
}

async fn call_all_tools(client: &Client) -> Outcome<()> {
    let mut names: Vec<_> = client.list_all_tools().await?;
    names.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<_> = names.iter().map(|tool| tool.name.as_ref()).collect();
    let tools = [
        "mqtt_publish",
        "mqtt_query",
        "mqtt_read",
        "mqtt_stats",
        "mqtt_subscribe",
        "mqtt_topics",
        "mqtt_wait",
    ];
    must(names == tools, "seven tools must be listed", &names)?;

    let on = json!({"topic": "actuators/lights/exampleroom1/on", "payload": "1", "qos": 2});
    let sent = structured(client, "mqtt_publish", on).await?;
    must(
        sent["outcome"] == "delivered",
        "a publish must be delivered",
        &sent,
    )?;

    let all = json!({"topic": "sensors/+/temperature", "max_messages": 2, "timeout": 20});
    let got = structured(client, "mqtt_subscribe", all).await?;
    must(
        got["messages_received"] == 2,
        "two messages must come",
        &got,
    )?;

    let one = json!({"topic": "sensors/exampleroom1/temperature", "timeout": 20});
    let first = structured(client, "mqtt_read", one).await?;
    must(
        first["payload"] == "21.5",
        "a temperature must be read",
        &first,
    )?;

    let ask = json!({
        "request_topic": "commands/exampleroom1/request",
        "response_topic": "commands/exampleroom1/response",
        "payload": "get_status",
        "timeout": 20,
    });
    let reply = structured(client, "mqtt_query", ask).await?;
    must(
        reply["latency_ms"].is_number(),
        "a query must be answered",
        &reply,
    )
}

async fn read_all_resources(client: &Client) -> Outcome<()> {
    let listed = client.list_all_resources().await?;
    must(listed.len() == 2, "two resources must be listed", &listed)?;
    for uri in ["mcpmqtt://topics/allowed", "mcpmqtt://topics/examples"] {
        let text = read(client, uri).await?;
        must(
            text.contains("sensors/+/temperature"),
            "it must name a pattern",
            &text,
        )?;
    }
    let templates = client.list_all_resource_templates().await?;
    let template = format!("{templates:?}");
    must(
        template.contains("mqtt://topic/{+topic}"),
        "a template must be listed",
        &template,
    )?;
    let value = read(client, "mqtt://topic/sensors/exampleroom1/temperature").await?;
    must(
        value == "21.5",
        "a topic must be readable as a resource",
        &value,
    )
}

/// The note is emptied first: what is heard then is the new one.
#[expect(deprecated, reason = "the versions before 2026-07-28 subscribe")]
async fn follow_a_topic(
    client: &Client,
    mode: &str,
    heard: &mut UnboundedReceiver<String>,
) -> Outcome<()> {
    let uri = "mqtt://topic/notes/agent";
    let note = format!("note of process {}, {mode}", std::process::id());
    let publish = |payload: &str| json!({"topic": "notes/agent", "payload": payload, "qos": 1, "retain": true});
    structured(client, "mqtt_publish", publish("")).await?;
    let updated = if mode == "auto" {
        let wish = SubscriptionFilter::builder()
            .resource_subscriptions([uri])
            .build();
        let mut events = client.listen(wish).await?;
        structured(client, "mqtt_publish", publish(&note)).await?;
        let event = timeout(PATIENCE, events.next()).await??;
        events.cancel().await?;
        match event {
            Some(ServerNotification::ResourceUpdatedNotification(update)) => update.params.uri,
            other => return Err(format!("an update must come; seen: {other:?}").into()),
        }
    } else {
        client.subscribe(SubscribeRequestParams::new(uri)).await?;
        structured(client, "mqtt_publish", publish(&note)).await?;
        let updated = timeout(PATIENCE, heard.recv())
            .await?
            .ok_or("the session ended")?;
        client
            .unsubscribe(UnsubscribeRequestParams::new(uri))
            .await?;
        updated
    };
    must(updated == uri, "an update must name the topic", &updated)?;
    let text = read(client, uri).await?;
    must(text == note, "the new note must be read", &text)
}

async fn see_errors(client: &Client) -> Outcome<()> {
    let arguments = json!({"topic": "sensors/exampleroom1/temperature", "payload": "0"});
    let refused = call(client, "mqtt_publish", arguments).await?;
    must(
        refused.is_error == Some(true),
        "a publish without permission must be an error",
        &refused,
    )?;
    let text = format!("{refused:?}");
    must(text.contains("not writable"), "it must say why", &text)?;
    match call(client, "mqtt_nope", json!({})).await {
        Err(ServiceError::McpError(error)) if error.code.0 == -32602 => {}
        other => return Err(format!("an unknown tool must be an error; seen: {other:?}").into()),
    }
    must(
        !client.list_all_tools().await?.is_empty(),
        "the connection must survive that",
        &"",
    )
}

async fn be_refused(mode: &str, place: &str, key: &str) -> Outcome<()> {
    let error = match timeout(
        PATIENCE,
        connect(Ear(unbounded_channel().0), mode, place, key),
    )
    .await?
    {
        Ok(_) => return Err("a wrong key must not come in".into()),
        Err(error) => error,
    };
    let mut told = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    let says = ["wrong API key", "401", "uthorization", "Auth required"];
    must(
        says.iter().any(|words| told.contains(words)),
        "a wrong key must be told as such",
        &told,
    )
}

async fn call(
    client: &Client,
    name: &'static str,
    arguments: Value,
) -> Result<CallToolResult, ServiceError> {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    client
        .call_tool(CallToolRequestParams::new(name).with_arguments(arguments))
        .await
}

/// Calls a tool that must succeed.
async fn structured(client: &Client, name: &'static str, arguments: Value) -> Outcome<Value> {
    let result = call(client, name, arguments).await?;
    must(
        result.is_error != Some(true),
        "a call must succeed",
        &result,
    )?;
    result
        .structured_content
        .ok_or_else(|| format!("{name} must answer with a structure").into())
}

async fn read(client: &Client, uri: &str) -> Outcome<String> {
    let result = client
        .read_resource(ReadResourceRequestParams::new(uri))
        .await?;
    match result.contents.into_iter().next() {
        Some(ResourceContents::TextResourceContents { text, .. }) => Ok(text),
        other => Err(format!("{uri} must have a text; seen: {other:?}").into()),
    }
}

fn must(condition: bool, what: &str, seen: &dyn std::fmt::Debug) -> Outcome<()> {
    match condition {
        true => Ok(()),
        false => Err(format!("{what}; seen: {seen:?}").into()),
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
