//! Holds a call's arguments against the very schema that is published for them.
//!
//! Promises: a schema compiles only if this file implements every keyword in it, so that nothing
//! published goes unchecked; all faults of a call are named together, each with what was found and
//! what is allowed; defaults are filled in; an integer written `1.0` becomes `1`.
//! Does not: fetch, reference or combine schemas; arrays are not needed yet and refused.

use std::fmt;

use serde_json::{Map, Number, Value};

use super::json::cut;

/// A compiled input schema.
#[derive(Debug)]
pub struct Schema {
    root: Object,
}

/// Why a schema is not one of ours: a path and a reason.
#[derive(Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// Such as `properties.qos`; empty for the root.
    pub path: String,
    /// Such as "keyword `pattern` is not implemented".
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
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    Boolean,
    Number { integer: bool, range: Range },
    Text { min: Option<u64>, max: Option<u64> },
    OneOf(Vec<Value>),
    Object(Object),
}

#[derive(Debug, Default)]
struct Range {
    minimum: Option<Number>,
    above: Option<Number>,
    maximum: Option<Number>,
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

    /// The arguments with defaults filled in, or all their faults in one text.
    ///
    /// # Errors
    /// Faults, separated by semicolons. `tool` and `renamed` (tried name, right name) serve the
    /// wording.
    pub fn check(
        &self,
        mut arguments: Map<String, Value>,
        tool: &str,
        renamed: &[(&str, &str)],
    ) -> Result<Map<String, Value>, String> {
        let mut faults = Faults {
            tool,
            renamed,
            found: Vec::new(),
        };
        self.root.check(&mut arguments, "", &mut faults);
        if faults.found.is_empty() {
            return Ok(arguments);
        }
        Err(faults.into_text())
    }
}

struct Faults<'a> {
    tool: &'a str,
    renamed: &'a [(&'a str, &'a str)],
    found: Vec<String>,
}

impl Faults<'_> {
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
            closed: false,
        };
        let mut required = Vec::new();
        for (keyword, value) in members {
            match (keyword.as_str(), value) {
                ("type", Value::String(kind)) if kind == "object" => {}
                ("properties", Value::Object(properties)) => {
                    for (name, schema) in properties {
                        let path = join(path, &format!("properties.{name}"));
                        object
                            .properties
                            .push(Property::compile(name, schema, &path)?);
                    }
                }
                ("required", Value::Array(names)) => {
                    required.extend(names.iter().filter_map(Value::as_str));
                }
                ("additionalProperties", Value::Bool(open)) => object.closed = !open,
                (word, _) if ANNOTATIONS.contains(&word) => {}
                (word, value) => return Err(unknown(path, word, value)),
            }
        }
        if !members.contains_key("type") {
            return Err(fault(path, "`type` is missing"));
        }
        for name in required {
            match object
                .properties
                .iter_mut()
                .find(|property| property.name == name)
            {
                Some(property) => property.required = true,
                None => return Err(fault(path, &format!("required `{name}` is no property"))),
            }
        }
        Ok(object)
    }

    fn check(&self, given: &mut Map<String, Value>, path: &str, faults: &mut Faults<'_>) {
        if self.closed {
            for name in given.keys() {
                if !self
                    .properties
                    .iter()
                    .any(|property| property.name == *name)
                {
                    faults.found.push(self.stranger(name, path, faults));
                }
            }
        }
        for property in &self.properties {
            let path = join(path, &property.name);
            match (given.get_mut(&property.name), &property.default) {
                (Some(value), _) => property.rule.check(value, &path, faults),
                (None, Some(default)) => {
                    given.insert(property.name.clone(), default.clone());
                }
                (None, None) if property.required => {
                    let rule = &property.rule;
                    faults
                        .found
                        .push(format!("missing argument `{path}` ({rule})"));
                }
                (None, None) => {}
            }
        }
    }

    fn stranger(&self, name: &str, path: &str, faults: &Faults<'_>) -> String {
        let shown = join(path, &cut(name, 40));
        if let Some((_, right)) = faults.renamed.iter().find(|(tried, _)| *tried == name) {
            return format!("unknown argument `{shown}`: use `{right}`");
        }
        let tool = faults.tool;
        let known: Vec<String> = self
            .properties
            .iter()
            .map(|property| format!("`{}`", property.name))
            .collect();
        if known.is_empty() {
            return format!("unknown argument `{shown}`; `{tool}` takes none");
        }
        format!(
            "unknown argument `{shown}`; `{tool}` takes {}",
            known.join(", ")
        )
    }
}

impl Property {
    fn compile(name: &str, schema: &Value, path: &str) -> Result<Property, SchemaError> {
        let members = members(schema, path)?;
        let rule = Rule::compile(schema, members, path)?;
        let mut property = Property {
            name: name.to_owned(),
            required: false,
            default: members.get("default").cloned(),
            rule,
        };
        if let Some(default) = &mut property.default {
            let mut faults = Faults {
                tool: "",
                renamed: &[],
                found: Vec::new(),
            };
            property.rule.check(default, "default", &mut faults);
            if !faults.found.is_empty() {
                return Err(fault(path, &faults.into_text()));
            }
        }
        Ok(property)
    }
}

impl Rule {
    fn compile(
        schema: &Value,
        members: &Map<String, Value>,
        path: &str,
    ) -> Result<Rule, SchemaError> {
        let kind = members.get("type").and_then(Value::as_str);
        let (rule, words): (Rule, &[&str]) = match kind {
            Some("object") => return Object::compile(schema, path).map(Rule::Object),
            Some("boolean") => (Rule::Boolean, &[]),
            Some("number" | "integer") => {
                let integer = kind == Some("integer");
                let range = Range::compile(members);
                (
                    Rule::Number { integer, range },
                    &["minimum", "exclusiveMinimum", "maximum"],
                )
            }
            Some("string") => match members.get("enum").and_then(Value::as_array) {
                Some(allowed) => (Rule::OneOf(allowed.clone()), &["enum"]),
                None => {
                    let length = |word| members.get(word).and_then(Value::as_u64);
                    let (min, max) = (length("minLength"), length("maxLength"));
                    (Rule::Text { min, max }, &["minLength", "maxLength"])
                }
            },
            _ => return Err(fault(path, "`type` is missing or not implemented")),
        };
        for (word, value) in members {
            let word = word.as_str();
            let known = word == "type" || word == "default" || ANNOTATIONS.contains(&word);
            let number = value.is_number() || word == "enum";
            if !known && !(words.contains(&word) && number) {
                return Err(unknown(path, word, value));
            }
        }
        Ok(rule)
    }

    fn check(&self, value: &mut Value, path: &str, faults: &mut Faults<'_>) {
        if let (Rule::Object(object), Value::Object(given)) = (self, &mut *value) {
            return object.check(given, path, faults);
        }
        if let Rule::Number { integer: true, .. } = self {
            make_integer(value);
        }
        if !self.allows(value) {
            let found = Found(value, self);
            faults
                .found
                .push(format!("`{path}` must be {self}; found {found}"));
        }
    }

    fn allows(&self, value: &Value) -> bool {
        match (self, value) {
            (Rule::Boolean, Value::Bool(_)) => true,
            (Rule::Number { integer, range }, Value::Number(number)) => {
                (!integer || !number.is_f64()) && range.contains(number)
            }
            (Rule::Text { min, max }, Value::String(text)) => {
                min.is_none_or(|min| characters(text) >= min)
                    // Bytes are never fewer than characters: most texts need no count.
                    && max.is_none_or(|max| text.len() as u64 <= max || characters(text) <= max)
            }
            (Rule::OneOf(allowed), value) => allowed.contains(value),
            _ => false,
        }
    }
}

impl Range {
    fn compile(members: &Map<String, Value>) -> Range {
        let bound = |word| members.get(word).and_then(Value::as_number).cloned();
        Range {
            minimum: bound("minimum"),
            above: bound("exclusiveMinimum"),
            maximum: bound("maximum"),
        }
    }

    fn contains(&self, number: &Number) -> bool {
        let Some(value) = number.as_f64() else {
            return false;
        };
        let holds = |bound: &Option<Number>, test: fn(&f64, &f64) -> bool| {
            bound
                .as_ref()
                .and_then(Number::as_f64)
                .is_none_or(|bound| test(&value, &bound))
        };
        holds(&self.minimum, f64::ge)
            && holds(&self.above, f64::gt)
            && holds(&self.maximum, f64::le)
    }
}

/// What is allowed, in words.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Boolean => f.write_str("true or false"),
            Rule::Object(_) => f.write_str("an object"),
            Rule::Number { integer, range } => {
                f.write_str(if *integer { "an integer" } else { "a number" })?;
                write!(f, "{range}")
            }
            Rule::Text { min, max } => match (min, max) {
                (None, None) => f.write_str("a string"),
                (Some(min), None) => write!(f, "a string of at least {min} characters"),
                (None, Some(max)) => write!(f, "a string of at most {max} characters"),
                (Some(min), Some(max)) => write!(f, "a string of {min} to {max} characters"),
            },
            Rule::OneOf(allowed) => {
                let names: Vec<String> = allowed.iter().map(Value::to_string).collect();
                f.write_str(&names.join(" or "))
            }
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.minimum, &self.above, &self.maximum) {
            (None, None, None) => Ok(()),
            (Some(min), _, Some(max)) => write!(f, " from {min} to {max}"),
            (Some(min), _, None) => write!(f, " of at least {min}"),
            (None, Some(above), Some(max)) => write!(f, " above {above} and at most {max}"),
            (None, Some(above), None) => write!(f, " above {above}"),
            (None, None, Some(max)) => write!(f, " of at most {max}"),
        }
    }
}

/// What was found, short, and for a string of the wrong length just the length.
struct Found<'a>(&'a Value, &'a Rule);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Value::Null, _) => f.write_str("null"),
            (Value::Bool(value), _) => write!(f, "{value}"),
            (Value::Number(number), _) => write!(f, "{number}"),
            (Value::String(text), Rule::Text { .. }) => write!(f, "one of {}", characters(text)),
            (Value::String(text), _) => {
                write!(f, "the string {}", Value::String(cut(text, 40)))
            }
            (Value::Array(_), _) => f.write_str("an array"),
            (Value::Object(_), _) => f.write_str("an object"),
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

/// `1.0` is an integer in JSON Schema; handlers should not have to know.
fn make_integer(value: &mut Value) {
    if let Some(float) = value.as_f64().filter(|_| value.is_f64()) {
        // Beyond 2^53 a float no longer says which integer is meant.
        if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 {
            *value = Value::from(float as i64);
        }
    }
}

fn characters(text: &str) -> u64 {
    text.chars().count() as u64
}

fn members<'a>(schema: &'a Value, path: &str) -> Result<&'a Map<String, Value>, SchemaError> {
    schema
        .as_object()
        .ok_or_else(|| fault(path, "a schema must be an object"))
}

fn unknown(path: &str, word: &str, value: &Value) -> SchemaError {
    fault(
        path,
        &format!("keyword `{word}` is not implemented with {value}"),
    )
}

fn fault(path: &str, reason: &str) -> SchemaError {
    SchemaError {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        return name.to_owned();
    }
    format!("{path}.{name}")
}

/// Keywords that say nothing about validity.
const ANNOTATIONS: [&str; 3] = ["title", "description", "$schema"];

/// More faults than this are only counted: an agent repairs the first ones first.
const MAX_FAULTS: usize = 8;
