//! The will and the birth message, as somebody else at the broker sees them.

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::config::open_config;
use crate::common::mosquitto::Mosquitto;

const TOPIC: &str = "gateways/line-7";

fn config(port: u16, qos: u8) -> Value {
    let mut config = open_config(port);
    config["mqtt"]["will"] = json!({"topic": TOPIC, "payload": "off", "qos": qos, "retain": true});
    config["mqtt"]["birth"] = json!({"topic": TOPIC, "payload": "on", "qos": qos, "retain": true});
    config["mqtt"]["backoff"] = json!({"initial": 0.02, "max": 0.1});
    config
}

/// The next message that a watcher at the broker sees on the topic; `then` is run once it watches.
/// With `-R` in `options`, what the broker has kept does not count.
fn watch(broker: &Mosquitto, options: &[&str], then: impl FnOnce()) -> String {
    let args = [
        "-t", TOPIC, "-q", "2", "-C", "1", "-W", "60", "-F", "%p %q %r",
    ];
    broker.subscribe(&[&args[..], options].concat(), then)
}

/// The agent has been heard by the broker.
fn is_up(agent: &mut Agent) {
    let message = json!({"topic": "t/a", "payload": "x", "qos": 1});
    agent.tool("mqtt_publish", message).structured();
}

#[test]
fn a_program_that_is_killed_is_told_of_by_the_broker() {
    let broker = Mosquitto::start();
    for qos in 0..=2 {
        let mut agent = None;
        let seen = watch(&broker, &["-R"], || {
            agent = Some(Agent::start(&config(broker.port, qos)));
        });
        assert_eq!(seen, format!("on {qos} 0\n"));
        assert_eq!(watch(&broker, &[], || {}), format!("on {qos} 1\n"));
        let seen = watch(&broker, &["-R"], || drop(agent));
        assert_eq!(seen, format!("off {qos} 0\n"));
        assert_eq!(watch(&broker, &[], || {}), format!("off {qos} 1\n"));
    }
}

#[test]
fn a_program_that_ends_in_order_says_so_itself() {
    let broker = Mosquitto::start();
    for qos in 0..=2 {
        let mut agent = Agent::start(&config(broker.port, qos));
        is_up(&mut agent);
        let seen = watch(&broker, &["-R"], || assert_eq!(agent.finish().0, Some(0)));
        assert_eq!(seen, format!("off {} 0\n", qos.min(1)));
        let kept = watch(&broker, &[], || {});
        assert_eq!(kept, format!("off {} 1\n", qos.min(1)));
    }
}

#[test]
fn a_program_without_a_will_says_nothing_when_it_ends_or_is_killed() {
    let broker = Mosquitto::start();
    let seen = watch(&broker, &[], || {
        let mut agent = Agent::start(&open_config(broker.port));
        is_up(&mut agent);
        agent.finish();
        let mut agent = Agent::start(&open_config(broker.port));
        is_up(&mut agent);
        drop(agent);
        broker.publish(&["-t", TOPIC, "-m", "end"]);
    });
    assert_eq!(seen, "end 0 0\n");
}

#[test]
fn each_connection_begins_with_the_birth_message() {
    let mut broker = Mosquitto::start();
    let mut agent = Agent::start(&config(broker.port, 1));
    is_up(&mut agent);
    broker.kill();
    broker.restart();
    // The broker has forgotten all: only a new birth message can be there.
    assert!(watch(&broker, &[], || {}).starts_with("on 1 "));
    is_up(&mut agent);
}
