//! The fields of MCP's streamable HTTP transport.

use crate::http::h1::refusal::Refusal;

/// What the fields say, without blanks around it.
#[derive(Debug, Default)]
pub(in crate::http) struct McpFields {
    pub(in crate::http) version: Option<String>,
    pub(in crate::http) method: Option<String>,
    pub(in crate::http) name: Option<String>,
    pub(in crate::http) session: Option<String>,
    pub(in crate::http) last_event_id: Option<String>,
    /// Every `Mcp-Param-…`: its name in small letters and its value. Which of them mean something depends on the tool.
    parameters: Vec<(String, String)>,
}

impl McpFields {
    /// Whether this is one of the fields; `name` is in small letters.
    pub(super) fn has(name: &str) -> bool {
        name.starts_with(PARAMETERS) || ONCE.contains(&name)
    }

    /// Keeps a field of these.
    ///
    /// # Errors
    /// A second one, which would be ambiguous.
    pub(super) fn put(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let value = value.trim().to_owned();
        let place = match name {
            VERSION => &mut self.version,
            METHOD => &mut self.method,
            NAME => &mut self.name,
            SESSION => &mut self.session,
            LAST_EVENT_ID => &mut self.last_event_id,
            parameter => {
                self.parameters.push((parameter.to_owned(), value));
                return Ok(());
            }
        };
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(Refusal::bad(format!("two `{name}` fields"))),
        }
    }

    /// The value of the parameter field with this name, in small letters.
    ///
    /// # Errors
    /// There are several.
    pub(in crate::http) fn parameter(&self, name: &str) -> Result<Option<&str>, Several> {
        let mut values = self
            .parameters
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (first, None) => Ok(first),
            _ => Err(Several),
        }
    }
}

/// More than one field where there must be at most one.
#[derive(Debug)]
pub(in crate::http) struct Several;

pub(in crate::http) const VERSION: &str = "mcp-protocol-version";
pub(in crate::http) const METHOD: &str = "mcp-method";
pub(in crate::http) const NAME: &str = "mcp-name";
pub(in crate::http) const SESSION: &str = "mcp-session-id";
const LAST_EVENT_ID: &str = "last-event-id";
const ONCE: [&str; 5] = [VERSION, METHOD, NAME, SESSION, LAST_EVENT_ID];
/// How the names of fields begin that repeat a call's arguments.
pub(in crate::http) const PARAMETERS: &str = "mcp-param-";
