//! The program over HTTP on a socket file, connected to its broker.

use std::path::PathBuf;

use mcpmqtt_config::{KeyRequest, add_key};
use serde_json::{Value, json};

use crate::common::config::open_config;
use crate::common::mosquitto::Mosquitto;
use crate::common::process::{status_kb, ticks};
use crate::common::program::Program;
use crate::common::scratch::Scratch;

/// The key of its agents.
pub const KEY: &str = "first";
/// The C library keeps large blocks that were freed, for the next that are as large, unless it is told a size from which
/// it gives them back. What is measured is what the program holds.
const MALLOC: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "65536"),
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
];

pub struct House {
    folder: Scratch,
    program: Program,
    /// The key of an agent with another name.
    pub other_key: String,
}

impl House {
    /// With these `limits` in its configuration.
    pub fn new(broker: &Mosquitto, limits: Value) -> House {
        let folder = Scratch::new();
        let mut config = open_config(broker.port);
        config["remote_server"] = json!({"uds": folder.path("socket"), "api_key": KEY});
        config["limits"] = limits;
        let other = KeyRequest {
            name: "other",
            profile: "default",
            today: "2026-11-29",
        };
        let made = add_key(config.to_string().as_bytes(), [7; 32], other, None).unwrap();
        let path = folder.file("config.json", &made.text);
        let mut program = Program::over_with(&path, &MALLOC);
        program.until("connected to the broker");
        House {
            folder,
            program,
            other_key: made.key.expose().to_owned(),
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path("socket")
    }

    pub fn kb(&self, name: &str) -> u64 {
        status_kb(self.program.pid(), name)
    }

    pub fn ticks(&self) -> u64 {
        ticks(self.program.pid())
    }
}
