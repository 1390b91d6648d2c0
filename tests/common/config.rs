//! Configurations.

use serde_json::{Value, json};

/// A configuration for the broker at `port` that allows `t/#` and more of it to be read and written.
pub fn open_config(port: u16) -> Value {
    json!({
        "mqtt": {"host": "127.0.0.1", "port": port, "keepalive": 5},
        "topics": [
            {"pattern": "t/#", "permissions": ["read", "write", "retain"]},
            {"pattern": "in/#", "permissions": ["write"]},
            {"pattern": "out/#", "permissions": ["read"]},
        ],
    })
}
