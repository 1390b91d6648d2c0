//! The official schemas of every version (`tests/schemas`), against which every message of ours is held.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;

/// The names of the versions, oldest first.
pub const VERSIONS: [&str; 5] = [
    "2024-11-05",
    "2025-03-26",
    "2025-06-18",
    "2025-11-25",
    "2026-07-28",
];

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
