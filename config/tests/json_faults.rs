//! A file that is not JSON: whatever is wrong with it, the words are ours, the caret stands under the fault, and no
//! secret is shown. What each fault is called is held word for word by the corpus (`tests/invalid/json_*`).
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use mcpmqtt_config::Config;

/// The text of the one problem of a file that cannot be read.
fn fault(bytes: &[u8]) -> String {
    let refused = Config::parse_bytes(bytes).unwrap_err();
    assert_eq!(refused.problems.len(), 1, "{refused}");
    refused.to_string()
}

/// The character above the caret.
fn above_the_caret(text: &str) -> Option<char> {
    let mut lines = text.lines().skip(1);
    let (line, caret) = (lines.next()?, lines.next()?);
    assert_eq!(lines.next(), None, "{text}");
    let column = caret.chars().position(|c| c == '^')?;
    line.chars().nth(column)
}

/// What the system's bookkeeping may be off.
const GRAIN: Duration = Duration::from_millis(4);

/// What this thread took of the processor, which other programs do not change.
fn processor_time() -> Duration {
    // The system brings the figure up to date when it changes threads.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn the_caret_stands_under_the_fault() {
    let long = format!(r#"{{"a": "{}", @"#, "x".repeat(500));
    let after = format!(r#"{{"a": @{}"#, "x".repeat(500));
    for text in [
        "@",
        "{\n\n  \"a\": @\n}",
        "{\t\"a\":\t\t@}",
        "{\"a\u{301}\u{301}b\": @}",
        "{\"\u{7f}\u{202e}\u{200b}\": @}",
        "{\"`\": @}",
        "\u{feff}{\"a\": @}",
        r#"{"password": "a long one that is not shown", "port": @}"#,
        &long,
        &after,
    ] {
        let said = fault(text.as_bytes());
        // Combining characters take no column of their own.
        let said = said.replace('\u{301}', "");
        assert_eq!(above_the_caret(&said), Some('@'), "{said}");
        assert!(
            said.lines().all(|line| line.chars().count() < 130),
            "{said}"
        );
    }
}

/// A wide character takes two columns: the caret stands as many columns further right as there are such characters.
#[test]
fn wide_characters_move_the_caret_by_two_columns() {
    let narrow = fault(br#"{"xxxx": @}"#);
    let wide = fault(r#"{"温度温度": @}"#.as_bytes());
    let spaces = |said: &str| said.lines().last().unwrap().chars().count();
    assert_eq!(spaces(&wide), spaces(&narrow) + 4);
    // The column is counted in characters all the same.
    assert!(narrow.contains("column 10") && wide.contains("column 10"));
}

#[test]
fn line_and_column_are_those_of_an_editor() {
    for (text, place) in [
        ("{\n\n\t@", "line 3, column 2:"),
        ("{\r\n\"a\": 1\r\n@", "line 3, column 1:"),
        ("{\"äöü\" @", "line 1, column 8:"),
        ("{\"a\": 1}\n\n\n}", "line 4, column 1:"),
        // The end is where the last token ends, not on the empty lines after it.
        ("{\"a\": 1\n\n\n", "line 1, column 8:"),
    ] {
        let said = fault(text.as_bytes());
        assert!(said.contains(place), "{place} in {said}");
    }
}

/// Words of `serde_json` 1 for a text that is not JSON.
const LIBRARY: [&str; 12] = [
    "EOF while",
    "expected value",
    "expected ident",
    "expected `",
    "key must be",
    "trailing characters",
    "control character (",
    "invalid ",
    "recursion limit",
    "number out of",
    "hex escape",
    "at line",
];

/// Faults put into good and bad files at every kind of place: the scanner that finds the words must find a fault
/// wherever `serde_json` found one, and never show a secret.
#[test]
fn every_broken_file_is_explained_in_our_words() {
    let mut seeds = Vec::new();
    for folder in ["tests/valid", "tests/invalid", "examples"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                seeds.push(std::fs::read(path).unwrap());
            }
        }
    }
    seeds.retain(|seed| seed.len() < 4_000);
    assert!(seeds.len() > 150);
    let pieces: [&[u8]; 28] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"'",
        b"\\",
        b"\\u",
        b"\\ud800",
        b"#",
        b"//",
        b"0",
        b"-",
        b".",
        b"1e999",
        b"true",
        b"nul",
        b" ",
        b"\n",
        b"\t",
        b"\0",
        b"\xff",
        b"\xc3",
        "“".as_bytes(),
        "温".as_bytes(),
        b"@",
    ];
    let mut random = 1_u64;
    let mut draw = |below: usize| {
        // A linear congruential generator; its high bits are good enough.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % below
    };
    let rounds = if std::env::var_os("MCPMQTT_TEST_FULL").is_some() {
        500
    } else {
        5
    };
    let mut explained = 0;
    for seed in &seeds {
        for _ in 0..rounds {
            let mut bytes = seed.clone();
            for _ in 0..=draw(3) {
                let at = draw(bytes.len() + 1);
                let end = (at + draw(4)).min(bytes.len());
                bytes.splice(at..end, pieces[draw(pieces.len())].iter().copied());
            }
            let Err(refused) = Config::parse_bytes(&bytes) else {
                continue;
            };
            let said = refused.to_string();
            if !said.starts_with("the file is not") {
                continue;
            }
            explained += 1;
            let shown = String::from_utf8_lossy(&bytes);
            assert!(said.contains("\n    "), "no line is shown: {said}\n{shown}");
            assert_eq!(said.lines().count(), 3, "{said}\n{shown}");
            let reason = said.lines().next().unwrap();
            for word in LIBRARY {
                assert!(!reason.contains(word), "{said}\n{shown}");
            }
            assert!(
                !said.contains(|c: char| c.is_control() && c != '\n'),
                "{said}"
            );
        }
    }
    assert!(explained > seeds.len() * rounds / 3, "{explained}");
}

/// The value of a key for secrets is not shown, wherever the fault is and however the value is written.
#[test]
fn no_secret_is_shown_beside_a_fault() {
    for key in [
        "password", "pass", "api_key", "apiKey", "salt", "hash", "token", "PASSWORD", "mqtt_pw",
    ] {
        for line in [
            r#"{"KEY": "hunter2", @}"#,
            r#"{"KEY": "hunter2" @}"#,
            r#"{@, "KEY": "hunter2"}"#,
            r#"{"KEY": "hunter2}"#,
            r#"{"KEY": "hun"hunter2"}"#,
            r#"{"KEY": "\"hunter2\q"}"#,
            r#"{"KEY": hunter2}"#,
            r#"{"KEY": 0hunter2}"#,
            r#"{"KEY": .0hunter2}"#,
            r#"{"KEY" "hunter2"#,
            r#"{"KEY" = "hunter2"}"#,
            r#"{'KEY': 'hunter2'}"#,
            r#"{KEY: "hunter2"}"#,
            r#"{“KEY”: “hunter2”}"#,
            r#"{"KEY": ["hunter2", @]}"#,
            "{\"KEY\":\n\"hunter2\"@}",
            "{\"KEY\": \"first\nhunter2\"}",
            "KEY: hunter2",
            "KEY = hunter2",
            "export MQTT_KEY=hunter2",
            "# comment\n[mqtt]\nKEY = hunter2",
            "KEY: |\n  hunter2",
            "{KEY hunter2}",
        ] {
            let text = line.replace("KEY", key);
            let said = fault(text.as_bytes());
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
    let said = fault(br#"{"mqtt": {"host": "mqtt://ada:hunter2@broker.example", @}"#);
    assert!(
        said.contains("broker.example") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn a_key_that_only_names_a_file_hides_nothing() {
    let said = fault(br#"{"password_file": "/etc/pw", "password_env": "PW", @}"#);
    assert!(
        said.contains("/etc/pw") && said.contains("\"PW\""),
        "{said}"
    );
}

#[test]
fn a_long_file_costs_no_more_than_its_length() {
    let time = |text: &str| {
        let run = || {
            let start = processor_time();
            let said = fault(text.as_bytes());
            assert!(said.len() < 1_000, "{said}");
            processor_time() - start
        };
        (0..3).map(|_| run()).min().unwrap_or(Duration::MAX)
    };
    for piece in [
        r#"{"password": "a"}, "#,
        "password ",
        "\"password\": \"x\\",
        "mqtt://a@b ",
        "[{\n",
        "\u{301}",
        "# comment\n",
        "\"a\" ",
        "温",
    ] {
        let (short, long) = (piece.repeat(1_000), piece.repeat(8_000));
        let (short, long) = (time(&format!("[{short}@")), time(&format!("[{long}@")));
        // Eight times the length; squared it would be 64 times.
        assert!(long < short * 32 + GRAIN, "{piece:?}: {short:?}, {long:?}");
    }
}
