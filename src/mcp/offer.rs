//! What a catalog offers beside its lists, and how that is declared.
//!
//! Promises: nothing is declared that is not done.

use serde_json::{Value, json};

use super::catalog::Catalog;
use super::version::Shape;

/// What there is beside the lists themselves; nothing else is declared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) subscribe: bool,
    pub(super) lists_change: bool,
    pub(super) completions: bool,
    pub(super) logging: bool,
}

impl Offer {
    pub(super) fn of(catalog: &Catalog) -> Offer {
        let resources = catalog.resources.iter().map(|it| it.watcher.is_some());
        let templates = catalog.templates.iter().map(|it| it.watcher.is_some());
        let completed = catalog.templates.iter().map(|it| it.completer.is_some());
        let prompts = catalog.prompts.iter().map(|it| it.completer.is_some());
        Offer {
            subscribe: resources.chain(templates).any(|watched| watched),
            lists_change: catalog.lists_change,
            completions: completed.chain(prompts).any(|completed| completed),
            logging: catalog.logging,
        }
    }

    /// As they are declared: nothing that is not done.
    pub(super) fn capabilities(self, shape: &Shape) -> Value {
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
