//! Any text as a configuration file: it is understood, or refused in words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcpmqtt_config::Config;

fuzz_target!(|text: &str| {
    match Config::parse(text) {
        Ok((config, findings)) => {
            assert!(!format!("{config:?}").is_empty());
            for finding in findings {
                assert!(!finding.to_string().is_empty());
            }
        }
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
});
