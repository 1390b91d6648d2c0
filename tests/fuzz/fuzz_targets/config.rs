//! Any bytes as a configuration file: they are understood, or refused in words and with the line of the fault.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcpmqtt_config::Config;

fuzz_target!(|bytes: &[u8]| {
    match Config::parse_bytes(bytes) {
        Ok((config, findings)) => {
            assert!(!format!("{config:?}").is_empty());
            for finding in findings {
                assert!(!finding.to_string().is_empty());
            }
        }
        Err(refused) => {
            let text = refused.to_string();
            let is_place = text.starts_with("the file is not");
            assert!(!text.is_empty() && (!is_place || text.lines().count() == 3));
        }
    }
});
