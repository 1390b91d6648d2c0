//! What the table of observed topics adds to a message, and what it holds: 10,000 topics with numbers of 64 bytes.
//!
//! Prints the processor time per message in microseconds and the bytes that the table counts, as JSON.

use std::time::{Duration, Instant};

use mcpmqtt::observe::table::{Limits, Table};
use rustix::time::{ClockId, clock_gettime};

const TOPICS: usize = 10_000;
const ROUNDS: usize = 20;

fn main() {
    let limits = Limits {
        topics: TOPICS,
        bytes: 4 << 20,
    };
    let topics: Vec<String> = (0..TOPICS)
        .map(|n| {
            format!(
                "bench/line{}/motor{}/value{}",
                n / 1000,
                n / 10 % 100,
                n % 10
            )
        })
        .collect();
    let mut table = Table::new(limits);
    let mut now = Instant::now();
    let mut order: Vec<usize> = (0..TOPICS).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut used = Vec::new();
    for round in 0..=ROUNDS {
        random.shuffle(&mut order);
        // 64 bytes in each round.
        let number = 10 + round;
        let payload = format!("{number}.{number:061}");
        let before = clock_gettime(ClockId::ThreadCPUTime);
        for n in &order {
            now += Duration::from_micros(100);
            table.message(now, &topics[*n], payload.as_bytes(), false, false);
        }
        let after = clock_gettime(ClockId::ThreadCPUTime);
        let nanoseconds =
            (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec);
        // The first round makes the rows.
        if round > 0 {
            used.push(nanoseconds as f64 / 1000.0 / TOPICS as f64);
        }
    }
    used.sort_by(f64::total_cmp);
    println!(
        "{}",
        serde_json::json!({"message_us": used[used.len() / 2], "bytes": table.bytes(), "topics": table.len()})
    );
}
