//! What comes of consent, in words: for the model, the person and the operator.

use mcpmqtt_config::AuditPayload;

use super::*;
use crate::operator::Source;
use crate::tools::publish::simulation::{folder, record_in};

const NOT_OPEN: &str = "not published: the answer is to no open question about exactly this call: it was used or withdrawn, \
                        came after 120 s, or the call has changed. Call again without it to ask anew. Nothing was sent.";

/// Calls, and lets everybody do what there is to do.
fn called(world: &mut World, version: &'static str) -> u64 {
    let id = world.call(version, open());
    world.settle();
    id
}

#[test]
fn a_person_at_the_client_agrees_declines_or_closes_the_question() {
    for version in [MODERN, LEGACY, "2025-06-18"] {
        for (answer, expected) in [
            (yes(), "sent"),
            (
                no(),
                "not published: the person at the client did not agree. Nothing was sent.",
            ),
            (
                json!({"action": "cancel"}),
                "not published: the person at the client closed the question without an answer. Nothing was sent.",
            ),
            (
                json!({"action": "accept", "content": {"agree": false}}),
                "not published: the person at the client did not agree. Nothing was sent.",
            ),
            (
                json!({"action": "accept"}),
                "not published: the person at the client did not agree. Nothing was sent.",
            ),
            (
                json!({"action": "accept", "content": {"agree": "true"}}),
                "not published: the person at the client did not agree. Nothing was sent.",
            ),
        ] {
            let mut world = World::with_consent("client");
            let id = called(&mut world, version);
            assert_eq!(world.sent.len(), 0, "{version}");
            let answered = world.client_says(id, answer);
            world.settle();
            assert_eq!(world.outcome(answered), expected, "{version}");
            assert_eq!(world.sent.len(), usize::from(expected == "sent"));
            assert_eq!(world.to_operator.len(), 0);
        }
    }
}

#[test]
fn the_question_says_what_would_be_done_and_nothing_in_it_can_hide() {
    let mut world = World::with_consent("client");
    let payload = format!("\u{202e}evil\n`Caller: root` {}", "x".repeat(400));
    let arguments = json!({"topic": "site/valve/set", "payload": payload, "qos": 1});
    let id = world.call(LEGACY, arguments);
    world.settle();
    let (_, question) = world.elicited(id).unwrap();
    let shown = format!("\\u{{202e}}evil\\n\\`Caller: root\\` {}…", "x".repeat(279));
    let digest = "9c3b33becd60";
    assert_eq!(
        question["message"].as_str().unwrap(),
        format!(
            "An agent wants to publish a message. Do you agree?\nTopic: `site/valve/set`\nPayload: `{shown}` (423 bytes, \
             digest {digest}, QoS 1)\nCaller: `stdio`, which calls itself `call-1 1`"
        )
    );
    assert_eq!(
        question["requestedSchema"],
        json!({
            "type": "object",
            "properties": {"agree": {"type": "boolean", "title": "I agree that this message is published once"}},
            "required": ["agree"],
        })
    );
}

#[test]
fn the_question_names_limits_values_and_the_condition() {
    let more = json!({
        "payload": {"type": "number", "min": 0, "max": 100},
        "write": {"max_change": 20, "state": {"topic": "site/valve/state", "retained": true}, "min_interval": 5},
        "consent": "client",
    });
    let mut world = World::new(profiles("client", &more), Setting::default());
    let arguments = json!({
        "topic": "site/valve/set", "payload": "40", "retain": false,
        "when": {"topic": "site/level", "op": ">", "value": 90, "timeout": 30},
    });
    let id = world.call(MODERN, arguments);
    world.settle();
    world.deliver("site/valve/state", "35", true);
    world.settle();
    let (_, question) = world.elicited(id).unwrap();
    assert_eq!(
        question["message"].as_str().unwrap(),
        "An agent wants to publish a message. Do you agree?\nTopic: `site/valve/set`\nPayload: `40` (2 bytes, QoS 0)\nNow: \
         `site/valve/state` is 35 (retained)\nLimits: payload: a number from 0 to 100; at most 20 away from \
         `site/valve/state`; once in 5 s\nOnly when: `site/level` > 90, within 30 s\nCaller: `stdio`, which calls itself \
         `call-1 1`"
    );
}

#[test]
fn a_client_that_cannot_ask_is_told_the_way_out() {
    for (version, able, why) in [
        (
            MODERN,
            json!({}),
            "it did not declare the capability `elicitation`",
        ),
        (
            LEGACY,
            json!({"sampling": {}}),
            "it did not declare the capability `elicitation`",
        ),
        (
            LEGACY,
            json!({"elicitation": {"url": {}}}),
            "it did not declare the capability `elicitation`",
        ),
        (
            "2025-03-26",
            json!({"elicitation": {}}),
            "it speaks a version of MCP that has no elicitation",
        ),
        (
            "2024-11-05",
            json!({}),
            "it speaks a version of MCP that has no elicitation",
        ),
    ] {
        let mut world = World::with_consent("client");
        let id = world.call_with(version, open(), able, json!({}));
        world.settle();
        assert_eq!(
            world.outcome(id),
            format!(
                "not published: a person at the client has to agree to each write, and this client cannot ask one: {why}. A \
                 client with form elicitation (MCP 2025-06-18 or later) can; or the operator writes it. Nothing was sent."
            )
        );
    }
}

#[test]
fn an_answer_is_used_once_for_the_call_that_was_asked_about_and_in_time() {
    let refused = NOT_OPEN;
    let mut world = World::with_consent("client");
    let id = called(&mut world, MODERN);
    for expected in ["sent", refused, refused] {
        let answered = world.client_says(id, yes());
        world.settle();
        assert_eq!(world.outcome(answered), expected);
    }
    assert_eq!(world.sent, ["open"]);
    // Without its state, and with other arguments.
    let id = called(&mut world, MODERN);
    let (key, _) = world.elicited(id).unwrap();
    let more = json!({"inputResponses": {key.as_str().unwrap(): yes()}});
    let arguments = json!({"topic": "site/valve/set", "payload": "close"});
    let other = world.call_with(MODERN, arguments, json!({"elicitation": {}}), more);
    world.settle();
    assert_eq!(world.outcome(other), refused);
    // One that nobody was asked.
    let more = json!({"inputResponses": {"consent-00000000000000000000000000000000": yes()}});
    let invented = world.call_with(MODERN, open(), json!({"elicitation": {}}), more);
    world.settle();
    assert_eq!(world.outcome(invented), refused);
    world.pass(119_999);
    let answered = world.client_says(id, yes());
    world.settle();
    assert_eq!(world.outcome(answered), "sent");
    let id = called(&mut world, MODERN);
    world.pass(120_000);
    let answered = world.client_says(id, yes());
    world.settle();
    assert_eq!(world.outcome(answered), refused);
    assert_eq!(world.sent, ["open", "open"]);
}

#[test]
fn nobody_answers() {
    for (consent, who) in [
        (
            "client",
            "a person at the client has to agree to each write",
        ),
        ("operator", "the operator has to agree to each write"),
        (
            "either",
            "a person at the client or the operator has to agree to each write",
        ),
    ] {
        let mut world = World::with_consent(consent);
        let id = called(&mut world, LEGACY);
        world.pass(119_999);
        assert_eq!(world.outcome(id), "pending");
        world.pass(1);
        let expected =
            format!("not published: nobody answered within 120 s; {who}. Nothing was sent.");
        assert_eq!(world.outcome(id), expected);
        for number in world.asked() {
            assert_eq!(world.closed(&number), Some(json!({"outcome": "expired"})));
            world.operator_says(&number, "allow");
        }
        assert_eq!(world.sent.len(), 0);
    }
}

#[test]
fn the_operator_agrees_or_not() {
    for version in [MODERN, LEGACY, "2025-03-26", "2024-11-05"] {
        for (answer, expected, closed) in [
            (
                "allow",
                "sent",
                json!({"outcome": "allowed", "by": "operator", "name": null}),
            ),
            (
                " Allow by Ana\n",
                "sent",
                json!({"outcome": "allowed", "by": "operator", "name": "Ana"}),
            ),
            (
                "deny",
                "not published: the operator did not agree. Nothing was sent.",
                json!({"outcome": "denied", "by": "operator", "name": null}),
            ),
            (
                r#"{"verdict": "deny", "by": "Ana"}"#,
                "not published: the operator did not agree (`Ana`). Nothing was sent.",
                json!({"outcome": "denied", "by": "operator", "name": "Ana"}),
            ),
        ] {
            let mut world = World::with_consent("operator");
            let id = world.call_with(version, open(), json!({}), json!({}));
            world.settle();
            let asked = world.asked();
            assert_eq!(asked.len(), 1);
            world.operator_says(&asked[0], answer);
            assert_eq!(world.outcome(id), expected);
            world.settle();
            assert_eq!(world.closed(&asked[0]), Some(closed));
            // Doubled, and turned around.
            world.operator_says(&asked[0], "allow");
            assert_eq!(world.sent.len(), usize::from(expected == "sent"));
        }
    }
}

#[test]
fn what_the_operator_is_asked_has_all_parts() {
    let mut world = World::with_consent("operator");
    let id = called(&mut world, LEGACY);
    let (_, number, mut question) = world.to_operator.pop().unwrap();
    assert_eq!(number.len(), 32);
    let text = "An agent wants to publish a message. Do you agree?\nTopic: `site/valve/set`\nPayload: `open` (4 bytes, QoS 0)\n\
                Caller: `stdio`, which calls itself `call-1 1`";
    let expires = question["expires"].take();
    assert!(expires.as_str().unwrap().ends_with('Z'), "{expires}");
    let digest = question["digest"].take();
    assert_eq!(digest.as_str().unwrap().len(), 64);
    assert_eq!(
        question,
        json!({
            "question": text, "topic": "site/valve/set", "payload": "open", "payload_bytes": 4, "qos": 0, "retain": false,
            "caller": "stdio", "now": [], "limits": [], "when": null, "expires": null, "expires_in_s": 120, "digest": null,
        })
    );
    assert_eq!(world.outcome(id), "pending");
}

#[test]
fn answers_that_are_retained_unread_or_to_nothing_change_nothing() {
    let mut world = World::with_consent("operator");
    let id = called(&mut world, LEGACY);
    let number = world.asked().remove(0);
    let answer = format!("operator/answer/{number}");
    for (topic, payload, retain) in [
        (answer.as_str(), "allow", true),
        (&answer, "yes", false),
        (&answer, "", false),
        (
            "operator/answer/00000000000000000000000000000000",
            "allow",
            false,
        ),
        ("operator/answer/allow", "allow", false),
    ] {
        world.deliver(topic, payload, retain);
        world.settle();
        assert_eq!(world.outcome(id), "pending", "{payload}");
    }
    world.operator_says(&number, "allow");
    assert_eq!(world.outcome(id), "sent");
}

#[test]
fn with_a_secret_only_a_signed_answer_counts() {
    let secret = "correct horse battery staple";
    let setting = Setting {
        secret: Some(secret),
        ..Setting::default()
    };
    let mut world = World::new(profiles("operator", &json!({})), setting);
    // The broker would let this program answer, which a secret makes harmless.
    world.own_account_answers = true;
    world.settle();
    let id = called(&mut world, LEGACY);
    let (_, number, question) = world.to_operator.last().unwrap().clone();
    let mac = |verdict: &str| {
        let digest = question["digest"].as_str().unwrap();
        let parts = ["mcpmqtt answer", &number, verdict, digest];
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        let tag = Secret::of_file(secret.as_bytes()).unwrap().tag(&parts);
        tag.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    for (answer, expected) in [
        (json!("allow"), "pending"),
        (json!({"verdict": "allow"}), "pending"),
        (json!({"verdict": "allow", "mac": mac("deny")}), "pending"),
        (json!({"verdict": "deny", "mac": mac("allow")}), "pending"),
        (
            json!({"verdict": "allow", "mac": mac("allow"), "by": "Ana"}),
            "sent",
        ),
    ] {
        world.operator_says(&number, &answer.to_string());
        assert_eq!(world.outcome(id), expected, "{answer}");
    }
}

/// After a reload the old topic is anybody's.
#[test]
fn an_answer_on_a_topic_that_is_the_operator_s_no_more_changes_nothing() {
    let mut world = World::with_consent("operator");
    let id = called(&mut world, LEGACY);
    let number = world.asked().remove(0);
    let topic = OperatorTopic::parse("other").unwrap();
    let settings = Settings {
        topic: Some(topic),
        ..Settings::default()
    };
    world.operator.replace(settings, None);
    world.settle();
    world.operator_says(&number, "allow");
    assert_eq!(world.outcome(id), "pending");
    assert_eq!(world.sent.len(), 0);
}

#[test]
fn an_account_that_could_answer_itself_asks_nobody() {
    let refused = "not published: the operator has to agree, and cannot be asked: this program's own account may publish to \
                   `operator/answer/#`, so that an answer proves nothing. Forbid it on the broker, set `operator.secret_file`, \
                   or accept it with `operator.unprotected`. Nothing was sent.";
    for unprotected in [false, true] {
        let setting = Setting {
            unprotected,
            ..Setting::default()
        };
        let mut world = World::new(profiles("operator", &json!({})), setting);
        world.own_account_answers = true;
        world.settle();
        let id = called(&mut world, LEGACY);
        world.pass(10_000);
        let expected = if unprotected { "pending" } else { refused };
        assert_eq!(world.outcome(id), expected);
        assert_eq!(world.asked().len(), usize::from(unprotected));
    }
}

#[test]
fn without_an_operator_in_the_running_program_nobody_is_asked() {
    let setting = Setting {
        without_operator: true,
        ..Setting::default()
    };
    let mut world = World::new(profiles("operator", &json!({})), setting);
    let id = called(&mut world, LEGACY);
    assert_eq!(
        world.outcome(id),
        "not published: the operator has to agree, and cannot be asked: there is no `operator.topic`. Nothing was sent."
    );
}

#[test]
fn either_is_decided_by_the_first_and_the_other_is_withdrawn() {
    let mut world = World::with_consent("either");
    let id = called(&mut world, LEGACY);
    let number = world.asked().remove(0);
    world.operator_says(&number, "allow by Ana");
    assert_eq!(world.outcome(id), "sent");
    let last = world.calls[&id].told.borrow().last().unwrap().clone();
    assert_eq!(last["method"], "notifications/cancelled");

    let id = called(&mut world, LEGACY);
    let number = world.asked().remove(1);
    world.client_says(id, yes());
    world.settle();
    assert_eq!(world.outcome(id), "sent");
    assert_eq!(
        world.closed(&number),
        Some(json!({"outcome": "allowed", "by": "client"}))
    );
    world.operator_says(&number, "allow");

    let id = called(&mut world, LEGACY);
    let number = world.asked().remove(2);
    world.client_says(id, no());
    world.settle();
    assert_eq!(
        world.outcome(id),
        "not published: the person at the client did not agree. Nothing was sent."
    );
    assert_eq!(
        world.closed(&number),
        Some(json!({"outcome": "denied", "by": "client"}))
    );

    // Who closes the question leaves it to the operator.
    let id = called(&mut world, LEGACY);
    let number = world.asked().remove(3);
    world.client_says(id, json!({"action": "cancel"}));
    world.settle();
    assert_eq!(world.outcome(id), "pending");
    world.operator_says(&number, "deny");
    assert_eq!(
        world.outcome(id),
        "not published: the operator did not agree. Nothing was sent."
    );
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn either_without_sessions_counts_what_is_known_when_the_client_calls_again() {
    for (operator, client, expected) in [
        ("allow", yes(), "sent"),
        ("allow", json!({"action": "cancel"}), "sent"),
        (
            "allow",
            no(),
            "not published: the person at the client did not agree. Nothing was sent.",
        ),
        (
            "deny",
            yes(),
            "not published: the operator did not agree. Nothing was sent.",
        ),
        ("", yes(), "sent"),
        ("", json!({"action": "cancel"}), "pending"),
    ] {
        let mut world = World::with_consent("either");
        let id = called(&mut world, MODERN);
        let number = world.asked().remove(0);
        if !operator.is_empty() {
            world.operator_says(&number, operator);
        }
        assert_eq!(world.sent.len(), 0);
        let answered = world.client_says(id, client.clone());
        world.settle();
        assert_eq!(world.outcome(answered), expected, "{operator} {client}");
        // The same answer again.
        let answered = world.client_says(id, client);
        world.settle();
        assert_ne!(world.outcome(answered), "sent");
        assert_eq!(world.sent.len(), usize::from(expected == "sent"));
    }
    // An operator that answers before the broker has confirmed the question does not make the first call send.
    for answer in ["allow", "deny"] {
        let mut world = World::with_consent("either");
        let id = world.call(MODERN, open());
        world.run();
        world.driver_turn();
        let number = world.asked().remove(0);
        world.deliver(&format!("operator/answer/{number}"), answer, false);
        world.settle();
        assert!(world.elicited(id).is_some() && world.closed(&number).is_none());
        assert_eq!(world.sent.len(), 0);
        let id = world.client_says(id, json!({"action": "cancel"}));
        world.settle();
        assert_eq!(world.outcome(id) == "sent", answer == "allow");
        assert_eq!(world.sent.len(), usize::from(answer == "allow"));
    }
    // A client that never calls again leaves a question that ends by itself.
    let mut world = World::with_consent("either");
    called(&mut world, MODERN);
    world.pass(120_000);
    let number = world.asked().remove(0);
    assert_eq!(world.closed(&number), Some(json!({"outcome": "expired"})));
}

#[test]
fn both_have_to_agree_where_two_entries_say_so() {
    for version in [MODERN, LEGACY] {
        let written = |pattern: &str, consent: &str| {
            json!({
                "pattern": pattern, "permissions": ["write"], "description": "d", "consent": consent,
            })
        };
        let file = json!({
            "topics": [written("site/+/set", "client"), written("site/valve/set", "operator")],
            "operator": {"topic": "operator"},
        });
        let profiles = Config::parse(&file.to_string()).unwrap().0.profiles;
        let mut world = World::new(profiles, Setting::default());
        world.settle();
        world.pass(10_000);
        world.to_operator.clear();
        let id = called(&mut world, version);
        assert_eq!(world.asked().len(), 0, "the client comes first");
        let id = world.client_says(id, yes());
        world.settle();
        assert_eq!(world.outcome(id), "pending");
        let number = world.asked().remove(0);
        world.operator_says(&number, "allow");
        assert_eq!(world.outcome(id), "sent");
    }
}

#[test]
fn a_question_ends_with_its_permission_its_rule_its_call_and_its_client() {
    let changed = "not published: the operator changed the permissions after the question was asked: the limits or the consent \
                   of `site/valve/set` are others now. Nothing was sent.";
    for consent in ["client", "operator"] {
        for (other, more, expected) in [
            (consent, json!({}), "pending"),
            ("", json!({}), changed),
            (
                consent,
                json!({"payload": {"type": "enum", "values": ["open"]}}),
                changed,
            ),
            (consent, json!({"write": {"min_interval": 5}}), changed),
        ] {
            let mut world = World::with_consent(consent);
            let id = called(&mut world, LEGACY);
            world
                .context
                .access
                .replace_profiles(profiles(other, &more));
            world.settle();
            assert_eq!(world.outcome(id), expected, "{consent} {other} {more}");
        }
        let mut world = World::with_consent(consent);
        let id = called(&mut world, LEGACY);
        world.calls[&id].ender.client_left();
        world.settle();
        assert_eq!(
            world.outcome(id),
            "not published: the client has left before somebody agreed. Nothing was sent."
        );
        let id = called(&mut world, LEGACY);
        world.calls[&id].session.end_calls();
        world.settle();
        for number in world.asked() {
            assert_eq!(world.closed(&number), Some(json!({"outcome": "withdrawn"})));
        }
    }
}

#[test]
fn too_many_questions_are_refused() {
    let mut world = World::with_consent("client");
    let outcomes: Vec<_> = (0..31)
        .map(|_| {
            let id = called(&mut world, MODERN);
            world.outcome(id)
        })
        .collect();
    assert!(outcomes[..30].iter().all(|it| it == "input_required"));
    assert_eq!(
        outcomes[30],
        "not published: more than 30 questions for consent in a minute; try again in 60 s. Nothing was sent."
    );
    world.pass(60_000);
    for _ in 0..30 {
        called(&mut world, MODERN);
    }
    world.pass(59_999);
    let id = called(&mut world, MODERN);
    assert!(
        world.outcome(id).contains("in a minute"),
        "{}",
        world.outcome(id)
    );
}

#[test]
fn what_is_forbidden_or_broken_is_not_asked_for() {
    let more =
        json!({"payload": {"type": "enum", "values": ["open"]}, "write": {"min_interval": 60}});
    let mut world = World::new(profiles("client", &more), Setting::default());
    let id = world.call(
        LEGACY,
        json!({"topic": "site/valve/set", "payload": "close"}),
    );
    world.settle();
    assert!(
        world.outcome(id).contains("nothing was sent"),
        "{}",
        world.outcome(id)
    );
    let id = called(&mut world, LEGACY);
    world.client_says(id, yes());
    world.settle();
    assert_eq!(world.outcome(id), "sent");
    let id = called(&mut world, LEGACY);
    assert!(
        world.outcome(id).contains("one write is permitted in 60 s"),
        "{}",
        world.outcome(id)
    );
    assert!(world.elicited(id).is_none());
}

#[test]
fn a_dry_run_says_who_would_be_asked_and_asks_nobody() {
    for consent in ["client", "operator", "either"] {
        let mut world = World::with_consent(consent);
        let mut arguments = open();
        arguments["dry_run"] = true.into();
        let id = world.call(LEGACY, arguments.clone());
        world.settle();
        let answers = world.answers.borrow();
        let result = &answers[&id].as_ref().unwrap()["result"]["structuredContent"];
        assert_eq!(result["outcome"], "would_send");
        let words = result["consent"].as_str().unwrap();
        assert!(
            words.ends_with("has to agree to each write; nobody was asked now"),
            "{words}"
        );
        drop(answers);
        assert!(world.elicited(id).is_none() && world.asked().is_empty());
        let id = world.call_with(LEGACY, arguments, json!({}), json!({}));
        world.settle();
        let expected = if consent == "client" {
            "would_refuse"
        } else {
            "would_send"
        };
        assert_eq!(world.outcome(id), expected);
    }
}

#[test]
fn a_reaction_is_agreed_to_before_it_waits() {
    for version in [MODERN, LEGACY] {
        let mut world = World::with_consent("client");
        let mut arguments = open();
        arguments["when"] = json!({"topic": "site/level", "op": ">", "value": 90, "timeout": 300});
        let id = world.call(version, arguments);
        world.settle();
        world.deliver("site/level", "95", false);
        world.settle();
        assert_eq!(world.sent.len(), 0);
        let id = world.client_says(id, yes());
        world.settle();
        world.pass(200_000);
        assert_eq!(world.outcome(id), "pending");
        world.deliver("site/level", "96", false);
        world.settle();
        assert_eq!(world.outcome(id), "sent");
    }
}

#[test]
fn a_reaction_whose_rule_changes_while_it_waits_is_not_sent() {
    let mut world = World::with_consent("client");
    let mut arguments = open();
    arguments["when"] = json!({"topic": "site/level", "op": ">", "value": 90, "timeout": 300});
    let id = world.call(LEGACY, arguments);
    world.settle();
    world.client_says(id, yes());
    world.settle();
    let slower = json!({"write": {"min_interval": 5}});
    let other = profiles("client", &slower);
    world.context.access.replace_profiles(other);
    world.settle();
    world.deliver("site/level", "96", false);
    world.settle();
    assert_eq!(
        world.outcome(id),
        "not published: the operator changed the permissions after the question was asked: the limits or the consent of \
         `site/valve/set` are others now. Nothing was sent."
    );
    assert_eq!(world.sent.len(), 0);
}

#[test]
fn consent_that_is_demanded_while_a_write_waits_for_a_value_is_not_passed_over() {
    let rule = json!({"write": {"requires": [{"topic": "site/level", "op": "<", "value": 50}]}});
    let mut world = World::new(profiles("", &rule), Setting::default());
    let id = called(&mut world, LEGACY);
    assert_eq!(world.outcome(id), "pending");
    world
        .context
        .access
        .replace_profiles(profiles("client", &rule));
    world.deliver("site/level", "20", false);
    world.settle();
    assert_eq!(
        world.outcome(id),
        "not published: somebody has to agree to each write, and nobody agreed to this one. Nothing was sent."
    );
    assert_eq!(world.sent.len(), 0);
}

#[test]
fn a_halt_ends_the_question_and_nobody_is_asked_while_it_lasts() {
    for consent in ["client", "operator", "either"] {
        let mut world = World::with_consent(consent);
        let id = called(&mut world, LEGACY);
        world.operator.halt(Source::Signal, None, "fire");
        world.settle();
        let outcome = world.outcome(id);
        assert!(
            outcome.contains("halted") && outcome.contains("fire"),
            "{outcome}"
        );
        for number in world.asked() {
            assert_eq!(world.closed(&number), Some(json!({"outcome": "withdrawn"})));
        }
        let asked = world.to_operator.len();
        let id = called(&mut world, LEGACY);
        let outcome = world.outcome(id);
        assert!(outcome.contains("halted"), "{outcome}");
        assert!(world.elicited(id).is_none() && world.to_operator.len() == asked);
    }
}

/// The message is handed over as safe, and is safe no longer before it leaves.
#[test]
fn a_safe_message_that_is_safe_no_longer_is_taken_back_while_writing_is_halted() {
    let settings = |safe: Value| {
        let file = json!({"topics": [], "operator": {"topic": "operator", "safe": safe}});
        Config::parse(&file.to_string()).unwrap().0.operator
    };
    let mut world = World::new(profiles("", &json!({})), Setting::default());
    world.settle();
    world.pass(10_000);
    let safe = json!([{"topic": "site/valve/set", "payload": "open"}]);
    world.operator.replace(settings(safe), None);
    world.operator.halt(Source::Signal, None, "fire");
    world.settle();
    let id = world.call(LEGACY, open());
    world.run();
    assert!(world.driver.has_messages());
    world.operator.replace(settings(json!([])), None);
    world.settle();
    let outcome = world.outcome(id);
    assert!(
        outcome.contains("an operator halted writing") && outcome.contains("fire"),
        "{outcome}"
    );
    assert_eq!(world.sent.len(), 0);
}

/// A write that has to show on each of several topics.
fn confirmed_by_each(world: &mut World) -> u64 {
    let mut arguments = open();
    arguments["confirm"] =
        json!({"topic": "site/+/state", "value": "open", "each": true, "timeout": 5});
    world.call(LEGACY, arguments)
}

#[test]
fn what_was_missed_of_the_effect_on_each_topic_is_told() {
    let mut world = World::new(profiles("", &json!({})), Setting::default());
    world.settle();
    world.pass(10_000);
    let id = confirmed_by_each(&mut world);
    world.settle();
    for topic in ["site/a/state", "site/b/state"] {
        world.deliver(topic, "shut", true);
    }
    world.pass(400);
    assert_eq!(world.sent, ["open"]);
    world.deliver("site/a/state", "open", false);
    world.driver.disconnect(world.now);
    world.driver.connect();
    world.pass(6_000);
    let answers = world.answers.borrow();
    let result = &answers[&id].as_ref().unwrap()["result"]["structuredContent"];
    assert_eq!(result["confirmed"], false, "{result}");
    let told = &result["confirmation"];
    assert_eq!(
        (&told["met"], &told["interrupted"]),
        (&json!(1), &json!(true)),
        "{result}"
    );
    assert_eq!(
        told["not_met"],
        json!([{"topic": "site/b/state", "value": "shut"}])
    );
}

#[test]
fn without_the_answer_to_a_ping_it_is_not_known_which_topics_have_to_show_the_effect() {
    let mut world = World::new(profiles("", &json!({})), Setting::default());
    world.settle();
    world.pass(10_000);
    let id = confirmed_by_each(&mut world);
    world.run();
    world.driver_turn();
    world.driver.grant();
    world.run();
    world.driver.disconnect(world.now);
    world.driver_turn();
    world.driver.connect();
    world.pass(1_000);
    world.pass(10_000);
    let outcome = world.outcome(id);
    assert!(
        outcome.contains("the broker did not answer a ping")
            && outcome.ends_with("Nothing was sent."),
        "{outcome}"
    );
    assert_eq!(world.sent.len(), 0);
}

/// A refusal by a limit quotes the payload, also when the limit came while the message waited or somebody was asked.
#[test]
fn without_payloads_the_record_quotes_none_of_what_a_reload_forbade() {
    let limited = json!({"payload": {"type": "enum", "values": ["shut"]}});
    for consent in ["", "client"] {
        let file = folder().join("audit.jsonl");
        let setting = Setting {
            record: Some(Audit {
                payload: AuditPayload::None,
                ..record_in(file.clone())
            }),
            ..Setting::default()
        };
        let mut world = World::new(profiles(consent, &json!({})), setting);
        world.settle();
        world.pass(10_000);
        let message = json!({"topic": "site/valve/set", "payload": "a-secret"});
        let id = world.call(LEGACY, message);
        world.run();
        let other = profiles(consent, &limited);
        world.context.access.replace_profiles(other);
        world.settle();
        let outcome = world.outcome(id);
        assert!(outcome.contains("a-secret"), "{outcome}");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("\"event\":\"outcome\""), "{text}");
        assert!(!text.contains("a-secret"), "{text}");
    }
}

/// In MCP 2026-07-28 no call waits for the answer: the question is withdrawn all the same.
#[test]
fn a_question_without_a_waiting_call_ends_with_a_halt_its_permission_and_its_caller() {
    type Change = fn(&World, &'static str);
    let halted: Change = |world, _| {
        world.operator.halt(Source::Signal, None, "a leak");
        world.operator.lift(Source::Signal);
    };
    let forbidden: Change = |world, consent| {
        let access = &world.context.access;
        access.replace_profiles(profiles(consent, &json!({"permissions": ["read"]})));
        access.replace_profiles(profiles(consent, &json!({})));
    };
    let limited: Change = |world, consent| {
        let access = &world.context.access;
        access.replace_profiles(profiles(
            consent,
            &json!({"payload": {"type": "enum", "values": ["open"]}}),
        ));
        access.replace_profiles(profiles(consent, &json!({})));
    };
    let dismissed: Change = |world, _| world.engine.dismiss(|caller| &*caller.name == "stdio");
    for consent in ["client", "either"] {
        for change in [halted, forbidden, limited, dismissed] {
            let mut world = World::with_consent(consent);
            let id = called(&mut world, MODERN);
            change(&world, consent);
            world.settle();
            for number in world.asked() {
                let closed = world.closed(&number);
                assert_eq!(closed, Some(json!({"outcome": "withdrawn"})), "{consent}");
            }
            let answered = world.client_says(id, yes());
            world.settle();
            assert_eq!(world.outcome(answered), NOT_OPEN, "{consent}");
            assert_eq!(world.sent.len(), 0);
        }
        // What leaves the write as it was asked leaves its question.
        let mut world = World::with_consent(consent);
        let id = called(&mut world, MODERN);
        world
            .context
            .access
            .replace_profiles(profiles(consent, &json!({"description": "another"})));
        world.engine.dismiss(|caller| &*caller.name == "another");
        let answered = world.client_says(id, yes());
        world.settle();
        assert_eq!(world.outcome(answered), "sent", "{consent}");
    }
}

#[test]
fn an_answer_that_a_halt_refused_is_used_up() {
    for consent in ["client", "either"] {
        let mut world = World::with_consent(consent);
        let id = called(&mut world, MODERN);
        world.operator.halt(Source::Signal, None, "a leak");
        let answered = world.client_says(id, yes());
        world.settle();
        let outcome = world.outcome(answered);
        assert!(outcome.contains("halted writing"), "{outcome}");
        world.operator.lift(Source::Signal);
        let answered = world.client_says(id, yes());
        world.settle();
        assert_eq!(world.outcome(answered), NOT_OPEN);
        assert_eq!(world.sent.len(), 0);
    }
}

#[test]
fn a_halt_leaves_the_question_about_a_safe_message() {
    let mut world = World::with_consent("client");
    let topic = TopicName::parse("site/valve/set").unwrap();
    let safe = mcpmqtt_config::SafeMessage {
        topic,
        payload: b"open".to_vec(),
    };
    let settings = Settings {
        topic: Some(OperatorTopic::parse("operator").unwrap()),
        safe: vec![safe],
        ..Settings::default()
    };
    world.operator.replace(settings, None);
    let close = json!({"topic": "site/valve/set", "payload": "close"});
    let (safe, other) = (
        called(&mut world, MODERN),
        world.call(MODERN, close.clone()),
    );
    world.settle();
    world.operator.halt(Source::Signal, None, "a leak");
    let answered = world.client_says(safe, yes());
    world.settle();
    assert_eq!(world.outcome(answered), "sent");
    world.operator.lift(Source::Signal);
    let answered = world.client_says(other, yes());
    world.settle();
    assert_eq!(world.outcome(answered), NOT_OPEN);
    assert_eq!(world.sent, ["open"]);
}
