//! One room of the plant: its climate and its light.

use fastrand::Rng;

/// Temperature and humidity that move a little with each step, and a light that warms the room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: &'static str,
    pub(super) light: Light,
    temperature: Drift,
    humidity: Drift,
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
    pub(super) fn new(name: &'static str, temperature: f64, humidity: f64) -> Self {
        Self {
            name,
            light: Light::Off,
            temperature: Drift::new(temperature, 0.05),
            humidity: Drift::new(humidity, 0.15),
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

    /// In °C, to a tenth.
    pub(super) fn temperature(&self) -> f64 {
        self.temperature.shown()
    }

    /// In %RH, to a tenth.
    pub(super) fn humidity(&self) -> f64 {
        self.humidity.shown()
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
