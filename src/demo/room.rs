//! One room of the plant: its climate and its light. Either may have a fault that no command mends.

use fastrand::Rng;

use super::outbox::Outbox;

/// Temperature and humidity that move a little with each step, and a light that warms the room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: &'static str,
    pub(super) light: Light,
    temperature: Drift,
    humidity: Drift,
    fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The sensor has died: the broker keeps what it measured last, and nothing comes any more.
    DeadSensor,
    /// The light takes its commands and stays as it is.
    StuckLight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Light {
    On,
    Off,
}

/// A value that wanders about its place of rest.
#[derive(Debug)]
struct Drift {
    value: f64,
    rest: f64,
    /// The most it moves by chance in one step.
    stir: f64,
}

impl Room {
    /// A room with its light off, at `temperature` °C and `humidity` %RH.
    pub(super) fn new(
        name: &'static str,
        temperature: f64,
        humidity: f64,
        fault: Option<Fault>,
    ) -> Self {
        Self {
            name,
            light: Light::Off,
            temperature: Drift::new(temperature, 0.05),
            humidity: Drift::new(humidity, 0.15),
            fault,
        }
    }

    /// About one second passes.
    pub(super) fn step(&mut self, random: &mut Rng) {
        let warmth = match self.light {
            Light::On => LAMP_WARMTH,
            Light::Off => 0.0,
        };
        self.temperature.step(warmth, random);
        // Warmer air with the same water in it is relatively drier.
        self.humidity.step(-3.0 * warmth, random);
    }

    /// The light does as it is told, or not. Its state is to be reported either way.
    pub(super) fn switch(&mut self, light: Light) {
        if self.fault != Some(Fault::StuckLight) {
            self.light = light;
        }
    }

    /// In °C, to a tenth. `None` when the sensor does not answer.
    pub(super) fn temperature(&self) -> Option<f64> {
        self.sensor_lives().then(|| self.temperature.shown())
    }

    /// In %RH, to a tenth. `None` when the sensor does not answer.
    pub(super) fn humidity(&self) -> Option<f64> {
        self.sensor_lives().then(|| self.humidity.shown())
    }

    /// What is published only when it changes, and the last values of a dead sensor: to be called once, before any
    /// client is there.
    pub(super) fn report_at_start(&self, out: &mut Outbox) {
        self.report_light(out);
        if !self.sensor_lives() {
            self.report_climate(out);
        }
    }

    /// What comes every second.
    pub(super) fn report(&self, out: &mut Outbox) {
        if self.sensor_lives() {
            self.report_climate(out);
        }
    }

    pub(super) fn report_light(&self, out: &mut Outbox) {
        let state = self.light.name();
        out.state(
            format_args!("status/lights/{}", self.name),
            format_args!("{state}"),
        );
    }

    fn report_climate(&self, out: &mut Outbox) {
        let name = self.name;
        for (quantity, value) in [
            ("temperature", self.temperature.value),
            ("humidity", self.humidity.value),
        ] {
            out.value(
                format_args!("sensors/{name}/{quantity}"),
                format_args!("{value:.1}"),
            );
        }
    }

    fn sensor_lives(&self) -> bool {
        self.fault != Some(Fault::DeadSensor)
    }
}

impl Light {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "on" => Some(Self::On),
            "off" => Some(Self::Off),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

impl Drift {
    fn new(rest: f64, stir: f64) -> Self {
        let value = rest;
        Self { value, rest, stir }
    }

    /// The pull back grows with the distance, so the value stays within
    /// `stir / PULL` of its place of rest.
    fn step(&mut self, shift: f64, random: &mut Rng) {
        let chance = (random.f64() * 2.0 - 1.0) * self.stir;
        self.value += (self.rest + shift - self.value) * PULL + chance;
    }

    fn shown(&self) -> f64 {
        (self.value * 10.0).round() / 10.0
    }
}

/// How far a value goes back to its place of rest in one step.
const PULL: f64 = 0.03;

/// Kelvins that a light adds in the end: seen within a minute, and the room stays comfortable.
const LAMP_WARMTH: f64 = 1.5;
