use mcpmqtt_config::{Config, Profiles};
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::TopicName;
use serde_json::json;

use super::*;
use crate::local::time::simulated;
use crate::mcp::Places;
use crate::metrics::Metrics;
use crate::mqtt::simulated::SimulatedDriver;
use crate::operator::Operator;

/// An observation over a driver that does what the test says, at a time that the test sets.
struct Scene {
    executor: Rc<LocalExecutor<'static>>,
    access: Access,
    observation: Observation,
    driver: SimulatedDriver,
    now: Instant,
}

fn profiles(pattern: &str) -> Profiles {
    let topics = json!([{"pattern": pattern, "permissions": ["read"]}]);
    let config = json!({"topics": topics});
    Config::parse(&config.to_string()).unwrap().0.profiles
}

impl Scene {
    fn new(pattern: &str, always: &[&str]) -> Scene {
        let now = Instant::now();
        simulated::set(now);
        let (client, driver) = SimulatedDriver::pair();
        let executor = Rc::new(LocalExecutor::new());
        let operator = Operator::none(client.clone(), &executor);
        let access = Access::new(
            client,
            profiles(pattern),
            Places::alone(8),
            &Metrics::default(),
            operator,
            None,
            Rc::downgrade(&executor),
        );
        let always = always.iter().map(|text| TopicFilter::parse(text).unwrap());
        let settings = Observe {
            always: always.collect(),
            ..Observe::default()
        };
        Scene {
            observation: Observation::new(
                access.clone(),
                settings,
                Places::alone(1024),
                Rc::downgrade(&executor),
            ),
            executor,
            access,
            driver,
            now,
        }
    }

    /// Gives all tasks and the driver their turn.
    fn run(&mut self) {
        for _ in 0..4 {
            while self.executor.try_tick() {}
            self.driver.turn();
            self.driver.grant();
        }
    }

    fn watched(&self) -> Vec<String> {
        let watched = self.observation.0.watched.borrow();
        watched.iter().map(|it| it.filter.to_string()).collect()
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        simulated::set(self.now);
        self.run();
    }
}

#[test]
fn what_is_always_observed_begins_anew_after_a_burst_stopped_it() {
    let mut scene = Scene::new("line/#", &["line/+"]);
    scene.driver.connect();
    scene.run();
    scene.pass(2);
    assert_eq!(scene.driver.observed(), 1);
    let message = Message {
        topic: TopicName::parse("line/a").unwrap(),
        payload: vec![b'x'; 1 << 20].into(),
        qos: QoS::AtMostOnce,
        retain: false,
    };
    for _ in 0..20 {
        scene.driver.deliver(scene.now, &message);
    }
    scene.run();
    assert_eq!(scene.driver.observed(), 0, "more came than is allowed");
    assert!(scene.observation.stopped().is_some());
    scene.pass(59);
    assert_eq!(scene.driver.observed(), 0);
    scene.pass(2);
    assert_eq!(scene.driver.observed(), 1);
    assert_eq!(scene.observation.stopped(), None);
}

#[test]
fn what_is_always_observed_begins_anew_after_a_lost_connection_and_with_a_new_policy() {
    let mut scene = Scene::new("line/#", &["line/+", "hall/+"]);
    scene.run();
    assert_eq!(scene.driver.observed(), 0, "there is no connection");
    scene.driver.connect();
    while scene.executor.try_tick() {}
    scene.driver.disconnect(scene.now);
    scene.run();
    assert_eq!(scene.driver.observed(), 0, "the connection was lost again");
    scene.driver.connect();
    scene.run();
    scene.pass(2);
    assert_eq!(scene.driver.observed(), 1);
    scene.access.replace_profiles(profiles("hall/#"));
    scene.observation.replace_policy();
    scene.run();
    assert_eq!(scene.driver.observed(), 1);
    assert_eq!(scene.watched(), ["hall/+"]);
    scene.pass(86_400);
    assert_eq!(scene.driver.observed(), 1, "it is observed for good");
}
