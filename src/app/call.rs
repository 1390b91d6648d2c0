//! One call of a tool from the command line, for people, scripts and cron.
//!
//! Promises: arguments are judged by the tool's own schema before anything is connected to; the call goes through the
//! running server where it lets us in, since limits and the broker's connection are there, and through a connection of
//! its own otherwise; it is made once, whatever happens; standard output gets the result and nothing else.
//! Does not: keep anybody out. Who can run it can read the configuration.

mod arguments;
mod http;
mod show;

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write as _};

use mcpmqtt_config::{ApiKey, Config, Listen};
use serde_json::{Value, json};

use self::http::Failed;
use super::serve;
use super::startup::Loaded;
use crate::mcp::jsonrpc::message::INVALID_PARAMS;
use crate::mcp::schema::Schema;
use crate::mcp::{CLIENT_CAPABILITIES, PROTOCOL_VERSION, Version};
use crate::{logger, tools};

/// Why a call did not do what it should.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// The tool or its arguments are wrong; nothing was done.
    Usage(String),
    /// The call was refused, failed, or had no result in time.
    Failed(String),
}

/// A call whose arguments fit the tool.
#[derive(Debug)]
pub(super) struct CallRequest {
    tool: String,
    body: Vec<u8>,
}

/// Parses the arguments of the command line into a call.
///
/// # Errors
/// What is wrong with them, all at once.
pub(super) fn request(name: &str, words: &[String]) -> Result<CallRequest, CallError> {
    let known = tools::described();
    let Some(tool) = known.iter().find(|tool| tool.name == name) else {
        let names: Vec<_> = known
            .iter()
            .map(|tool| format!("`{}`", tool.name))
            .collect();
        let text = format!(
            "there is no tool `{}`; there are {}",
            name.escape_debug(),
            names.join(", ")
        );
        return Err(CallError::Usage(text));
    };
    let input_schema = tool.input_schema.value();
    let arguments = arguments::read(words, &input_schema).map_err(CallError::Usage)?;
    if !tool.judges_itself {
        let schema = Schema::compile(&input_schema)
            .map_err(|fault| CallError::Failed(format!("the schema of `{name}`: {fault:?}")))?;
        schema
            .check(arguments.clone(), name, &tool.renamed, &tool.scalars)
            .map_err(CallError::Usage)?;
    }
    let message = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": name, "arguments": Value::Object(arguments),
            "_meta": {PROTOCOL_VERSION: Version::MODERN.name(), CLIENT_CAPABILITIES: {}},
        },
    });
    Ok(CallRequest {
        tool: name.to_owned(),
        body: message.to_string().into_bytes(),
    })
}

/// Makes the call and prints its result: for people, or as JSON. `key` is the API key of the environment.
///
/// # Errors
/// The reason why there is no result.
pub(super) fn run(
    request: &CallRequest,
    loaded: Loaded,
    key: Option<&OsStr>,
    json: bool,
) -> Result<(), CallError> {
    let answer = answer(request, loaded, key)?;
    let result = result(&answer)?;
    let shown = match json {
        true => show::json(&result),
        false => show::text(&result, io::stdout().is_terminal()),
    };
    for note in &shown.notes {
        logger::warning(format_args!("{note}"));
    }
    let mut output = io::stdout();
    let written = output
        .write_all(&shown.output)
        .and_then(|()| output.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CallError::Failed(format!(
            "the call was made, and its result cannot be written to standard output: {error}"
        ))),
        _ => shown
            .failure
            .map_or(Ok(()), |why| Err(CallError::Failed(why))),
    }
}

/// The answer to the message, from wherever it can be had.
fn answer(
    request: &CallRequest,
    loaded: Loaded,
    key: Option<&OsStr>,
) -> Result<Vec<u8>, CallError> {
    match server(&loaded.config, key) {
        Ok(Some(server)) => match http::call(&server, request) {
            Ok(answer) => return Ok(answer),
            Err(Failed::NotThere(why)) => logger::info(format_args!(
                "the running server cannot be reached ({why}); the call takes a connection of its own"
            )),
            Err(Failed::Said(why)) => return Err(CallError::Failed(why)),
        },
        Ok(None) => {}
        Err(why) => logger::info(format_args!(
            "the call takes a connection of its own, not the running server: {why}"
        )),
    }
    serve::call_once(loaded, &request.body).map_err(CallError::Failed)
}

/// The address of the running server of this configuration; `None` when the configuration has no remote server.
///
/// # Errors
/// The reason why this program cannot use the server.
fn server(config: &Config, key: Option<&OsStr>) -> Result<Option<http::RunningServer>, String> {
    let Some(remote) = &config.remote_server else {
        return Ok(None);
    };
    if remote.tls.is_some() && matches!(remote.listen, Listen::Tcp { .. }) {
        return Err("it speaks HTTPS".into());
    }
    let key = match (key.filter(|key| !key.is_empty()), &remote.api_key) {
        (Some(key), _) => key.to_str().ok_or("MCPMQTT_KEY is not text")?.to_owned(),
        (None, ApiKey::Plain(key)) => key.expose().to_owned(),
        (None, _) => return Err("MCPMQTT_KEY is not set".into()),
    };
    // RFC 6750 §2.1; anything else would be the end of the header field.
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the API key has characters that no key has".into());
    }
    Ok(Some(http::RunningServer {
        listen: remote.listen.clone(),
        host: remote.allowed_hosts.first().map(ToString::to_string),
        key,
    }))
}

/// The result in an answer.
fn result(answer: &[u8]) -> Result<Value, CallError> {
    let answer: Value = serde_json::from_slice(answer)
        .map_err(|_| CallError::Failed("the answer of the server is not JSON".into()))?;
    if let Some(error) = answer.get("error") {
        let words = error.get("message").and_then(Value::as_str);
        let words = words.unwrap_or("an error without words").to_owned();
        return Err(match error.get("code").and_then(Value::as_i64) {
            Some(INVALID_PARAMS) => CallError::Usage(words),
            _ => CallError::Failed(words),
        });
    }
    match answer.get("result") {
        Some(result) => Ok(result.clone()),
        None => Err(CallError::Failed(
            "the answer of the server is not JSON-RPC".into(),
        )),
    }
}
