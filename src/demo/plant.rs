//! The simulated plant as a state machine: messages and time in, messages out.
//!
//! It promises: sensor values move smoothly; a switched light reports its state at once; every
//! request gets an answer, with what is wrong and what is known if it is not understood. It does not
//! know how messages travel, and reads no clock.

use std::time::{Duration, Instant};

use fastrand::Rng;
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{Shown, TopicFilter, TopicName};
use serde_json::{Value, json};

use super::room::{Light, Room};

/// Two rooms with sensors, a light and a device that answers requests.
#[derive(Debug)]
pub struct Plant {
    rooms: [Room; 2],
    random: Rng,
    started: Instant,
    next: Instant,
    next_report: Instant,
}

impl Plant {
    /// A plant that reports for the first time at `now`. Equal seeds behave alike.
    #[must_use]
    pub fn new(seed: u64, now: Instant) -> Self {
        Self {
            rooms: [
                Room::new("exampleroom1", 21.5, 45.0),
                Room::new("exampleroom2", 19.0, 52.0),
            ],
            random: Rng::with_seed(seed),
            started: now,
            next: now,
            next_report: now,
        }
    }

    /// The filters that the plant subscribes to.
    pub fn filters() -> impl Iterator<Item = TopicFilter> {
        ["actuators/lights/+/+", "commands/+/request"]
            .into_iter()
            .filter_map(|filter| TopicFilter::parse(filter).ok())
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Instant {
        self.next
    }

    /// Time has passed. Returns what is to be published.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Message> {
        if now < self.next {
            return Vec::new();
        }
        let first = self.next == self.started;
        self.next = now + Duration::from_millis(self.random.u64(900..=1100));
        let mut out = Vec::new();
        for room in &mut self.rooms {
            room.step(&mut self.random);
            let name = room.name;
            out.extend(retained(
                &format!("sensors/{name}/temperature"),
                tenths(room.temperature()),
            ));
            out.extend(retained(
                &format!("sensors/{name}/humidity"),
                tenths(room.humidity()),
            ));
            if first {
                out.extend(light_state(room));
            }
        }
        if now >= self.next_report {
            self.next_report = now + REPORT_EVERY;
            out.extend(self.report(now));
        }
        out
    }

    /// A message came for the plant. Returns what is to be published.
    pub fn handle_message(&mut self, now: Instant, message: &Message) -> Vec<Message> {
        let mut levels = message.topic.as_str().split('/');
        let levels = [(); 4].map(|()| levels.next());
        match levels {
            [Some("actuators"), Some("lights"), Some(room), Some(state)] => {
                self.switch(now, room, state)
            }
            [Some("commands"), Some(room), Some("request"), None] => {
                let answer = self.answer(room, &message.payload);
                let topic = format!("commands/{room}/response");
                publish(&topic, answer, message.qos, false)
                    .into_iter()
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// The state is reported even if it has not changed, because the sender of the command waits for it.
    fn switch(&mut self, now: Instant, room: &str, state: &str) -> Vec<Message> {
        let room = self.rooms.iter_mut().find(|known| known.name == room);
        let (Some(room), Some(light)) = (room, Light::from_name(state)) else {
            return Vec::new();
        };
        room.light = light;
        let state = light_state(room);
        state.into_iter().chain(self.report(now)).collect()
    }

    fn answer(&self, room: &str, request: &[u8]) -> String {
        let Some(room) = self.rooms.iter().find(|known| known.name == room) else {
            let error = format!("there is no room {}", Shown(room));
            return json!({"error": error, "rooms": self.room_names()}).to_string();
        };
        let request = String::from_utf8_lossy(request);
        match request.trim() {
            "ping" => "pong".into(),
            "get_status" => json!({
                "room": room.name,
                "temperature": room.temperature(),
                "humidity": room.humidity(),
                "light": room.light.name(),
            })
            .to_string(),
            unknown => {
                let error = format!("unknown command {}", Shown(unknown));
                json!({"error": error, "commands": ["get_status", "ping"]}).to_string()
            }
        }
    }

    fn report(&self, now: Instant) -> Option<Message> {
        let lights_on = self.rooms.iter().filter(|room| room.light == Light::On);
        let report = json!({
            "state": "running",
            "uptime_seconds": now.saturating_duration_since(self.started).as_secs(),
            "rooms": self.room_names(),
            "lights_on": lights_on.count(),
        });
        retained("status/system", report.to_string())
    }

    fn room_names(&self) -> Value {
        self.rooms.iter().map(|room| room.name).collect()
    }
}

fn light_state(room: &Room) -> Option<Message> {
    let topic = format!("status/lights/{}", room.name);
    publish(&topic, room.light.name().into(), QoS::AtLeastOnce, true)
}

fn retained(topic: &str, text: String) -> Option<Message> {
    publish(topic, text, QoS::AtMostOnce, true)
}

/// `None` when there is no such topic: the answer to a request whose topic was as long as can be.
fn publish(topic: &str, text: String, qos: QoS, retain: bool) -> Option<Message> {
    Some(Message {
        topic: TopicName::parse(topic).ok()?,
        payload: text.into_bytes().into(),
        qos,
        retain,
    })
}

fn tenths(value: f64) -> String {
    format!("{value:.1}")
}

/// Between two reports on `status/system` if nothing is switched.
const REPORT_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn plant() -> (Plant, Instant) {
        let now = Instant::now();
        let mut plant = Plant::new(7, now);
        plant.handle_timeout(now);
        (plant, now)
    }

    fn text(message: &Message) -> &str {
        std::str::from_utf8(&message.payload).unwrap()
    }

    /// What the plant publishes about a message to it, as `topic=payload`.
    fn tell(plant: &mut Plant, now: Instant, topic: &str, payload: &str) -> Vec<String> {
        let message = publish(topic, payload.into(), QoS::AtLeastOnce, false).unwrap();
        let out = plant.handle_message(now, &message);
        let shown = out.iter().map(|m| format!("{}={}", m.topic, text(m)));
        shown.collect()
    }

    fn json_of(line: &str) -> Value {
        serde_json::from_str(line.split_once('=').unwrap().1).unwrap()
    }

    #[test]
    fn everything_is_reported_retained_at_the_start() {
        let now = Instant::now();
        let mut plant = Plant::new(7, now);
        assert_eq!(plant.next_deadline(), now);
        let out = plant.handle_timeout(now);
        let mut topics: Vec<&str> = out.iter().map(|m| m.topic.as_str()).collect();
        topics.sort_unstable();
        assert_eq!(
            topics,
            [
                "sensors/exampleroom1/humidity",
                "sensors/exampleroom1/temperature",
                "sensors/exampleroom2/humidity",
                "sensors/exampleroom2/temperature",
                "status/lights/exampleroom1",
                "status/lights/exampleroom2",
                "status/system",
            ]
        );
        assert!(out.iter().all(|message| message.retain));
    }

    #[test]
    fn sensor_values_come_about_every_second_move_smoothly_and_stay_plausible() {
        let (mut plant, mut now) = plant();
        let mut last: std::collections::HashMap<String, f64> = Default::default();
        let mut moved = 0;
        for _ in 0..10_000 {
            let wait = plant.next_deadline() - now;
            assert!((0.9..=1.1).contains(&wait.as_secs_f64()), "{wait:?}");
            assert!(plant.handle_timeout(now).is_empty(), "not yet");
            now = plant.next_deadline();
            for message in plant.handle_timeout(now) {
                let topic = message.topic.as_str();
                if !topic.starts_with("sensors/") {
                    continue;
                }
                let value: f64 = text(&message).parse().unwrap();
                let (range, step) = if topic.ends_with("temperature") {
                    (15.0..=28.0, 0.21)
                } else {
                    (30.0..=70.0, 0.51)
                };
                assert!(range.contains(&value), "{topic} {value}");
                if let Some(before) = last.insert(topic.into(), value) {
                    assert!((value - before).abs() <= step, "{topic} {before} {value}");
                    moved += usize::from(value != before);
                }
            }
        }
        assert!(moved > 10_000, "{moved}");
        assert_eq!(last.len(), 4);
    }

    #[test]
    fn a_light_reports_each_switching_at_once_and_warms_its_room() {
        let (mut plant, now) = plant();
        let topic = "actuators/lights/exampleroom1/on";
        for _ in 0..2 {
            let out = tell(&mut plant, now, topic, "anything");
            assert_eq!(out[0], "status/lights/exampleroom1=on");
            assert_eq!(json_of(&out[1])["lights_on"], 1);
        }
        let before = plant.rooms[0].temperature();
        for _ in 0..120 {
            plant.handle_timeout(plant.next_deadline());
        }
        assert!(plant.rooms[0].temperature() > before + 0.5);
        let out = tell(&mut plant, now, "actuators/lights/exampleroom1/off", "");
        assert_eq!(out[0], "status/lights/exampleroom1=off");
    }

    #[test]
    fn what_is_no_light_is_left_alone() {
        let (mut plant, now) = plant();
        for topic in [
            "actuators/lights/exampleroom1/dim",
            "actuators/lights/cellar/on",
            "actuators/lights/exampleroom1",
            "actuators/heating/exampleroom1/on",
            "commands/exampleroom1/response",
            "commands/exampleroom1/request/x",
        ] {
            assert!(tell(&mut plant, now, topic, "x").is_empty(), "{topic}");
        }
    }

    #[test]
    fn every_request_is_answered() {
        let (mut plant, now) = plant();
        let topic = "commands/exampleroom2/request";
        let pong = "commands/exampleroom2/response=pong";
        assert_eq!(tell(&mut plant, now, topic, "ping"), [pong]);
        assert_eq!(tell(&mut plant, now, topic, " ping\n"), [pong]);
        let status = json_of(&tell(&mut plant, now, topic, "get_status")[0]);
        assert_eq!(status["room"], "exampleroom2");
        assert_eq!(status["light"], "off");
        assert!(status["temperature"].is_f64() && status["humidity"].is_f64());
        let error = json_of(&tell(&mut plant, now, topic, "explode")[0]);
        assert_eq!(error["error"], "unknown command `explode`");
        assert_eq!(error["commands"], json!(["get_status", "ping"]));
        let error = json_of(&tell(&mut plant, now, "commands/cellar/request", "ping")[0]);
        assert_eq!(error["rooms"], json!(["exampleroom1", "exampleroom2"]));
    }

    #[test]
    fn an_answer_is_no_state_and_comes_at_the_qos_of_its_request() {
        let (mut plant, now) = plant();
        for qos in [QoS::AtMostOnce, QoS::ExactlyOnce] {
            let topic = "commands/exampleroom1/request";
            let request = publish(topic, "ping".into(), qos, false).unwrap();
            let out = plant.handle_message(now, &request);
            assert_eq!((out[0].qos, out[0].retain), (qos, false));
        }
    }

    #[test]
    fn a_request_too_long_to_be_answered_is_survived() {
        let (mut plant, now) = plant();
        let topic = format!("commands/{}/request", "r".repeat(65_535 - 17));
        assert_eq!(topic.len(), 65_535);
        assert!(tell(&mut plant, now, &topic, "ping").is_empty());
        let long = "x".repeat(100_000);
        let out = tell(&mut plant, now, "commands/exampleroom1/request", &long);
        assert!(out[0].len() < 1000);
    }

    #[test]
    fn the_plant_hears_what_it_understands() {
        let filters: Vec<TopicFilter> = Plant::filters().collect();
        for topic in ["actuators/lights/r/on", "commands/r/request"] {
            assert!(filters.iter().any(|f| f.matches(topic)), "{topic}");
        }
        assert_eq!(filters.len(), 2);
    }
}
