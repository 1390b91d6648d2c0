//! `completion/complete`: suggestions for a prompt's argument or a template's variable.

use serde_json::{Map, Value};

use super::admission::AdmittedRequest;
use super::methods::{Methods, take_object, take_text, unknown};
use crate::mcp::catalog::{Completer, Completing};
use crate::mcp::jsonrpc::message::{Params, RpcError};

impl Methods {
    pub(in crate::mcp) fn complete(
        &self,
        request: &AdmittedRequest<'_>,
        mut params: Params,
    ) -> Result<Vec<u8>, RpcError> {
        let completer = self.completer(take_object(&mut params, "ref")?)?;
        let mut argument = take_object(&mut params, "argument")?;
        let context = params
            .get_mut("context")
            .and_then(|it| it.get_mut("arguments"));
        let completing = Completing {
            argument: take_text(&mut argument, "name")?,
            value: take_text(&mut argument, "value")?,
            settled: match context.map(Value::take) {
                Some(Value::Object(settled)) => settled,
                _ => Map::new(),
            },
            caller: request.caller.clone(),
        };
        let values = completer.map(|suggest| suggest(&completing));
        let values = values.unwrap_or_default();
        Ok(self
            .results
            .completion(&request.id, request.version, values))
    }

    /// The completer of the prompt or template that `reference` names; `None` when it has no completer.
    fn completer(&self, mut reference: Params) -> Result<Option<&Completer>, RpcError> {
        let catalog = &self.catalog;
        match take_text(&mut reference, "type")?.as_str() {
            // MCP server/utilities/completion: an unknown prompt is -32602, also when the server has no prompts.
            "ref/prompt" => {
                let name = take_text(&mut reference, "name")?;
                let prompt = catalog.prompts.iter().find(|it| it.name == name);
                Ok(prompt
                    .ok_or_else(|| unknown("prompt", &name))?
                    .completer
                    .as_ref())
            }
            "ref/resource" => {
                let uri = take_text(&mut reference, "uri")?;
                let mut templates = catalog.templates.iter();
                let template = templates.find(|it| it.uri_template == uri);
                let Some(template) = template else {
                    // A fixed resource has no variables.
                    let fixed = catalog.resources.iter().any(|it| it.uri == uri);
                    return fixed
                        .then_some(None)
                        .ok_or_else(|| unknown("template", &uri));
                };
                Ok(template.completer.as_ref())
            }
            other => Err(unknown("reference type", other)),
        }
    }
}
