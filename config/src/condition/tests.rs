use serde_json::json;

use super::*;

/// A condition from its JSON arguments.
fn parse(mut arguments: Value) -> Result<Condition, String> {
    let arguments = arguments.as_object_mut().expect("an object");
    Condition::parse(RawCondition::take(arguments)?)
}

fn condition(arguments: &Value) -> Condition {
    parse(arguments.clone()).unwrap_or_else(|error| panic!("{arguments}: {error}"))
}

#[test]
fn one_comparison_of_one_value() {
    use Verdict::{Met, NoField, NoJson, NoNumber, NotMet, WrongKind};
    type Cases = &'static [(&'static str, Verdict)];
    let table: &[(&str, Value, Cases)] = &[
        (
            "=",
            json!(21.5),
            &[
                ("21.5", Met),
                ("21.50", Met),
                ("2150e-2", Met),
                ("\"21.5\"", Met),
                (" 21.5\n", Met),
                ("+21.5", Met),
                ("21.51", NotMet),
                ("21.5 °C", NoNumber),
                ("NaN", NoNumber),
                ("", NoNumber),
                ("true", NoNumber),
                ("null", NoNumber),
                ("[21.5]", NoNumber),
                ("{}", NoNumber),
            ],
        ),
        (
            "=",
            json!("21.5"),
            &[
                ("21.5", Met),
                ("21.50", Met),
                ("\"21.5\"", Met),
                ("21.6", NotMet),
                ("off", NotMet),
            ],
        ),
        (
            "=",
            json!(0),
            &[
                ("0", Met),
                ("-0", Met),
                ("0.0", Met),
                ("false", NoNumber),
                ("", NoNumber),
            ],
        ),
        (
            "=",
            json!("ON"),
            &[
                ("ON", Met),
                (" ON ", Met),
                ("\"ON\"", Met),
                ("on", NotMet),
                ("ONE", NotMet),
                ("", NotMet),
                ("1", NotMet),
                ("true", NotMet),
                ("null", WrongKind),
                ("{\"a\":1}", NotMet),
            ],
        ),
        ("=", json!(" ON"), &[("ON", Met)]),
        (
            "=",
            json!(""),
            &[
                ("", Met),
                (" ", Met),
                ("\"\"", Met),
                ("x", NotMet),
                ("0", NotMet),
            ],
        ),
        (
            "=",
            json!(true),
            &[
                ("true", Met),
                ("\"true\"", Met),
                ("false", NotMet),
                ("\"false\"", NotMet),
                ("True", WrongKind),
                ("ON", WrongKind),
                ("1", WrongKind),
                ("null", WrongKind),
                ("{}", WrongKind),
            ],
        ),
        (
            "=",
            json!(false),
            &[("false", Met), ("true", NotMet), ("0", WrongKind)],
        ),
        (
            "=",
            json!("true"),
            &[
                ("true", Met),
                ("\"true\"", Met),
                ("false", NotMet),
                ("1", NotMet),
            ],
        ),
        (
            "=",
            json!("{\"b\": 1.0, \"a\": [2]}"),
            &[("{\"a\":[2],\"b\":1}", Met), ("{\"a\":[2]}", NotMet)],
        ),
        ("=", json!("[1"), &[("[1", Met), ("[1]", NotMet)]),
        ("=", json!("é"), &[("é", Met), ("\"\\u00e9\"", Met)]),
        (
            "=",
            json!(u64::MAX),
            &[
                ("18446744073709551615", Met),
                ("18446744073709551614", NotMet),
                ("\"18446744073709551615\"", Met),
                ("1", NotMet),
            ],
        ),
        (
            "!=",
            json!(1),
            &[
                ("2", Met),
                ("\"2\"", Met),
                ("1.0", NotMet),
                ("x", NoNumber),
                ("", NoNumber),
                ("null", NoNumber),
            ],
        ),
        (
            "!=",
            json!("offline"),
            &[
                ("online", Met),
                ("offline", NotMet),
                ("21.5", Met),
                ("true", Met),
                ("", Met),
                ("{}", Met),
                ("null", WrongKind),
            ],
        ),
        (
            "!=",
            json!(true),
            &[
                ("false", Met),
                ("true", NotMet),
                ("ON", WrongKind),
                ("null", WrongKind),
            ],
        ),
        (
            "<",
            json!(5),
            &[
                ("4.99", Met),
                ("-1e300", Met),
                ("5", NotMet),
                ("6", NotMet),
                ("\"4\"", Met),
                ("low", NoNumber),
            ],
        ),
        (
            "<=",
            json!(5),
            &[
                ("5", Met),
                ("5.0", Met),
                ("4", Met),
                ("5.0001", NotMet),
                ("NaN", NoNumber),
            ],
        ),
        (
            ">",
            json!("5"),
            &[
                ("5.1", Met),
                ("5", NotMet),
                ("inf", NoNumber),
                ("0x10", NoNumber),
                ("true", NoNumber),
            ],
        ),
        (
            ">=",
            json!(-5),
            &[("-5", Met), ("0", Met), ("-5.1", NotMet), ("", NoNumber)],
        ),
        (
            "!=",
            json!(9007199254740993_u64),
            &[
                ("9007199254740992", Met),
                ("9007199254740993", NotMet),
                ("\"9007199254740993\"", NotMet),
                ("1.5", Met),
                ("offline", NoNumber),
                ("true", NoNumber),
                ("{}", NoNumber),
            ],
        ),
        (
            ">=",
            json!(9007199254740993_u64),
            &[("9007199254740992", Met), ("9007199254740990", NotMet)],
        ),
        (
            "contains",
            json!("err"),
            &[
                ("an error", Met),
                ("\"err\"", Met),
                ("fine", NotMet),
                ("{\"state\":\"error\"}", Met),
                ("{\"state\": \"error\"}", Met),
                ("[\"err\"]", Met),
                ("[\"error\"]", NotMet),
                ("[[\"err\"]]", NotMet),
                ("null", WrongKind),
                ("true", NotMet),
                ("1", NotMet),
            ],
        ),
        (
            "contains",
            json!(2),
            &[
                ("[1,2.0]", Met),
                ("[\"2\"]", Met),
                ("[1,3]", NotMet),
                ("[]", NotMet),
                ("a2b", Met),
                ("12", Met),
            ],
        ),
        (
            "contains",
            json!(true),
            &[
                ("[1,true]", Met),
                ("[1,\"x\"]", NotMet),
                ("{\"a\":true}", Met),
            ],
        ),
        (
            "any",
            Value::Null,
            &[
                ("", Met),
                ("x", Met),
                ("1", Met),
                ("null", Met),
                ("{}", Met),
            ],
        ),
    ];
    for (op, value, cases) in table {
        let plain = condition(&json!({"op": op, "value": value}));
        let field = condition(&json!({"op": op, "value": value, "field": "a"}));
        assert_eq!(plain.op().word(), *op);
        for (payload, expected) in *cases {
            let judged = plain.judge(payload.as_bytes(), None);
            assert_eq!(judged.verdict, *expected, "{op} {value} of {payload}");
            assert!(judged.reading.is_some(), "{payload}");
            // The same value in a field is judged alike.
            if serde_json::from_str::<Value>(payload).is_ok() {
                let document = format!("{{\"x\": 0, \"a\": {payload}}}");
                let judged = field.judge(document.as_bytes(), None);
                assert_eq!(judged.verdict, *expected, "{op} {value} of {document}");
            }
        }
        for (payload, expected) in [
            ("{\"b\":1}", NoField),
            ("[]", NoField),
            ("1", NoField),
            ("ON", NoJson),
            ("", NoJson),
        ] {
            let judged = field.judge(payload.as_bytes(), None);
            assert_eq!(
                judged,
                Judged {
                    reading: None,
                    verdict: expected
                },
                "{op} {payload}"
            );
        }
    }
    let binary = |arguments| condition(&arguments).judge(b"\xff\xd8", None).verdict;
    assert_eq!(binary(json!({"value": 1})), NoNumber);
    assert_eq!(binary(json!({"op": "!=", "value": 1})), NoNumber);
    assert_eq!(binary(json!({"op": "!=", "value": "x"})), WrongKind);
    assert_eq!(binary(json!({"op": "contains", "value": "x"})), WrongKind);
    assert_eq!(binary(json!({"field": "a"})), NoJson);
    assert_eq!(binary(json!({})), Met);
}

#[test]
fn a_payload_contains_what_stands_in_it() {
    use Verdict::{Met, NotMet};
    for (part, payload, expected) in [
        (json!("\"state\": \"ALARM\""), r#"{"state": "ALARM"}"#, Met),
        (json!("\"state\":\"ALARM\""), r#"{"state": "ALARM"}"#, Met),
        (json!("21.50"), "21.50", Met),
        (json!("21.51"), "21.50", NotMet),
        (json!("1, 2"), "[1, 2]", NotMet),
    ] {
        let condition = condition(&json!({"op": "contains", "value": part}));
        let judged = condition.judge(payload.as_bytes(), None);
        assert_eq!(judged.verdict, expected, "{part} in {payload}");
    }
}

#[test]
fn a_tolerance_is_in_decimals() {
    use Verdict::{Met, NoNumber, NotMet};
    for arguments in [json!({"op": "within"}), json!({"op": "="}), json!({})] {
        let judge = |value: Value, tolerance: Value, payload: &str| {
            let mut arguments = arguments.clone();
            arguments["value"] = value;
            arguments["tolerance"] = tolerance;
            condition(&arguments)
                .judge(payload.as_bytes(), None)
                .verdict
        };
        assert_eq!(judge(json!(20), json!(0.3), "20.3"), Met);
        assert_eq!(judge(json!(20), json!(0.3), "19.7"), Met);
        assert_eq!(judge(json!(20), json!(0.3), "20.31"), NotMet);
        assert_eq!(judge(json!(20), json!(0.3), "19.69"), NotMet);
        assert_eq!(judge(json!("20"), json!(0.3), "\"20.1\""), Met);
        assert_eq!(judge(json!(0), json!(0.1), "-0.1"), Met);
        assert_eq!(judge(json!(1e300), json!(1), "-1e300"), NotMet);
        assert_eq!(judge(json!(20), json!(0.3), "ON"), NoNumber);
        assert_eq!(judge(json!(0.3), json!(0), "0.30"), Met);
        assert_eq!(judge(json!(0.3), json!(0), "0.3000000001"), NotMet);
        assert_eq!(
            judge(json!(5149013003054321_u64), json!(0), "5149013003054322"),
            NotMet
        );
    }
}

#[test]
fn changed_compares_with_what_was_before() {
    use Verdict::{Met, NoField, NoNumber, NotMet};
    let table: &[(Value, Option<&str>, &str, Verdict)] = &[
        (json!({}), None, "1", NotMet),
        (json!({}), Some("1"), "1.0", NotMet),
        (json!({}), Some("1"), "2", Met),
        (json!({}), Some("ON"), "OFF", Met),
        (json!({}), Some("ON"), "ON ", NotMet),
        (json!({}), Some("unavailable"), "21", Met),
        (json!({}), Some("{\"a\":1}"), "{\"a\":2}", Met),
        (
            json!({}),
            Some("{\"a\":1,\"b\":2}"),
            "{\"b\":2,\"a\":1.0}",
            NotMet,
        ),
        (json!({}), Some("null"), "1", Met),
        (json!({}), Some(""), "", NotMet),
        (json!({"tolerance": 0}), Some("1"), "1.0001", Met),
        (json!({"tolerance": 0.5}), None, "1", NotMet),
        (json!({"tolerance": 0.5}), Some("1"), "1.5", NotMet),
        (json!({"tolerance": 0.5}), Some("1"), "1.6", Met),
        (json!({"tolerance": 0.3}), Some("20"), "20.3", NotMet),
        (json!({"tolerance": 0.5}), Some("1"), "\"0.4\"", Met),
        (
            json!({"tolerance": 0.5}),
            Some("1"),
            "unavailable",
            NoNumber,
        ),
        (json!({"tolerance": 0.5}), Some("unavailable"), "1", NotMet),
        (json!({"field": "t"}), Some("1"), "{\"t\":2}", Met),
        (json!({"field": "t"}), Some("1"), "{\"t\":1}", NotMet),
        (json!({"field": "t"}), Some("1"), "{}", NoField),
    ];
    for (arguments, previous, payload, expected) in table {
        let mut arguments = arguments.clone();
        arguments["op"] = json!("changed");
        let condition = condition(&arguments);
        let previous = previous.and_then(|it| Reading::of(it.as_bytes(), None).ok());
        for previous in [previous.clone(), previous.map(Reading::kept)] {
            let judged = condition.judge(payload.as_bytes(), previous.as_ref());
            assert_eq!(
                judged.verdict, *expected,
                "{arguments} {previous:?} {payload}"
            );
        }
    }
}

#[test]
fn an_operator_has_a_default() {
    let op = |arguments: Value| condition(&arguments).op();
    assert_eq!(op(json!({})), Op::Any);
    assert_eq!(op(json!({"field": "a", "value": null})), Op::Any);
    assert_eq!(op(json!({"value": false})), Op::Equal);
    assert_eq!(
        op(json!({"value": 0, "tolerance": 0, "hold_s": 0})),
        Op::Equal
    );
    assert_eq!(
        op(json!({"op": ">", "value": 1, "tolerance": 0})),
        Op::Greater
    );
    for (word, op) in Op::WORDS.into_iter().zip(Op::ALL) {
        assert_eq!(Op::parse(word), Ok(op));
        assert_eq!(op.word(), word);
    }
}

#[test]
fn an_error_names_the_argument_and_the_remedy() {
    let table = [
        (json!({"op": 1}), "`op`", "string"),
        (json!({"field": ["a"]}), "`field`", "string"),
        (
            json!({"op": "within", "value": 1, "tolerance": "1"}),
            "`tolerance`",
            "number",
        ),
        (json!({"value": 1, "hold_s": true}), "`hold_s`", "number"),
        (json!({"op": "=="}), "`op`", "`=`, `!=`"),
        (json!({"op": ""}), "`op`", "`any`"),
        (json!({"op": "GT", "value": 1}), "`op`", "`>`"),
        (json!({"field": "a..b"}), "`field`", "one dot"),
        (json!({"op": "any", "value": 1}), "`value`", "leave it out"),
        (
            json!({"op": "changed", "value": "x"}),
            "`value`",
            "leave it out",
        ),
        (json!({"op": "="}), "`value`", "missing"),
        (json!({"op": "contains"}), "`value`", "missing"),
        (
            json!({"op": "contains", "value": ""}),
            "`value`",
            "use `any`",
        ),
        (json!({"op": ">", "value": null}), "`value`", "missing"),
        (
            json!({"op": ">", "value": "high"}),
            "`value`",
            "number for `>`",
        ),
        (
            json!({"op": "<=", "value": true}),
            "`value`",
            "number for `<=`",
        ),
        (
            json!({"op": "within", "value": "x", "tolerance": 1}),
            "`value`",
            "number",
        ),
        (json!({"value": [1]}), "`value`", "name a `field`"),
        (json!({"value": {"a": 1}}), "`value`", "name a `field`"),
        (
            json!({"op": "within", "value": 1}),
            "`tolerance`",
            "missing",
        ),
        (
            json!({"op": "within", "value": 1, "tolerance": -0.1}),
            "`tolerance`",
            "0 or more",
        ),
        (json!({"value": "ON", "tolerance": 1}), "`value`", "number"),
        (
            json!({"op": ">", "value": 1, "tolerance": 1}),
            "`tolerance`",
            "leave it out with `>`",
        ),
        (
            json!({"op": "!=", "value": 1, "tolerance": 1}),
            "`tolerance`",
            "leave it out with `!=`",
        ),
        (json!({"value": 1, "hold_s": -1}), "`hold_s`", "0 to 300"),
        (json!({"value": 1, "hold_s": 300.1}), "`hold_s`", "0 to 300"),
        (
            json!({"op": "any", "hold_s": 1}),
            "`hold_s`",
            "leave it out",
        ),
    ];
    for (arguments, name, remedy) in table {
        let error = parse(arguments.clone()).expect_err(&arguments.to_string());
        assert!(error.starts_with(name), "{arguments}: {error}");
        assert!(error.contains(remedy), "{arguments}: {error}");
    }
    for number in [f64::NAN, f64::INFINITY, -f64::INFINITY] {
        let raw = RawCondition {
            value: Some(json!(1)),
            ..RawCondition::default()
        };
        let tolerance = RawCondition {
            tolerance: Some(number),
            ..raw.clone()
        };
        let hold_s = RawCondition {
            hold_s: Some(number),
            ..raw
        };
        assert!(Condition::parse(tolerance).is_err());
        assert!(Condition::parse(hold_s).is_err());
    }
}

#[test]
fn a_condition_is_taken_from_among_other_arguments() {
    let mut arguments =
        json!({"topic": "a", "op": null, "value": 1, "tolerance": null, "hold_s": 2, "field": "b"});
    let arguments = arguments.as_object_mut().expect("an object");
    let condition = RawCondition::take(arguments).and_then(Condition::parse);
    assert_eq!(
        condition.map(|it| it.to_string()),
        Ok("b = 1 for 2 s".into())
    );
    assert_eq!(arguments.len(), 1);
    assert!(arguments.contains_key("topic"));
}

#[test]
fn a_hold_of_the_longest_time_is_valid() {
    assert_eq!(
        condition(&json!({"value": 1, "hold_s": 300})).hold(),
        Duration::from_secs(300)
    );
    assert_eq!(
        condition(&json!({"value": 1, "hold_s": 0.25})).hold(),
        Duration::from_millis(250)
    );
}

#[test]
fn a_condition_prints_as_a_person_would_say_it() {
    let table = [
        (json!({}), "any"),
        (
            json!({"field": "a.b", "op": ">=", "value": 5, "hold_s": 10}),
            "a.b >= 5 for 10 s",
        ),
        (json!({"value": "ON"}), "= \"ON\""),
        (json!({"value": true, "op": "!="}), "!= true"),
        (
            json!({"value": 20, "tolerance": 0.5, "hold_s": 0.5}),
            "within 0.5 of 20 for 0.5 s",
        ),
        (
            json!({"op": "changed", "tolerance": 2}),
            "changed by more than 2",
        ),
        (json!({"op": "changed"}), "changed"),
        (
            json!({"op": "contains", "value": "a\nb"}),
            "contains \"a\\nb\"",
        ),
    ];
    for (arguments, expected) in table {
        assert_eq!(condition(&arguments).to_string(), expected);
    }
}
