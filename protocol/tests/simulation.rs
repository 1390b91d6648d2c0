//! Random schedules in a deterministic world: what must hold whatever happens.
//!
//! A failure prints its seed; `MCPMQTT_SEED=n cargo test --test simulation` replays that run alone.
//! `MCPMQTT_SCHEDULES=n` sets how many schedules are run.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod world;

use std::io::{Write as _, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use world::random::Random;
use world::reference::Habits;
use world::{Plan, Tally, WhichBroker, World};

/// Exactly once, at least once, one outcome, DUP, order, identifiers, budgets and deadlines: see
/// `world`. Sessions, the broker and its habits are drawn from the seed.
#[test]
fn every_property_holds_on_every_schedule() {
    let seeds = seeds();
    let start = Instant::now();
    let count = seeds.end - seeds.start;
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Tally::default());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let tally = run(seed);
                    total.lock().unwrap().add(&tally);
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    // Not `println!`, which a test that passes keeps for itself.
    let seconds = start.elapsed().as_secs_f64();
    let mut out = stderr();
    writeln!(out, "{count} schedules in {seconds:.0} s: {total:?}").unwrap();
    if count >= 1000 {
        assert!(total.cuts > count && total.resends > count / 2, "{total:?}");
        assert!(total.black_holes > count / 10 && total.restarts > count / 10);
        assert!(total.received > 5 * count);
    }
}

/// The same seed is the same run.
#[test]
fn a_run_can_be_replayed() {
    for seed in 0..300 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

fn run(seed: u64) -> Tally {
    let plan = plan(seed);
    let world = || World::new(seed, plan.clone()).run();
    catch_unwind(AssertUnwindSafe(world)).unwrap_or_else(|panic| {
        println!("replay with MCPMQTT_SEED={seed}: {plan:?}");
        resume_unwind(panic)
    })
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| Some(std::env::var(name).ok()?.parse::<u64>().unwrap());
    match (number("MCPMQTT_SEED"), number("MCPMQTT_SCHEDULES")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => 0..count,
        (None, None) => 0..10_000,
    }
}

fn plan(seed: u64) -> Plan {
    let mut random = Random::new(seed ^ 0x5DEE_CE66);
    let clean = match random.below(4) {
        0 | 1 => vec![false, false],
        2 => vec![true, false],
        _ => vec![true, true],
    };
    Plan {
        clean,
        broker: broker(&mut random),
        actions: random.pick(&[10, 40, 120]),
        wrap: random.below(200) == 0,
    }
}

fn broker(random: &mut Random) -> WhichBroker {
    let mut habits = Habits::default();
    match random.below(12) {
        0 => habits.forgets = true,
        1 => habits.no_dup = true,
        2 => habits.qos_1_only = true,
        3 => habits.eager_pubrec = true,
        4 | 5 => {}
        _ => return WhichBroker::BuiltIn,
    }
    WhichBroker::Reference(habits)
}
