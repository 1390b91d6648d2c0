//! The capabilities that a catalog has beside its lists, and their declaration.
//!
//! Promises: every declared capability is implemented.

use serde_json::{Value, json};

use super::Catalog;
use crate::mcp::version::Shape;

/// The capabilities beside the lists themselves.
#[derive(Clone, Copy, Debug)]
pub(in crate::mcp) struct Capabilities {
    pub(in crate::mcp) subscribe: bool,
    pub(in crate::mcp) lists_change: bool,
    pub(in crate::mcp) completions: bool,
    pub(in crate::mcp) logging: bool,
}

impl Capabilities {
    pub(in crate::mcp) fn of(catalog: &Catalog) -> Capabilities {
        let resources = catalog.resources.iter().map(|it| it.watcher.is_some());
        let templates = catalog.templates.iter().map(|it| it.watcher.is_some());
        let completed = catalog.templates.iter().map(|it| it.completer.is_some());
        let prompts = catalog.prompts.iter().map(|it| it.completer.is_some());
        Capabilities {
            subscribe: resources.chain(templates).any(|watched| watched),
            lists_change: catalog.lists_change,
            completions: completed.chain(prompts).any(|completed| completed),
            logging: catalog.logging,
        }
    }

    pub(in crate::mcp) fn capabilities(self, shape: &Shape) -> Value {
        let list = |more: &[(&str, bool)]| {
            let declared = more.iter().filter(|(_, offered)| *offered);
            Value::Object(
                declared
                    .map(|(key, _)| ((*key).into(), true.into()))
                    .collect(),
            )
        };
        let changes = ("listChanged", self.lists_change);
        let mut all = json!({
            "tools": list(&[changes]),
            "resources": list(&[("subscribe", self.subscribe), changes]),
            "prompts": list(&[changes]),
        });
        if self.completions && shape.annotations {
            all["completions"] = json!({});
        }
        if self.logging {
            all["logging"] = json!({});
        }
        all
    }
}
