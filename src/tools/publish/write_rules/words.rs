//! What each rule says at its edges.

use serde_json::{Value, json};

use super::{World, profiles};

fn refused(why: &str) -> String {
    format!("not published: {why}. Nothing was sent.")
}

#[test]
fn a_change_is_measured_against_the_last_live_value() {
    let state = json!({"topic": "site/{1}/rpm", "max_age": 10});
    let mut world = World::new(profiles(&json!({"max_change": 200, "state": state})));
    let first = world.call(json!({"topic": "site/m1/cmd", "payload": "1400"}));
    world.settle();
    assert_eq!(world.outcome(first), "pending", "it waits for the state");
    world.retained("site/m1/rpm", "1300");
    assert_eq!(
        world.outcome(first),
        "pending",
        "a retained value is of any age"
    );
    world.live("site/m1/rpm", "1200");
    assert_eq!(world.outcome(first), "sent");
    assert_eq!(
        world.publish("1400.5"),
        refused(
            "1400.5 is 200.5 away from `site/m1/rpm`, which is 1200 (0.0 s ago); one write may change it by 200 at most, \
             so 1000 to 1400 now"
        )
    );
    assert_eq!(world.publish("1000"), "sent");
    assert!(world.publish("999.9").contains("200.1 away"));
    assert_eq!(
        world.publish("fast"),
        refused("the payload is not a number, which the limit on its change needs")
    );
    assert_eq!(
        world.publish("1,5"),
        refused("the payload is not a number, which the limit on its change needs")
    );
    world.pass(10_000);
    assert_eq!(world.publish("1400"), "sent", "10 s are not too old");
    world.pass(1);
    let too_old = "the last value of `site/m1/rpm` is 10.0 s old, and after 10 s it does not count, and a write may be at \
                   most 200 away from it; the program goes on watching it: try again when it has sent a value";
    assert_eq!(world.publish("1400"), refused(too_old));
    let large = "9".repeat(8193);
    world.live("site/m1/rpm", &large);
    assert_eq!(
        world.publish("1400"),
        refused(
            "the last message on `site/m1/rpm` was too large to be judged (8193 bytes), and a write may be at most 200 away \
             from it"
        )
    );
    world.live("site/m1/rpm", "running");
    assert_eq!(
        world.publish("1400"),
        refused(
            "the last value of `site/m1/rpm` is not a number, and a write may be at most 200 away from it"
        )
    );
    assert_eq!(world.sent, ["1400", "1000", "1400"]);
}

#[test]
fn an_unknown_state_is_refused_after_a_short_wait_and_then_at_once() {
    let state = json!({"topic": "site/{1}/rpm"});
    let mut world = World::new(profiles(&json!({"max_change": 200, "state": state})));
    let first = world.call(json!({"topic": "site/m1/cmd", "payload": "5"}));
    world.settle();
    world.pass(4_999);
    assert_eq!(world.outcome(first), "pending");
    world.pass(1);
    let nothing = |seconds| {
        refused(&format!(
            "nothing came on `site/m1/rpm` in the {seconds} s since it is watched, and a write may be at most 200 away \
             from it; the program goes on watching it: try again when it has sent a value"
        ))
    };
    assert_eq!(world.outcome(first), nothing("5.0"));
    world.pass(1_000);
    assert_eq!(world.publish("5"), nothing("6.0"), "at once");
    world.retained("site/m1/rpm", "4");
    assert_eq!(
        world.publish("5"),
        refused(
            "`site/m1/rpm` has sent no live value, only a retained one of unknown age, and a write may be at most 200 \
             away from it; the program goes on watching it: try again when it has sent a value"
        )
    );
    world.live("site/m1/rpm", "4");
    world.retained("site/m1/rpm", "4000");
    assert_eq!(
        world.publish("5"),
        "sent",
        "a retained value takes no live one's place"
    );
    world.driver.disconnect(world.now);
    world.driver.connect();
    assert_eq!(
        world.publish("5"),
        "pending",
        "after a gap the value is waited for anew"
    );
    world.pass(5_000);
    assert!(
        world
            .publish("5")
            .contains("the connection to the broker was lost, and nothing came on")
    );
    assert_eq!(world.sent, ["5"]);
}

#[test]
fn where_the_operator_allows_it_an_unknown_state_does_not_refuse() {
    let state = json!({"topic": "site/{1}/rpm", "max_age": 10});
    let rule = json!({"max_change": 200, "state": state, "if_unknown": "allow"});
    let mut world = World::new(profiles(&rule));
    let first = world.call(json!({"topic": "site/m1/cmd", "payload": "5000"}));
    world.settle();
    world.pass(5_000);
    assert_eq!(world.outcome(first), "sent");
    world.live("site/m1/rpm", "1200");
    assert!(world.publish("5000").contains("3800 away"));
    world.pass(10_001);
    assert_eq!(world.publish("5000"), "sent");
}

#[test]
fn a_retained_value_counts_where_the_operator_says_so() {
    let state = json!({"topic": "site/{1}/state", "field": "rpm.is", "retained": true});
    let rule = json!({"field": "rpm", "max_change": 10, "state": state});
    let mut world = World::new(profiles(&rule));
    let first = world.call(json!({"topic": "site/m1/cmd", "payload": r#"{"rpm": 20}"#}));
    world.settle();
    world.retained("site/m1/state", r#"{"rpm": {"is": 12}}"#);
    assert_eq!(world.outcome(first), "sent");
    world.pass(500_000);
    assert_eq!(
        world.publish(r#"{"rpm": 30}"#),
        refused(
            "30 is 18 away from `site/m1/state`, which is 12 (retained); one write may change it by 10 at most, so 2 to 22 \
             now"
        )
    );
    assert_eq!(
        world.publish("20"),
        refused("the payload has no number at `rpm`, which the limit on its change needs")
    );
    assert_eq!(
        world.publish(r#"{"rpm": 3000, "rpm": 20}"#),
        refused(
            "the payload can be read in two ways (a member named twice, or `a.b` beside a `b` in `a`), so that the rule on \
             its value cannot be checked"
        )
    );
    world.live("site/m1/state", r#"{"rpm": {"is": 25}}"#);
    assert_eq!(world.publish(r#"{"rpm": 30}"#), "sent");
}

#[test]
fn an_interval_and_a_rate_say_when_to_come_back() {
    let mut world = World::new(profiles(&json!({"min_interval": 2.5, "max_per_minute": 3})));
    assert_eq!(world.publish("a"), "sent");
    world.pass(500);
    assert_eq!(
        world.publish("b"),
        refused(
            "the topic was written to 0.5 s ago, and one write is permitted in 2.5 s; try again in 2.0 s"
        )
    );
    world.pass(1_999);
    assert!(world.publish("b").contains("try again in 0.1 s"));
    world.pass(1);
    assert_eq!(world.publish("b"), "sent");
    world.pass(2_500);
    assert_eq!(world.publish("c"), "sent");
    world.pass(3_000);
    assert_eq!(
        world.publish("d"),
        refused(
            "the topic was written to 3 times within a minute, which is the limit; try again in 52.0 s"
        )
    );
    // Another topic of the same pattern has its own.
    let other = world.call(json!({"topic": "site/m2/cmd", "payload": "x"}));
    world.settle();
    assert_eq!(world.outcome(other), "sent");
    world.pass(51_999);
    assert!(world.publish("d").contains("which is the limit"));
    world.pass(1);
    assert_eq!(world.publish("d"), "sent");
    assert_eq!(world.sent, ["a", "b", "c", "x", "d"]);
}

#[test]
fn of_two_writes_at_once_one_is_too_soon_and_a_reload_forgets_none() {
    let rule = json!({"min_interval": 2});
    let mut world = World::new(profiles(&rule));
    let [one, two] = ["1", "2"]
        .map(|payload| world.call(json!({"topic": "site/m1/cmd", "payload": payload, "qos": 1})));
    world.settle();
    assert_eq!(world.outcome(one), "delivered");
    assert!(world.outcome(two).contains("try again in 2.0 s"));
    world
        .context
        .access
        .replace_profiles(profiles(&json!(null)));
    world.context.access.replace_profiles(profiles(&rule));
    assert!(world.publish("3").contains("try again in 2.0 s"));
    // What was not sent does not count.
    world.pass(2_000);
    world.driver.disconnect(world.now);
    assert!(world.publish("4").contains("not connected"));
    world.driver.connect();
    assert_eq!(world.publish("5"), "sent");
}

#[test]
fn a_condition_on_another_topic_has_to_hold() {
    let mode = json!({"topic": "site/{1}/mode", "value": "remote", "max_age": 5});
    let alive = json!({"topic": "site/plc/alive", "max_age": 2});
    let mut world = World::new(profiles(&json!({"requires": [mode, alive]})));
    let first = world.call(json!({"topic": "site/m1/cmd", "payload": "on"}));
    world.settle();
    assert_eq!(world.driver.observed(), 2);
    world.live("site/m1/mode", "remote");
    assert_eq!(world.outcome(first), "pending");
    world.live("site/plc/alive", "1");
    assert_eq!(world.outcome(first), "sent");
    world.pass(1_500);
    world.live("site/m1/mode", "local");
    assert_eq!(
        world.publish("off"),
        refused(
            "`site/m1/mode` is `local` (0.0 s ago); to write here needs `site/m1/mode` = \"remote\""
        )
    );
    world.live("site/m1/mode", "remote");
    assert_eq!(world.publish("off"), "sent");
    // Longer than a value is waited for.
    world.pass(3_000);
    world.live("site/m1/mode", "remote");
    world.live("site/plc/alive", "2");
    world.pass(2_001);
    assert_eq!(
        world.publish("on"),
        refused(
            "the last value of `site/plc/alive` is 2.0 s old, and after 2 s it does not count; to write here needs \
             `site/plc/alive` sends; the program goes on watching it: try again when it has sent a value"
        )
    );
    assert_eq!(world.sent, ["on", "off"]);
}

#[test]
fn what_readers_may_find_at_two_places_is_refused_and_unknown() {
    let both = r#"{"a.b": 900, "a": {"b": 12}}"#;
    let state = json!({"topic": "site/{1}/st", "field": "a.b", "retained": true});
    let change = json!({"state": state, "field": "a.b", "max_change": 5});
    let confirm = json!({"state": state, "field": "a.b", "confirm": {}});
    for rule in [&change, &confirm] {
        let mut world = World::new(profiles(rule));
        let _ = world.publish("1");
        world.live("site/m1/st", r#"{"a.b": 10}"#);
        assert_eq!(
            world.publish(both),
            refused(
                "the payload can be read in two ways (a member named twice, or `a.b` beside a `b` in `a`), so that the \
                 rule on its value cannot be checked"
            ),
        );
        assert_eq!(world.sent.len(), 0);
        for one in [r#"{"a.b": 12}"#, r#"{"a": {"b": 12}}"#] {
            world.publish(one);
            assert_eq!(world.sent.pop().as_deref(), Some(one));
        }
    }
    let mode = json!({"topic": "site/{1}/st", "field": "a.b", "value": 12, "retained": true});
    let unknown = "the last message on `site/m1/st` can be read in two ways";
    for rule in [&change, &json!({"requires": [mode]})] {
        let mut world = World::new(profiles(rule));
        let _ = world.publish("1");
        world.live("site/m1/st", both);
        let outcome = world.publish(r#"{"a.b": 12}"#);
        assert!(outcome.contains(unknown), "{outcome}");
        let dry = json!({"topic": "site/m1/cmd", "payload": "{}", "dry_run": true});
        let dry = world.call(dry);
        world.settle();
        let now = world.result(dry)["rules"][0]["limits"][0]["now"].clone();
        assert_eq!(now, unknown);
    }
    // Nor does it show an effect.
    let mut world = World::new(profiles(&confirm));
    let id = world.call(json!({"topic": "site/m1/cmd", "payload": r#"{"a.b": 12}"#}));
    world.settle();
    world.live("site/m1/st", both);
    world.pass(5_001);
    assert_eq!(world.result(id)["confirmed"], false);
}

#[test]
fn a_value_that_was_deleted_is_unknown() {
    let requires = |condition: Value| {
        let mut mode = json!({"topic": "site/{1}/mode", "retained": true});
        for (key, value) in condition.as_object().unwrap() {
            mode[key] = value.clone();
        }
        json!({"requires": [mode]})
    };
    let state = json!({"topic": "site/{1}/mode", "retained": true});
    for rule in [
        requires(json!({"op": "!=", "value": "stop"})),
        requires(json!({"value": ""})),
        requires(json!({})),
        json!({"max_change": 5, "state": state}),
    ] {
        let mut world = World::new(profiles(&rule));
        let first = world.call(json!({"topic": "site/m1/cmd", "payload": "1"}));
        world.settle();
        world.retained("site/m1/mode", "stop");
        world.pass(5_000);
        let _ = world.outcome(first);
        world.live("site/m1/mode", "");
        world.sent.clear();
        let outcome = world.publish("1");
        let unknown = "the last message on `site/m1/mode` was empty, which is no value";
        assert!(outcome.contains(unknown), "{rule}: {outcome}");
        assert_eq!(world.sent.len(), 0, "{rule}");
        // The broker sends what it keeps to whoever subscribes next.
        world.retained("site/m1/mode", "run");
        assert!(world.publish("1").contains(unknown), "{rule}");
        world.live("site/m1/mode", "3");
        let is_equal_to_nothing = rule["requires"][0]["value"] == "";
        assert_eq!(world.publish("1") == "sent", !is_equal_to_nothing, "{rule}");
    }
}

#[test]
fn a_deleted_value_takes_back_what_waits_and_shows_no_effect() {
    let mode = json!({"topic": "site/{1}/mode", "op": "!=", "value": "stop", "retained": true});
    let mut world = World::new(profiles(&json!({"requires": [mode]})));
    let first = world.call(json!({"topic": "site/m1/cmd", "payload": "1"}));
    world.run();
    world.driver_turn();
    world.driver.grant();
    world.deliver("site/m1/mode", "run", true);
    world.run();
    assert!(world.driver.has_messages(), "handed over, and not sent yet");
    world.live("site/m1/mode", "");
    let outcome = world.outcome(first);
    assert!(outcome.contains("was empty"), "{outcome}");
    assert_eq!(world.sent.len(), 0);

    let confirm = json!({"within": 3, "op": "!=", "value": "stop"});
    let rule = json!({"confirm": confirm, "state": {"topic": "site/{1}/mode"}});
    let mut world = World::new(profiles(&rule));
    let id = world.call(json!({"topic": "site/m1/cmd", "payload": "1"}));
    world.settle();
    world.live("site/m1/mode", "");
    world.pass(3_001);
    assert_eq!(world.result(id)["confirmed"], false);
}

#[test]
fn values_that_the_agent_may_not_read_are_not_told() {
    let file = json!({"topics": [{
        "pattern": "site/+/cmd", "permissions": ["write"], "write": {
            "max_change": 5, "state": {"topic": "secret/{1}"},
            "requires": [{"topic": "secret/mode", "value": "remote"}],
        },
    }]});
    let profiles = mcpmqtt_config::Config::parse(&file.to_string())
        .unwrap()
        .0
        .profiles;
    let mut world = World::new(profiles);
    let first = world.call(json!({"topic": "site/m1/cmd", "payload": "1"}));
    world.settle();
    world.live("secret/mode", "password");
    world.live("secret/m1", "4711");
    assert_eq!(
        world.outcome(first),
        refused("a topic that you may not read does not have the required value")
    );
    world.live("secret/mode", "remote");
    assert_eq!(
        world.publish("1"),
        refused(
            "1 is more than 5 away from a topic that you may not read, the limit for one write"
        )
    );
    let dry = world.call(json!({"topic": "site/m1/cmd", "payload": "1", "dry_run": true}));
    world.settle();
    let dry = world.result(dry).to_string();
    for secret in ["4711", "secret", "remote"] {
        assert!(!dry.contains(secret), "{dry}");
    }
}

#[test]
fn the_effect_has_to_show_after_the_write_whatever_the_agent_asks_for() {
    let state = json!({"topic": "site/{1}/rpm"});
    let rule = json!({"state": state, "confirm": {"within": 3, "tolerance": 10}});
    let mut world = World::new(profiles(&rule));
    let call = |world: &mut World, arguments| {
        let id = world.call(arguments);
        world.settle();
        id
    };
    let write = json!({"topic": "site/m1/cmd", "payload": "1500", "timeout": 0.5});
    // It shows.
    let id = call(&mut world, write.clone());
    assert_eq!(world.outcome(id), "pending");
    world.live("site/m1/rpm", "900");
    world.retained("site/m1/rpm", "1500");
    assert_eq!(world.outcome(id), "pending");
    world.pass(2_900);
    world.live("site/m1/rpm", "1490");
    let result = world.result(id);
    assert_eq!(result["confirmed"], true, "{result}");
    let effect = &result["effects"][0];
    assert_eq!(
        (&effect["topic"], &effect["confirmed"]),
        (&json!("site/m1/rpm"), &json!(true))
    );
    assert_eq!(
        (&effect["after"]["value"], &effect["after_ms"]),
        (&json!(1490), &json!(2900.0))
    );
    assert_eq!(effect["messages"], 2);
    // It does not show; the agent's own condition is met, and changes nothing.
    let mut own = write.clone();
    own["confirm"] = json!({"topic": "site/m1/rpm", "op": "any", "timeout": 0.1});
    let id = call(&mut world, own);
    world.live("site/m1/rpm", "900");
    world.pass(3_000);
    let result = world.result(id);
    assert_eq!(
        (&result["outcome"], &result["confirmed"]),
        (&json!("sent"), &json!(false)),
        "{result}"
    );
    assert_eq!(result["confirmation"]["after"]["value"], 900);
    assert_eq!(result["effects"][0]["after"]["value"], 900);
    // Nothing comes.
    let id = call(&mut world, write);
    world.pass(3_000);
    let result = world.result(id);
    assert_eq!(result["confirmed"], "nothing_came", "{result}");
    assert!(result.get("confirmation").is_none());
    // A value that is no longer in time.
    world.live("site/m1/rpm", "1500");
    assert_eq!(world.result(id)["confirmed"], "nothing_came");
}

#[test]
fn a_dry_run_tells_the_rules_and_sends_nothing() {
    let state = json!({"topic": "site/{1}/rpm"});
    let rule = json!({
        "state": state, "max_change": 100, "min_interval": 5, "max_per_minute": 2,
        "requires": [{"topic": "site/{1}/mode", "value": "remote"}], "confirm": {},
    });
    let mut world = World::new(profiles(&rule));
    let dry = |world: &mut World, topic: &str, payload: &str| {
        let id = world.call(json!({"topic": topic, "payload": payload, "dry_run": true}));
        world.settle();
        id
    };
    let id = dry(&mut world, "site/m1/cmd", "150");
    world.live("site/m1/rpm", "100");
    world.live("site/m1/mode", "remote");
    let limit = |limit: &str, now: Option<&str>| match now {
        Some(now) => json!({"limit": limit, "now": now, "holds": true}),
        None => json!({"limit": limit, "holds": true}),
    };
    assert_eq!(
        world.result(id),
        json!({
            "topic": "site/m1/cmd", "qos": 0, "retain": false, "bytes": 3, "outcome": "would_send",
            "rules": [{"rule": "topics[0].write", "limits": [
                limit("only while `site/{1}/mode` = \"remote\"", Some("`site/m1/mode` is `remote` (0.0 s ago)")),
                limit("at most 100 away from `site/{1}/rpm`", Some("`site/m1/rpm` is 100 (0.0 s ago)")),
                limit("once in 5 s", None),
                limit("2 times in a minute", Some("0 in the last minute")),
                limit("the effect shows on `site/{1}/rpm` within 5 s", None),
            ]}],
        })
    );
    let id = world.call(json!({"topic": "site/m1/cmd", "payload": "150"}));
    world.settle();
    world.live("site/m1/rpm", "150");
    assert_eq!(world.outcome(id), "sent");
    world.pass(1_000);
    let id = dry(&mut world, "site/m1/cmd", "400");
    let result = world.result(id);
    assert_eq!(result["outcome"], "would_refuse");
    assert!(
        result["reason"]
            .as_str()
            .unwrap()
            .starts_with("400 is 250 away from"),
        "{result}"
    );
    let holds = |n: usize| result["rules"][0]["limits"][n]["holds"].clone();
    assert_eq!(
        [0, 1, 2, 3, 4].map(holds),
        [true, false, false, true, true].map(|it| json!(it))
    );
    assert_eq!(
        result["rules"][0]["limits"][2]["now"],
        "written to 1.0 s ago"
    );
    // Without a rule, and without permission.
    let id = dry(&mut world, "site/m1/rpm", "1");
    let result = world.result(id);
    assert_eq!(result["outcome"], "would_refuse");
    let words = "`site/m1/rpm` is not writable; writable: `site/+/cmd`";
    assert_eq!(result["reason"], words);
    world.driver.disconnect(world.now);
    world
        .context
        .access
        .replace_profiles(profiles(&json!(null)));
    let id = dry(&mut world, "site/m1/cmd", "1");
    // As a publish, it waits for a connection.
    world.pass(9_999);
    assert_eq!(world.outcome(id), "pending");
    world.pass(2);
    let reason = world.result(id)["reason"].as_str().unwrap().to_owned();
    assert!(
        reason.starts_with("not connected to the broker: "),
        "{reason}"
    );
    assert_eq!(world.sent, ["150"]);
}

#[test]
fn a_topic_is_watched_from_the_first_attempt_until_some_time_after_the_last() {
    let state = json!({"topic": "site/{1}/rpm", "retained": true});
    let mut world = World::new(profiles(&json!({"max_change": 200, "state": state})));
    world.settle();
    assert_eq!(world.driver.observed(), 0, "nobody has asked");
    let first = world.call(json!({"topic": "site/m1/cmd", "payload": "5"}));
    world.settle();
    world.retained("site/m1/rpm", "4");
    assert_eq!(world.outcome(first), "sent");
    assert_eq!(world.driver.observed(), 1);
    world.pass(599_000);
    assert_eq!(world.publish("5"), "sent");
    world.pass(599_000);
    assert_eq!(world.driver.observed(), 1);
    world.pass(2_000);
    world.driver_turn();
    assert_eq!(world.driver.observed(), 0);
    // A payload without permission is refused before anything is watched.
    let other = world.call(json!({"topic": "site/m1/rpm", "payload": "5"}));
    world.settle();
    assert!(world.outcome(other).contains("not writable"));
    assert_eq!(world.driver.observed(), 0);
}

#[test]
fn a_broker_that_does_not_grant_the_state_is_told() {
    let state = json!({"topic": "site/{1}/rpm"});
    let mut world = World::new(profiles(&json!({"confirm": {}, "state": state})));
    let id = world.call(json!({"topic": "site/m1/cmd", "payload": "5", "timeout": 2}));
    world.run();
    world.driver_turn();
    let end = world.now + std::time::Duration::from_secs(2);
    crate::local::time::simulated::set(end);
    world.now = end;
    world.run();
    assert_eq!(
        world.outcome(id),
        refused("`site/m1/rpm` is not watched yet, and the effect of a write has to show there")
    );
    world.driver.disconnect(world.now);
    assert!(
        world
            .publish("5")
            .contains("cannot be watched (not connected to the broker: ")
    );
    assert_eq!(world.sent, [""; 0]);
}

#[test]
fn a_payload_without_the_field_that_has_to_show_is_refused() {
    let state = json!({"topic": "site/{1}/rpm", "field": "rpm"});
    let mut world = World::new(profiles(
        &json!({"confirm": {"within": 1}, "state": state, "field": "speed"}),
    ));
    world.live("site/m1/rpm", r#"{"rpm": 5}"#);
    let said = world.publish(r#"{"rpm": 5}"#);
    assert!(
        said.contains("speed") && said.ends_with("Nothing was sent."),
        "{said}"
    );
    assert_eq!(world.sent, [""; 0]);
}
