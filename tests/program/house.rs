//! The program over HTTP on a socket file, connected to its broker.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::config::open_config;
use crate::common::mosquitto::Mosquitto;
use crate::common::process::{status_kb, ticks};
use crate::common::program::Program;
use crate::common::scratch::Scratch;

/// The key of its agents.
pub const KEY: &str = "first";

pub struct House {
    folder: Scratch,
    program: Program,
}

impl House {
    /// With these `limits` in its configuration.
    pub fn new(broker: &Mosquitto, limits: Value) -> House {
        let folder = Scratch::new();
        let mut config = open_config(broker.port);
        config["remote_server"] = json!({"uds": folder.path("socket"), "api_key": KEY});
        config["limits"] = limits;
        let path = folder.file("config.json", &config.to_string());
        let mut program = Program::over(&path);
        program.until("connected to the broker");
        House { folder, program }
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
