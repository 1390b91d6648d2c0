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
                 retained; 15 to 28 is usual. Rooms: `exampleroom1` to `exampleroom6`.",
            ),
            topic(
                "sensors/+/humidity",
                "read",
                "Relative humidity of a room in %RH, a decimal number, about every second and retained; \
                 30 to 70 is usual.",
            ),
            topic(
                "actuators/#",
                "write",
                "Lights. Publish `on` or `off` to `actuators/lights/<room>/set`, or any payload to \
                 `actuators/lights/<room>/on` or `actuators/lights/<room>/off`; the light's state \
                 appears on `status/lights/<room>`.",
            ),
            topic(
                "status/system",
                "read",
                "The state of the plant as one JSON object, every 10 seconds and retained.",
            ),
            topic(
                "status/#",
                "read",
                "Reported states, retained. `status/lights/<room>` is `on` or `off` and is sent anew \
                 after each command.",
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
                 %RH, null from a sensor that does not answer; light), `pong` to `ping`.",
            ),
            topic(
                "line/+/rpm",
                "read",
                "Measured speed of a motor in revolutions per minute (rpm), about every second and \
                 retained. Motors: `motor1` to `motor4`.",
            ),
            topic(
                "line/+/current",
                "read",
                "Current of a motor in amperes, about every second, not retained. At steady speed up to \
                 7; more for seconds while it speeds up.",
            ),
            topic(
                "line/+/alarm",
                "read",
                "`ok` or `overload` (a motor draws too much current), retained, sent when it changes.",
            ),
            topic(
                "line/+/setpoint",
                "read",
                "Speed that a motor is to keep, in rpm, retained; sent anew after each command, also after \
                 one that was refused.",
            ),
            topic(
                "line/+/set",
                "write",
                "Sets the speed of a motor: a number of rpm from 0 (stop) to 3000; anything else is \
                 refused. The motor is within 10 rpm of it after about ten seconds.",
            ),
            topic(
                "tank/level",
                "read",
                "Level of the tank in percent, a decimal number, about every second and retained. With \
                 the valve closed it rises by about 0.5 a second. Keep it below 90; at 100 the tank \
                 overflows, and its valve opens by itself.",
            ),
            topic(
                "tank/overflows",
                "read",
                "How often the tank has run full since the start, retained.",
            ),
            topic(
                "tank/valve/state",
                "read",
                "Drain valve of the tank: `open` or `closed`, retained; sent anew after each command.",
            ),
            topic(
                "tank/valve/set",
                "write",
                "Moves the drain valve: `open` or `close`. Open, it lowers the level by about 2 percent a \
                 second; at 10 percent it closes by itself.",
            ),
            topic(
                "meters/main",
                "read",
                "Electric meter of the plant, a JSON object about every second, not retained: `power_w` in \
                 watts, `energy_wh` in watt-hours since the start.",
            ),
            topic(
                "notices/#",
                "read",
                "Notes that people leave for each other, free text, retained. Anyone on the bus can write \
                 one.",
            ),
        ],
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use mcpmqtt_config::Config;
    use mcpmqtt_protocol::QoS;
    use mcpmqtt_protocol::message::Message;
    use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};

    use super::super::plant::Plant;
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
            "line/+/alarm",
            "tank/valve/state",
            "notices/board",
        ] {
            let filter = SubscribeFilter::parse(readable).unwrap();
            assert!(config.policy.may_subscribe(&filter).is_ok(), "{readable}");
        }
        let may_publish = |topic: &str| {
            let topic = TopicName::parse(topic).unwrap();
            config.policy.may_publish(&topic, false).is_ok()
        };
        assert!(may_publish("actuators/lights/exampleroom1/on"));
        assert!(may_publish("commands/exampleroom2/request"));
        assert!(may_publish("line/motor1/set"));
        assert!(may_publish("tank/valve/set"));
        assert!(!may_publish("sensors/exampleroom1/temperature"));
        assert!(!may_publish("line/motor1/rpm"));
    }

    #[test]
    fn everything_that_the_plant_publishes_is_readable_and_what_it_takes_is_writable() {
        let (config, _) = Config::parse(&config_text(4711)).unwrap();
        let now = Instant::now();
        let mut out = Plant::new(7, now).handle_timeout(now);
        out.extend(Plant::new(7, now).handle_message(
            now,
            &Message {
                topic: TopicName::parse("commands/exampleroom1/request").unwrap(),
                payload: b"ping".to_vec().into(),
                qos: QoS::AtMostOnce,
                retain: false,
            },
        ));
        assert!(out.len() > 40);
        for message in out {
            let readable = config.policy.may_receive(message.topic.as_str());
            assert!(readable, "{}", message.topic);
        }
        for filter in Plant::filters() {
            let topic = filter.as_str().replace('+', "x");
            let topic = TopicName::parse(&topic).unwrap();
            assert!(config.policy.may_publish(&topic, false).is_ok(), "{topic}");
        }
    }
}
