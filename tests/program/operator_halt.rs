//! An operator halts writing, over a real mosquitto and by signals: who is refused, in which words, and what lifts it.

use std::process::Command;

use mcpmqtt::operator::Secret;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::calls::{JSON, call_post};
use crate::chapter;
use crate::common::agent::Agent;
use crate::common::http_client::Client;
use crate::common::mosquitto::Mosquitto;
use crate::common::program::{PROGRAM, Program, STATUS, ask, unix};
use crate::common::scratch::Scratch;
use crate::common::waiting::eventually;

const BY_SIGNAL: &str = "not published: an operator halted writing at ";

fn config(port: u16, operator: Value) -> Value {
    json!({
        "mqtt": {"host": "127.0.0.1", "port": port, "backoff": {"initial": 0.05, "max": 0.1}},
        "topics": [{"pattern": "t/#", "permissions": ["read", "write"], "description": "To try."}],
        "operator": operator,
    })
}

fn publish(agent: &mut Agent, payload: &str) -> Result<Value, String> {
    let call = json!({"topic": "t/a", "payload": payload, "qos": 1});
    agent.tool("mqtt_publish", call).outcome()
}

/// Publishes until it is refused; the refusal.
fn refused(agent: &mut Agent) -> String {
    let mut said = String::new();
    eventually("writing is refused", || match publish(agent, "x") {
        Ok(_) => false,
        Err(words) => {
            said = words;
            // What was under way when the halt came may have reached the broker.
            !said.starts_with("outcome unknown")
        }
    });
    said
}

fn goes_on(agent: &mut Agent) {
    eventually("writing goes on", || publish(agent, "x").is_ok());
}

fn signal(agent: &Agent, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(agent.pid()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn a_signal_halts_what_is_written_and_what_waits_and_reading_goes_on() {
    let broker = Mosquitto::start();
    let safe = json!([{"topic": "t/valve", "payload": "closed"}]);
    let mut agent = Agent::start(&config(broker.port, json!({"safe": safe})));
    publish(&mut agent, "before").unwrap();
    let when = json!({"topic": "t/level", "op": ">", "value": 90, "timeout": 60});
    let waiting = agent.listening(
        "mqtt_publish",
        json!({"topic": "t/pump", "payload": "off", "when": when, "timeout": 60}),
    );
    let reading = json!({"topic": "t/#", "max_messages": 1, "timeout": 60});
    let reading = agent.listening("mqtt_subscribe", reading);
    signal(&agent, Signal::USR1);
    let ended = waiting.error();
    assert!(ended.starts_with(BY_SIGNAL), "{ended}");
    assert!(
        ended.ends_with(" UTC: SIGUSR1. Nothing was sent."),
        "{ended}"
    );
    let said = publish(&mut agent, "x").unwrap_err();
    assert_eq!(said, ended);
    broker.publish(&["-t", "t/level", "-m", "95"]);
    assert_eq!(reading.structured()["messages"][0]["payload"], "95");

    let query = json!({"request_topic": "t/q", "payload": "x", "response_topic": "t/r"});
    let said = agent.tool("mqtt_query", query).error();
    assert!(
        said.starts_with("no query: an operator halted writing at "),
        "{said}"
    );
    let dry = json!({"topic": "t/a", "payload": "x", "dry_run": true});
    let dry = agent.tool("mqtt_publish", dry).structured();
    assert_eq!(dry["outcome"], "would_refuse", "{dry}");
    assert!(
        dry["reason"]
            .as_str()
            .unwrap()
            .starts_with("an operator halted"),
        "{dry}"
    );

    // What the file names stays permitted, byte for byte.
    let mut valve = |payload: &str| {
        let call = json!({"topic": "t/valve", "payload": payload, "qos": 1});
        agent.tool("mqtt_publish", call).outcome()
    };
    assert_eq!(valve("closed").unwrap()["outcome"], "delivered");
    assert!(valve("closed ").is_err());
    assert!(valve("open").is_err());

    signal(&agent, Signal::USR2);
    goes_on(&mut agent);
    let (code, log) = agent.finish();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("SIGUSR1; nothing more is written"), "{log}");
    assert!(log.contains("the halt is lifted; writing goes on"), "{log}");
    assert!(
        log.contains("to `t/a`: refused: an operator halted writing"),
        "{log}"
    );
}

#[test]
fn a_query_that_waits_for_its_turn_ends_at_once_and_one_that_was_sent_gets_its_reply() {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&config(broker.port, json!({"topic": "plant/op"})));
    publish(&mut agent, "x").unwrap();
    let query =
        json!({"request_topic": "t/q", "payload": "x", "response_topic": "t/r", "timeout": 60});
    let first = agent.listening("mqtt_query", query.clone());
    let second = agent.tool("mqtt_query", query);
    publish(&mut agent, "x").unwrap();
    assert!(second.is_pending());
    broker.publish(&["-r", "-t", "plant/op/halt", "-m", "fire"]);
    let said = second.error();
    assert!(
        said.starts_with("no query: an operator halted writing at "),
        "{said}"
    );
    assert!(said.ends_with(": fire. Nothing was sent."), "{said}");
    broker.publish(&["-t", "t/r", "-m", "answer"]);
    assert_eq!(first.structured()["payload"], "answer");
}

#[test]
fn a_retained_message_halts_before_the_first_write_and_an_empty_one_lifts() {
    let broker = Mosquitto::start();
    let halt = r#"{"reason": "the press is open", "by": "Anna"}"#;
    broker.publish(&["-r", "-t", "plant/op/halt", "-m", halt]);
    let mut agent = Agent::start(&config(broker.port, json!({"topic": "plant/op"})));
    let said = publish(&mut agent, "x").unwrap_err();
    assert!(
        said.starts_with("not published: an operator (Anna) halted writing at "),
        "{said}"
    );
    assert!(said.contains(" UTC: the press is open. "), "{said}");
    assert!(!said.contains("plant/op"), "{said}");
    broker.publish(&["-r", "-n", "-t", "plant/op/halt"]);
    goes_on(&mut agent);
    // Each source lifts its own halt only.
    signal(&agent, Signal::USR1);
    assert!(refused(&mut agent).contains("SIGUSR1"));
    broker.publish(&["-r", "-t", "plant/op/halt", "-m", "fire"]);
    broker.publish(&["-r", "-n", "-t", "plant/op/halt"]);
    assert!(refused(&mut agent).contains("SIGUSR1"));
    broker.publish(&["-r", "-t", "plant/op/halt", "-m", "fire"]);
    signal(&agent, Signal::USR2);
    eventually("the other halt is named", || {
        refused(&mut agent).contains(": fire. ")
    });
    broker.publish(&["-r", "-n", "-t", "plant/op/halt"]);
    goes_on(&mut agent);
}

#[test]
fn a_halt_that_came_or_went_while_the_broker_was_away_counts_before_the_next_write() {
    let mut broker = Mosquitto::start();
    let mut agent = Agent::start(&config(broker.port, json!({"topic": "plant/op"})));
    publish(&mut agent, "x").unwrap();
    for _ in 0..3 {
        broker.kill();
        broker.restart();
        // The program may be back before this, which is then news to it.
        broker.publish(&["-r", "-t", "plant/op/halt", "-m", "fire"]);
        eventually("the halt is named", || refused(&mut agent).contains("fire"));
        // A broker without memory has forgotten the halt.
        broker.kill();
        broker.restart();
        goes_on(&mut agent);
    }
}

/// A broker that remembers: the halt is there when the program comes, in a session that the broker kept, too.
#[test]
fn what_the_broker_kept_halts_again_after_its_restart() {
    for clean in [true, false] {
        let mut broker = Mosquitto::persistent();
        let mut config = config(broker.port, json!({"topic": "plant/op"}));
        config["mqtt"]["clean_session"] = clean.into();
        config["mqtt"]["client_id"] = "kept".into();
        let mut agent = Agent::start(&config);
        publish(&mut agent, "x").unwrap();
        broker.publish(&["-r", "-t", "plant/op/halt", "-m", "fire"]);
        refused(&mut agent);
        broker.save();
        broker.kill();
        eventually("the loss is seen", || !refused(&mut agent).is_empty());
        broker.restart();
        // Not one write gets through until it is lifted.
        for _ in 0..200 {
            assert!(publish(&mut agent, "never").is_err());
        }
        eventually("the halt is known again", || {
            refused(&mut agent).contains("fire")
        });
        broker.publish(&["-r", "-n", "-t", "plant/op/halt"]);
        goes_on(&mut agent);
    }
}

/// Whatever has not the whole form of a lift halts; what has it and is none changes nothing.
#[test]
fn without_a_secret_only_an_empty_message_lifts() {
    let broker = Mosquitto::start();
    let config = config(broker.port, json!({"topic": "plant/op"}));
    let mut agent = Agent::start(&config);
    publish(&mut agent, "x").unwrap();
    let say = |text: &str| broker.publish(&["-r", "-t", "plant/op/halt", "-m", text]);
    say(r#"{"reason": "lift 3 is stuck", "lift": "3", "by": "Eva"}"#);
    assert!(refused(&mut agent).contains("(Eva) halted"));
    say(r#"{"lift": "x", "mac": "00"}"#);
    for _ in 0..20 {
        assert!(publish(&mut agent, "x").is_err());
    }
    broker.publish(&["-r", "-n", "-t", "plant/op/halt"]);
    goes_on(&mut agent);
    // Nor does it halt: the broker may have kept the lift of an earlier halt.
    say(r#"{"lift": "x", "mac": "00"}"#);
    publish(&mut Agent::start(&config), "x").unwrap();
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A lift that is signed with the secret.
fn lift(topic: &str, nonce: &str, halting: &str) -> String {
    let parts: [&[u8]; 4] = [
        b"mcpmqtt lift",
        topic.as_bytes(),
        nonce.as_bytes(),
        halting.as_bytes(),
    ];
    let tag = Secret::of_file(SECRET.as_bytes()).unwrap().tag(&parts);
    let tag: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"lift": nonce, "mac": tag}).to_string()
}

#[test]
fn with_a_secret_only_a_signed_message_lifts_and_only_once() {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    let secret = scratch.file("secret", &format!("{SECRET}\n"));
    let state = scratch.path("state");
    std::fs::create_dir(&state).unwrap();
    let config = config(
        broker.port,
        json!({"topic": "plant/op", "secret_file": secret}),
    );
    let variables = [("STATE_DIRECTORY", state.to_str().unwrap())];
    let mut agent = Agent::start_with(&config, &variables);
    publish(&mut agent, "x").unwrap();
    let halt = |broker: &Mosquitto, reason: &str| {
        broker.publish(&["-r", "-t", "plant/op/halt", "-m", reason]);
    };
    halt(&broker, "fire");
    assert!(refused(&mut agent).contains("fire"));
    let none = String::new();
    let forged = json!({"lift": "n1", "mac": "00".repeat(32)}).to_string();
    let of_another = lift("plant/op/halt", "n1", "water");
    let elsewhere = lift("plant/halt", "n1", "fire");
    for wrong in [&none, &forged, &of_another, &elsewhere] {
        let arguments = ["-r", "-t", "plant/op/halt", "-m", wrong.as_str()];
        match wrong.is_empty() {
            true => broker.publish(&["-r", "-n", "-t", "plant/op/halt"]),
            false => broker.publish(&arguments),
        }
        assert!(refused(&mut agent).contains("fire"), "{wrong}");
        assert!(publish(&mut agent, "x").is_err(), "{wrong}");
    }
    // What is not lifted stays over a restart, also when the broker has forgotten it.
    broker.publish(&["-r", "-n", "-t", "plant/op/halt"]);
    drop(agent);
    let mut agent = Agent::start_with(&config, &variables);
    assert!(publish(&mut agent, "x").unwrap_err().contains("fire"));
    assert!(refused(&mut agent).contains("fire"));
    let right = lift("plant/op/halt", "n1", "fire");
    broker.publish(&["-r", "-t", "plant/op/halt", "-m", &right]);
    goes_on(&mut agent);
    // The same lift does not count twice.
    halt(&broker, "fire");
    refused(&mut agent);
    broker.publish(&["-r", "-t", "plant/op/halt", "-m", &right]);
    for _ in 0..20 {
        assert!(publish(&mut agent, "x").is_err());
    }
    let (_, log) = agent.finish();
    let ignored = "does not count: it has lifted a halt before";
    assert!(log.contains(ignored), "{log}");
    // Nor after a restart.
    let mut agent = Agent::start_with(&config, &variables);
    for _ in 0..20 {
        assert!(publish(&mut agent, "x").is_err());
    }
    let another = lift("plant/op/halt", "n2", "fire");
    broker.publish(&["-r", "-t", "plant/op/halt", "-m", &another]);
    goes_on(&mut agent);
    let (_, log) = agent.finish();
    assert!(log.contains(ignored), "{log}");
    assert!(!log.contains("0123456789abcdef"), "{log}");
}

/// The blocks of the manual's chapter in one language.
fn chapter(language: &str) -> Vec<String> {
    chapter::blocks(include_str!("../../config/OPERATOR.md"), language)
}

/// The commands of the chapter, in its order, with its configuration; the last one signs a lift in another program's
/// arithmetic.
#[test]
fn the_chapter_s_commands_do_what_it_says() {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    let secret = scratch.file("operator.secret", "a secret of an operator\n");
    scratch.file("lift.py", &chapter("python")[0]);
    let mut config: Value = serde_json::from_str(&chapter("json")[0]).unwrap();
    config["mqtt"] = json!({"host": "127.0.0.1", "port": broker.port});
    config["operator"]["secret_file"] = json!(secret);
    let mut signed = Agent::start(&config);
    config["operator"]
        .as_object_mut()
        .unwrap()
        .remove("secret_file");
    let mut agent = Agent::start(&config);
    let publish = |agent: &mut Agent, topic: &str, payload: &str| {
        let call = json!({"topic": topic, "payload": payload, "qos": 1});
        agent.tool("mqtt_publish", call).outcome()
    };
    publish(&mut agent, "line/a", "x").unwrap();
    publish(&mut signed, "line/a", "x").unwrap();
    let commands = chapter("sh").join("\n");
    let run = |command: &str| chapter::run(command, &broker, &scratch.path(""));
    let [halt, halt_by, lift, signed_lift] = commands.lines().collect::<Vec<_>>()[..] else {
        panic!("{commands}");
    };
    for (command, words) in [
        (halt, "an operator halted"),
        (halt_by, "an operator (Anna) halted"),
    ] {
        run(command);
        eventually("the halt is told", || {
            let said = publish(&mut agent, "line/a", "x");
            said.is_err_and(|said| said.contains(words) && said.contains(": the press is open. "))
        });
        publish(&mut agent, "line/valve/set", "closed").unwrap();
        run(lift);
        eventually("writing goes on", || {
            publish(&mut agent, "line/a", "x").is_ok()
        });
    }
    run(halt);
    let is_halted = |said: Result<Value, String>| said.is_err_and(|it| it.contains("halted"));
    eventually("both are halted", || {
        is_halted(publish(&mut signed, "line/a", "x"))
            && is_halted(publish(&mut agent, "line/a", "x"))
    });
    run(lift);
    eventually("writing goes on", || {
        publish(&mut agent, "line/a", "x").is_ok()
    });
    assert!(is_halted(publish(&mut signed, "line/a", "x")));
    run(signed_lift);
    eventually("writing goes on", || {
        publish(&mut signed, "line/a", "x").is_ok()
    });
}

#[test]
fn a_secret_that_is_none_refuses_the_start_and_is_found_by_the_check() {
    let scratch = Scratch::new();
    let short = scratch.file("secret", "short\n");
    for (file, words) in [
        (short, "a secret has 16 to 64 bytes, this one has 5"),
        (scratch.path("nowhere"), "no such file"),
    ] {
        let config = config(1, json!({"topic": "plant/op", "secret_file": file}));
        let path = scratch.file("config.json", &config.to_string());
        for arguments in [vec!["--check"], vec![]] {
            let mut command = Command::new(PROGRAM);
            command.args(arguments).arg("--config").arg(&path);
            let done = command.stdin(std::process::Stdio::null()).output().unwrap();
            let said = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(1), "{said}");
            assert!(said.contains("operator.secret_file: cannot use "), "{said}");
            assert!(said.contains(words), "{said}");
        }
    }
}

#[test]
fn the_halt_of_a_signal_outlives_the_process_where_there_is_a_state_directory() {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    let state = scratch.path("state");
    std::fs::create_dir(&state).unwrap();
    let config = config(broker.port, json!({}));
    let variables = [("STATE_DIRECTORY", state.to_str().unwrap())];
    let mut agent = Agent::start_with(&config, &variables);
    publish(&mut agent, "x").unwrap();
    signal(&agent, Signal::USR1);
    let first = refused(&mut agent);
    // Killed, not ended.
    drop(agent);
    let mut agent = Agent::start_with(&config, &variables);
    assert_eq!(publish(&mut agent, "x").unwrap_err(), first);
    signal(&agent, Signal::USR2);
    goes_on(&mut agent);
    drop(agent);
    let mut agent = Agent::start_with(&config, &variables);
    publish(&mut agent, "x").unwrap();
    drop(agent);
    // Without one it ends with the process.
    let mut agent = Agent::start(&config);
    publish(&mut agent, "x").unwrap();
    signal(&agent, Signal::USR1);
    refused(&mut agent);
    drop(agent);
    let mut agent = Agent::start(&config);
    publish(&mut agent, "x").unwrap();
}

#[test]
fn a_lift_in_one_process_leaves_the_kept_halt_of_another() {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    let config = config(broker.port, json!({}));
    let state = scratch.path("");
    let variables = [("STATE_DIRECTORY", state.to_str().unwrap())];
    let start = || Agent::start_with(&config, &variables);
    let (mut first, mut second) = (start(), start());
    publish(&mut second, "x").unwrap();
    signal(&first, Signal::USR1);
    let said = refused(&mut first);
    signal(&second, Signal::USR1);
    refused(&mut second);
    signal(&second, Signal::USR2);
    goes_on(&mut second);
    drop(first);
    let mut first = start();
    assert_eq!(publish(&mut first, "x").unwrap_err(), said);
    signal(&first, Signal::USR2);
    goes_on(&mut first);
    drop(first);
    publish(&mut start(), "x").unwrap();
    let (_, log) = second.finish();
    assert!(!log.contains("restart"), "{log}");
}

#[test]
fn a_signed_lift_ends_what_a_process_kept_that_has_ended() {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    let secret = scratch.file("secret", SECRET);
    let state = scratch.path("state");
    std::fs::create_dir(&state).unwrap();
    let operator = json!({"topic": "plant/op", "secret_file": secret});
    let config = config(broker.port, operator);
    let variables = [("STATE_DIRECTORY", state.to_str().unwrap())];
    let start = || Agent::start_with(&config, &variables);
    let (mut first, mut second) = (start(), start());
    broker.publish(&["-r", "-t", "plant/op/halt", "-m", "fire"]);
    for agent in [&mut first, &mut second] {
        assert!(refused(agent).contains("fire"));
    }
    drop(first);
    let right = lift("plant/op/halt", "n1", "fire");
    broker.publish(&["-r", "-t", "plant/op/halt", "-m", &right]);
    goes_on(&mut second);
    publish(&mut start(), "x").unwrap();
}

#[test]
fn where_the_broker_refuses_the_topic_nothing_is_written_and_reading_goes_on() {
    let broker = Mosquitto::refusing(&["plant/op/halt"]);
    let mut agent = Agent::start(&config(broker.port, json!({"topic": "plant/op"})));
    let said = publish(&mut agent, "x").unwrap_err();
    assert!(
        said.starts_with("not published: writing is stopped, since no operator could halt it: "),
        "{said}"
    );
    assert!(!said.contains("plant/op"), "{said}");
    broker.publish(&["-r", "-t", "t/kept", "-m", "1"]);
    let read = agent.tool("mqtt_read", json!({"topic": "t/kept"}));
    assert_eq!(read.structured()["payload"], "1");
    let (_, log) = agent.finish();
    assert!(
        log.contains("does not let this program subscribe to `plant/op/halt`"),
        "{log}"
    );
}

#[test]
fn over_http_everybody_is_halted_and_the_pages_say_so() {
    let broker = Mosquitto::start();
    let folder = Scratch::new();
    let mut config = config(broker.port, json!({"topic": "plant/op"}));
    let socket = folder.path("socket");
    config["remote_server"] = json!({"uds": socket, "api_key": "k"});
    let path = folder.file("config.json", &config.to_string());
    let mut program = Program::over(&path);
    program.until("connected to the broker");
    let publish = || {
        let mut client = Client::unix(&folder.path("socket"));
        let call = json!({"topic": "t/a", "payload": "x", "qos": 1});
        assert!(client.send(&call_post("k", JSON, "mqtt_publish", call)));
        let answer = client.answer().json();
        let text = answer["result"]["content"][0]["text"].to_string();
        (answer["result"]["isError"] == true, text)
    };
    let page = |path: &str| {
        let get = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer k\r\nconnection: close\r\n\r\n"
        );
        ask(unix(&socket), &get)
    };
    assert!(!publish().0);
    assert!(!page("/status").contains("halted"));
    assert!(page("/metrics").contains("\nmcpmqtt_writing_halted 0\n"));
    program.signal(Signal::USR1);
    program.until("nothing more is written");
    let (is_error, words) = publish();
    assert!(is_error && words.contains("SIGUSR1"), "{words}");
    let status = ask(unix(&socket), STATUS);
    assert!(status.contains(r#""writing_halted": true"#), "{status}");
    assert!(page("/metrics").contains("\nmcpmqtt_writing_halted 1\n"));
    assert!(page("/metrics").contains(r#"mcpmqtt_writes_total{outcome="refused"} 1"#));
    assert!(page("/readyz").starts_with("HTTP/1.1 200"));

    // Another topic is looked at before anything is written.
    broker.publish(&["-r", "-t", "elsewhere/halt", "-m", "fire"]);
    config["operator"]["topic"] = "elsewhere".into();
    folder.file("config.json", &config.to_string());
    program.signal(Signal::HUP);
    program.until("configuration reloaded from");
    program.signal(Signal::USR2);
    program.until("the halt is lifted, and another stays");
    let (is_error, words) = publish();
    assert!(is_error && words.contains("fire"), "{words}");
    config.as_object_mut().unwrap().remove("operator");
    folder.file("config.json", &config.to_string());
    program.signal(Signal::HUP);
    program.until("configuration reloaded from");
    assert!(!publish().0);
}
