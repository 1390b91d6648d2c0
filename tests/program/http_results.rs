//! What tools yield over HTTP when it is larger than an event of a stream may be: it is cut and says so.

use serde_json::{Value, json};

use crate::common::http_client::Client;
use crate::common::messages::modern;
use crate::common::mosquitto::Mosquitto;
use crate::common::program::Program;
use crate::common::requests::{KEY, post};
use crate::common::scratch::Scratch;

/// The program over a broker.
struct House {
    folder: Scratch,
    broker: Mosquitto,
    _program: Program,
}

impl House {
    fn new() -> House {
        let (folder, broker) = (Scratch::new(), Mosquitto::start());
        let config = json!({
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            "topics": [{"pattern": "t/#", "permissions": ["read", "write"]}],
            "remote_server": {"uds": folder.path("socket"), "api_key": KEY},
        });
        let path = folder.file("config.json", &config.to_string());
        let mut program = Program::over(&path);
        program.until("connected to the broker");
        House {
            folder,
            broker,
            _program: program,
        }
    }

    /// Retains this many bytes, each the same.
    fn retain(&self, topic: &str, byte: u8, count: usize) {
        let path = self.folder.path("payload");
        std::fs::write(&path, vec![byte; count]).unwrap();
        let path = path.to_str().unwrap();
        self.broker
            .publish(&["-t", topic, "-r", "-q", "1", "-f", path]);
    }

    /// A call whose answer is streamed; the answer, and the bytes of its event.
    fn call(&self, tool: &str, arguments: Value) -> (Value, usize) {
        let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": 1}});
        let fields = format!(
            "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: {tool}\r\n"
        );
        let mut client = Client::unix(&self.folder.path("socket"));
        client.send(&post(&fields, &modern(1, "tools/call", params).to_string()));
        assert_eq!(
            client.head().field("content-type"),
            Some("text/event-stream")
        );
        loop {
            let frame = client.frame().unwrap();
            let message = frame.message.unwrap_or_default();
            if message.get("method").is_none() {
                return (message, frame.bytes);
            }
        }
    }
}

#[test]
fn a_result_too_large_for_an_event_is_cut_to_fit_and_says_so() {
    let house = House::new();
    // The last takes 13 times its bytes as JSON in JSON; the first is no UTF-8.
    for byte in [0xff, b'x', b'"', b'\n', 1] {
        house.retain("t/large", byte, 1_000_000);
        let (answer, bytes) = house.call("mqtt_read", json!({"topic": "t/large", "timeout": 20}));
        let result = &answer["result"];
        assert_eq!(result["isError"], false, "{byte}: {}", answer["error"]);
        let result = &result["structuredContent"];
        assert_eq!(result["truncated"], true, "{byte}");
        assert_eq!(result["payload_bytes"], 1_000_000);
        assert!((900_000..1 << 20).contains(&bytes), "{byte}: {bytes}");
    }
}

#[test]
fn messages_too_large_for_an_event_together_are_left_out_and_counted() {
    let house = House::new();
    for number in 0..8 {
        house.retain(&format!("t/{number}"), b'"', 60_000);
    }
    let (answer, bytes) = house.call(
        "mqtt_subscribe",
        json!({"topic": "t/+", "timeout": 20, "max_messages": 8, "include_retained": true}),
    );
    let result = &answer["result"]["structuredContent"];
    assert_eq!(result["truncated"], true, "{}", answer["error"]);
    assert_eq!(result["messages_received"], 2);
    assert_eq!(result["lost"], 6);
    assert!(bytes < 1 << 20, "{bytes}");
    // What fits is whole.
    let (answer, _) = house.call(
        "mqtt_subscribe",
        json!({"topic": "t/+", "timeout": 20, "max_messages": 2, "include_retained": true}),
    );
    assert_eq!(answer["result"]["structuredContent"]["truncated"], false);
}
