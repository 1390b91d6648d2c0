#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::observe::kind::Kind;
use crate::observe::record::RECENT_NUMBERS;
use crate::observe::rhythm::Silence;

const ROOMY: Limits = Limits {
    topics: 10_000,
    bytes: 4 * 1024 * 1024,
};

/// A table and the time in it.
struct Watch {
    table: Table,
    now: Instant,
}

impl Watch {
    fn new() -> Self {
        Self {
            table: Table::new(ROOMY),
            now: Instant::now(),
        }
    }

    fn after(&mut self, seconds: f64) -> &mut Self {
        self.now += Duration::from_secs_f64(seconds);
        self
    }

    fn live(&mut self, topic: &str, payload: &str) -> &mut Self {
        let payload = payload.as_bytes();
        self.table.message(self.now, topic, payload, false, false);
        self
    }

    fn retained(&mut self, topic: &str, payload: &str) -> &mut Self {
        let payload = payload.as_bytes();
        self.table.message(self.now, topic, payload, true, false);
        self
    }

    fn copy(&mut self, topic: &str, payload: &str) -> &mut Self {
        let payload = payload.as_bytes();
        self.table.message(self.now, topic, payload, false, true);
        self
    }

    /// `times` messages, each after `seconds`.
    fn every(&mut self, seconds: f64, times: usize, topic: &str) -> &mut Self {
        for n in 0..times {
            self.after(seconds).live(topic, &n.to_string());
        }
        self
    }

    fn interrupted(&mut self) -> &mut Self {
        self.table.interrupted(self.now);
        self
    }

    fn resumed(&mut self) -> &mut Self {
        self.table.resumed(self.now);
        self
    }

    fn row(&self, topic: &str) -> Row<'_> {
        self.table.row(topic).unwrap()
    }

    fn silence(&self, topic: &str) -> Silence {
        self.row(topic).silence(self.now)
    }

    fn stopped(&self, seconds_ago: f64) -> Silence {
        Silence::Stopped {
            since: self.now - Duration::from_secs_f64(seconds_ago),
        }
    }
}

#[test]
fn a_row_has_the_last_value_and_the_times_of_the_live_ones() {
    let mut watch = Watch::new();
    let began = watch.now;
    watch.retained("a", "19").after(1.0);
    let row = watch.row("a");
    assert_eq!((row.payload(), row.count()), (&b"19"[..], 0));
    assert!(row.is_retained() && row.retained_seen());
    assert_eq!((row.first_live(), row.last_live()), (None, None));
    assert_eq!((row.rate(watch.now), row.usual_interval()), (None, None));
    assert_eq!(row.numbers().count(), 0, "of unknown age");
    watch
        .live("a", "20.5")
        .after(2.0)
        .live("a", "21")
        .live("b", "on");
    let row = watch.row("a");
    assert_eq!((row.payload(), row.payload_length()), (&b"21"[..], 2));
    assert_eq!((row.count(), row.is_upper_bound()), (2, false));
    assert!(!row.is_retained() && row.retained_seen());
    assert_eq!(row.began(), began);
    assert_eq!(row.first_live(), Some(began + Duration::from_secs(1)));
    assert_eq!(row.last_live(), Some(began + Duration::from_secs(3)));
    assert_eq!(row.rate(watch.now), Some(0.5));
    assert_eq!(row.usual_interval(), Some(Duration::from_secs(2)));
    assert_eq!(row.numbers().collect::<Vec<_>>(), [20.5, 21.0]);
    let Kind::Number(range) = row.kind() else {
        panic!()
    };
    assert_eq!((range.min, range.max, range.integer), (19.0, 21.0, false));
    let topics: Vec<_> = watch.table.rows().map(|row| row.topic()).collect();
    assert_eq!(topics, ["a", "b"]);
    assert_eq!(watch.table.left_out(), None);
    assert!(watch.table.row("c").is_none());
}

#[test]
fn a_retained_copy_of_what_came_live_is_no_news() {
    let mut watch = Watch::new();
    watch.live("a", "on").after(5.0).retained("a", "on");
    assert!(!watch.row("a").is_retained(), "it was seen live");
    assert!(watch.row("a").retained_seen());
    watch.retained("a", "off");
    assert!(watch.row("a").is_retained());
    assert_eq!(watch.row("a").payload(), b"off");
    let words = |watch: &Watch| match watch.row("a").kind() {
        Kind::Words(words) => words.iter().map(|(_, count)| count).collect::<Vec<_>>(),
        _ => panic!(),
    };
    assert_eq!(words(&watch), [1, 1]);
    watch.retained("a", "off").retained("a", "off");
    assert_eq!(words(&watch), [1, 1], "copies count once");
    let mut watch = Watch::new();
    watch.retained("a", "");
    assert!(watch.row("a").is_retained() && watch.row("a").retained_seen());
    let long = "x".repeat(3_000);
    watch.live("long", &long).retained("long", &long);
    assert!(watch.row("long").is_retained(), "nobody can tell any more");
}

#[test]
fn the_ring_keeps_the_last_numbers_in_order() {
    let mut watch = Watch::new();
    for n in 0..40 {
        watch.live("a", &n.to_string());
        if n % 3 == 0 {
            watch.live("a", "unavailable");
        }
        let numbers: Vec<_> = watch.row("a").numbers().collect();
        let first = (n + 1_u32).saturating_sub(RECENT_NUMBERS as u32);
        let expected: Vec<_> = (first..=n).map(f64::from).collect();
        assert_eq!(numbers, expected);
    }
    assert_eq!(watch.row("a").kind().word(), "number");
    assert!(watch.row("a").is_mixed());
}

#[test]
fn the_kind_follows_a_lasting_change_and_not_an_exception() {
    let mut watch = Watch::new();
    let numbers = ["1", "2", "n/a", "n/a", "3", "4", "n/a"];
    for payload in numbers {
        watch.live("a", payload);
    }
    assert_eq!(watch.row("a").kind().word(), "number");
    watch.live("a", "{\"a\":1}").live("a", "{\"a\":2}");
    watch.after(1.0).live("a", "{\"a\":3}");
    watch.after(1.0).live("a", "{\"a\":4}");
    assert_eq!(watch.row("a").kind().word(), "json");
    assert!(watch.row("a").is_mixed());
    watch.live("b", "").live("b", "5").live("b", "");
    assert_eq!(watch.row("b").kind().word(), "number");
    assert!(!watch.row("b").is_mixed());
}

#[test]
fn json_is_sampled_once_a_second_for_each_topic() {
    let mut watch = Watch::new();
    for n in 0..31 {
        watch.live("a", &format!("{{\"f{n}\":1}}"));
        watch.live(&format!("other/{n}"), &format!("{{\"f{n}\":1}}"));
        watch.after(0.1);
    }
    let fields = |topic: &str| match watch.row(topic).kind() {
        Kind::Json(shape) => shape.fields().map(|it| it.0.to_owned()).collect::<Vec<_>>(),
        kind => panic!("{kind:?}"),
    };
    assert_eq!(fields("a"), ["f0", "f10", "f20", "f30"]);
    assert_eq!(fields("other/7"), ["f7"]);
    assert_eq!(watch.row("a").payload(), b"{\"f30\":1}");
}

#[test]
fn silence_is_judged_by_the_rhythm_and_by_what_was_listened_to() {
    use Silence::{Live, OnlyRetained, Unknown};
    let mut watch = Watch::new();
    watch.retained("r", "1").after(1e6);
    assert_eq!(watch.silence("r"), OnlyRetained);
    watch.interrupted();
    assert_eq!(watch.silence("r"), OnlyRetained);

    let mut watch = Watch::new();
    watch.live("one", "1");
    assert_eq!(watch.silence("one"), Unknown);
    watch.after(1e6);
    assert_eq!(watch.silence("one"), Unknown);

    let mut watch = Watch::new();
    watch.every(5.0, 30, "a").after(14.0);
    assert_eq!(watch.silence("a"), Live);
    watch.after(2.0);
    assert_eq!(watch.silence("a"), watch.stopped(16.0));
    watch.retained("a", "29").after(1.0);
    assert_eq!(watch.silence("a"), watch.stopped(17.0), "no sign of life");
    watch.live("a", "1");
    assert_eq!(watch.silence("a"), Live);
}

#[test]
fn gaps_are_no_silence_and_no_interval() {
    use Silence::{Live, Unknown};
    let mut watch = Watch::new();
    watch
        .every(5.0, 30, "a")
        .after(3.0)
        .interrupted()
        .after(100.0);
    assert_eq!(watch.silence("a"), Unknown, "nobody listened");
    watch.resumed().after(4.0);
    assert_eq!(watch.silence("a"), Unknown, "too early to tell");
    watch.after(12.0);
    assert_eq!(watch.silence("a"), watch.stopped(119.0));
    watch.every(5.0, 1, "a");
    assert_eq!(watch.silence("a"), Live);
    assert_eq!(
        watch.row("a").rate(watch.now),
        Some(0.2),
        "the gap is no interval"
    );
    watch.after(2.0).interrupted().after(50.0).live("b", "1");
    watch.after(4.0);
    assert_eq!(watch.silence("a"), Unknown, "a message ends a gap");
    watch.live("a", "1");
    assert_eq!(watch.row("a").rate(watch.now), Some(0.2));

    // What had stopped before the gap has stopped.
    let mut watch = Watch::new();
    watch
        .every(5.0, 30, "a")
        .after(60.0)
        .interrupted()
        .after(60.0);
    assert_eq!(watch.silence("a"), watch.stopped(120.0));
    watch.interrupted().resumed().after(1.0);
    assert_eq!(watch.silence("a"), watch.stopped(121.0));
    watch.live("a", "1");
    assert_eq!(watch.silence("a"), Live);
    // Short times of listening add up to none.
    watch.interrupted();
    for _ in 0..100 {
        watch.resumed().after(10.0).interrupted().after(3.0);
    }
    assert_eq!(watch.silence("a"), Unknown);
}

/// A device that reports at intervals, give or take a fifth, until it dies.
struct Device {
    topic: String,
    interval: f64,
    next: f64,
    dies: f64,
}

/// Two hours of fifty devices and an unsteady connection: those that live are never said to have stopped, and those that
/// died are, once somebody has listened for six of their intervals.
#[test]
fn the_dead_are_told_from_the_living_whatever_the_connection_does() {
    let mut random = fastrand::Rng::with_seed(5);
    let (mut found_dead, mut living) = (0, 0);
    for _ in 0..2 {
        let mut watch = Watch::new();
        let mut devices: Vec<Device> = (0..50)
            .map(|n| Device {
                topic: format!("d/{n}"),
                interval: 5.0 + 55.0 * random.f64(),
                next: 60.0 * random.f64(),
                dies: [f64::MAX, 7200.0 * random.f64()][usize::from(n % 3 == 0)],
            })
            .collect();
        let (mut listened_from, mut next_turn) = (Some(0.0), 0.0);
        for second in 0..7_200 {
            let time = f64::from(second);
            watch.after(1.0);
            if time >= next_turn {
                if listened_from.take().is_some() {
                    watch.interrupted();
                    next_turn = time + 300.0 * random.f64();
                } else {
                    listened_from = Some(time);
                    watch.resumed();
                    next_turn = time + 1_200.0 * random.f64();
                }
            }
            for device in &mut devices {
                if time >= device.next && time < device.dies {
                    device.next += device.interval * (0.8 + 0.4 * random.f64());
                    if listened_from.is_some() {
                        watch.live(&device.topic, "1");
                    }
                }
                let Some(row) = watch.table.row(&device.topic) else {
                    continue;
                };
                let silence = row.silence(watch.now);
                if time < device.dies {
                    assert!(!matches!(silence, Silence::Stopped { .. }), "{time}");
                    living += usize::from(silence == Silence::Live);
                } else if let (Some(from), 20..) = (listened_from, row.count()) {
                    if time > device.dies.max(from) + 6.0 * device.interval + 2.0 {
                        assert!(matches!(silence, Silence::Stopped { .. }), "{time}");
                        found_dead += 1;
                    }
                }
            }
        }
    }
    assert!(
        found_dead > 10_000 && living > 100_000,
        "{found_dead} {living}"
    );
}

#[test]
fn copies_make_counts_upper_bounds_and_no_rhythm() {
    let mut watch = Watch::new();
    for n in 0..10 {
        let value = n.to_string();
        watch.copy("a", &value).after(0.01).copy("a", &value);
        watch.after(4.99);
    }
    assert_eq!(watch.row("a").count(), 20);
    assert!(watch.row("a").is_upper_bound());
    let usual = watch.row("a").usual_interval().unwrap();
    assert!(usual > Duration::from_secs(4), "{usual:?}");
    watch.copy("b", "1").after(0.1).copy("b", "2");
    assert!(watch.row("b").rate(watch.now).is_some(), "two values");
}

#[test]
fn rows_that_are_not_kept_go_and_the_others_are_found() {
    let mut watch = Watch::new();
    for n in 0..1_000 {
        watch.live(&format!("t/{n}"), &n.to_string());
    }
    let full = watch.table.bytes();
    watch.table.retain(|topic| topic.ends_with('7'));
    assert_eq!(watch.table.len(), 100);
    assert!(watch.table.bytes() < full / 5);
    for n in 0..1_000 {
        let row = watch.table.row(&format!("t/{n}"));
        let payload = row.map(|row| row.payload().to_vec());
        let expected = (n % 10 == 7).then(|| n.to_string().into_bytes());
        assert_eq!(payload, expected);
    }
    watch.live("t/7", "again").live("new", "1");
    assert_eq!(watch.row("t/7").count(), 2);
    assert_eq!(watch.table.len(), 101);
    watch.table.retain(|_| false);
    assert!(watch.table.is_empty());
    assert_eq!(watch.table.bytes(), 0);
}

#[test]
fn topics_beyond_the_limit_are_counted() {
    let mut table = Table::new(Limits {
        topics: 100,
        ..ROOMY
    });
    let now = Instant::now();
    for round in 1..=3_u64 {
        for n in 0..150 {
            table.message(now, &format!("t/{n}"), b"1", false, false);
        }
        let left_out = table.left_out().unwrap();
        assert_eq!((table.len(), left_out.messages), (100, 50 * round));
        assert!(
            (45..=50).contains(&left_out.topics_at_least),
            "{left_out:?}"
        );
        assert_eq!(left_out.limit, Limit::Topics);
    }
    assert!(table.rows().all(|row| row.count() == 3));
    table.forget_left_out();
    assert_eq!(table.left_out(), None);
    table.message(now, "other", b"1", false, false);
    assert_eq!(table.left_out().unwrap().topics_at_least, 1);
    table.retain(|_| false);
    assert_eq!(table.left_out(), None);
}

/// Whatever comes, the bytes stay within the limit and are what the rows hold.
#[test]
fn the_bytes_stay_within_the_limit() {
    let limit = 256 * 1024;
    let mut random = fastrand::Rng::with_seed(11);
    let mut table = Table::new(Limits {
        topics: 10_000,
        bytes: limit,
    });
    let (mut now, mut rejected, mut cut) = (Instant::now(), 0_u64, 0);
    let mut counts: HashMap<String, u64> = HashMap::new();
    for _ in 0..30_000 {
        let topic = format!("t/{}", random.u32(..3_000));
        let payload = match random.u32(..6) {
            0 => "x".repeat(random.usize(..2_000)),
            1 => format!("{{\"a{}\":{{\"b\":1,\"c\":\"x\"}}}}", random.u32(..40)),
            2 => format!("word {}", random.u32(..20)),
            3 => String::new(),
            _ => random.f64().to_string(),
        };
        now += Duration::from_millis(random.u64(..100));
        let known = table.row(&topic).is_some();
        table.message(now, &topic, payload.as_bytes(), false, false);
        assert!(table.bytes() <= limit, "{}", table.bytes());
        match table.row(&topic) {
            Some(row) => {
                *counts.entry(topic.clone()).or_default() += 1;
                assert_eq!(Some(&row.count()), counts.get(&topic));
                assert_eq!(row.payload_length(), payload.len());
                assert!(payload.as_bytes().starts_with(row.payload()));
                cut += usize::from(row.is_cut() && payload.len() <= 1024);
            }
            None => {
                assert!(!known, "a row never goes by itself");
                rejected += 1;
            }
        }
    }
    let left_out = table.left_out().unwrap();
    assert_eq!(left_out.messages, rejected);
    assert_eq!(left_out.limit, Limit::Bytes);
    assert!(
        table.len() > 300 && cut > 0,
        "{} rows, {cut} cut",
        table.len()
    );
    let heap: usize = table.rows().map(|row| row.record.heap()).sum();
    assert_eq!(table.heap, heap);
}

#[test]
fn records_are_small() {
    assert!(size_of::<Record>() <= 136, "{}", size_of::<Record>());
}

/// The plant of the measurements: numbers of 64 bytes.
fn ten_thousand_topics(rounds: usize) -> Table {
    let mut table = Table::new(ROOMY);
    let now = Instant::now();
    let topics: Vec<String> = (0..10_000)
        .map(|n| format!("site/line{:02}/motor{:02}/s{n:05}", n / 1_000, n / 100 % 10))
        .collect();
    for round in 0..rounds {
        let now = now + Duration::from_secs(round as u64);
        for (n, topic) in topics.iter().enumerate() {
            let payload = format!("{:<64}", (n + round) as f64 / 8.0);
            table.message(now, topic, payload.as_bytes(), false, false);
        }
    }
    table
}

#[test]
fn ten_thousand_topics_of_numbers_fit_uncut() {
    let table = ten_thousand_topics(17);
    assert_eq!((table.len(), table.left_out()), (10_000, None));
    assert!(table.rows().all(|row| !row.is_cut() && row.count() == 17));
    assert!(table.bytes() <= ROOMY.bytes, "{}", table.bytes());
    assert!(
        table
            .rows()
            .all(|row| row.numbers().count() == RECENT_NUMBERS)
    );
}

/// The time that this thread had on a processor.
fn cpu_nanos() -> u64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    times.split(' ').next().unwrap().parse().unwrap()
}

/// The memory of this process.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    line.unwrap().trim_end_matches("kB").trim().parse().unwrap()
}

/// What a message costs: run with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
fn the_cost_of_a_message() {
    let before = resident_kib();
    let mut table = ten_thousand_topics(17);
    let (grown, bytes) = (resident_kib() - before, table.bytes() / 1024);
    println!("{grown} KiB resident, about 700 of them the names here; {bytes} KiB as counted");
    let topics: Vec<String> = table.rows().map(|row| row.topic().to_owned()).collect();
    let number = format!("{:<64}", 21.53);
    let json = r#"{"temperature":21.5,"humidity":40,"battery":97,"linkquality":120}"#;
    for (name, payload) in [("number", number.as_str()), ("json", json)] {
        let mut random = fastrand::Rng::with_seed(1);
        // Copies that lie in a row, as messages do in a buffer.
        let order: Vec<String> = (0..400_000)
            .filter_map(|_| topics.get(random.usize(..topics.len())).cloned())
            .collect();
        let (begun, cpu) = (Instant::now(), cpu_nanos());
        for (n, topic) in order.iter().enumerate() {
            let now = begun + Duration::from_micros(100 * n as u64);
            table.message(now, topic, payload.as_bytes(), false, false);
        }
        let each = (cpu_nanos() - cpu) / order.len() as u64;
        let mut map: HashMap<String, Vec<u8>> = HashMap::new();
        for topic in &topics {
            map.insert(topic.clone(), payload.into());
        }
        let cpu = cpu_nanos();
        for topic in &order {
            if let Some(known) = map.get_mut(topic) {
                known.clear();
                known.extend_from_slice(payload.as_bytes());
            }
        }
        let plain = (cpu_nanos() - cpu) / order.len() as u64;
        let bytes = table.bytes();
        println!("{name}: {each} ns of CPU a message ({plain} in a plain map), {bytes} bytes");
    }
    let begun = Instant::now();
    let live = table
        .rows()
        .filter(|row| row.silence(begun) == Silence::Live);
    println!("{} live: {:?} for all rows", live.count(), begun.elapsed());
}
