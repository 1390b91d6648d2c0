//! The line of the plant: motors that follow a setpoint, one of which is overloaded now and then.
//!
//! Promises: the speed settles within 10 rpm of an unchanged setpoint in about ten seconds; a command is always
//! answered by the setpoint that holds then; the first current after an `overload` shows it.

use fastrand::Rng;
use mcpmqtt_protocol::QoS;
use serde_json::Value;

use super::outbox::Outbox;

/// Four motors; `motor4` stands still at first.
#[derive(Debug)]
pub(super) struct Line {
    motors: [Motor; 4],
}

#[derive(Debug)]
struct Motor {
    name: &'static str,
    setpoint: f64,
    /// Without the ripple that the sensor shows.
    rpm: f64,
    current: f64,
    overload: Option<Overload>,
}

/// The overloads of a motor that has them.
#[derive(Debug)]
struct Overload {
    present: bool,
    /// Steps until it comes or goes.
    remaining: u32,
}

impl Line {
    pub(super) fn new(random: &mut Rng) -> Self {
        let mut motors = [
            Motor::new("motor1", 1450.0),
            Motor::new("motor2", 1450.0),
            Motor::new("motor3", 2200.0),
            Motor::new("motor4", 0.0),
        ];
        let [_, _, third, _] = &mut motors;
        third.overload = Some(Overload {
            present: false,
            remaining: random.u32(15..=30),
        });
        Self { motors }
    }

    /// What is published only when it changes.
    pub(super) fn report_states(&self, out: &mut Outbox) {
        for motor in &self.motors {
            motor.report_setpoint(out);
            motor.report_alarm(out);
        }
    }

    /// About one second passes.
    pub(super) fn step(&mut self, random: &mut Rng, out: &mut Outbox) {
        for motor in &mut self.motors {
            motor.step(random, out);
        }
    }

    /// A command to set the speed of the motor `name`.
    pub(super) fn set(&mut self, name: &str, command: &str, out: &mut Outbox) {
        let Some(motor) = self.motors.iter_mut().find(|motor| motor.name == name) else {
            return;
        };
        let wanted = serde_json::from_str::<Value>(command).ok();
        let wanted = wanted.and_then(|wanted| wanted.as_f64());
        if let Some(wanted) = wanted.filter(|rpm| (0.0..=MAX_RPM).contains(rpm)) {
            // Without the sign of `-0`.
            motor.setpoint = wanted.round().abs();
        }
        motor.report_setpoint(out);
    }

    /// Of all motors, in amperes.
    pub(super) fn current(&self) -> f64 {
        self.motors.iter().map(|motor| motor.current).sum()
    }
}

impl Motor {
    /// A motor that has long reached its setpoint.
    fn new(name: &'static str, setpoint: f64) -> Self {
        Self {
            name,
            setpoint,
            rpm: setpoint,
            current: 0.0,
            overload: None,
        }
    }

    fn step(&mut self, random: &mut Rng, out: &mut Outbox) {
        let alarm_changed = self.step_overload(random);
        let (speed_factor, extra_current) = if self.overloaded() {
            (0.85, 5.0)
        } else {
            (1.0, 0.0)
        };
        let missing = self.setpoint * speed_factor - self.rpm;
        self.rpm += missing * GAIN;
        let mut shown = 0.0;
        if self.rpm.max(self.setpoint) < STANDSTILL_RPM {
            self.rpm = 0.0;
            self.current = 0.0;
        } else {
            shown = (self.rpm + ripple(random, 5.0)).clamp(0.0, MAX_RPM);
            let acceleration = 0.001 * missing.max(0.0);
            self.current =
                0.8 + 0.002 * self.rpm + acceleration + extra_current + ripple(random, 0.1);
        }
        let name = self.name;
        out.value(format_args!("line/{name}/rpm"), format_args!("{shown:.0}"));
        // Before the current, so that the current before the alarm is that of the second before.
        if alarm_changed {
            self.report_alarm(out);
        }
        // Not retained: the current at an alarm is only for those who listened.
        out.push(
            format_args!("line/{name}/current"),
            format_args!("{:.1}", self.current),
            QoS::AtMostOnce,
            false,
        );
    }

    /// Returns whether the overload came or went. It comes only to a motor that runs, and goes when the motor is
    /// stopped.
    fn step_overload(&mut self, random: &mut Rng) -> bool {
        let running = self.rpm.min(self.setpoint) > STANDSTILL_RPM;
        let Some(overload) = &mut self.overload else {
            return false;
        };
        if running && overload.remaining > 0 {
            overload.remaining -= 1;
            return false;
        }
        if !running && !overload.present {
            return false;
        }
        overload.present = !overload.present;
        overload.remaining = if overload.present {
            random.u32(4..=7)
        } else {
            random.u32(30..=60)
        };
        true
    }

    fn overloaded(&self) -> bool {
        self.overload
            .as_ref()
            .is_some_and(|overload| overload.present)
    }

    fn report_setpoint(&self, out: &mut Outbox) {
        let Self { name, setpoint, .. } = self;
        out.state(
            format_args!("line/{name}/setpoint"),
            format_args!("{setpoint:.0}"),
        );
    }

    fn report_alarm(&self, out: &mut Outbox) {
        let alarm = if self.overloaded() { "overload" } else { "ok" };
        out.state(
            format_args!("line/{}/alarm", self.name),
            format_args!("{alarm}"),
        );
    }
}

fn ripple(random: &mut Rng, most: f64) -> f64 {
    (random.f64() * 2.0 - 1.0) * most
}

/// The highest speed of a motor.
const MAX_RPM: f64 = 3000.0;

/// The part of the missing speed that a motor gains in one step: 0.1 % of it is left after ten.
const GAIN: f64 = 0.5;

/// Below it a motor stands.
const STANDSTILL_RPM: f64 = 10.0;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn line(seed: u64) -> (Line, Rng) {
        let mut random = Rng::with_seed(seed);
        (Line::new(&mut random), random)
    }

    /// One step, as topics and payloads.
    fn step(line: &mut Line, random: &mut Rng) -> Vec<(String, String)> {
        let mut out = Outbox::default();
        line.step(random, &mut out);
        texts(&out)
    }

    fn set(line: &mut Line, name: &str, command: &str) -> Vec<(String, String)> {
        let mut out = Outbox::default();
        line.set(name, command, &mut out);
        texts(&out)
    }

    fn texts(out: &Outbox) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().to_owned();
        let messages = out.messages.iter();
        messages
            .map(|message| (message.topic.to_string(), text(&message.payload)))
            .collect()
    }

    fn number(seen: &[(String, String)], topic: &str) -> f64 {
        let (_, payload) = seen.iter().find(|(seen, _)| seen == topic).unwrap();
        payload.parse().unwrap()
    }

    #[test]
    fn each_motor_settles_within_the_tolerance_and_ripples_there() {
        for seed in 0..50 {
            let (mut line, mut random) = line(seed);
            for (name, command, was) in [
                ("motor1", "2600", 1450.0),
                ("motor2", " 300.0\n", 1450.0),
                ("motor4", "3000", 0.0),
            ] {
                let wanted: f64 = command.trim().parse().unwrap();
                let answer = set(&mut line, name, command);
                let setpoint = format!("line/{name}/setpoint");
                assert_eq!(answer, [(setpoint, format!("{wanted}"))]);
                let topic = format!("line/{name}/rpm");
                let first = number(&step(&mut line, &mut random), &topic);
                assert!(
                    (first - wanted).abs() > 100.0 && (first - was).abs() > 100.0,
                    "{name} went from {was} to {first} of {wanted} at once"
                );
                for _ in 0..10 {
                    step(&mut line, &mut random);
                }
                let mut values = Vec::new();
                for _ in 0..60 {
                    let rpm = number(&step(&mut line, &mut random), &topic);
                    assert!((rpm - wanted).abs() <= 10.0, "{name} {rpm} of {wanted}");
                    values.push(rpm);
                }
                values.dedup();
                assert!(values.len() > 10, "no ripple: {values:?}");
            }
        }
    }

    #[test]
    fn a_motor_that_is_stopped_stands_and_draws_nothing() {
        let (mut line, mut random) = line(7);
        set(&mut line, "motor1", "0");
        let mut seen = Vec::new();
        for _ in 0..15 {
            seen = step(&mut line, &mut random);
        }
        assert_eq!(number(&seen, "line/motor1/rpm"), 0.0);
        assert_eq!(number(&seen, "line/motor1/current"), 0.0);
    }

    #[test]
    fn a_command_out_of_range_changes_nothing_and_the_setpoint_says_so() {
        let (mut line, _) = line(7);
        let kept = [("line/motor1/setpoint".to_owned(), "1450".to_owned())];
        for command in [
            "3001",
            "-1",
            "NaN",
            "inf",
            "fast",
            "",
            "\"1\"",
            "{\"rpm\":1}",
        ] {
            assert_eq!(set(&mut line, "motor1", command), kept, "{command}");
        }
        assert!(set(&mut line, "motor9", "100").is_empty());
        assert_eq!(set(&mut line, "motor1", "-0")[0].1, "0");
    }

    #[test]
    fn an_alarm_comes_now_and_then_and_the_current_changes_at_that_moment() {
        for seed in 0..50 {
            let (mut line, mut random) = line(seed);
            let (mut before, mut alarms, mut since) = (0.0, 0, 0);
            for _ in 0..600 {
                let seen = step(&mut line, &mut random);
                since += 1;
                let current = number(&seen, "line/motor3/current");
                let alarm = seen.iter().position(|(topic, _)| topic.ends_with("/alarm"));
                if let Some(at) = alarm {
                    assert_eq!(seen[at].0, "line/motor3/alarm");
                    let later = &seen[at + 1..];
                    assert_eq!(number(later, "line/motor3/current"), current);
                    if seen[at].1 == "overload" {
                        assert!(current > before + 3.0, "{before} → {current}");
                        assert!((15..=65).contains(&since), "after {since} steps");
                        alarms += 1;
                    } else {
                        assert_eq!(seen[at].1, "ok");
                        assert!(current < before - 3.0, "{before} → {current}");
                        assert!((5..=8).contains(&since), "lasted {since} steps");
                    }
                    since = 0;
                } else if before > 0.0 {
                    assert!((current - before).abs() < 1.0, "{before} → {current}");
                }
                before = current;
            }
            assert!(alarms >= 8, "{alarms}");
        }
    }

    #[test]
    fn stopping_the_motor_ends_its_alarm_and_a_standing_one_has_none() {
        let (mut line, mut random) = line(7);
        let alarm = ("line/motor3/alarm".to_owned(), "overload".to_owned());
        while !step(&mut line, &mut random).contains(&alarm) {}
        set(&mut line, "motor3", "0");
        let ended = ("line/motor3/alarm".to_owned(), "ok".to_owned());
        assert!(step(&mut line, &mut random).contains(&ended));
        for _ in 0..300 {
            let seen = step(&mut line, &mut random);
            assert!(!seen.iter().any(|(topic, _)| topic.ends_with("/alarm")));
        }
    }

    #[test]
    fn a_motor_draws_more_the_faster_it_runs() {
        let (mut line, mut random) = line(7);
        let mut last = 0.0;
        for rpm in ["300", "900", "1500", "2100", "2700"] {
            set(&mut line, "motor2", rpm);
            let mut seen = Vec::new();
            for _ in 0..15 {
                seen = step(&mut line, &mut random);
            }
            let current = number(&seen, "line/motor2/current");
            assert!(current > last + 0.5, "{rpm}: {last} → {current}");
            assert!(current < 7.5, "{rpm}: {current}");
            last = current;
        }
        assert!(line.current() > last);
    }
}
