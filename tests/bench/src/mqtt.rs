//! What both MQTT clients are asked for, and how they report.
//!
//! usage: CLIENT PORT publish|receive|rtt QOS COUNT [TOPIC]
//!
//! Each prints one line of JSON. `receive` first prints `ready`, when it is subscribed.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::histogram::Histogram;
use crate::process::resident;

/// Bytes in each message, and messages under way at once.
pub const PAYLOAD: [u8; 64] = [b'x'; 64];
pub const WINDOW: usize = 100;

#[derive(Clone)]
pub struct Task {
    pub port: u16,
    pub mode: String,
    pub qos: u8,
    pub count: usize,
    pub topic: String,
}

impl Task {
    pub fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [port, mode, qos, count, rest @ ..] = arguments.as_slice() else {
            panic!("usage: CLIENT PORT publish|receive|rtt QOS COUNT [TOPIC]");
        };
        Self {
            port: port.parse().expect("a port"),
            mode: mode.clone(),
            qos: qos.parse().expect("a QoS"),
            count: count.parse().expect("a count"),
            topic: rest.first().map_or("bench/x", String::as_str).to_owned(),
        }
    }
}

/// Wall clock and the processor time of this process since it was made.
pub struct Stopwatch(Instant, Duration);

impl Stopwatch {
    pub fn start() -> Self {
        Self(Instant::now(), processor_time())
    }

    /// Prints what it came to, and how long the round trips took if there were any.
    pub fn report(self, count: usize, trips: &Histogram) {
        let (wall, cpu) = (self.0.elapsed(), processor_time() - self.1);
        println!(
            "{}",
            json!({"count": count, "wall": wall.as_secs_f64(), "cpu": cpu.as_secs_f64(),
                "resident": resident(std::process::id()), "trips": trips.both()})
        );
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
