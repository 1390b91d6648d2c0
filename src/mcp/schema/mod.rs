//! Validates the arguments of a call against the schema that `tools/list` publishes.
//!
//! Promises: a schema compiles only if this module implements every keyword in it, so that no published rule goes
//! unchecked; one error message lists all faults of a call, each with the value found and the values allowed; defaults
//! are filled in; `null` counts as absent; a number, a boolean or an object in a string becomes that value, an integer
//! written `1.0` becomes `1`, and one value where a list is expected becomes a list of it. Arguments that no property names are refused, unless `additionalProperties` is
//! `true` or the schema has no properties. The published schema may leave `additionalProperties` out, because some
//! clients fail on it.
//! Does not: fetch, reference or combine schemas. The items of arrays are no objects, because no tool needs them.

pub(in crate::mcp) mod rule;

use std::fmt;

use mcpmqtt_protocol::topic::Printable;
use serde_json::{Map, Value};

use self::rule::{ANNOTATIONS, FaultyValue, Rule, unknown};
use super::jsonrpc::strict::cut;

/// A compiled input schema.
#[derive(Debug)]
pub struct Schema {
    root: Object,
}

/// Why a schema cannot be compiled: a path and a reason.
#[derive(Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// The path to the fault, such as `properties.qos`; empty for the root.
    pub path: String,
    /// The reason, such as "keyword `pattern` is not implemented".
    pub reason: String,
}

#[derive(Debug)]
struct Object {
    properties: Vec<Property>,
    closed: bool,
}

#[derive(Debug)]
struct Property {
    name: String,
    required: bool,
    default: Option<Value>,
    description: String,
    kind: PropertyKind,
}

#[derive(Debug)]
enum PropertyKind {
    Object(Object),
    /// An array whose items obey one rule, of at most so many items.
    List(Rule, Option<u64>),
    Value(Rule),
}

impl Schema {
    /// Compiles the schema of an object.
    ///
    /// # Errors
    /// A keyword or shape that is not implemented here, or a default that breaks its own rule.
    pub fn compile(schema: &Value) -> Result<Schema, SchemaError> {
        let root = Object::compile(schema, "")?;
        Ok(Schema { root })
    }

    /// Returns the arguments with defaults filled in, or one error message with all their faults.
    ///
    /// # Errors
    /// The faults, separated by semicolons. `tool` and `renamed` (wrong name, right name) are named in the message.
    /// The string properties called one of `scalars` also take a number or a boolean, as its JSON text.
    pub fn check(
        &self,
        mut arguments: Map<String, Value>,
        tool: &str,
        renamed: &[(&str, &str)],
        scalars: &[&str],
    ) -> Result<Map<String, Value>, String> {
        let mut faults = Faults {
            tool,
            renamed,
            scalars,
            found: Vec::new(),
        };
        self.root.check(&mut arguments, "", &mut faults);
        if faults.found.is_empty() {
            return Ok(arguments);
        }
        Err(faults.into_text())
    }
}

#[derive(Default)]
struct Faults<'a> {
    tool: &'a str,
    renamed: &'a [(&'a str, &'a str)],
    scalars: &'a [&'a str],
    found: Vec<String>,
}

impl Faults<'_> {
    fn wrong(&mut self, path: &str, property: &Property, value: &Value) {
        let allowed = &property.kind;
        let text = matches!(allowed, PropertyKind::Value(Rule::Text { .. }));
        let found = FaultyValue {
            value,
            by_length: text,
        };
        // An object was given where a string is expected: the property's description says how to write it.
        let hint = match property.description.as_str() {
            hint if text && !value.is_string() && !hint.is_empty() => format!(" ({hint})"),
            _ => String::new(),
        };
        self.found
            .push(format!("`{path}` must be {allowed}{hint}; found {found}"));
    }

    fn into_text(mut self) -> String {
        let more = self.found.len().saturating_sub(MAX_FAULTS);
        self.found.truncate(MAX_FAULTS);
        let mut text = self.found.join("; ");
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        text
    }
}

impl Object {
    fn compile(schema: &Value, path: &str) -> Result<Object, SchemaError> {
        let members = members(schema, path)?;
        let mut object = Object {
            properties: Vec::new(),
            closed: true,
        };
        let (mut required, mut closed) = (Vec::new(), None);
        for (keyword, value) in members {
            match (keyword.as_str(), value) {
                ("type", Value::String(kind)) if kind == "object" => {}
                ("properties", Value::Object(properties)) => {
                    for (name, schema) in properties {
                        let path = join(path, &format!("properties.{name}"));
                        let property = Property::compile(name, schema, &path)?;
                        object.properties.push(property);
                    }
                }
                ("required", Value::Array(names)) if names.iter().all(Value::is_string) => {
                    required.extend(names.iter().filter_map(Value::as_str));
                }
                ("additionalProperties", Value::Bool(open)) => closed = Some(!open),
                (word, _) if ANNOTATIONS.contains(&word) => {}
                (word, value) => return Err(fault(path, &unknown(word, value))),
            }
        }
        object.closed = closed.unwrap_or(members.contains_key("properties"));
        if !members.contains_key("type") {
            return Err(fault(path, "`type` is missing"));
        }
        for name in required {
            object.require(name, path)?;
        }
        Ok(object)
    }

    fn require(&mut self, name: &str, path: &str) -> Result<(), SchemaError> {
        match self.properties.iter_mut().find(|known| known.name == name) {
            Some(property) => property.required = true,
            None => return Err(fault(path, &format!("required `{name}` is no property"))),
        }
        Ok(())
    }

    fn check(&self, given: &mut Map<String, Value>, path: &str, faults: &mut Faults<'_>) {
        // OpenAI's strict mode requires every argument to be sent, and several frameworks send every argument they
        // know.
        given.retain(|_, value| !value.is_null());
        if self.closed {
            self.check_names(given, path, faults);
        }
        for property in &self.properties {
            // The path is built only for a fault, because most calls have none.
            let path = || join(path, &property.name);
            match (given.get_mut(&property.name), &property.default) {
                (Some(value), _) => property.check(value, path, faults),
                (None, Some(default)) => {
                    given.insert(property.name.clone(), default.clone());
                }
                (None, None) if property.required => {
                    let (kind, path) = (&property.kind, path());
                    faults
                        .found
                        .push(format!("missing argument `{path}` ({kind})"));
                }
                (None, None) => {}
            }
        }
    }

    /// Reports unknown arguments together with the known ones.
    fn check_names(&self, given: &Map<String, Value>, path: &str, faults: &mut Faults<'_>) {
        let mut strangers = Vec::new();
        for name in given.keys() {
            if self.properties.iter().any(|known| known.name == *name) {
                continue;
            }
            let shown = Printable(&cut(name, 40).replace('\n', " ")).to_string();
            let shown = join(path, &shown);
            match faults.renamed.iter().find(|(tried, _)| tried == name) {
                Some((_, right)) => {
                    faults
                        .found
                        .push(format!("unknown argument `{shown}`: use `{right}`"));
                }
                None => strangers.push(shown),
            }
        }
        if strangers.is_empty() {
            return;
        }
        let plural = if strangers.len() > 1 { "s" } else { "" };
        let strangers = listed(strangers.into_iter());
        let owner = if path.is_empty() { faults.tool } else { path };
        let known = match self.properties.is_empty() {
            true => "none".to_owned(),
            false => listed(self.properties.iter().map(|known| known.name.clone())),
        };
        let text = format!("unknown argument{plural} {strangers}; `{owner}` takes {known}");
        faults.found.push(text);
    }
}

impl Property {
    fn compile(name: &str, schema: &Value, path: &str) -> Result<Property, SchemaError> {
        let members = members(schema, path)?;
        let kind = PropertyKind::compile(schema, path)?;
        let description = members.get("description").and_then(Value::as_str);
        let mut property = Property {
            name: name.to_owned(),
            required: false,
            default: None,
            description: description.unwrap_or_default().to_owned(),
            kind,
        };
        if let Some(mut default) = members.get("default").cloned() {
            if !property.kind.is_written_as(&mut default) {
                let text = format!("`default` must be {}; found {default}", property.kind);
                return Err(fault(path, &text));
            }
            property.default = Some(default);
        }
        Ok(property)
    }

    fn check(&self, value: &mut Value, path: impl FnOnce() -> String, faults: &mut Faults<'_>) {
        self.convert(value, faults.scalars);
        let good = match (&self.kind, &mut *value) {
            (PropertyKind::Object(object), Value::Object(given)) => {
                object.check(given, &path(), faults);
                return;
            }
            (PropertyKind::List(rule, most), Value::Array(items)) => {
                most.is_none_or(|most| items.len() as u64 <= most)
                    && items.iter_mut().all(|item| rule.accept(item))
            }
            (PropertyKind::Object(_) | PropertyKind::List(..), _) => false,
            (PropertyKind::Value(rule), value) => rule.accept(value),
        };
        if !good {
            faults.wrong(&path(), self, value);
        }
    }

    /// Converts a value with only one possible meaning: several clients write nested objects as strings, and models
    /// leave out the brackets of a list with one item.
    fn convert(&self, value: &mut Value, scalars: &[&str]) {
        let meant = match (&self.kind, &*value) {
            (PropertyKind::Object(_), Value::String(text)) => {
                let meant = serde_json::from_str(text).ok();
                meant.filter(Value::is_object)
            }
            (PropertyKind::List(..), Value::String(_)) => Some(Value::Array(vec![value.clone()])),
            (PropertyKind::Value(Rule::Text { .. }), Value::Number(_) | Value::Bool(_))
                if scalars.contains(&self.name.as_str()) =>
            {
                Some(Value::String(value.to_string()))
            }
            _ => None,
        };
        if let Some(meant) = meant {
            *value = meant;
        }
    }
}

impl PropertyKind {
    fn compile(schema: &Value, path: &str) -> Result<PropertyKind, SchemaError> {
        let members = members(schema, path)?;
        if members.get("type").is_some_and(|kind| kind == "object") {
            return Object::compile(schema, path).map(PropertyKind::Object);
        }
        if members.get("type").is_some_and(|kind| kind == "array") {
            return Self::compile_list(members).map_err(|reason| fault(path, &reason));
        }
        let rule = Rule::compile(members).map_err(|reason| fault(path, &reason))?;
        Ok(PropertyKind::Value(rule))
    }

    fn compile_list(members: &Map<String, Value>) -> Result<PropertyKind, String> {
        for (word, value) in members {
            let known = match word.as_str() {
                "type" | "default" => true,
                "items" => value.is_object(),
                "maxItems" => value.is_u64(),
                word => ANNOTATIONS.contains(&word),
            };
            if !known {
                return Err(unknown(word, value));
            }
        }
        let items = members.get("items").and_then(Value::as_object);
        let rule = Rule::compile(items.ok_or("`items` is missing")?)?;
        let most = members.get("maxItems").and_then(Value::as_u64);
        Ok(PropertyKind::List(rule, most))
    }

    /// Whether a default matches its own rule without any conversion.
    fn is_written_as(&self, default: &mut Value) -> bool {
        match self {
            PropertyKind::Object(object) => default.as_object_mut().is_some_and(|given| {
                let mut faults = Faults::default();
                object.check(given, "", &mut faults);
                faults.found.is_empty()
            }),
            PropertyKind::List(rule, _) => default
                .as_array_mut()
                .is_some_and(|items| items.iter_mut().all(|item| rule.obeys(item))),
            PropertyKind::Value(rule) => rule.obeys(default),
        }
    }
}

impl fmt::Display for PropertyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PropertyKind::Object(_) => f.write_str("an object"),
            PropertyKind::List(rule, None) => write!(f, "an array, each item {rule}"),
            PropertyKind::List(rule, Some(most)) => {
                write!(f, "an array of at most {most}, each item {rule}")
            }
            PropertyKind::Value(rule) => rule.fmt(f),
        }
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.reason);
        }
        write!(f, "`{}`: {}", self.path, self.reason)
    }
}

impl std::error::Error for SchemaError {}

fn members<'a>(schema: &'a Value, path: &str) -> Result<&'a Map<String, Value>, SchemaError> {
    schema
        .as_object()
        .ok_or_else(|| fault(path, "a schema must be an object"))
}

fn fault(path: &str, reason: &str) -> SchemaError {
    SchemaError {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Lists at most [`MAX_NAMES`] names in backquotes and counts the rest.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let shown: Vec<String> = names
        .take(MAX_NAMES)
        .map(|name| format!("`{name}`"))
        .collect();
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        return name.to_owned();
    }
    format!("{path}.{name}")
}

/// The number of faults that a message lists; further faults are only counted, because an agent repairs the first ones
/// first.
const MAX_FAULTS: usize = 8;

/// The number of names that a message lists; further names are only counted.
const MAX_NAMES: usize = 16;
