//! Resources and prompts.

use std::future::Future;
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mcpmqtt::mcp::WatchGuard;
use mcpmqtt::mcp::catalog::{
    Body, Completing, Contents, Prompt, PromptArgument, PromptCall, ReadError, Resource, Template,
    Watcher,
};
use serde_json::{Value, json};

use super::asking::text_form;
use super::tools::{PNG, image};

pub fn resources() -> Vec<Resource> {
    let png = BASE64_STANDARD.decode(PNG).unwrap();
    let static_text = "This is the content of the static text resource.";
    let mut watched = resource("test://watched-resource", "text/plain", || {
        Body::Text("This is watched.".into())
    });
    watched.watcher = Some(Watcher::new(|_| {
        Box::pin(async { Ok(WatchGuard::new(())) })
    }));
    vec![
        resource("test://static-text", "text/plain", move || {
            Body::Text(static_text.into())
        }),
        resource("test://static-binary", "image/png", move || {
            Body::Blob(png.clone())
        }),
        watched,
    ]
}

fn resource(
    uri: &'static str,
    mime_type: &'static str,
    body: impl Fn() -> Body + 'static,
) -> Resource {
    Resource {
        uri: uri.into(),
        name: uri.trim_start_matches("test://").into(),
        title: String::new(),
        description: "For the suite to read.".into(),
        mime_type: mime_type.into(),
        reader: Rc::new(move |call| {
            let contents = Contents {
                uri: call.uri,
                mime_type: mime_type.into(),
                body: body(),
            };
            Box::pin(async { Ok(vec![contents]) })
        }),
        watcher: None,
    }
}

pub fn templates() -> Vec<Template> {
    vec![Template {
        uri_template: "test://template/{id}/data".into(),
        name: "template".into(),
        title: String::new(),
        description: "Data by id.".into(),
        mime_type: "application/json".into(),
        accepts: Box::new(|uri| id(uri).is_some()),
        reader: Rc::new(|call| {
            Box::pin(async move {
                let id = id(&call.uri).ok_or(ReadError::NotFound)?;
                let data = format!("Data for ID: {id}");
                let text = json!({"id": id, "templateTest": true, "data": data}).to_string();
                Ok(vec![Contents {
                    uri: call.uri,
                    mime_type: "application/json".into(),
                    body: Body::Text(text),
                }])
            })
        }),
        watcher: None,
        completer: None,
    }]
}

fn id(uri: &str) -> Option<String> {
    let id = uri
        .strip_prefix("test://template/")?
        .strip_suffix("/data")?;
    (!id.is_empty() && !id.contains('/')).then(|| id.to_owned())
}

pub fn prompts() -> Vec<Prompt> {
    let text = |text: &str| message(json!({"type": "text", "text": text}));
    let simple = text("This is a simple prompt for testing.");
    let pictured = vec![message(image()), text("Please analyze the image above.")];
    let mut with_arguments = prompt(
        "test_prompt_with_arguments",
        &["arg1", "arg2"],
        |call| async move {
            let argument = |name: &str| call.arguments[name].as_str().unwrap_or_default();
            let (first, second) = (argument("arg1"), argument("arg2"));
            let text = format!("Prompt with arguments: arg1='{first}', arg2='{second}'");
            Ok(vec![message(json!({"type": "text", "text": text}))])
        },
    );
    with_arguments.completer = Some(Box::new(complete));
    vec![
        constant("test_simple_prompt", vec![simple]),
        with_arguments,
        prompt(
            "test_prompt_with_embedded_resource",
            &["resourceUri"],
            embed,
        ),
        constant("test_prompt_with_image", pictured),
        prompt("test_input_required_result_prompt", &[], ask),
    ]
}

fn prompt<F>(name: &str, arguments: &[&str], handler: impl Fn(PromptCall) -> F + 'static) -> Prompt
where
    F: Future<Output = Result<Vec<Value>, String>> + 'static,
{
    let arguments = arguments.iter().map(|name| PromptArgument {
        name: (*name).into(),
        description: "For the suite to fill in.".into(),
        required: true,
    });
    Prompt {
        name: name.into(),
        title: String::new(),
        description: "For the suite to get.".into(),
        arguments: arguments.collect(),
        handler: Rc::new(move |call| Box::pin(handler(call))),
        completer: None,
    }
}

fn constant(name: &str, messages: Vec<Value>) -> Prompt {
    prompt(name, &[], move |_| {
        let messages = messages.clone();
        async { Ok(messages) }
    })
}

fn message(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn complete(asked: &Completing) -> Vec<String> {
    let all = ["paris", "park", "party"];
    let fitting = all
        .into_iter()
        .filter(|word| word.starts_with(&asked.value));
    fitting.map(String::from).collect()
}

async fn embed(call: PromptCall) -> Result<Vec<Value>, String> {
    let resource = json!({
        "uri": call.arguments["resourceUri"],
        "mimeType": "text/plain",
        "text": "Embedded resource content for testing.",
    });
    let text = "Please process the embedded resource above.";
    Ok(vec![
        message(json!({"type": "resource", "resource": resource})),
        message(json!({"type": "text", "text": text})),
    ])
}

async fn ask(call: PromptCall) -> Result<Vec<Value>, String> {
    let question = text_form(
        "user_context",
        "What context should the prompt use?",
        "context",
    );
    let answers = call.client.ask(vec![question]).await;
    let answers = answers.map_err(|why| why.to_string())?;
    let given = answers
        .accepted("user_context")
        .and_then(|it| it.get("context"));
    let context = given.and_then(Value::as_str).unwrap_or("none");
    let text = format!("The context is: {context}");
    Ok(vec![message(json!({"type": "text", "text": text}))])
}
