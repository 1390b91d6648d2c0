//! What may be written (`topics[].payload`): which payloads pass, and the exact words for those that do not.
#![allow(clippy::unwrap_used)]

use mcpmqtt_config::{Attempt, Config, Policy};
use mcpmqtt_protocol::topic::TopicName;
use serde_json::{Value, json};

/// A policy of rules for publishing, each a pattern with its limit.
fn policy(rules: &[(&str, Value)]) -> Policy {
    let rule = |(pattern, payload): &(&str, Value)| json!({"pattern": pattern, "permissions": ["write"], "description": "d", "payload": payload});
    let file = json!({"topics": rules.iter().map(rule).collect::<Vec<_>>()});
    let parsed = Config::parse(&file.to_string());
    let (config, _) = parsed.unwrap_or_else(|refused| panic!("{refused}"));
    (*config.policy).clone()
}

fn judge(policy: &Policy, topic: &str, payload: &[u8]) -> Result<(), String> {
    let attempt = Attempt {
        topic: &TopicName::parse(topic).unwrap(),
        payload,
        retain: false,
    };
    let judged = policy.judge(&attempt).map(drop);
    judged.map_err(|refusal| {
        assert!(refusal.is_limit(), "{refusal}");
        assert!(refusal.to_string().len() < 4096, "{refusal}");
        refusal.to_string()
    })
}

/// Holds each payload against the limit: `Ok` passes, else the words.
fn table(limit: &Value, cases: &[(&str, Result<(), &str>)]) {
    let policy = policy(&[("t/+", limit.clone())]);
    for (payload, expected) in cases {
        let expected = expected.map_err(str::to_owned);
        assert_eq!(
            judge(&policy, "t/1", payload.as_bytes()),
            expected,
            "{payload:?}"
        );
    }
}

const PASSES: Result<(), &str> = Ok(());

#[test]
fn the_words_of_the_issue() {
    let limit = json!({"type": "number", "min": 0, "max": 2000, "unit": "rpm", "example": "1500"});
    let policy = policy(&[("site/+/+/cmd/rpm", limit)]);
    let judged = judge(&policy, "site/line3/motor1/cmd/rpm", b"2600");
    let words = "2600 is above 2000 rpm, the most that `site/+/+/cmd/rpm` takes";
    assert_eq!(judged, Err(words.to_owned()));
}

#[test]
fn numbers_at_their_edges() {
    table(
        &json!({"type": "number", "min": 0, "max": 0.3}),
        &[
            ("0", PASSES),
            ("0.3", PASSES),
            ("0.30", PASSES),
            ("0.300000000000000000000000000000000", PASSES),
            ("0.29999999999999999999999999999", PASSES),
            // 0.1 + 0.2
            (
                "0.30000000000000004",
                Err("0.30000000000000004 is above 0.3, the most that `t/+` takes"),
            ),
            // The nearest double is 0.3.
            (
                "0.30000000000000000000001",
                Err("0.30000000000000000000001 is above 0.3, the most that `t/+` takes"),
            ),
            ("1", Err("1 is above 0.3, the most that `t/+` takes")),
            (
                "-0.0000000000000000000000000000001",
                Err("-0.0000000000000000000000000000001 is below 0, the least that `t/+` takes"),
            ),
            ("-5", Err("-5 is below 0, the least that `t/+` takes")),
            (
                "-0",
                Err("`-0` is not a number (write `0`); `t/+` takes a number from 0 to 0.3"),
            ),
            (
                "-0.00",
                Err("`-0.00` is not a number (write `0`); `t/+` takes a number from 0 to 0.3"),
            ),
            (
                "",
                Err("an empty payload is not a number; `t/+` takes a number from 0 to 0.3"),
            ),
        ],
    );
}

#[test]
fn what_is_no_number_is_told_how_to_be_one() {
    let long = format!("0.{}", "1".repeat(63));
    let shown = format!(
        "`{long}` is not a number (it is too long); `t/+` takes a number of at most 10 °C, such as `1.5`"
    );
    table(
        &json!({"type": "number", "max": 10, "unit": "°C", "example": 1.5}),
        &[
            (
                "1,5",
                Err(
                    "`1,5` is not a number (write no comma; the decimal point is `.`); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "1e0",
                Err(
                    "`1e0` is not a number (write it without an exponent, which not every device reads); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "1e400",
                Err(
                    "`1e400` is not a number (write it without an exponent, which not every device reads); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "NaN",
                Err("`NaN` is not a number; `t/+` takes a number of at most 10 °C, such as `1.5`"),
            ),
            (
                "Infinity",
                Err(
                    "`Infinity` is not a number; `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "-inf",
                Err("`-inf` is not a number; `t/+` takes a number of at most 10 °C, such as `1.5`"),
            ),
            (
                "+5",
                Err(
                    "`+5` is not a number (leave out the plus); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "007",
                Err(
                    "`007` is not a number (leave out the leading zeros); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "-07",
                Err(
                    "`-07` is not a number (leave out the leading zeros); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                ".5",
                Err(
                    "`.5` is not a number (write digits on both sides of the decimal point); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "5.",
                Err(
                    "`5.` is not a number (write digits on both sides of the decimal point); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "5 °C",
                Err(
                    "`5 °C` is not a number (write the number alone); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "0x7",
                Err(
                    "`0x7` is not a number (write the number alone); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                " 5",
                Err(
                    "` 5` is not a number (leave out the white space around it); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "5\n",
                Err(
                    "`5\\n` is not a number (leave out the white space around it); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "\"5\"",
                Err(
                    "`\"5\"` is not a number (leave out the quotation marks); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "٥",
                Err("`٥` is not a number; `t/+` takes a number of at most 10 °C, such as `1.5`"),
            ),
            (
                "5\0",
                Err(
                    "`5\\u{0}` is not a number (write the number alone); `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (
                "\u{feff}5",
                Err(
                    "`\\u{feff}5` is not a number; `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            (&long, Err(&shown)),
            (
                "{\"value\":5}",
                Err(
                    "`{\"value\":5}` is not a number; `t/+` takes a number of at most 10 °C, such as `1.5`",
                ),
            ),
            ("-99999999999999999999999", PASSES),
        ],
    );
}

#[test]
fn whole_numbers_at_their_edges() {
    table(
        &json!({"type": "integer", "min": -10, "max": 9_007_199_254_740_992_i64}),
        &[
            ("-10", PASSES),
            ("0", PASSES),
            ("9007199254740992", PASSES),
            // As a double it is the same.
            (
                "9007199254740993",
                Err("9007199254740993 is above 9007199254740992, the most that `t/+` takes"),
            ),
            ("-11", Err("-11 is below -10, the least that `t/+` takes")),
            (
                "5.0",
                Err(
                    "`5.0` is not a whole number (write it without a fraction or an exponent); `t/+` takes a whole number from -10 to 9007199254740992",
                ),
            ),
            (
                "5.5",
                Err(
                    "`5.5` is not a whole number (write it without a fraction or an exponent); `t/+` takes a whole number from -10 to 9007199254740992",
                ),
            ),
            (
                "five",
                Err(
                    "`five` is not a whole number; `t/+` takes a whole number from -10 to 9007199254740992",
                ),
            ),
        ],
    );
    table(
        &json!({"type": "integer", "unit": "steps"}),
        &[
            ("9223372036854775807", PASSES),
            ("-9223372036854775808", PASSES),
            (
                "9223372036854775808",
                Err(
                    "`9223372036854775808` is not a whole number (it is too large for devices to hold); `t/+` takes a whole number in steps",
                ),
            ),
        ],
    );
}

#[test]
fn booleans_are_two_words() {
    let refused =
        |payload: &str, takes: &str| format!("{payload} is not permitted; `t/+` takes {takes}");
    let takes = "`true` or `false`";
    table(
        &json!({"type": "boolean"}),
        &[
            ("true", PASSES),
            ("false", PASSES),
            ("True", Err(&refused("`True`", takes))),
            ("1", Err(&refused("`1`", takes))),
            ("\"true\"", Err(&refused("`\"true\"`", takes))),
            ("", Err(&refused("an empty payload", takes))),
        ],
    );
    let takes = "`ON` (true) or `OFF` (false), such as `OFF`";
    table(
        &json!({"type": "boolean", "true": "ON", "false": "OFF", "example": "OFF"}),
        &[
            ("ON", PASSES),
            ("OFF", PASSES),
            ("on", Err(&refused("`on`", takes))),
            ("true", Err(&refused("`true`", takes))),
            ("ON ", Err(&refused("`ON `", takes))),
        ],
    );
}

#[test]
fn an_enum_is_its_values_byte_for_byte() {
    let takes = "`öffnen`, `stop`, `` or `3`";
    let refused = |payload: &str| format!("{payload} is not permitted; `t/+` takes {takes}");
    table(
        &json!({"type": "enum", "values": ["öffnen", "stop", "", 3]}),
        &[
            ("öffnen", PASSES),
            ("stop", PASSES),
            ("", PASSES),
            ("3", PASSES),
            // The same letters, composed otherwise.
            ("o\u{308}ffnen", Err(&refused("`o\u{308}ffnen`"))),
            ("Stop", Err(&refused("`Stop`"))),
            ("3.0", Err(&refused("`3.0`"))),
            ("03", Err(&refused("`03`"))),
            ("stop\u{200b}", Err(&refused("`stop\\u{200b}`"))),
        ],
    );
    let many: Vec<_> = (0..100).map(|n| format!("v{n}")).collect();
    let policy = policy(&[("t", json!({"type": "enum", "values": many}))]);
    let words = judge(&policy, "t", b"x").unwrap_err();
    assert!(words.ends_with("`v18`, `v19` or 80 more"), "{words}");
}

#[test]
fn text_is_counted_in_bytes_and_is_text() {
    table(
        &json!({"type": "text", "max_bytes": 4}),
        &[
            ("", PASSES),
            ("1234", PASSES),
            ("éé", PASSES),
            ("😀", PASSES),
            (
                "ééa",
                Err("5 bytes are more than 4; `t/+` takes text of at most 4 bytes"),
            ),
            (
                "12345",
                Err("5 bytes are more than 4; `t/+` takes text of at most 4 bytes"),
            ),
        ],
    );
    // As base64 an agent can send any bytes.
    for (limit, words) in [
        (
            json!({"type": "text"}),
            "a payload of 3 bytes that are not UTF-8 is not text; `t` takes text",
        ),
        (
            json!({"type": "number"}),
            "a payload of 3 bytes that are not UTF-8 is not a number; `t` takes a number",
        ),
        (
            json!({"type": "integer"}),
            "a payload of 3 bytes that are not UTF-8 is not a whole number; `t` takes a whole number",
        ),
        (
            json!({"type": "boolean"}),
            "a payload of 3 bytes that are not UTF-8 is not permitted; `t` takes `true` or `false`",
        ),
        (
            json!({"type": "enum", "values": ["a"]}),
            "a payload of 3 bytes that are not UTF-8 is not permitted; `t` takes `a`",
        ),
        (
            json!({"type": "object", "fields": {}}),
            "a payload of 3 bytes that are not UTF-8 is not a JSON object; `t` takes an empty JSON object",
        ),
    ] {
        let policy = policy(&[("t", limit)]);
        assert_eq!(judge(&policy, "t", b"5\xff\xfe"), Err(words.to_owned()));
    }
}

fn lamp() -> Value {
    json!({
        "type": "object", "required": ["state"],
        "fields": {
            "state": {"type": "boolean", "true": "ON", "false": "OFF"},
            "level": {"type": "integer", "min": 0, "max": 254},
            "scene": {"type": "enum", "values": ["day", 1]},
            "timer": {"type": "number", "max": 60.5, "unit": "s"},
            "label": {"type": "text", "max_bytes": 3},
            "lock": {"type": "boolean"},
            "color": {"type": "object", "required": ["r"], "fields": {"r": {"type": "number", "min": 0, "max": 1}}},
        },
        "example": {"state": "ON", "level": 100},
    })
}

const LAMP: &str = "`t/+` takes a JSON object of `state` (`\"ON\"` (true) or `\"OFF\"` (false)), \
    `level` (optional, a whole number from 0 to 254), `scene` (optional, `\"day\"` or `1`), \
    `timer` (optional, a number of at most 60.5 s), `label` (optional, text of at most 3 bytes), \
    `lock` (optional, `true` or `false`) and \
    `color` (optional, a JSON object of `r` (a number from 0 to 1)), such as `{\"state\":\"ON\",\"level\":100}`";

#[test]
fn an_object_is_its_fields_and_no_others() {
    let no_object = |what: &str| format!("{what}; {LAMP}");
    let fields = "`state`, `level`, `scene`, `timer`, `label`, `lock` and `color`";
    let unknown = |name: &str| format!("`t/+` takes no field `{name}`; it takes {fields}");
    let cases: Vec<(&str, Result<(), String>)> = vec![
        (r#"{"state":"ON"}"#, Ok(())),
        (" {\n\"state\" : \"OFF\" ,\"level\":254,\"scene\":\"day\",\"timer\":6.05e1,\"label\":\"é\",\"lock\":true,\"color\":{\"r\":0.5}}\n", Ok(())),
        (r#"{"st\u0061te":"\u004fN","scene":1}"#, Ok(())),
        (r#"{"state":"ON","level":255}"#, Err("`level`: 255 is above 254, the most that `t/+` takes there".into())),
        (r#"{"state":"ON","level":-1}"#, Err("`level`: -1 is below 0, the least that `t/+` takes there".into())),
        (r#"{"state":"ON","level":1e1}"#, Err("`level`: `1e1` is not a whole number (write it without a fraction or an exponent); `t/+` takes there a whole number from 0 to 254".into())),
        (r#"{"state":"ON","level":-0}"#, Err("`level`: `-0` is not a whole number (write `0`); `t/+` takes there a whole number from 0 to 254".into())),
        (r#"{"state":"ON","level":"100"}"#, Err("`level`: `\"100\"` is not a whole number (leave out the quotation marks); `t/+` takes there a whole number from 0 to 254".into())),
        (r#"{"state":"ON","level":null}"#, Err("`level`: `null` is not a whole number; `t/+` takes there a whole number from 0 to 254".into())),
        (r#"{"state":"ON","level":[1]}"#, Err("`level`: `[1]` is not a whole number; `t/+` takes there a whole number from 0 to 254".into())),
        (r#"{"state":"ON","timer":60.50000000000000000001}"#, Err("`timer`: 60.50000000000000000001 is above 60.5 s, the most that `t/+` takes there".into())),
        (r#"{"state":"ON","timer":1e400}"#, Err("`timer`: 1e400 is above 60.5 s, the most that `t/+` takes there".into())),
        (r#"{"state":"ON","timer":-1e400}"#, Err("`timer`: `-1e400` is not a number (it is too large for devices to hold); `t/+` takes there a number of at most 60.5 s".into())),
        (r#"{"state":"ON","scene":"1"}"#, Err("`scene`: `\"1\"` is not permitted; `t/+` takes there `\"day\"` or `1`".into())),
        (r#"{"state":"ON","scene":1.0}"#, Err("`scene`: `1.0` is not permitted; `t/+` takes there `\"day\"` or `1`".into())),
        (r#"{"state":true}"#, Err("`state`: `true` is not permitted; `t/+` takes there `\"ON\"` (true) or `\"OFF\"` (false)".into())),
        (r#"{"state":"ON","lock":"true"}"#, Err("`lock`: `\"true\"` is not permitted; `t/+` takes there `true` or `false`".into())),
        (r#"{"state":"ON","label":"éé"}"#, Err("`label`: 4 bytes are more than 3; `t/+` takes there text of at most 3 bytes".into())),
        (r#"{"state":"ON","label":7}"#, Err("`label`: `7` is not a string; `t/+` takes there text of at most 3 bytes".into())),
        (r#"{"state":"ON","label":"\ud800"}"#, Err("`label`: `\"\\\\ud800\"` is not a string; `t/+` takes there text of at most 3 bytes".into())),
        (r#"{"state":"ON","color":{"r":2}}"#, Err("`color.r`: 2 is above 1, the most that `t/+` takes there".into())),
        (r#"{"state":"ON","color":{}}"#, Err("`color.r` is missing; `t/+` takes there a JSON object of `r` (a number from 0 to 1)".into())),
        (r#"{"state":"ON","color":{"g":1}}"#, Err("`t/+` takes no field `color.g` there; it takes `r`".into())),
        (r#"{"state":"ON","color":"red"}"#, Err("`color`: `\"red\"` is not a JSON object; `t/+` takes there a JSON object of `r` (a number from 0 to 1)".into())),
        (r#"{"state":"ON","state":"OFF"}"#, Err("`state` is given more than once, and readers differ in which one counts; `t/+` takes it once".into())),
        (r#"{"level":1,"l\u0065vel":255,"state":"ON"}"#, Err("`level` is given more than once, and readers differ in which one counts; `t/+` takes it once".into())),
        (r#"{"level":1}"#, Err(format!("`state` is missing; {LAMP}"))),
        (r#"{"state":"ON","speed":1}"#, Err(unknown("speed"))),
        (r#"{"state":"ON","State":"ON"}"#, Err(unknown("State"))),
        (r#"{"state":"ON","":1}"#, Err(unknown(""))),
        (r#"["state","ON"]"#, Err(no_object("`[\"state\",\"ON\"]` is not a JSON object"))),
        ("ON", Err(no_object("`ON` is not JSON (expected value at line 1 column 1)"))),
        ("", Err(no_object("an empty payload is not JSON (EOF while parsing a value at line 1 column 0)"))),
        (r#"{"state":"ON"}}"#, Err(no_object("`{\"state\":\"ON\"}}` is not JSON (trailing characters at line 1 column 15)"))),
        (r#"{"state":"ON","timer":NaN}"#, Err(no_object("`{\"state\":\"ON\",\"timer\":NaN}` is not JSON (expected value at line 1 column 23)"))),
        (r#"{"state":"ON","timer":1,5}"#, Err(no_object("`{\"state\":\"ON\",\"timer\":1,5}` is not JSON (key must be a string at line 1 column 25)"))),
        (r#"{"state":"ON",}"#, Err(no_object("`{\"state\":\"ON\",}` is not JSON (key must be a string at line 1 column 15)"))),
    ];
    let cases: Vec<_> = cases
        .iter()
        .map(|(payload, words)| (*payload, words.as_ref().copied().map_err(String::as_str)))
        .collect();
    table(&lamp(), &cases);
}

#[test]
fn all_limits_that_match_hold_and_the_tightest_is_told() {
    let number = |min: i64, max: i64| json!({"type": "number", "min": min, "max": max});
    let policy = policy(&[
        ("a/#", number(0, 100)),
        ("a/+/x", number(20, 200)),
        ("a/b/x", number(-5, 50)),
        ("c/#", json!({"type": "text", "max_bytes": 2})),
        ("c/+", json!({"type": "integer"})),
    ]);
    let said = |topic: &str, payload: &str| judge(&policy, topic, payload.as_bytes());
    for (topic, payload, words) in [
        ("a/b/x", "51", "51 is above 50, the most that `a/b/x` takes"),
        // Above all three of them.
        (
            "a/b/x",
            "201",
            "201 is above 50, the most that `a/b/x` takes",
        ),
        (
            "a/b/x",
            "19",
            "19 is below 20, the least that `a/+/x` takes",
        ),
        (
            "a/b/x",
            "-6",
            "-6 is below 20, the least that `a/+/x` takes",
        ),
        (
            "a/c/x",
            "101",
            "101 is above 100, the most that `a/#` takes",
        ),
        ("a/c", "-1", "-1 is below 0, the least that `a/#` takes"),
        (
            "c/1",
            "100",
            "3 bytes are more than 2; `c/#` takes text of at most 2 bytes",
        ),
        (
            "c/1",
            "ab",
            "`ab` is not a whole number; `c/+` takes a whole number",
        ),
    ] {
        assert_eq!(
            said(topic, payload),
            Err(words.to_owned()),
            "{topic} {payload}"
        );
    }
    for (topic, payload) in [
        ("a/b/x", "50"),
        ("a/b/x", "20"),
        ("a/c", "0"),
        ("c/1", "10"),
        ("c/1/2", "ab"),
    ] {
        assert_eq!(said(topic, payload), Ok(()), "{topic} {payload}");
    }
}

/// A wide rule without limits does not lift those of a narrow one, nor the other way round.
#[test]
fn a_rule_without_a_limit_lifts_none() {
    let file = json!({"topics": [
        {"pattern": "a/#", "permissions": ["read", "write", "retain"]},
        {"pattern": "a/b", "permissions": ["write"], "payload": {"type": "integer"}},
        {"pattern": "a/b", "permissions": ["write"]},
        // Without `write` it permits nothing, and limits nothing.
        {"pattern": "a/c", "permissions": ["read"], "payload": {"type": "integer"}},
        {"pattern": "d/#", "permissions": ["write"], "payload": {"type": "integer"}},
        {"pattern": "d/e", "permissions": ["write"]},
    ]});
    let (config, _) = Config::parse(&file.to_string()).unwrap();
    let said =
        |topic: &str, payload: &str| judge(&config.policy, topic, payload.as_bytes()).is_ok();
    for (topic, payload, passes) in [
        ("a/b", "x", false),
        ("a/b", "1", true),
        ("a/c", "x", true),
        ("a/d", "x", true),
        ("d/e", "x", false),
        ("d/e", "1", true),
    ] {
        assert_eq!(said(topic, payload), passes, "{topic} {payload}");
    }
    let places: Vec<_> = config
        .policy
        .grants()
        .map(|grant| grant.places.clone())
        .collect();
    assert_eq!(
        places,
        [vec![0], vec![1], vec![2], vec![3], vec![4], vec![5]]
    );
}

#[test]
fn two_entries_of_one_pattern_limit_together() {
    let policy = policy(&[
        ("a", json!({"type": "number", "max": 100})),
        ("a", json!({"type": "number", "max": 50})),
        ("a", json!({"type": "integer", "min": 1})),
    ]);
    let said = |payload: &str| judge(&policy, "a", payload.as_bytes());
    assert_eq!(said("50"), Ok(()));
    assert_eq!(
        said("50.5"),
        Err("50.5 is above 50, the most that `a` takes".to_owned())
    );
    assert_eq!(
        said("0"),
        Err("0 is below 1, the least that `a` takes".to_owned())
    );
    let words = "`1.5` is not a whole number (write it without a fraction or an exponent); `a` takes a whole number of at least 1";
    assert_eq!(said("1.5"), Err(words.to_owned()));
}

#[test]
fn a_rule_as_json_is_the_rule_of_the_file() {
    let rules = [
        json!({"type": "number", "min": 0, "max": 2000.5, "unit": "rpm", "example": "1500"}),
        json!({"type": "integer"}),
        json!({"type": "boolean"}),
        json!({"type": "boolean", "true": "ON", "false": "OFF"}),
        json!({"type": "enum", "values": ["a", "b", 3]}),
        json!({"type": "text", "max_bytes": 64}),
        json!({"type": "object", "fields": {"a": {"type": "number", "max": 1, "example": 0.5}}, "required": ["a"], "example": "{\"a\":1}"}),
    ];
    for rule in rules {
        let policy = policy(&[("t", rule.clone())]);
        let read = policy.grants().next().unwrap().payload.clone().unwrap();
        assert_eq!(read.to_json(), rule);
    }
}

/// A payload that is a topic's own permission is not asked for where the topic is not writable.
#[test]
fn the_topic_is_judged_first_and_is_no_limit() {
    let policy = policy(&[("a", json!({"type": "integer"}))]);
    let topic = TopicName::parse("b").unwrap();
    let attempt = Attempt {
        topic: &topic,
        payload: b"x",
        retain: false,
    };
    let refusal = policy.judge(&attempt).unwrap_err();
    assert!(!refusal.is_limit());
    assert_eq!(refusal.to_string(), "`b` is not writable; writable: `a`");
}

#[test]
fn a_field_may_have_any_name() {
    table(
        &json!({"type": "object", "fields": {"": {"type": "enum", "values": ["a"]}}, "required": [""]}),
        &[
            (r#"{"":"a"}"#, PASSES),
            (
                r#"{"":"b"}"#,
                Err("``: `\"b\"` is not permitted; `t/+` takes there `\"a\"`"),
            ),
            (
                "{}",
                Err("`` is missing; `t/+` takes a JSON object of `` (`\"a\"`)"),
            ),
        ],
    );
}

/// The length of a refusal is held by `judge`.
#[test]
fn words_are_short_however_long_the_rule_is() {
    let name = |n: usize| format!("{n}{}", "\u{200b}".repeat(200));
    let of = |rule: &Value| -> Value {
        let fields = (0..30).map(|n| (name(n), rule.clone()));
        json!({"type": "object", "fields": fields.collect::<serde_json::Map<_, _>>(), "required": [name(0)]})
    };
    let rule = of(&of(&json!({"type": "text"})));
    let policy = policy(&[("t", rule)]);
    for payload in ["", "{}", r#"{"x":1}"#, "[]"] {
        let words = judge(&policy, "t", payload.as_bytes()).unwrap_err();
        assert!(words.ends_with('…'), "{words}");
    }
}
