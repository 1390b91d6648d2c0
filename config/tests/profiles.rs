//! Profiles, named keys and users: how they are read, and how keys get into the file and out of it.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, UNIX_EPOCH};

use mcpmqtt_config::{
    Config, KeyDigest, KeyRequest, NamedKeyError, PeerUser, Profiles, Quota, TOOLS, Tools, add_key,
    revoke_key,
};
use mcpmqtt_protocol::topic::TopicName;
use serde_json::{Value, json};

fn config(file: &Value) -> Config {
    Config::parse(&file.to_string()).unwrap().0
}

/// What is said of a file that is refused.
fn faults(file: &Value) -> Vec<String> {
    let refused = Config::parse(&file.to_string()).unwrap_err();
    refused.problems.iter().map(ToString::to_string).collect()
}

fn hash(key: &str) -> String {
    let made = add_key(b"{}", [0; 32], request("a"), None).unwrap();
    let file: Value = serde_json::from_str(&made.text).unwrap();
    let hash = file["remote_server"]["keys"][0]["hash"].as_str().unwrap();
    let digest = |key: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(KeyDigest::of(key).as_bytes())
    };
    hash.replace(&digest(made.key.expose()), &digest(key))
}

fn request(name: &str) -> KeyRequest<'_> {
    KeyRequest {
        name,
        profile: "default",
        today: "2026-11-28",
    }
}

fn line() -> Value {
    json!({
        "topics": [{"pattern": "all/#", "permissions": ["read"]}],
        "limits": {"publishes_per_second": 50, "publishes_per_minute": 20},
        "profiles": {
            "line": {
                "topics": [{"pattern": "line/+/set", "permissions": ["write"], "description": "d"}],
                "tools": ["mqtt_publish", "mqtt_read"],
                "limits": {"publishes_per_minute": 5},
            },
            "idle": {"topics": [], "tools": []},
        },
    })
}

#[test]
fn a_profile_has_topics_tools_and_a_quota_of_its_own() {
    let config = config(&line());
    let topic = TopicName::parse("line/1/set").unwrap();
    let may = |name: &str| {
        let policy = &config.profiles.get(name).unwrap().policy;
        let writes = policy.may_publish(&topic, false).is_ok();
        (writes, policy.may_receive("all/x"))
    };
    assert_eq!(may("default"), (false, true));
    assert_eq!(may("line"), (true, false));
    assert_eq!(may("idle"), (false, false));
    assert!(config.policy.may_receive("all/x"));
    assert!(config.profiles.get("other").is_none());

    let quota = |name: &str| config.profiles.get(name).unwrap().quota;
    let of = |per_second, per_minute| Quota {
        per_second,
        per_minute,
    };
    assert_eq!(quota("default"), of(50, 20));
    assert_eq!(quota("line"), of(50, 5));
    assert_eq!(quota("idle"), of(50, 20));

    let offered = |name: &str| {
        let tools = &config.profiles.get(name).unwrap().tools;
        TOOLS.iter().filter(|tool| tools.offers(tool)).count()
    };
    assert_eq!(
        (offered("default"), offered("line"), offered("idle")),
        (7, 2, 0)
    );
    let anyone = config.profiles.anyone();
    assert!(anyone.may_publish(&topic, false).is_ok() && anyone.may_receive("all/x"));
    assert!(!anyone.may_receive("line/1/set"));
}

#[test]
fn the_default_has_its_topics_at_the_top_and_may_have_tools_and_limits() {
    let mut file = line();
    file["profiles"]["default"] =
        json!({"tools": ["mqtt_wait"], "limits": {"publishes_per_second": 0}});
    let read = config(&file);
    let default = read.profiles.default_profile();
    assert_eq!(default.tools, Tools::Only(vec!["mqtt_wait"]));
    assert_eq!(
        default.quota,
        Quota {
            per_second: 0,
            per_minute: 20
        }
    );
    assert!(default.policy.may_receive("all/x"));
    file["profiles"]["default"] = json!({"topics": []});
    assert_eq!(
        faults(&file),
        [
            "profiles.default.topics: the topics of the profile `default` are the top-level `topics`; move them there"
        ]
    );
}

#[test]
fn a_process_can_take_another_profile_for_its_caller() {
    let mut config = config(&line());
    let words = config.choose_profile("lime").unwrap_err();
    assert_eq!(
        words,
        "there is no profile `lime`; there are `default`, `idle`, `line`"
    );
    assert!(config.policy.may_receive("all/x"));
    config.choose_profile("line").unwrap();
    assert!(!config.policy.may_receive("all/x"));
    assert_eq!(config.profiles.default_profile().quota.per_minute, 5);
    config.choose_profile("default").unwrap();
    assert!(
        !config.policy.may_receive("all/x"),
        "it is the default by now"
    );
}

#[test]
fn a_file_without_profiles_has_the_default_alone() {
    let config = config(&json!({"topics": [{"pattern": "a", "permissions": ["read"]}]}));
    assert_eq!(config.profiles.named().len(), 0);
    assert_eq!(config.profiles.names(), "`default`");
    assert_eq!(config.profiles.default_profile().tools, Tools::All);
    assert!(config.profiles.anyone().may_receive("a"));
    let described = config.describe();
    assert!(!described.contains("profile"), "{described}");
    assert!(config.describe_json(&[]).get("profiles").is_none());
}

#[test]
fn each_fault_names_its_place_and_what_is_allowed() {
    let with = |profile: Value| json!({"profiles": {"line": profile}});
    let server = |server: Value| json!({"profiles": {"line": {}}, "remote_server": server});
    let key = |change: &dyn Fn(&mut Value)| {
        let mut key = json!({"name": "codex", "hash": hash("k"), "profile": "line"});
        change(&mut key);
        server(json!({"keys": [key]}))
    };
    const TOOL_NAMES: &str = "`mqtt_publish`, `mqtt_subscribe`, `mqtt_read`, `mqtt_query`, `mqtt_topics`, `mqtt_wait`, `mqtt_stats`";
    const NAMES: &str = "is not a valid name; allowed: 1 to 64 letters, digits and `.`, `_`, `-`, no `-` at the beginning";
    const TIMES: &str = "a date, which lasts until its end in UTC, as in `2027-01-31`, or a time in UTC, as in `2027-01-31T12:00:00Z`";
    const USERS: &str = "the number of a user, or a name of `/etc/passwd`";
    let table: Vec<(Value, String)> = vec![
        (json!({"profiles": []}), "profiles: found a list; allowed: an object with a profile for each name".into()),
        (with(json!(5)), "profiles.line: found `5`; allowed: an object".into()),
        (json!({"profiles": {"a b": {}}}), format!("profiles.`a b`: {NAMES}")),
        (json!({"profiles": {"-a": {}}}), format!("profiles.-a: {NAMES}")),
        (with(json!({"topics": 5})), "profiles.line.topics: found `5`; allowed: a list of objects".into()),
        (
            with(json!({"topics": [{"pattern": "a", "permissions": ["read"]}, {"pattern": "a/#/b", "permissions": ["read"]}]})),
            "profiles.line.topics[1].pattern: ".into(),
        ),
        (with(json!({"tools": "mqtt_read"})), format!("profiles.line.tools: found the string `mqtt_read`; allowed: a list of {TOOL_NAMES}")),
        (with(json!({"tools": ["mqtt_read", "mqtt_raed"]})), format!("profiles.line.tools[1]: found the string `mqtt_raed`; allowed: {TOOL_NAMES}")),
        (with(json!({"limits": {"publishes_per_minute": -1}})), "profiles.line.limits.publishes_per_minute: found `-1`; allowed: a whole number from 0 to 10000".into()),
        (server(json!({"keys": {}})), "remote_server.keys: found an object; allowed: a list of objects".into()),
        (server(json!({"keys": ["secret"]})), "remote_server.keys[0]: found a string; allowed: an object".into()),
        (server(json!({"keys": [5]})), "remote_server.keys[0]: found `5`; allowed: an object".into()),
        (key(&|key| drop(key.as_object_mut().unwrap().remove("name"))), "remote_server.keys[0].name: is missing; allowed: a name for the key".into()),
        (key(&|key| key["name"] = json!("a/b")), format!("remote_server.keys[0].name: {NAMES}")),
        (key(&|key| drop(key.as_object_mut().unwrap().remove("hash"))), "remote_server.keys[0].hash: is missing; `--genkey NAME` makes a key and writes its hash here".into()),
        (key(&|key| key["hash"] = json!("secret")), "remote_server.keys[0].hash: cannot be used; `--genkey NAME` makes a key and writes its hash here".into()),
        (key(&|key| key["hash"] = json!("blake2b-256:AAAA")), "remote_server.keys[0].hash: cannot be used; `--genkey NAME` makes a key and writes its hash here".into()),
        (key(&|key| key["hash"] = json!(hash("k").replace("blake2b-256", "md5"))), "remote_server.keys[0].hash: cannot be used; `--genkey NAME` makes a key and writes its hash here".into()),
        (key(&|key| drop(key.as_object_mut().unwrap().remove("profile"))), "remote_server.keys[0].profile: is missing; allowed: the name of a profile: `default`, `line`".into()),
        (key(&|key| key["profile"] = json!("lime")), "remote_server.keys[0].profile: found the string `lime`; allowed: the name of a profile: `default`, `line`".into()),
        (key(&|key| key["created"] = json!("yesterday")), "remote_server.keys[0].created: found the string `yesterday`; allowed: a date, as in `2026-11-28`".into()),
        (key(&|key| key["expires"] = json!("2026-02-30")), format!("remote_server.keys[0].expires: found the string `2026-02-30`; allowed: {TIMES}")),
        (key(&|key| key["expires"] = json!(5)), "remote_server.keys[0].expires: found `5`; allowed: a string".into()),
        (server(json!({"peers": [{"profile": "line"}]})), format!("remote_server.peers[0].user: is missing; allowed: {USERS}")),
        (server(json!({"peers": [{"user": -1, "profile": "line"}]})), format!("remote_server.peers[0].user: found `-1`; allowed: {USERS}")),
        (server(json!({"peers": [{"user": 4294967295_u32, "profile": "line"}]})), format!("remote_server.peers[0].user: found `4294967295`; allowed: {USERS}")),
        (server(json!({"peers": [{"user": "a:b", "profile": "line"}]})), format!("remote_server.peers[0].user: found the string `a:b`; allowed: {USERS}")),
        (server(json!({"peers": [{"user": 1, "profile": "line"}, {"user": 1, "profile": "default"}]})), "remote_server.peers[1].user: is given more than once; a user has one profile".into()),
        (server(json!({"certificates": [{"subject": "subject=CN=a", "profile": "line"}]})), "remote_server.certificates[0].subject: found the string `subject=CN=a`; allowed: a subject as `openssl x509 -noout -subject -nameopt RFC2253` prints it after `subject=`, as in `CN=codex,O=plant`".into()),
        (server(json!({"certificates": [{"subject": "CN = a", "profile": "line"}]})), "remote_server.certificates[0].subject: found the string `CN = a`; allowed: a subject as `openssl x509 -noout -subject -nameopt RFC2253` prints it after `subject=`, as in `CN=codex,O=plant`".into()),
        (server(json!({"certificates": [{"profile": "line"}]})), "remote_server.certificates[0].subject: is missing; allowed: a subject as `openssl x509 -noout -subject -nameopt RFC2253` prints it after `subject=`, as in `CN=codex,O=plant`".into()),
        (server(json!({"certificates": [{"subject": "CN=a", "profile": "line"}, {"subject": "CN=a", "profile": "line"}]})), "remote_server.certificates[1].subject: is given more than once; a subject has one profile".into()),
        (server(json!({"peers": [{"user": 1}]})), "remote_server.peers[0].profile: is missing; allowed: the name of a profile: `default`, `line`".into()),
    ];
    for (file, words) in table {
        let said = faults(&file);
        assert_eq!(said.len(), 1, "{file}: {said:?}");
        assert!(said[0].starts_with(&words), "{file}:\n{}\n{words}", said[0]);
        assert!(words.ends_with(": ") || said[0] == words, "{}", said[0]);
        assert!(!said[0].contains("secret"), "{}", said[0]);
    }
}

#[test]
fn two_keys_may_share_a_name_and_no_two_are_the_same() {
    let keys = |single: Value, named: &[(&str, &str)]| {
        let named: Vec<_> = named
            .iter()
            .map(|(name, key)| json!({"name": name, "hash": hash(key), "profile": "default"}))
            .collect();
        json!({"remote_server": {"api_key": single, "keys": named}})
    };
    let two = "which is for the time in which one takes the other's place";
    let file = keys(json!(null), &[("a", "1"), ("a", "2"), ("b", "3")]);
    assert_eq!(config(&file).remote_server.unwrap().keys.len(), 3);
    let file = keys(json!(null), &[("a", "1"), ("a", "2"), ("a", "3")]);
    let words = format!("remote_server.keys[2].name: two keys are named `a` already, {two}");
    assert_eq!(faults(&file), [words]);
    // The single key is named so.
    let file = keys(json!("s"), &[("default", "1")]);
    assert_eq!(config(&file).remote_server.unwrap().keys.len(), 1);
    let file = keys(json!("s"), &[("default", "1"), ("default", "2")]);
    let words = format!("remote_server.keys[1].name: two keys are named `default` already, {two}");
    assert_eq!(faults(&file), [words]);
    let file = keys(json!(null), &[("a", "1"), ("b", "1")]);
    let words = "remote_server.keys[1].hash: is that of `remote_server.keys[0]`, too; each key is given once";
    assert_eq!(faults(&file), [words]);
    let file = keys(json!("s"), &[("a", "s")]);
    let words =
        "remote_server.keys[0].hash: is that of the single API key, too; each key is given once";
    assert_eq!(faults(&file), [words]);
}

#[test]
fn users_are_named_or_numbered_and_say_where_they_count() {
    let peers = json!([{"user": 0, "profile": "default"}, {"user": "ann", "profile": "default"}]);
    let read = config(&json!({"remote_server": {"peers": peers}}))
        .remote_server
        .unwrap();
    let users: Vec<_> = read.peers.iter().map(|peer| peer.user.clone()).collect();
    assert_eq!(users, [PeerUser::Id(0), PeerUser::Name("ann".into())]);
    assert!(read.has_a_way_in());
    let file = json!({"topics": [{"pattern": "a", "permissions": ["read"]}],
        "remote_server": {"port": 80, "peers": peers}});
    let (config, warnings) = Config::parse(&file.to_string()).unwrap();
    assert!(!config.remote_server.unwrap().has_a_way_in());
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "remote_server.peers: are not used on TCP, which does not tell the user of a client; \
             each client needs a key"
        ]
    );
}

#[test]
fn certificates_count_where_clients_have_to_show_one() {
    let certificates = json!([{"subject": "CN=codex,O=plant", "profile": "default"}]);
    let with = |server: Value| {
        let mut file = json!({"topics": [{"pattern": "a", "permissions": ["read"]}]});
        file["remote_server"] = server;
        file["remote_server"]["certificates"] = certificates.clone();
        let (config, warnings) = Config::parse(&file.to_string()).unwrap();
        let server = config.remote_server.unwrap();
        assert_eq!(server.certificates[0].subject, "CN=codex,O=plant");
        let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        (server.has_a_way_in(), warnings)
    };
    let tls = json!({"cert_file": "c", "key_file": "k", "client_ca_file": "a"});
    assert_eq!(with(json!({"port": 80, "tls": tls})), (true, vec![]));
    let words = "remote_server.certificates: are not used without `tls.client_ca_file` on a TCP port: clients are not asked for one";
    assert_eq!(with(json!({"port": 80})), (false, vec![words.to_owned()]));
}

#[test]
fn a_key_expires_at_its_moment() {
    let file = json!({"remote_server": {"keys": [
        {"name": "a", "hash": hash("1"), "profile": "default", "expires": "2001-09-09T01:46:40Z"}
    ]}});
    let server = config(&file).remote_server.unwrap();
    let expires = server.keys[0].expires.clone().unwrap();
    let at = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    assert!(expires.is_over(at) && !expires.is_over(at - Duration::from_nanos(1)));
    assert_eq!(expires.as_str(), "2001-09-09T01:46:40Z");
}

#[test]
fn what_is_described_names_keys_and_shows_no_hash() {
    let mut file = line();
    file["remote_server"] = json!({
        "keys": [{"name": "codex", "hash": hash("k"), "profile": "line", "created": "2026-11-28", "expires": "2027-01-31"}],
        "peers": [{"user": "ann", "profile": "idle"}, {"user": 7, "profile": "default"}],
    });
    let (config, warnings) = Config::parse(&file.to_string()).unwrap();
    let text = config.describe();
    for words in [
        "profile `line`: topic `line/+/set`: write; `d`\n",
        "profile `line`: tools `mqtt_publish`, `mqtt_read`; publishes_per_second 50; publishes_per_minute 5\n",
        "profile `idle`: topics: none; everything is refused\nprofile `idle`: no tool\n",
        "no single API key, key `codex` with profile `line` until 2027-01-31, user `ann` with profile `idle`, user 7 with profile `default`\n",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let described = config.describe_json(&warnings);
    assert_eq!(
        described["remote_server"]["keys"],
        json!([{"name": "codex", "profile": "line", "created": "2026-11-28", "expires": "2027-01-31"}])
    );
    assert_eq!(
        described["remote_server"]["peers"],
        json!([{"user": "ann", "profile": "idle"}, {"user": 7, "profile": "default"}])
    );
    assert_eq!(
        described["profiles"]["line"]["tools"],
        json!(["mqtt_publish", "mqtt_read"])
    );
    assert_eq!(described["profiles"]["default"]["tools"], json!(null));
    let hash = hash("k");
    let hash = hash.split(':').nth(1).unwrap();
    for said in [text, described.to_string(), format!("{config:?}")] {
        assert!(!said.contains(hash), "{said}");
    }
}

#[test]
fn a_key_is_added_beside_the_others_and_nothing_else_changes() {
    let before = "{\n  \"topics\": [ ],\n  \"profiles\": {\"line\": {}},\n  \"remote_server\": {\n    \"api_key\": \"old\", \"port\": 80\n  }\n}\n";
    let wanted = KeyRequest {
        profile: "line",
        ..request("codex")
    };
    let first = add_key(before.as_bytes(), [1; 32], wanted, Some("/tmp/s")).unwrap();
    assert!(!first.is_second && first.socket.is_none());
    let end = first.text.find(",\n    \"keys\"").unwrap();
    assert!(before.starts_with(&first.text[..end]), "{}", first.text);
    let second = add_key(first.text.as_bytes(), [2; 32], request("codex"), None).unwrap();
    assert!(second.is_second);
    assert_ne!(first.key.expose(), second.key.expose());
    assert_eq!(second.key.expose().len(), 43);
    let (read, _) = Config::parse(&second.text).unwrap();
    let keys = read.remote_server.unwrap().keys;
    let told: Vec<_> = keys
        .iter()
        .map(|key| (key.digest, key.profile.as_str(), key.created.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            (
                KeyDigest::of(first.key.expose()),
                "line",
                Some("2026-11-28")
            ),
            (
                KeyDigest::of(second.key.expose()),
                "default",
                Some("2026-11-28")
            )
        ]
    );
    for (file, wanted, words) in [
        (
            second.text.as_str(),
            request("codex"),
            "two keys are named `codex` already, so that one can take the other's place; `--revoke codex` ends the older one",
        ),
        (
            before,
            request("a b"),
            "`a b` is not a valid name; allowed: 1 to 64 letters, digits and `.`, `_`, `-`, no `-` \
             at the beginning",
        ),
        (
            before,
            KeyRequest {
                profile: "lime",
                ..request("a")
            },
            "there is no profile `lime`; there are `default`, `line`",
        ),
        (
            r#"{"remote_server": {"keys": 5}}"#,
            request("a"),
            "`remote_server.keys` must be a list to hold an API key",
        ),
        (
            r#"{"remote_server": 5}"#,
            request("a"),
            "`remote_server` must be a JSON object to hold an API key",
        ),
        ("{", request("a"), "the file"),
    ] {
        let error = add_key(file.as_bytes(), [3; 32], wanted, None).unwrap_err();
        assert!(error.to_string().starts_with(words), "{error}");
    }
    let fresh = add_key(b"{}", [1; 32], request("a"), Some("/run/user/s")).unwrap();
    assert_eq!(fresh.socket.as_deref(), Some("/run/user/s"));
    assert!(
        Config::parse(&fresh.text)
            .unwrap()
            .0
            .remote_server
            .unwrap()
            .has_a_way_in()
    );
}

#[test]
fn of_two_keys_the_older_is_revoked_and_the_last_leaves_an_empty_list() {
    let add = |text: &str, seed: u8, name: &'static str, today: &'static str| {
        let wanted = KeyRequest {
            today,
            ..request(name)
        };
        add_key(text.as_bytes(), [seed; 32], wanted, None).unwrap()
    };
    let digests = |text: &str| -> Vec<KeyDigest> {
        let server = Config::parse(text).unwrap().0.remote_server.unwrap();
        server.keys.iter().map(|key| key.digest).collect()
    };
    // The newer one comes first in the file.
    let newer = add("{\"a\": [1,  2]}", 1, "codex", "2026-11-28");
    let older = add(&newer.text, 2, "codex", "2026-11-01");
    let other = add(&older.text, 3, "ci", "2026-11-01");
    let revoked = revoke_key(other.text.as_bytes(), "codex").unwrap();
    assert_eq!(revoked.created.as_deref(), Some("2026-11-01"));
    assert!(revoked.is_one_left && revoked.text.contains("[1,  2]"));
    let of = |made: &mcpmqtt_config::NewKey| KeyDigest::of(made.key.expose());
    assert_eq!(digests(&revoked.text), [of(&newer), of(&other)]);
    let revoked = revoke_key(revoked.text.as_bytes(), "codex").unwrap();
    assert!(!revoked.is_one_left);
    assert_eq!(digests(&revoked.text), [of(&other)]);
    let error = revoke_key(revoked.text.as_bytes(), "codex").unwrap_err();
    assert_eq!(error.to_string(), "there is no key `codex`; there are `ci`");
    let revoked = revoke_key(revoked.text.as_bytes(), "ci").unwrap();
    let server = Config::parse(&revoked.text)
        .unwrap()
        .0
        .remote_server
        .unwrap();
    assert!(server.lists_keys && !server.has_a_way_in());
    let error = revoke_key(b"{}", "ci").unwrap_err();
    assert_eq!(error.to_string(), "there is no key `ci`, and no other");
    assert!(matches!(error, NamedKeyError::NoKey(..)));
}

#[test]
fn the_single_key_is_the_key_named_default() {
    let single = r#"{"remote_server": {"api_key": "k", "api_key_kdf": {}, "api_key_check": {}, "port": 80}}"#;
    let beside = add_key(single.as_bytes(), [1; 32], request(Profiles::DEFAULT), None).unwrap();
    assert!(beside.is_second, "{}", beside.text);
    let revoked = revoke_key(beside.text.as_bytes(), Profiles::DEFAULT).unwrap();
    assert!(revoked.is_one_left && revoked.created.is_none());
    let file: Value = serde_json::from_str(&revoked.text).unwrap();
    let left: Vec<_> = file["remote_server"].as_object().unwrap().keys().collect();
    assert_eq!(left, ["port", "keys"]);
    let alone = revoke_key(single.as_bytes(), Profiles::DEFAULT).unwrap();
    let server = Config::parse(&alone.text).unwrap().0.remote_server.unwrap();
    assert!(server.lists_keys && !server.has_a_way_in());
}
