//! API keys: how they are checked, and how a new one gets into the file.
#![allow(clippy::unwrap_used)]

use mcpmqtt_config::{
    ApiKey, Config, FIRST_FILE, GenkeyError, KeyDigest, KeyRecord, Listen, OutOfMemory, Rotation,
    rotate, rotate_bytes,
};
use serde_json::Value;

const ENTROPY: [u8; 48] = {
    let mut bytes = [0; 48];
    let mut i = 0;
    while i < 48 {
        bytes[i] = (7 * i % 256) as u8;
        i += 1;
    }
    bytes
};

fn record(text: &str) -> KeyRecord {
    match Config::parse(text)
        .unwrap()
        .0
        .remote_server
        .unwrap()
        .api_key
    {
        ApiKey::Hashed(record) => record,
        other => panic!("{other:?}"),
    }
}

/// The costs are the least, where a test is not about them: a debug build takes its time over 64 MiB.
fn cheap(rest: &str) -> String {
    format!(r#"{{"remote_server": {{"api_key_kdf": {{"memory_cost": 8, "time_cost": 1{rest}}}}}}}"#)
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn a_file_that_is_no_text_is_refused_with_its_place() {
    let error = rotate_bytes(b"{\"a\": \"\xe4\"}", ENTROPY, None).unwrap_err();
    assert!(matches!(error, GenkeyError::NotJson(_)));
    assert!(
        error
            .to_string()
            .starts_with("the file is not UTF-8 text: line 1, column 8: "),
        "{error}"
    );
    assert!(rotate_bytes(b"{}", ENTROPY, None).is_ok());
}

#[test]
fn the_hash_of_the_original_program_verifies() {
    let record = record(include_str!("valid/every_key.json"));
    assert_eq!(record.verify("test-key-0123"), Ok(true));
    assert_eq!(record.verify("test-key-0124"), Ok(false));
    assert_eq!(record.memory_cost(), 65_536);
}

#[test]
fn a_new_key_verifies_and_no_other_does() {
    let Rotation { text, key, .. } = rotate(&cheap(""), ENTROPY).unwrap();
    assert_eq!(key.expose().len(), 43);
    assert!(
        key.expose()
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    );
    let record = record(&text);
    assert_eq!(record.verify(key.expose()), Ok(true));
    assert_eq!(record.verify(&key.expose()[1..]), Ok(false));
    assert_eq!(record.verify(""), Ok(false));
    assert!(
        !text.contains(key.expose()),
        "the key itself is not in the file"
    );
}

#[test]
fn every_byte_of_entropy_counts() {
    let first = rotate(&cheap(""), ENTROPY).unwrap();
    for changed in 0..48 {
        let mut entropy = ENTROPY;
        entropy[changed] ^= 1;
        let other = rotate(&cheap(""), entropy).unwrap();
        assert_eq!(
            other.key.matches(first.key.expose()),
            changed >= 32,
            "byte {changed}"
        );
        assert_ne!(other.text, first.text, "byte {changed}");
    }
}

#[test]
fn a_rotation_makes_a_new_salt_and_keeps_valid_costs() {
    let block = r#", "salt": "AAECAwQFBgcICQoLDA0ODw==", "hash": "AAECAwQFBgcICQoLDA0ODxAREhM=", "hash_len": 20, "note": 1"#;
    let text = rotate(&cheap(block), ENTROPY).unwrap().text;
    let file: Value = serde_json::from_str(&text).unwrap();
    let block = &file["remote_server"]["api_key_kdf"];
    assert_eq!(block["salt"], "4Ofu9fwDChEYHyYtNDtCSQ==");
    assert_eq!(
        (
            &block["memory_cost"],
            &block["time_cost"],
            &block["hash_len"]
        ),
        (&8.into(), &1.into(), &20.into())
    );
    assert_eq!(
        keys(block),
        [
            "memory_cost",
            "time_cost",
            "salt",
            "hash",
            "hash_len",
            "note",
            "algorithm",
            "parallelism"
        ],
        "what was there stays where it was"
    );
}

#[test]
fn everything_else_in_the_file_stays_where_it_was() {
    let before = r#"{"zeta": [1, 2.5, "ä", null], "remote_server": {"port": 99, "api_key": "old", "more": {}},
                     "alpha": {"b": [], "a": {"x": true}}, "mqtt": {"password": "p"}}"#;
    let text = rotate(before, ENTROPY).unwrap().text;
    let (mut after, mut expected): (Value, Value) = (
        serde_json::from_str(&text).unwrap(),
        serde_json::from_str(before).unwrap(),
    );
    assert_eq!(keys(&after), ["zeta", "remote_server", "alpha", "mqtt"]);
    assert_eq!(
        keys(&after["remote_server"]),
        ["port", "more", "api_key_kdf", "api_key_check"]
    );
    assert_eq!(
        keys(&after["remote_server"]["api_key_kdf"]),
        [
            "algorithm",
            "time_cost",
            "memory_cost",
            "parallelism",
            "hash_len",
            "salt",
            "hash"
        ]
    );
    for made in ["api_key_kdf", "api_key_check"] {
        let server = after["remote_server"].as_object_mut().unwrap();
        server.remove(made);
    }
    expected["remote_server"]
        .as_object_mut()
        .unwrap()
        .remove("api_key");
    assert_eq!(after, expected);
    let (head, tail) = (
        r#"{"zeta": [1, 2.5, "ä", null], "remote_server": {"port": 99, "more": {}, "api_key_kdf": {"#,
        "},\n                     \"alpha\": {\"b\": [], \"a\": {\"x\": true}}, \"mqtt\": {\"password\": \"p\"}}",
    );
    assert!(text.starts_with(head) && text.ends_with(tail), "{text}");
}

/// Whoever keeps the file in a repository sees what changed and nothing else.
#[test]
fn only_the_lines_of_the_key_change() {
    let before = include_str!("../examples/example_remote_server.json");
    let first = rotate(before, ENTROPY).unwrap();
    assert!(!first.replaces);
    let old: Vec<&str> = before.lines().collect();
    let gone = old
        .iter()
        .filter(|line| !first.text.lines().any(|it| it == **line));
    // The line before the new block got a comma.
    assert_eq!(gone.count(), 1, "{}", first.text);
    let mut entropy = ENTROPY;
    entropy.fill(7);
    let second = rotate(&first.text, entropy).unwrap();
    assert!(second.replaces);
    let changed = first.text.lines().zip(second.text.lines());
    let changed: Vec<_> = changed.filter(|(one, two)| one != two).collect();
    let is_of_the_key = |line: &str| {
        ["salt", "hash", "digest", "record"]
            .iter()
            .any(|name| line.trim_start().starts_with(&format!("\"{name}\"")))
    };
    assert_eq!(changed.len(), 4, "{changed:?}");
    assert!(
        changed
            .iter()
            .all(|(one, two)| is_of_the_key(one) && is_of_the_key(two)),
        "{changed:?}"
    );
}

/// Whatever a file looks like, the result means the same but for the key.
#[test]
fn every_layout_that_loads_is_kept() {
    let blanks = ["", " ", "\n", "\r\n\t", "\n    "];
    let blocks = [
        "",
        r#""api_key": "a","#,
        r#""api_key_kdf": {"memory_cost": 8, "time_cost": 1},"#,
        r#""api_key_kdf": {}, "api_key_check": null, "api_key": "b", "api_key": "c","#,
        r#""api_key_kdf": "<run genkey>", "\u0061pi_key": "}","#,
    ];
    for blank in blanks {
        for block in blocks {
            // The default costs take their time.
            if !block.contains("memory_cost") && blank != "\n    " {
                continue;
            }
            for (head, tail) in [
                ("", ""),
                (r#""a": ["{", {"b": "\\\""}], "#, r#", "z": -1.50e3"#),
            ] {
                let before = format!(
                    "{{{blank}{head}\"remote_server\":{blank}{{{blank}{block}{blank}\"port\"{blank}:{blank}1{blank}}}{blank}{tail}{blank}}}{blank}"
                );
                let Rotation { text, key, .. } = rotate(&before, ENTROPY).unwrap();
                let (config, _) = Config::parse(&text).unwrap();
                let ApiKey::Hashed(record) = config.remote_server.unwrap().api_key else {
                    panic!("{text}");
                };
                assert_eq!(record.digest(), Some(KeyDigest::of(key.expose())), "{text}");
                let (mut new, mut old): (Value, Value) = (
                    serde_json::from_str(&text).unwrap(),
                    serde_json::from_str(&before).unwrap(),
                );
                for file in [&mut new, &mut old] {
                    for name in ["api_key", "api_key_kdf", "api_key_check"] {
                        file["remote_server"].as_object_mut().unwrap().remove(name);
                    }
                }
                assert_eq!(new, old, "{text}");
                assert!(
                    text.starts_with(&format!(
                        "{{{blank}{head}\"remote_server\":{blank}{{{blank}"
                    )),
                    "{text}"
                );
                assert!(
                    text.ends_with(&format!("{blank}{tail}{blank}}}{blank}")),
                    "{text}"
                );
            }
        }
    }
}

/// Python: `hashlib.blake2b(key, digest_size=32, key=b"mcpmqtt.api_key")`, and for the record with `digest_size=16`.
#[test]
fn a_new_key_has_a_check_that_is_tied_to_its_record() {
    let Rotation { text, key, .. } = rotate(&cheap(""), ENTROPY).unwrap();
    let digest = record(&text).digest();
    assert_eq!(digest, Some(KeyDigest::of(key.expose())));
    assert_ne!(digest, Some(KeyDigest::of("another")));
    assert_eq!(format!("{digest:?}"), "Some(KeyDigest(…))");

    let known = KeyDigest::of("test-key-0123");
    let hex: String = known
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        "7088525311d18415e6d3d2bc654b9d6620f99ece2c927da8cae0b5511191aaac"
    );

    let file: Value = serde_json::from_str(&text).unwrap();
    let doubt = |change: &dyn Fn(&mut Value)| {
        let mut file = file.clone();
        change(&mut file["remote_server"]);
        let (config, warnings) = Config::parse(&file.to_string()).unwrap();
        let ApiKey::Hashed(record) = config.remote_server.unwrap().api_key else {
            panic!("{file}");
        };
        assert_eq!(record.digest(), None);
        let warning = warnings
            .iter()
            .find(|it| it.path == "remote_server.api_key_check")
            .unwrap();
        warning.text.clone()
    };
    // As the Python program does it, which knows nothing of the check.
    let of_another = doubt(&|server| {
        let new: Value = serde_json::from_str(&rotate(&cheap(""), [9; 48]).unwrap().text).unwrap();
        server["api_key_kdf"] = new["remote_server"]["api_key_kdf"].clone();
    });
    assert!(
        of_another.starts_with("is of another key than `api_key_kdf`, so it is not used"),
        "{of_another}"
    );
    for (member, value) in [
        ("digest", "AAAA"),
        ("digest", "?"),
        ("algorithm", "md5"),
        ("record", ""),
    ] {
        let said = doubt(&|server| server["api_key_check"][member] = value.into());
        assert!(said.contains("so it is not used"), "{said}");
    }
}

#[test]
fn the_first_file_says_what_holds_without_one() {
    let (first, warnings) = Config::parse(FIRST_FILE).unwrap();
    assert_eq!(warnings, []);
    let lines = |config: &Config| {
        let text = config.describe();
        let kept = text
            .lines()
            .filter(|line| !line.starts_with("remote server"));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&first), lines(&Config::without_file()));
    assert!(first.remote_server.is_none());
}

#[test]
fn a_new_section_listens_where_its_user_can() {
    let made = |before: &str| rotate_bytes(before.as_bytes(), ENTROPY, Some("/home/u/s")).unwrap();
    let listens = |made: &Rotation| {
        let (config, _) = Config::parse(&made.text).unwrap();
        config.remote_server.unwrap().listen
    };
    for before in [FIRST_FILE, "{}", r#"{"remote_server": null}"#] {
        let made = made(before);
        assert_eq!(
            listens(&made),
            Listen::Unix("/home/u/s".into()),
            "{}",
            made.text
        );
        assert_eq!(made.socket.as_deref(), Some("/home/u/s"));
    }
    let made = made(r#"{"remote_server": {}}"#);
    assert_eq!(listens(&made), Listen::Unix("/var/run/mcpmqtt.sock".into()));
    assert_eq!(made.socket, None);
}

#[test]
fn a_block_is_made_where_none_is() {
    for before in [
        "{}",
        r#"{"remote_server": null}"#,
        r#"{"remote_server": {"api_key_kdf": null}}"#,
    ] {
        let Rotation { text, key, .. } = rotate(before, ENTROPY).unwrap();
        assert_eq!(record(&text).verify(key.expose()), Ok(true), "{before}");
    }
}

#[test]
fn placeholders_and_impossible_costs_are_repaired() {
    let manual = include_str!("valid/original_manual_example.json");
    let silly = r#"{"remote_server": {"api_key_kdf": {"algorithm": "md5", "memory_cost": 4000000000, "time_cost": 1}}}"#;
    let string = r#"{"remote_server": {"api_key_kdf": "<run genkey>"}}"#;
    for before in [manual, silly, string] {
        let Rotation { text, key, .. } = rotate(before, ENTROPY).unwrap();
        let (config, warnings) = Config::parse(&text).unwrap();
        assert!(
            warnings
                .iter()
                .all(|warning| !warning.path.starts_with("remote_server")),
            "{warnings:?}"
        );
        assert!(matches!(
            config.remote_server.unwrap().api_key,
            ApiKey::Hashed(_)
        ));
        let record = record(&text);
        assert_eq!(
            (record.verify(key.expose()), record.memory_cost()),
            (Ok(true), 65_536)
        );
    }
}

#[test]
fn what_is_no_object_is_left_to_a_human() {
    assert!(matches!(rotate("{", ENTROPY), Err(GenkeyError::NotJson(_))));
    assert_eq!(
        rotate("[]", ENTROPY).unwrap_err().to_string(),
        "the file must be a JSON object to hold an API key"
    );
    assert_eq!(
        rotate(r#"{"remote_server": 5}"#, ENTROPY)
            .unwrap_err()
            .to_string(),
        "`remote_server` must be a JSON object to hold an API key"
    );
}

#[test]
fn a_rotation_that_is_logged_shows_neither_key_nor_file() {
    let rotation = rotate(&cheap(r#", "note": "private""#), ENTROPY).unwrap();
    assert!(rotation.text.contains("private"));
    let shown = format!("{rotation:?} {rotation:#?}");
    assert!(shown.contains("Rotation"), "{shown}");
    assert!(
        !shown.contains(rotation.key.expose()) && !shown.contains("private"),
        "{shown}"
    );
}

#[test]
fn a_lack_of_memory_is_told_with_the_key_to_lower() {
    let error = GenkeyError::OutOfMemory(OutOfMemory);
    assert_eq!(
        error.to_string(),
        "not enough memory to compute the hash of a key; lower `memory_cost`"
    );
}
