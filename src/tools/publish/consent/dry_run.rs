//! What a dry run says is what the call after it does.

use super::*;
use crate::operator::Source;
use crate::tools::publish::simulation::{folder, record_in};

/// A file with these limits.
fn limited(limits: &Value) -> Profiles {
    let written =
        json!({"pattern": "site/valve/set", "permissions": ["write"], "description": "d"});
    let config = json!({"topics": [written], "limits": limits});
    Config::parse(&config.to_string()).unwrap().0.profiles
}

fn dry(world: &mut World, mut arguments: Value) -> u64 {
    arguments["dry_run"] = true.into();
    world.call(LEGACY, arguments)
}

/// The reason of a dry run that says that the call would be refused.
fn reason(world: &World, id: u64) -> String {
    assert_eq!(world.outcome(id), "would_refuse");
    let answers = world.answers.borrow();
    let result = &answers[&id].as_ref().unwrap()["result"]["structuredContent"];
    result["reason"].as_str().unwrap().into()
}

/// Has the message refused twice by a dry run and then by a call, for one reason.
fn refused(world: &mut World, arguments: &Value, why: &str) {
    for _ in 0..2 {
        let id = dry(world, arguments.clone());
        world.settle();
        let reason = reason(world, id);
        assert!(reason.contains(why), "{reason}");
    }
    let id = world.call(LEGACY, arguments.clone());
    world.settle();
    let outcome = world.outcome(id);
    assert!(outcome.contains(why), "{outcome}");
}

#[test]
fn a_quota_that_is_used_up_refuses_and_a_dry_run_takes_nothing_of_it() {
    let quota = limited(&json!({"publishes_per_minute": 2}));
    let mut world = World::new(quota, Setting::default());
    for _ in 0..2 {
        for _ in 0..3 {
            let id = dry(&mut world, open());
            world.settle();
            assert_eq!(world.outcome(id), "would_send");
        }
        let id = world.call(LEGACY, open());
        world.settle();
        assert_eq!(world.outcome(id), "sent");
    }
    let why = "more than 2 publishes in a minute; try again in 60 s";
    refused(&mut world, &open(), why);
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn a_message_that_is_too_large_is_refused() {
    let mut world = World::with_consent("");
    let payload = "x".repeat(4 << 20);
    let why = "topic and payload have 4194318 bytes, above `limits.publish_bytes` of 4194304";
    refused(
        &mut world,
        &json!({"topic": "site/valve/set", "payload": payload}),
        why,
    );
}

#[test]
fn a_record_that_cannot_be_written_refuses_and_a_dry_run_writes_nothing() {
    let folder = folder();
    let file = folder.join("missing").join("audit.jsonl");
    let setting = Setting {
        record: Some(record_in(file.clone())),
        ..Setting::default()
    };
    let mut world = World::new(profiles("", &json!({})), setting);
    world.settle();
    let why = "the operator requires a record of each write, and it cannot be written now";
    refused(&mut world, &open(), why);
    world.pass(1_001);
    refused(&mut world, &open(), why);
    // Once it can, a dry run knows without a line.
    std::fs::create_dir(folder.join("missing")).unwrap();
    world.pass(1_001);
    let id = dry(&mut world, open());
    world.settle();
    assert_eq!(world.outcome(id), "would_send");
    assert!(!file.exists());
    let id = world.call(LEGACY, open());
    world.settle();
    assert_eq!(world.outcome(id), "sent");
}

#[test]
fn an_operator_who_cannot_be_asked_refuses() {
    let why = "this program's own account may publish to `operator/answer/#`";
    for consent in ["operator", "either"] {
        let mut world = World::new(profiles(consent, &json!({})), Setting::default());
        world.own_account_answers = true;
        world.settle();
        let mut arguments = open();
        arguments["dry_run"] = true.into();
        let tests = |world: &World| {
            let told = world.to_operator.iter();
            told.filter(|(level, ..)| level == "answer").count()
        };
        let mut before = None;
        for _ in 0..3 {
            let id = world.call_with(LEGACY, arguments.clone(), json!({}), json!({}));
            world.pass(10_000);
            let reason = reason(&world, id);
            assert!(reason.contains(why), "{reason}");
            let after = tests(&world);
            assert_eq!(*before.get_or_insert(after), after, "one test is enough");
        }
        let id = world.call_with(LEGACY, open(), json!({}), json!({}));
        world.pass(10_000);
        assert!(world.outcome(id).contains(why), "{}", world.outcome(id));
        assert!(world.asked().is_empty());
        // Where a person at the client can be asked, that is enough.
        let id = world.call(LEGACY, arguments);
        world.pass(10_000);
        let expected = match consent {
            "either" => "would_send",
            _ => "would_refuse",
        };
        assert_eq!(world.outcome(id), expected);
    }
}

#[test]
fn an_account_that_was_forbidden_to_answer_meanwhile_is_tested_again() {
    let mut world = World::new(profiles("operator", &json!({})), Setting::default());
    world.own_account_answers = true;
    world.settle();
    let outcome = |world: &mut World| {
        let id = dry(world, open());
        for _ in 0..10 {
            world.pass(2_000);
        }
        world.outcome(id)
    };
    assert_eq!(outcome(&mut world), "would_refuse");
    world.own_account_answers = false;
    assert_eq!(outcome(&mut world), "would_refuse", "the test counts");
    world.pass(60_000);
    assert_eq!(outcome(&mut world), "would_send");
}

#[test]
fn the_connection_is_waited_for_as_a_call_does_and_a_halt_behind_it_is_told() {
    for (halts, expected) in [(false, "would_send"), (true, "would_refuse")] {
        let mut world = World::new(profiles("", &json!({})), Setting::default());
        world.driver.disconnect(world.now);
        world.run();
        let id = dry(&mut world, open());
        world.pass(1_000);
        assert_eq!(world.outcome(id), "pending");
        world.driver.connect();
        world.run();
        world.driver_turn();
        if halts {
            world.deliver("operator/halt", "stop", true);
        }
        world.settle();
        assert_eq!(world.outcome(id), expected);
    }
    // What no connection changes is said at once, and none is waited for in vain.
    let mut world = World::new(profiles("", &json!({})), Setting::default());
    world.driver.disconnect(world.now);
    world.run();
    let id = dry(&mut world, json!({"topic": "site/level", "payload": "1"}));
    world.settle();
    assert!(reason(&world, id).contains("is not writable"));
    let id = dry(&mut world, open());
    world.settle();
    world.pass(10_001);
    assert!(reason(&world, id).contains("not connected to the broker"));
    world.operator.halt(Source::Signal, None, "a leak");
    let id = dry(&mut world, open());
    world.settle();
    assert!(reason(&world, id).contains("halted writing"));
}
