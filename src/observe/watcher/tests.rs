use serde_json::json;

use super::*;
use crate::observe::condition::RawCondition;

fn condition(field: Option<&str>, op: &str, value: Option<f64>, hold_s: f64) -> Condition {
    Condition::parse(RawCondition {
        field: field.map(String::from),
        op: Some(op.into()),
        value: value.map(|it| json!(it)),
        tolerance: None,
        hold_s: Some(hold_s),
    })
    .expect("a valid condition")
}

/// A watch whose times are whole seconds.
struct Scene {
    start: Instant,
    watch: ConditionWatch,
}

impl Scene {
    fn new(condition: Condition, live: Live, deadline: u64) -> Self {
        let start = Instant::now();
        let watch = ConditionWatch::new(
            condition,
            live,
            start,
            start + Duration::from_secs(deadline),
        );
        Self { start, watch }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    fn live(&mut self, second: u64, topic: &str, payload: &str) {
        self.watch
            .message(self.at(second), topic, payload.as_bytes(), false);
    }

    fn retained(&mut self, second: u64, topic: &str, payload: &str) {
        self.watch
            .message(self.at(second), topic, payload.as_bytes(), true);
    }

    #[track_caller]
    fn waits(&mut self, second: u64, until: u64) {
        assert_eq!(self.watch.poll(self.at(second)), Step::Wait(self.at(until)));
    }

    #[track_caller]
    fn times_out(&mut self, second: u64) {
        assert_eq!(self.watch.poll(self.at(second)), Step::TimedOut);
        assert_eq!(self.watch.poll(self.at(second)), Step::Ended);
    }

    #[track_caller]
    fn met(&mut self, second: u64) -> Met {
        let now = self.at(second);
        let Step::Met(met) = self.watch.poll(now) else {
            panic!("it is not met");
        };
        assert_eq!(self.watch.poll(now), Step::Ended);
        *met
    }
}

#[test]
fn a_live_message_meets_it_at_once() {
    let mut scene = Scene::new(condition(None, ">", Some(90.0), 0.0), Live::Required, 60);
    scene.waits(0, 60);
    scene.live(1, "tank", "89");
    scene.live(2, "other", "50");
    scene.waits(2, 60);
    scene.live(3, "tank", "91");
    let met = scene.met(3);
    let before = Seen {
        reading: Reading::Number(89.0),
        at: scene.at(1),
        retained: false,
    };
    assert_eq!(
        met,
        Met {
            topic: "tank".into(),
            reading: Reading::Number(91.0),
            at: scene.at(3),
            before: Some(before),
            retained: false,
            already: false,
            held: Duration::ZERO,
        }
    );
    scene.live(4, "tank", "99");
    scene.watch.interrupted(scene.at(5));
    assert_eq!(scene.watch.poll(scene.at(70)), Step::Ended);
    assert_eq!(scene.watch.counts().messages, 3);
}

#[test]
fn a_retained_message_is_only_the_value_before_where_live_ones_are_required() {
    let mut scene = Scene::new(condition(None, ">", Some(90.0), 0.0), Live::Required, 60);
    scene.retained(0, "tank", "95");
    scene.waits(0, 60);
    scene.live(9, "tank", "96");
    let met = scene.met(9);
    assert!(!met.already);
    assert!(
        met.before
            .is_some_and(|it| it.retained && it.reading == Reading::Number(95.0))
    );
}

#[test]
fn a_retained_message_meets_it_already_where_live_ones_are_not_required() {
    let mut scene = Scene::new(condition(None, ">", Some(90.0), 0.0), Live::NotRequired, 60);
    scene.retained(0, "tank", "95");
    let met = scene.met(0);
    assert!(met.already && met.retained && met.before.is_none());

    // It did not hold when the watch began, or nobody knows.
    let mut scene = Scene::new(condition(None, ">", Some(90.0), 0.0), Live::NotRequired, 60);
    scene.live(1, "tank", "80");
    scene.watch.interrupted(scene.at(2));
    scene.retained(3, "tank", "95");
    let met = scene.met(3);
    assert!(!met.already && met.retained);
    let mut scene = Scene::new(condition(None, ">", Some(90.0), 0.0), Live::NotRequired, 60);
    scene.watch.interrupted(scene.at(2));
    scene.retained(3, "tank", "95");
    assert!(!scene.met(3).already);

    let mut scene = Scene::new(condition(None, ">", Some(90.0), 5.0), Live::NotRequired, 60);
    scene.retained(1, "tank", "95");
    scene.live(3, "tank", "97");
    let met = scene.met(8);
    assert!(met.already && !met.retained);
    assert_eq!((met.at, met.reading), (scene.at(6), Reading::Number(97.0)));
}

#[test]
fn changed_and_any_are_met_by_live_messages_only() {
    for live in [Live::Required, Live::NotRequired] {
        let mut scene = Scene::new(condition(None, "any", None, 0.0), live, 60);
        scene.retained(0, "a", "1");
        scene.waits(0, 60);
        scene.live(1, "a", "1");
        assert!(scene.met(1).before.is_some_and(|it| it.retained));

        let mut scene = Scene::new(condition(None, "changed", None, 0.0), live, 60);
        scene.retained(0, "a", "1");
        scene.live(1, "b", "2");
        scene.live(1, "a", "1.0");
        scene.retained(2, "a", "3");
        scene.live(3, "a", "3");
        scene.waits(3, 60);
        scene.live(4, "a", "1");
        let met = scene.met(4);
        assert_eq!((met.topic.as_str(), met.at), ("a", scene.at(4)));
    }
}

#[test]
fn a_slow_drift_is_a_change() {
    let mut raw = RawCondition {
        op: Some("changed".into()),
        tolerance: Some(1.0),
        ..RawCondition::default()
    };
    let drift = Condition::parse(raw.clone()).expect("a valid condition");
    let mut scene = Scene::new(drift, Live::Required, 60);
    for (second, payload) in [
        (1, "20"),
        (2, "20.4"),
        (3, "unavailable"),
        (4, "20.8"),
        (5, "21"),
    ] {
        scene.live(second, "a", payload);
        scene.waits(second, 60);
    }
    scene.live(6, "a", "21.2");
    let met = scene.met(6);
    assert!(
        met.before
            .is_some_and(|it| it.reading == Reading::Number(21.0))
    );
    assert_eq!(scene.watch.counts().no_number, 1);

    // A value that stays away from the first is a change that holds.
    raw.hold_s = Some(5.0);
    let held = Condition::parse(raw).expect("a valid condition");
    let mut scene = Scene::new(held, Live::Required, 60);
    for (second, payload) in [
        (1, "20"),
        (2, "25"),
        (3, "25"),
        (4, "20"),
        (6, "25"),
        (8, "25"),
        (10, "26"),
    ] {
        scene.live(second, "a", payload);
    }
    assert_eq!(scene.met(12).at, scene.at(11));
}

#[test]
fn a_hold_ends_when_no_message_says_otherwise() {
    let hold = || condition(None, ">", Some(90.0), 10.0);
    let mut scene = Scene::new(hold(), Live::Required, 60);
    scene.live(0, "a", "80");
    scene.live(1, "a", "91");
    scene.waits(1, 11);
    scene.live(5, "a", "92");
    scene.waits(5, 11);
    scene.live(6, "b", "10");
    scene.waits(10, 11);
    let met = scene.met(11);
    assert_eq!((met.at, met.held), (scene.at(11), Duration::from_secs(10)));
    assert_eq!(met.reading, Reading::Number(92.0));
    assert!(
        met.before
            .is_some_and(|it| it.reading == Reading::Number(80.0))
    );

    let mut scene = Scene::new(hold(), Live::Required, 60);
    scene.live(1, "a", "91");
    scene.live(5, "a", "90");
    scene.waits(5, 60);
    scene.live(6, "a", "91");
    scene.waits(15, 16);
    assert_eq!(scene.met(16).at, scene.at(16));
}

#[test]
fn each_topic_holds_on_its_own() {
    let mut scene = Scene::new(condition(None, ">", Some(90.0), 10.0), Live::Required, 60);
    scene.live(1, "a", "91");
    scene.live(2, "b", "91");
    scene.live(3, "c", "91");
    scene.waits(3, 11);
    scene.live(4, "a", "0");
    scene.waits(4, 12);
    scene.live(5, "a", "91");
    scene.waits(5, 12);
    assert_eq!(scene.met(30).topic, "b");
}

#[test]
fn what_says_otherwise() {
    let ends = |payload: &[u8], retained: bool, live: Live| {
        let mut scene = Scene::new(condition(Some("t"), ">", Some(90.0), 10.0), live, 60);
        scene.live(1, "a", "{\"t\":91}");
        scene.watch.message(scene.at(2), "a", payload, retained);
        scene.watch.poll(scene.at(2)) == Step::Wait(scene.at(60))
    };
    for live in [Live::Required, Live::NotRequired] {
        for retained in [true, false] {
            assert!(ends(b"{\"t\":90}", retained, live));
            assert!(ends(b"{\"t\":null}", retained, live));
            assert!(ends(b"{\"t\":\"unavailable\"}", retained, live));
            assert!(ends(b"offline", retained, live));
            assert!(ends(b"", retained, live));
            assert!(ends(b"\xff", retained, live));
            // A document without the field says nothing of it.
            assert!(!ends(b"{\"u\":1}", retained, live));
            assert!(!ends(b"{\"t\":99}", retained, live));
        }
    }
}

#[test]
fn a_gap_begins_every_hold_anew() {
    let mut scene = Scene::new(condition(None, ">", Some(90.0), 10.0), Live::Required, 60);
    scene.live(1, "a", "91");
    scene.watch.interrupted(scene.at(10));
    scene.waits(20, 60);
    scene.live(20, "a", "92");
    scene.waits(20, 30);
    let met = scene.met(30);
    assert!(
        met.before
            .is_some_and(|it| it.reading == Reading::Number(91.0))
    );
    assert_eq!(scene.watch.counts().interruptions, 1);

    // A hold that had ended before the gap is met.
    let mut scene = Scene::new(condition(None, ">", Some(90.0), 10.0), Live::Required, 60);
    scene.live(1, "a", "91");
    scene.watch.interrupted(scene.at(11));
    assert_eq!(scene.met(12).at, scene.at(11));
}

#[test]
fn a_late_poll_changes_nothing() {
    let hold = || condition(None, ">", Some(90.0), 10.0);
    // The contrary message came after the end of the hold, or at that very time: it was met before.
    for second in [11, 12, 40, 70] {
        let mut scene = Scene::new(hold(), Live::Required, 60);
        scene.live(1, "a", "91");
        scene.live(second, "a", "0");
        assert_eq!(scene.met(80).at, scene.at(11));
    }
    // It came before the end.
    let mut scene = Scene::new(hold(), Live::Required, 60);
    scene.live(1, "a", "91");
    scene.live(10, "a", "0");
    scene.times_out(80);
    // The hold would have ended after the deadline.
    let mut scene = Scene::new(hold(), Live::Required, 60);
    scene.live(51, "a", "91");
    scene.times_out(80);
    // A message that came after the deadline is too late even if nobody asked in between.
    let mut scene = Scene::new(condition(None, ">", Some(90.0), 0.0), Live::Required, 60);
    scene.live(61, "a", "91");
    scene.times_out(61);
}

#[test]
fn what_holds_by_the_deadline_is_in_time() {
    let mut scene = Scene::new(condition(None, ">", Some(90.0), 10.0), Live::Required, 60);
    scene.live(50, "a", "91");
    scene.waits(59, 60);
    assert_eq!(scene.met(60).at, scene.at(60));
    let mut scene = Scene::new(condition(None, ">", Some(90.0), 0.0), Live::Required, 60);
    scene.live(60, "a", "91");
    assert_eq!(scene.met(61).at, scene.at(60));
    let mut scene = Scene::new(condition(None, ">", Some(90.0), 0.0), Live::Required, 60);
    scene.waits(59, 60);
    scene.times_out(60);
}

#[test]
fn what_came_is_told() {
    let mut scene = Scene::new(
        condition(Some("t"), "=", Some(1.0), 0.0),
        Live::Required,
        60,
    );
    assert_eq!(scene.watch.last(), None);
    scene.retained(1, "a", "{\"t\":1}");
    scene.live(2, "b", "{\"t\":\"x\"}");
    scene.live(3, "a", "{\"t\":2}");
    scene.live(4, "a", "{\"u\":2}");
    scene.live(5, "a", "on");
    scene.times_out(60);
    let expected = Counts {
        messages: 5,
        retained: 1,
        no_json: 1,
        no_field: 1,
        no_number: 1,
        ..Counts::default()
    };
    assert_eq!(scene.watch.counts(), expected);
    let seen = Seen {
        reading: Reading::Number(2.0),
        at: scene.at(3),
        retained: false,
    };
    assert_eq!(scene.watch.last(), Some(("a", &seen)));
}

#[test]
fn the_memory_is_bounded() {
    let mut scene = Scene::new(condition(None, ">", Some(0.0), 10.0), Live::Required, 60);
    // Topics without a hold take no room from those in one.
    for topic in 0..2 * MAX_TOPICS {
        scene.live(1, &format!("quiet/{topic}"), "-1");
    }
    for topic in 0..MAX_TOPICS + 7 {
        scene.live(2, &format!("loud/{topic}"), "1");
    }
    assert_eq!(scene.watch.known.len(), MAX_TOPICS);
    assert_eq!(scene.watch.holds.places.len(), MAX_TOPICS);
    assert_eq!(scene.watch.counts().no_room, 7);
    // A topic that leaves its hold makes room.
    scene.live(3, "loud/0", "-1");
    scene.live(3, "late", "1");
    assert_eq!(scene.watch.counts().no_room, 7);
    assert_eq!(scene.met(12).topic, "loud/1");

    let mut scene = Scene::new(condition(None, ">", Some(0.0), 10.0), Live::Required, 60);
    for topic in 0..100 {
        scene.live(1, &format!("{topic}/{}", "x".repeat(60_000)), "1");
    }
    assert!(
        scene.watch.known_bytes <= MAX_TOPIC_BYTES && scene.watch.holds.bytes <= MAX_TOPIC_BYTES
    );
    assert_eq!(
        scene.watch.counts().no_room,
        100 - scene.watch.holds.places.len() as u64
    );

    // Without a hold, every topic is judged.
    let mut scene = Scene::new(condition(None, ">", Some(0.0), 0.0), Live::Required, 60);
    for topic in 0..2 * MAX_TOPICS {
        scene.live(1, &format!("quiet/{topic}"), "-1");
    }
    assert_eq!(scene.watch.counts().no_room, 0);
    scene.live(2, "late", "1");
    assert_eq!(scene.met(2).topic, "late");

    // `changed` needs the value before, and says where it has none.
    let mut scene = Scene::new(condition(None, "changed", None, 0.0), Live::Required, 60);
    for topic in 0..MAX_TOPICS + 3 {
        scene.live(1, &format!("quiet/{topic}"), "-1");
    }
    assert_eq!(scene.watch.counts().no_room, 3);
}

#[test]
fn large_values_are_kept_small() {
    let mut scene = Scene::new(condition(None, "changed", None, 0.0), Live::Required, 60);
    let large = "x".repeat(100_000);
    scene.live(1, "a", &large);
    scene.live(2, "a", &large);
    scene.waits(2, 60);
    scene.live(3, "a", &format!("{large}y"));
    let met = scene.met(3);
    assert!(matches!(met.reading, Reading::Text(_)));
    assert!(
        met.before
            .is_some_and(|it| matches!(it.reading, Reading::Kept(_)))
    );
}

/// The simulation: schedules of messages, gaps and polls in virtual time, held against a judge that looks at the whole
/// list of what happened instead of keeping a state.
mod simulation {
    use super::*;

    #[derive(Debug, Clone, Copy)]
    struct Event {
        at: u64,
        what: What,
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum What {
        Message {
            topic: usize,
            says: Says,
            retained: bool,
        },
        Gap,
        Poll,
    }

    /// What the payload says of the field `t`.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Says {
        Value(i8),
        Word,
        NoField,
        NoJson,
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Asked {
        Above,
        Changed,
        Any,
    }

    #[derive(Debug)]
    struct Plan {
        asked: Asked,
        live: Live,
        hold: u64,
        deadline: u64,
        events: Vec<Event>,
    }

    const TOPICS: [&str; 3] = ["a", "b", "c"];

    impl Says {
        fn payload(self) -> String {
            match self {
                Self::Value(value) => json!({"t": value}).to_string(),
                Self::Word => json!({"t": "off"}).to_string(),
                Self::NoField => json!({"u": 1}).to_string(),
                Self::NoJson => "off".into(),
            }
        }

        fn is_readable(self) -> bool {
            matches!(self, Self::Value(_) | Self::Word)
        }
    }

    impl Plan {
        fn random(random: &mut fastrand::Rng) -> Self {
            let asked =
                [Asked::Above, Asked::Above, Asked::Changed, Asked::Any][random.usize(0..4)];
            let hold = if asked == Asked::Any {
                0
            } else {
                random.u64(0..6)
            };
            let mut at = 0;
            let events = (0..random.usize(1..40)).map(|_| {
                at += random.u64(0..3);
                Event {
                    at,
                    what: Self::event(random),
                }
            });
            Self {
                asked,
                hold,
                events: events.collect(),
                live: [Live::Required, Live::NotRequired][random.usize(0..2)],
                deadline: random.u64(1..40),
            }
        }

        fn event(random: &mut fastrand::Rng) -> What {
            match random.u8(0..20) {
                0 => What::Gap,
                1..=6 => What::Poll,
                _ => What::Message {
                    topic: random.usize(0..TOPICS.len()),
                    says: match random.u8(0..12) {
                        0 => Says::Word,
                        1 => Says::NoField,
                        2 => Says::NoJson,
                        other => Says::Value(i8::from(other > 5)),
                    },
                    retained: random.u8(0..4) == 0,
                },
            }
        }

        fn condition(&self) -> Condition {
            let (op, value) = match self.asked {
                Asked::Above => (">", Some(0.0)),
                Asked::Changed => ("changed", None),
                Asked::Any => ("any", None),
            };
            super::condition(Some("t"), op, value, self.hold as f64)
        }

        /// The readable values of a topic before event `index`.
        fn earlier(
            &self,
            index: usize,
            topic: usize,
        ) -> impl DoubleEndedIterator<Item = (Says, bool)> {
            self.events[..index]
                .iter()
                .filter_map(move |event| match event.what {
                    What::Message {
                        topic: its,
                        says,
                        retained,
                    } if its == topic && says.is_readable() => Some((says, retained)),
                    _ => None,
                })
        }

        /// Whether event `index` can meet the condition.
        fn meets(&self, index: usize) -> bool {
            let What::Message {
                topic,
                says,
                retained,
            } = self.events[index].what
            else {
                return false;
            };
            let compares = self.asked != Asked::Above;
            if !says.is_readable() || retained && (compares || self.live == Live::Required) {
                return false;
            }
            self.says_so(index, topic, says)
        }

        fn says_so(&self, index: usize, topic: usize, says: Says) -> bool {
            match self.asked {
                Asked::Above => says == Says::Value(1),
                Asked::Any => true,
                Asked::Changed => {
                    let last_retained = self.earlier(index, topic).rfind(|(_, retained)| *retained);
                    let reference = last_retained.or_else(|| self.earlier(index, topic).next());
                    reference.is_some_and(|(reference, _)| reference != says)
                }
            }
        }

        /// Whether event `index` ends a hold of `topic`.
        fn ends_hold(&self, index: usize, topic: usize) -> bool {
            match self.events[index].what {
                What::Poll => false,
                What::Gap => true,
                What::Message {
                    topic: its,
                    says,
                    retained,
                } => {
                    let otherwise = match says {
                        Says::NoField => false,
                        Says::NoJson => true,
                        _ => {
                            retained && self.asked == Asked::Changed
                                || !self.says_so(index, topic, says)
                        }
                    };
                    its == topic && otherwise
                }
            }
        }

        /// The first end of a hold that nothing in the first `count` events contradicts, and the message that began it.
        fn first_end(&self, count: usize) -> Option<(u64, usize)> {
            let begins = (0..count).filter(|index| self.meets(*index));
            let ends = begins.filter_map(|index| {
                let What::Message { topic, .. } = self.events[index].what else {
                    return None;
                };
                let end = self.events[index].at + self.hold;
                let mut later = index + 1..count;
                let contradicted =
                    later.any(|it| self.events[it].at < end && self.ends_hold(it, topic));
                (!contradicted).then_some((end, index))
            });
            ends.min()
        }

        /// The answer at `now`, after the first `count` events and before any answer was given.
        fn judge(&self, count: usize, now: u64, start: Instant) -> Step {
            let time = |at: u64| start + Duration::from_secs(at);
            match self.first_end(count) {
                Some((end, index)) if end <= now.min(self.deadline) => {
                    Step::Met(Box::new(self.how_met(count, end, index, start)))
                }
                _ if now >= self.deadline => Step::TimedOut,
                found => Step::Wait(time(
                    found.map_or(self.deadline, |(end, _)| end.min(self.deadline)),
                )),
            }
        }

        fn how_met(&self, count: usize, end: u64, index: usize, start: Instant) -> Met {
            let time = |at: u64| start + Duration::from_secs(at);
            let read = |index: usize| match self.events[index].what {
                What::Message {
                    topic,
                    says,
                    retained,
                } if says.is_readable() => Some((topic, says, retained)),
                _ => None,
            };
            let reading = |says| match says {
                Says::Value(value) => Reading::Number(f64::from(value)),
                _ => Reading::Text("off".into()),
            };
            let (topic, _, first_retained) = read(index).expect("a readable message");
            let before = (0..index).rev().find_map(|it| {
                let (its, says, retained) = read(it)?;
                let at = time(self.events[it].at);
                (its == topic).then(|| Seen {
                    reading: reading(says),
                    at,
                    retained,
                })
            });
            let of_topic = |it: &usize| read(*it).is_some_and(|(its, ..)| its == topic);
            let last = (index..count).rfind(|it| {
                *it == index || self.events[*it].at < end && of_topic(it) && self.meets(*it)
            });
            let (_, says, retained) = last.and_then(read).expect("a readable message");
            let gap = self.events[..index].iter().any(|it| it.what == What::Gap);
            let already = first_retained && before.is_none() && !gap;
            Met {
                topic: TOPICS[topic].into(),
                reading: reading(says),
                at: time(end),
                retained,
                before,
                already,
                held: Duration::from_secs(self.hold),
            }
        }

        /// Runs the plan and returns the answer.
        fn run(&self) -> Step {
            let start = Instant::now();
            let time = |at: u64| start + Duration::from_secs(at);
            let mut watch =
                ConditionWatch::new(self.condition(), self.live, start, time(self.deadline));
            let mut answer = None;
            let last = self.events.last().map_or(0, |event| event.at);
            let end = Event {
                at: last.max(self.deadline) + self.hold,
                what: What::Poll,
            };
            for (index, event) in self.events.iter().chain([&end]).enumerate() {
                match event.what {
                    What::Gap => watch.interrupted(time(event.at)),
                    What::Message {
                        topic,
                        says,
                        retained,
                    } => {
                        watch.message(
                            time(event.at),
                            TOPICS[topic],
                            says.payload().as_bytes(),
                            retained,
                        );
                    }
                    What::Poll => {
                        let step = watch.poll(time(event.at));
                        if answer.is_some() {
                            assert_eq!(step, Step::Ended, "it answers once: {self:?}");
                            continue;
                        }
                        assert_eq!(
                            step,
                            self.judge(index, event.at, start),
                            "event {index} of {self:?}"
                        );
                        if !matches!(step, Step::Wait(_)) {
                            answer = Some(step);
                        }
                    }
                }
            }
            let answer = answer.expect("an answer after the deadline");
            if let Step::Met(met) = &answer {
                assert!(met.at <= time(self.deadline), "it is met in time: {self:?}");
                assert!(
                    self.live == Live::NotRequired || !met.retained,
                    "it is met by a live message: {self:?}"
                );
            }
            answer
        }
    }

    #[test]
    fn every_schedule_has_the_answer_that_its_events_say() {
        let full = std::env::var_os("MCPMQTT_TEST_FULL").is_some();
        let schedules = if full { 1_000_000 } else { 10_000 };
        let (mut met, mut held, mut already, mut timed_out) = (0, 0, 0, 0);
        for seed in 0..schedules {
            let plan = Plan::random(&mut fastrand::Rng::with_seed(seed));
            match plan.run() {
                Step::Met(how) => {
                    met += 1;
                    held += u64::from(!how.held.is_zero());
                    already += u64::from(how.already);
                }
                _ => timed_out += 1,
            }
        }
        // Each kind of end occurs often enough to say something.
        for count in [met, held, already, timed_out] {
            assert!(
                count > schedules / 50,
                "{met} {held} {already} {timed_out} of {schedules}"
            );
        }
    }
}

#[test]
fn a_message_that_could_not_be_read_ends_the_hold_of_its_topic() {
    let mut scene = Scene::new(condition(None, ">", Some(5.0), 10.0), Live::Required, 60);
    scene.live(1, "a", "9");
    scene.live(2, "b", "9");
    scene.watch.unread(scene.at(4), "a");
    scene.waits(4, 12);
    scene.live(5, "a", "9");
    assert_eq!(scene.met(12).topic, "b");
}

#[test]
fn a_level_that_cannot_be_known_to_be_crossed_is_counted() {
    let mut scene = Scene::new(condition(None, ">", Some(5.0), 0.0), Live::AfterNotMet, 60);
    for n in 0..=MAX_TOPICS {
        scene.live(1, &n.to_string(), "1");
    }
    assert_eq!(scene.watch.counts().no_room, 1);
    let last = MAX_TOPICS.to_string();
    scene.live(2, &last, "9");
    assert_eq!(scene.watch.counts().no_room, 2);
    scene.live(2, "0", "9");
    assert_eq!(scene.met(2).topic, "0");
}
