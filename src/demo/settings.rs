//! The configuration of `--demo`.

/// The file, for a broker at the default port.
const CONFIG: &str = include_str!("config.json");

/// A configuration file, as text, for an agent that works the plant through the broker at `port`.
#[must_use]
pub fn config_text(port: u16) -> String {
    CONFIG.replacen("1883", &port.to_string(), 1)
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
