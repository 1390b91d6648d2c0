//! The configuration of `--demo`.

use serde_json::json;

/// A configuration file, as text, for an agent that works the plant through the broker at `port`.
#[must_use]
pub fn config_text(port: u16) -> String {
    let topic = |pattern: &str, permission: &str, description: &str| {
        json!({
            "pattern": pattern,
            "permissions": [permission],
            "description": description,
        })
    };
    let config = json!({
        "mqtt": {"host": "127.0.0.1", "port": port},
        "topics": [
            topic(
                "sensors/+/temperature",
                "read",
                "Air temperature of a room in degrees Celsius, a decimal number, about every second and \
                 retained. Rooms: `exampleroom1`, `exampleroom2`.",
            ),
            topic(
                "sensors/+/humidity",
                "read",
                "Relative humidity of a room in %RH, a decimal number, about every second and retained. \
                 Rooms: `exampleroom1`, `exampleroom2`.",
            ),
            topic(
                "actuators/#",
                "write",
                "Switches. Publish any payload to `actuators/lights/<room>/on` or \
                 `actuators/lights/<room>/off`; the light's state appears on `status/lights/<room>`.",
            ),
            topic(
                "status/system",
                "read",
                "The state of the plant as one JSON object, retained.",
            ),
            topic(
                "status/#",
                "read",
                "Reported states, retained. `status/lights/<room>` is `on` or `off` and is sent anew \
                 after each switching.",
            ),
            topic(
                "commands/+/request",
                "write",
                "Questions to the device of a room: `get_status` or `ping`. Use mqtt_query, with the \
                 response topic of the same room.",
            ),
            topic(
                "commands/+/response",
                "read",
                "The device's answers: JSON to `get_status` (temperature in degrees Celsius, humidity in \
                 %RH, light), `pong` to `ping`.",
            ),
        ],
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mcpmqtt_config::Config;
    use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};

    use super::*;

    #[test]
    fn the_configuration_loads_without_a_warning_and_permits_what_the_plant_offers() {
        let (config, warnings) = Config::parse(&config_text(4711)).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(config.mqtt.port, 4711);
        assert_eq!(config.mqtt.host, "127.0.0.1");
        for readable in [
            "sensors/+/temperature",
            "sensors/exampleroom1/humidity",
            "status/#",
        ] {
            let filter = SubscribeFilter::parse(readable).unwrap();
            assert!(config.policy.may_subscribe(&filter).is_ok(), "{readable}");
        }
        let publish = |topic| {
            let topic = TopicName::parse(topic).unwrap();
            config.policy.may_publish(&topic, false)
        };
        assert!(publish("actuators/lights/exampleroom1/on").is_ok());
        assert!(publish("commands/exampleroom2/request").is_ok());
        assert!(publish("sensors/exampleroom1/temperature").is_err());
    }
}
