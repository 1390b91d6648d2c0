//! The tank of the plant: it fills steadily, and a valve drains it.
//!
//! Promises: the level never moves by more than [`DRAIN`] in one step; it never stays full, and never runs empty. A
//! command is always answered by the state of the valve.

use fastrand::Rng;

use super::outbox::Outbox;

#[derive(Debug)]
pub(super) struct Tank {
    /// In percent.
    level: f64,
    open: bool,
    overflows: u32,
}

impl Tank {
    /// With its valve closed.
    pub(super) fn new(level: f64) -> Self {
        Self {
            level,
            open: false,
            overflows: 0,
        }
    }

    /// What is published only when it changes.
    pub(super) fn report_states(&self, out: &mut Outbox) {
        let count = self.overflows;
        out.state(format_args!("tank/overflows"), format_args!("{count}"));
        self.report_valve(out);
    }

    fn report_valve(&self, out: &mut Outbox) {
        let state = if self.open { "open" } else { "closed" };
        out.state(format_args!("tank/valve/state"), format_args!("{state}"));
    }

    /// About one second passes. The valve opens by itself when the tank is full, and closes by itself when it is nearly
    /// empty: a plant that is left alone stays worth watching.
    pub(super) fn step(&mut self, random: &mut Rng, out: &mut Outbox) {
        let unevenness = 0.9 + 0.1 * random.f64();
        self.level += unevenness * if self.open { -DRAIN } else { FILL };
        let full = self.level >= 100.0;
        let done = self.open && self.level <= LOWEST;
        self.level = self.level.min(100.0);
        out.value(
            format_args!("tank/level"),
            format_args!("{:.1}", self.level),
        );
        if full {
            self.open = true;
            self.overflows += 1;
            self.report_states(out);
        } else if done {
            self.open = false;
            self.report_valve(out);
        }
    }

    /// A command to the valve. What is no command is ignored.
    pub(super) fn set_valve(&mut self, command: &str, out: &mut Outbox) {
        self.open = match command.trim() {
            "open" => true,
            "close" | "closed" => false,
            _ => self.open,
        };
        self.report_valve(out);
    }
}

/// Percent that come in a step while the valve is closed. It is less than 1, so that who reacts to a level at once
/// catches it within 1.
const FILL: f64 = 0.5;

/// Percent that go in a step while the valve is open.
const DRAIN: f64 = 2.0;

/// Where the open valve closes by itself.
const LOWEST: f64 = 10.0;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    struct World {
        tank: Tank,
        random: Rng,
        /// The level that was published last.
        level: f64,
    }

    impl World {
        fn new(level: f64, seed: u64) -> Self {
            Self {
                tank: Tank::new(level),
                random: Rng::with_seed(seed),
                level,
            }
        }

        /// One step; what was published beside the level, as `topic=payload`.
        fn step(&mut self) -> Vec<String> {
            let mut out = Outbox::default();
            self.tank.step(&mut self.random, &mut out);
            let level = out.messages.remove(0);
            assert_eq!(level.topic.as_str(), "tank/level");
            assert!(level.retain);
            self.level = std::str::from_utf8(&level.payload)
                .unwrap()
                .parse()
                .unwrap();
            shown(&out)
        }

        fn command(&mut self, command: &str) -> Vec<String> {
            let mut out = Outbox::default();
            self.tank.set_valve(command, &mut out);
            shown(&out)
        }
    }

    fn shown(out: &Outbox) -> Vec<String> {
        let messages = out.messages.iter();
        messages
            .map(|m| format!("{}={}", m.topic, String::from_utf8_lossy(&m.payload)))
            .collect()
    }

    #[test]
    fn the_tank_reaches_any_level_and_who_reacts_at_once_drains_it_within_one_percent() {
        for seed in 0..50 {
            for wanted in [31.0, 55.5, 80.0, 99.0] {
                let mut world = World::new(30.0, seed);
                let mut steps = 0;
                while world.level < wanted {
                    let before = world.level;
                    assert!(world.step().is_empty());
                    assert!((0.3..=0.6).contains(&(world.level - before)), "unsteady");
                    steps += 1;
                }
                assert!(f64::from(steps) <= (wanted - 30.0) / 0.45 + 1.0);
                assert_eq!(world.command("open"), ["tank/valve/state=open"]);
                let (mut highest, from) = (world.level, world.level);
                for _ in 0..10 {
                    world.step();
                    highest = highest.max(world.level);
                }
                assert!(highest <= wanted + 1.0, "{highest}");
                assert!(world.level <= from - 10.0, "{from} → {}", world.level);
                assert_eq!(world.command(" close\n"), ["tank/valve/state=closed"]);
                let lowest = world.level;
                world.step();
                assert!(world.level > lowest);
            }
        }
    }

    #[test]
    fn a_tank_that_is_left_alone_overflows_and_is_counted_and_goes_on() {
        let mut world = World::new(30.0, 7);
        let mut said = Vec::new();
        let mut levels = Vec::new();
        for _ in 0..520 {
            let states = world.step();
            if !states.is_empty() {
                levels.push(world.level);
            }
            said.extend(states);
        }
        let expected = [
            "tank/overflows=1",
            "tank/valve/state=open",
            "tank/valve/state=closed",
            "tank/overflows=2",
            "tank/valve/state=open",
        ];
        assert_eq!(said[..5], expected);
        assert_eq!((levels[0], levels[2]), (100.0, 100.0));
        assert!((8.0..=10.0).contains(&levels[1]), "{}", levels[1]);
    }

    #[test]
    fn what_is_no_command_moves_nothing_and_is_answered() {
        let mut world = World::new(50.0, 7);
        for command in ["", "OPENED", "1", "ignore your limits"] {
            assert_eq!(world.command(command), ["tank/valve/state=closed"]);
        }
        assert_eq!(world.command("open"), ["tank/valve/state=open"]);
        assert_eq!(world.command("?"), ["tank/valve/state=open"]);
        assert_eq!(world.command("closed"), ["tank/valve/state=closed"]);
    }
}
