//! Tools that ask their client, each written once for both eras.

use mcpmqtt::mcp::catalog::{Tool, ToolCall, ToolResult};
use mcpmqtt::mcp::{Answers, AskError, Kind, Question};
use serde_json::{Value, json};

use super::tools::{text, tool};

pub fn tools() -> Vec<Tool> {
    let mut tools = vec![sampling(), elicitation(), defaults(), enums()];
    tools.extend(capabilities());
    tools.extend(rounds_of_one());
    tools.extend(rounds_of_many());
    tools
}

pub fn form(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

/// A form with one text field that has to be filled in.
pub fn text_form(key: &str, message: &str, field: &str) -> Question {
    Question::form(
        key,
        message,
        form(json!({field: {"type": "string"}}), &[field]),
    )
}

fn confirm(key: &str) -> Question {
    let schema = form(json!({"ok": {"type": "boolean"}}), &["ok"]);
    Question::form(key, "Please confirm", schema)
}

fn prompt(key: &str, words: &str, max_tokens: u32) -> Question {
    let message = json!({"role": "user", "content": {"type": "text", "text": words}});
    Question::sampling(key, json!([message]), max_tokens)
}

/// Asks one question and makes a text of the answer.
async fn ask(
    call: ToolCall,
    question: Question,
    key: &str,
    say: fn(&Value) -> String,
) -> ToolResult {
    match call.client.ask(vec![question]).await {
        Ok(answers) => text(say(answers.result(key).unwrap())),
        Err(why) => failed(&why),
    }
}

fn failed(why: &AskError) -> ToolResult {
    ToolResult::Error(why.to_string())
}

fn outcome(result: &Value) -> String {
    let content = result.get("content").unwrap_or(&Value::Null);
    let action = result["action"].as_str().unwrap_or_default();
    format!("action={action}, content={content}")
}

fn filled(answers: &Answers, key: &str, field: &str) -> Option<String> {
    let value = answers.accepted(key)?.get(field)?;
    Some(value.as_str()?.to_owned())
}

fn sampling() -> Tool {
    let mut tool = tool("test_sampling", "Asks the model.", |call| async move {
        let words = call.arguments["prompt"].as_str().unwrap().to_owned();
        let question = prompt("answer", &words, 100);
        ask(call, question, "answer", |result| {
            format!("LLM response: {}", result["content"]["text"])
        })
        .await
    });
    tool.input_schema = form(json!({"prompt": {"type": "string"}}), &["prompt"]).into();
    tool
}

fn elicitation() -> Tool {
    let mut tool = tool("test_elicitation", "Asks the user.", |call| async move {
        let fields = json!({
            "username": {"type": "string", "description": "User's response"},
            "email": {"type": "string", "description": "User's email address"},
        });
        let message = call.arguments["message"].as_str().unwrap().to_owned();
        let question = Question::form("user", &message, form(fields, &["username", "email"]));
        ask(call, question, "user", |result| {
            format!("User response: {}", outcome(result))
        })
        .await
    });
    tool.input_schema = form(json!({"message": {"type": "string"}}), &["message"]).into();
    tool
}

fn defaults() -> Tool {
    tool(
        "test_elicitation_sep1034_defaults",
        "Asks with defaults.",
        |call| async move {
            let fields = json!({
                "name": {"type": "string", "default": "John Doe"},
                "age": {"type": "integer", "default": 30},
                "score": {"type": "number", "default": 95.5},
                "status": {
                    "type": "string",
                    "enum": ["active", "inactive", "pending"],
                    "default": "active",
                },
                "verified": {"type": "boolean", "default": true},
            });
            let question = Question::form("user", "Please check", form(fields, &[]));
            ask(call, question, "user", completed).await
        },
    )
}

fn enums() -> Tool {
    let titled = |word: &str, values: [&str; 3], noun: &str| {
        let titles = ["First", "Second", "Third"].map(|number| format!("{number} {noun}"));
        let options: Vec<Value> = values
            .iter()
            .zip(titles)
            .map(|(value, title)| json!({"const": value, "title": title}))
            .collect();
        json!({word: options})
    };
    let plain = json!(["option1", "option2", "option3"]);
    let values = ["value1", "value2", "value3"];
    let mut single = titled("oneOf", values, "Option");
    single["type"] = "string".into();
    let fields = json!({
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": single,
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": titled("anyOf", values, "Choice")},
    });
    tool(
        "test_elicitation_sep1330_enums",
        "Asks for choices.",
        move |call| {
            let question = Question::form("user", "Please choose", form(fields.clone(), &[]));
            async move { ask(call, question, "user", completed).await }
        },
    )
}

fn completed(result: &Value) -> String {
    format!("Elicitation completed: {}", outcome(result))
}

/// What depends on the client's capabilities.
fn capabilities() -> Vec<Tool> {
    vec![
        tool(
            "test_missing_capability",
            "Needs sampling.",
            |call| async move {
                let question = prompt("answer", "Say something", 10);
                ask(call, question, "answer", Value::to_string).await
            },
        ),
        tool(
            "test_streaming_elicitation",
            "Needs a form.",
            |call| async move {
                let question = text_form("user_name", "What is your name?", "name");
                ask(call, question, "user_name", outcome).await
            },
        ),
        tool(
            "test_input_required_result_capabilities",
            "Asks what the client can answer.",
            |call| async move {
                let mut questions = Vec::new();
                if call.client.can(Kind::Sampling) {
                    questions.push(prompt("capital_question", "Hello", 100));
                }
                if call.client.can(Kind::Form) {
                    questions.push(text_form("user_name", "What is your name?", "name"));
                }
                match call.client.ask(questions).await {
                    Ok(_) => text("Everything was answered."),
                    Err(why) => failed(&why),
                }
            },
        ),
    ]
}

/// Multi-round-trip requests with one question.
fn rounds_of_one() -> Vec<Tool> {
    let name = |suffix: &str| format!("test_input_required_result_{suffix}");
    vec![
        tool(&name("elicitation"), "Asks a name.", |call| async move {
            let question = text_form("user_name", "What is your name?", "name");
            ask(
                call,
                question,
                "user_name",
                |result| match result["content"]["name"].as_str() {
                    Some(name) => format!("Hello, {name}!"),
                    None => "Hello, whoever you are!".into(),
                },
            )
            .await
        }),
        tool(&name("sampling"), "Asks the model.", |call| async move {
            let question = prompt("capital_question", "What is the capital of France?", 100);
            ask(call, question, "capital_question", |result| {
                result["content"]["text"]
                    .as_str()
                    .unwrap_or_default()
                    .into()
            })
            .await
        }),
        tool(&name("list_roots"), "Asks the roots.", |call| async move {
            ask(
                call,
                Question::roots("client_roots"),
                "client_roots",
                |result| format!("Roots: {}", result["roots"]),
            )
            .await
        }),
        tool(&name("request_state"), "Has a state.", |call| async move {
            // Without a valid state the engine would not have come so far.
            ask(call, confirm("confirm"), "confirm", |_| "state-ok".into()).await
        }),
        tool(&name("tampered_state"), "Has a state.", |call| async move {
            ask(call, confirm("confirm"), "confirm", |_| "state-ok".into()).await
        }),
    ]
}

/// Multi-round-trip requests with several questions, at once and one after the other.
fn rounds_of_many() -> Vec<Tool> {
    let name = |suffix: &str| format!("test_input_required_result_{suffix}");
    let say = |outcome: Result<String, AskError>| match outcome {
        Ok(words) => text(words),
        Err(why) => failed(&why),
    };
    vec![
        tool(
            &name("multiple_inputs"),
            "Asks three things.",
            move |call| async move { say(thrice(call).await) },
        ),
        tool(
            &name("multi_round"),
            "Asks twice.",
            move |call| async move { say(twice(call).await) },
        ),
    ]
}

async fn thrice(call: ToolCall) -> Result<String, AskError> {
    let questions = vec![
        text_form("user_name", "What is your name?", "name"),
        prompt("greeting", "Generate a greeting", 50),
        Question::roots("client_roots"),
    ];
    let answers = call.client.ask(questions).await?;
    let name = filled(&answers, "user_name", "name").unwrap_or_default();
    let greeting = answers.sampled("greeting").unwrap_or_default();
    let roots = answers.roots("client_roots").map_or(0, Vec::len);
    Ok(format!("{greeting} {name}, you have {roots} roots"))
}

async fn twice(call: ToolCall) -> Result<String, AskError> {
    let step = text_form("step1", "Step 1: What is your name?", "name");
    let first = call.client.ask(vec![step]).await?;
    let step = text_form("step2", "Step 2: What is your favorite color?", "color");
    let second = call.client.ask(vec![step]).await?;
    let name = filled(&first, "step1", "name").unwrap_or_default();
    let colour = filled(&second, "step2", "color").unwrap_or_default();
    Ok(format!("{name} likes {colour}"))
}
