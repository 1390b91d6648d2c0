//! The record of writes as the real program keeps it, and `--verify-audit`.
//!
//! With `MCPMQTT_TEST_FULL` set the program is killed three hundred times; ten times without.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::calls::{JSON, call_post};
use crate::common::agent::Agent;
use crate::common::http_client::Client;
use crate::common::mosquitto::Mosquitto;
use crate::common::program::{PROGRAM, Program};
use crate::common::scratch::Scratch;
use crate::common::size::full_size;
use crate::common::waiting::eventually;

fn config(broker: &Mosquitto, folder: &Scratch) -> Value {
    json!({
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "topics": [
            {"pattern": "t/#", "permissions": ["read", "write", "retain"], "description": "d"},
            {"pattern": "mode", "permissions": ["read"]},
        ],
        "audit": {"file": folder.path("audit.jsonl")},
    })
}

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

/// The lines of an event.
fn of<'l>(event: &str, lines: &'l [Value]) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

fn verify(arguments: &[&str], folder: &Scratch) -> Output {
    let files = fs::read_dir(folder.path("")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.to_str().unwrap().contains("audit"));
    let mut command = Command::new(PROGRAM);
    command.arg("--verify-audit").args(files).args(arguments);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn connected(agent: &mut Agent) {
    eventually("the broker is connected", || {
        let message = json!({"topic": "t/hello", "payload": ""});
        agent.tool("mqtt_publish", message).outcome().is_ok()
    });
}

/// The anchors that a log has.
fn anchors(log: &str) -> Vec<&str> {
    let found = log.split("audit: anchor ").skip(1);
    found.map(|rest| rest.split(' ').next().unwrap()).collect()
}

#[test]
fn each_attempt_has_two_lines_with_what_was_attempted_and_what_came_of_it() {
    let (broker, folder) = (Mosquitto::start(), Scratch::new());
    let mut config = config(&broker, &folder);
    config["topics"][0]["payload"] = json!({"type": "text", "max_bytes": 9});
    config["topics"][0]["write"] = json!({"max_per_minute": 100});
    let mut agent = Agent::start(&config);
    connected(&mut agent);
    let publish = |agent: &mut Agent, message: Value| agent.tool("mqtt_publish", message);
    let fine = json!({"topic": "t/a", "payload": "ä\n", "qos": 1, "retain": true});
    publish(&mut agent, fine).structured();
    publish(
        &mut agent,
        json!({"topic": "else", "payload": "x".repeat(3000)}),
    )
    .error();
    let long = format!("else/{}", "x".repeat(40_000));
    publish(&mut agent, json!({"topic": long, "payload": "x"})).error();
    publish(
        &mut agent,
        json!({"topic": "t/b", "payload": "longer than 9"}),
    )
    .error();
    let when = json!({"topic": "mode", "timeout": 0.1});
    let unmet = json!({"topic": "t/c", "payload": "x", "when": when});
    assert_eq!(
        publish(&mut agent, unmet).structured()["outcome"],
        "not_sent"
    );
    let binary = json!({"topic": "t/d", "payload": "/wA=", "encoding": "base64"});
    let mut plain = config.clone();
    plain["topics"][0]
        .as_object_mut()
        .unwrap()
        .remove("payload");
    let (_, log) = agent.finish();
    let mut agent = Agent::start(&plain);
    connected(&mut agent);
    publish(&mut agent, binary).structured();
    agent.finish();

    let lines = lines(&folder.path("audit.jsonl"));
    let attempts = of("attempt", &lines);
    let on = |topic: &str| -> (&Value, &Value) {
        let own = |line: &&&Value| line["topic"] == topic;
        let attempt = attempts.iter().rfind(own).unwrap();
        let outcomes: Vec<_> = of("outcome", &lines)
            .into_iter()
            .filter(|line| line["id"] == attempt["id"])
            .collect();
        assert_eq!(outcomes.len(), 1);
        (attempt, outcomes[0])
    };
    let (attempt, outcome) = on("t/a");
    let expected = json!({
        "n": attempt["n"], "time": attempt["time"], "event": "attempt", "id": attempt["id"], "caller": "stdio",
        "profile": "default", "client": {"name": "tests", "version": "0"}, "transport": "stdio",
        "tool": "mqtt_publish", "topic": "t/a", "qos": 1, "retain": true, "bytes": 3, "payload": "ä\n",
        "rule": ["topics[0]"], "limits": ["topics[0].payload", "topics[0].write"],
        "prev": attempt["prev"], "hash": attempt["hash"],
    });
    assert_eq!(*attempt, expected);
    assert_eq!(outcome["outcome"], "delivered");
    assert!(outcome["ms"].is_u64() && outcome.get("reason").is_none());
    let id = attempt["id"].as_str().unwrap();
    let logged = format!("stdio: mqtt_publish: 3 bytes to `t/a`: delivered ({id})");
    assert!(log.contains(&logged), "{log}");
    let (attempt, outcome) = on("else");
    assert_eq!(attempt["payload"].as_str().unwrap().len(), 1024);
    assert_eq!(
        (&attempt["bytes"], &attempt["cut"]),
        (&json!(3000), &json!(true))
    );
    assert!(attempt.get("rule").is_none());
    assert_eq!(outcome["outcome"], "refused");
    let reason = outcome["reason"].as_str().unwrap();
    assert!(reason.contains("`else` is not writable"), "{reason}");
    let (attempt, outcome) = on(&long[..1024]);
    assert_eq!(attempt["cut"], true);
    assert!(outcome.to_string().len() < 2000, "{outcome}");
    assert_eq!(on("t/b").1["outcome"], "refused");
    let (_, outcome) = on("t/c");
    assert_eq!(
        (&outcome["outcome"], &outcome["reason"]),
        (&json!("not_sent"), &json!("the condition was not met"))
    );
    assert_eq!(on("t/d").0["payload_base64"], "/wA=");
    let starts = of("start", &lines);
    assert_eq!((starts.len(), of("stop", &lines).len()), (2, 2));
    assert_eq!(starts[0]["version"], env!("CARGO_PKG_VERSION"));

    let output = verify(&[], &folder);
    assert!(output.status.success(), "{}", said(&output));
    let words = &*format!("as it was written: {} lines, number 1 (", lines.len());
    assert!(said(&output).contains(words), "{}", said(&output));
    assert_eq!(anchors(&log).len(), 2, "{log}");
    for anchor in anchors(&log) {
        let output = verify(&["--anchor", anchor], &folder);
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("the anchor is in it"));
    }
}

#[test]
fn what_an_editor_did_is_named_and_an_anchor_shows_an_end_that_is_gone() {
    let (broker, folder) = (Mosquitto::start(), Scratch::new());
    let mut agent = Agent::start(&config(&broker, &folder));
    connected(&mut agent);
    let (_, log) = agent.finish();
    let file = folder.path("audit.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, whole.replacen("t/hello", "t/bye", 1)).unwrap();
    let output = verify(&[], &folder);
    assert_eq!(output.status.code(), Some(1));
    let words = "audit.jsonl:2: the line is not as it was written";
    assert!(said(&output).contains(words), "{}", said(&output));
    let mut less: Vec<_> = whole.lines().collect();
    less.pop();
    fs::write(&file, less.join("\n") + "\n").unwrap();
    assert!(verify(&[], &folder).status.success());
    let last = anchors(&log)[1];
    let output = verify(&["--anchor", last], &folder);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("the record was cut"),
        "{}",
        said(&output)
    );
    fs::remove_file(&file).unwrap();
    let output = Command::new(PROGRAM)
        .arg("--verify-audit")
        .arg(&file)
        .output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("cannot read"), "{words}");
}

/// Whatever the moment, the record is whole, and has what reached the broker and what the agent was told.
#[test]
fn a_program_that_is_killed_leaves_a_record_that_verifies() {
    let (broker, folder) = (Mosquitto::start(), Scratch::new());
    let file = folder.path("audit.jsonl");
    let mut config = config(&broker, &folder);
    config["audit"]["required"] = true.into();
    config["audit"]["max_bytes"] = 65536.into();
    // What a round leaves, and so much before it that a verification takes no longer in the last round.
    config["audit"]["keep"] = 20.into();
    // It may be killed before anything of its own has reached the broker.
    broker.publish(&["-t", "t/last", "-m", "nothing", "-r"]);
    let mut rng = fastrand::Rng::with_seed(15);
    let rounds = if full_size() { 300 } else { 10 };
    for round in 0..rounds {
        let sync = ["always", "never"][round % 2];
        config["audit"]["sync"] = sync.into();
        let mut agent = Agent::start(&config);
        connected(&mut agent);
        let answers: Vec<_> = (0..200)
            .map(|number| {
                let payload = format!("{round}-{number}");
                let message =
                    json!({"topic": "t/last", "payload": payload, "qos": 1, "retain": true});
                (payload, agent.tool("mqtt_publish", message))
            })
            .collect();
        std::thread::park_timeout(Duration::from_micros(rng.u64(..60_000)));
        let pid = Pid::from_raw(i32::try_from(agent.pid()).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        let told: Vec<_> = answers
            .iter()
            .filter(|(_, answer)| !answer.is_pending())
            .map(|(payload, _)| payload.as_str())
            .collect();
        let (code, _) = agent.wait();
        assert_eq!(code, None);
        let output = verify(&[], &folder);
        assert!(output.status.success(), "round {round}: {}", said(&output));
        let mut text = String::new();
        for entry in fs::read_dir(folder.path("")).unwrap() {
            let path = entry.unwrap().path();
            if path.to_str().unwrap().contains("audit.jsonl") {
                text += &String::from_utf8_lossy(&fs::read(&path).unwrap());
            }
        }
        for payload in told {
            assert!(
                text.contains(&format!("\"payload\":\"{payload}\"")),
                "{payload}"
            );
        }
        let last = broker.subscribe(&["-t", "t/last", "-C", "1"], || {});
        let last = last.trim();
        let is_recorded = text.contains(&format!("\"payload\":\"{last}\""));
        assert!(last == "nothing" || is_recorded, "round {round}: {last}");
    }
    assert!(file.exists());
}

/// The size of a file is bounded by the shell that starts the program, which then gets EFBIG, as on a full disk ENOSPC.
#[test]
fn on_a_full_disk_a_required_record_refuses_writes_and_another_is_missed_and_told() {
    let (broker, folder) = (Mosquitto::start(), Scratch::new());
    let file = folder.path("audit.jsonl");
    for required in [true, false] {
        let _ = fs::remove_file(&file);
        let mut config = config(&broker, &folder);
        config["audit"]["required"] = required.into();
        let path = folder.file("config.json", &config.to_string());
        // A program that is built to count its lines would begin with a file above the limit.
        let words = format!(
            "export LLVM_PROFILE_FILE=/dev/null; ulimit -f 8; exec {PROGRAM} --config {}",
            path.display()
        );
        let mut agent = Agent::command("sh", &["-c", &words]);
        agent.initialize();
        connected(&mut agent);
        let mut refusals = Vec::new();
        for index in 0..40 {
            let message =
                json!({"topic": "t/a", "payload": format!("{index}-{}", "x".repeat(200))});
            let answer = agent.tool("mqtt_publish", message).outcome();
            refusals.extend(answer.err());
        }
        assert_eq!(refusals.is_empty(), !required);
        let words = "not published: the operator requires a record of each write, and it cannot be written now. The message \
                     did not reach the broker.";
        assert!(refusals.iter().all(|it| it == words), "{refusals:?}");
        let output = verify(&[], &folder);
        assert!(output.status.success(), "{}", said(&output));
        let (code, log) = agent.finish();
        assert_eq!(code, Some(0));
        let told = log.matches("audit: the record cannot be written: ").count();
        assert_eq!(told, 1, "{log}");
        assert!(log.contains("file too large"), "{log}");
        // With room again, the record goes on.
        let mut agent = Agent::start(&config);
        connected(&mut agent);
        agent.finish();
        let output = verify(&[], &folder);
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn a_stop_a_reload_and_keys_are_recorded() {
    let (broker, folder) = (Mosquitto::start(), Scratch::new());
    let socket = folder.path("socket");
    let mut config = config(&broker, &folder);
    config["audit"]["payload"] = "hash".into();
    config["remote_server"] = json!({"uds": socket, "api_key": "k"});
    let path = folder.file("config.json", &config.to_string());
    let mut server = Program::over(&path);
    server.until("serving MCP over HTTP on");
    server.until("connected to the broker");
    let made = Command::new(PROGRAM)
        .args(["--genkey", "ada", "--config"])
        .arg(&path)
        .output();
    assert!(made.unwrap().status.success());
    server.signal(Signal::HUP);
    server.until("configuration reloaded from");
    server.signal(Signal::USR1);
    server.until("nothing more is written");
    server.signal(Signal::USR2);
    server.until("the halt is lifted");
    let mut client = Client::unix(&socket);
    let when = json!({"topic": "mode", "timeout": 300});
    let arguments = json!({"topic": "t/a", "payload": "x", "when": when});
    client.send(&call_post("k", JSON, "mqtt_publish", arguments));
    let file = folder.path("audit.jsonl");
    eventually("the attempt is recorded", || {
        fs::read_to_string(&file)
            .unwrap()
            .contains("\"event\":\"attempt\"")
    });
    let (log, status) = server.end();
    assert!(status.success(), "{log}");
    let lines = lines(&file);
    let events: Vec<_> = lines
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        events,
        [
            "start", "reload", "keys", "halt", "lift", "attempt", "outcome", "stop"
        ]
    );
    assert_eq!(lines[0]["keys"], json!(["default"]));
    assert_eq!(lines[2]["made"], json!(["ada"]));
    assert_eq!(lines[3]["reason"], "SIGUSR1");
    assert_eq!(lines[5]["transport"], "http");
    assert_eq!(lines[5]["caller"], "default");
    assert_eq!(lines[6]["outcome"], "not_sent");
    let hash = lines[5]["payload_hash"].as_str().unwrap();
    assert_eq!(hash.len(), 64);
    assert!(lines[5].get("payload").is_none());
    assert_eq!(anchors(&log).len(), 2, "{log}");
}

#[test]
fn the_check_tells_of_a_record_that_cannot_be_written_and_makes_none() {
    let folder = Scratch::new();
    let check = |file: &Path| {
        let config = json!({"topics": [], "audit": {"file": file}});
        let path = folder.file("config.json", &config.to_string());
        let output = Command::new(PROGRAM)
            .args(["--check", "--config"])
            .arg(path)
            .output();
        said(&output.unwrap())
    };
    let words = "warning: audit.file: the record cannot be written: ";
    assert!(!check(&folder.path("audit.jsonl")).contains(words));
    assert!(!folder.path("audit.jsonl").exists() && !folder.path("audit.jsonl.lock").exists());
    let missing = check(&folder.path("missing/audit.jsonl"));
    assert!(missing.contains(words), "{missing}");
    assert!(
        missing.contains("no such file or directory; writes go on without it"),
        "{missing}"
    );
    assert!(check(&folder.path("config.json")).contains("is no record of mcpmqtt"));
    assert!(check(Path::new("/dev/null")).contains("is not a regular file"));
}

#[test]
fn lines_are_published_below_the_operator_s_topic_without_payloads_unless_they_are_asked_for() {
    let (broker, folder) = (Mosquitto::start(), Scratch::new());
    let mut config = config(&broker, &folder);
    config["operator"] = json!({"topic": "op"});
    config["topics"][1]["pattern"] = "#".into();
    for payload in [false, true] {
        config["audit"]["feed"] = json!({"payload": payload});
        let mut agent = Agent::start(&config);
        connected(&mut agent);
        let following = agent.listening("mqtt_subscribe", json!({"topic": "#", "timeout": 300}));
        let arguments = json!({"topic": "t/fed", "payload": "secret", "qos": 1});
        let told = broker.subscribe(&["-t", "op/record", "-C", "2", "-F", "%p"], || {
            agent.tool("mqtt_publish", arguments).structured();
        });
        let told: Vec<Value> = told
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        assert_eq!(told.len(), 2, "{told:?}");
        let lines = lines(&folder.path("audit.jsonl"));
        for (line, event) in told.iter().zip(["attempt", "outcome"]) {
            let recorded = of(event, &lines);
            let recorded = recorded.iter().find(|it| it["n"] == line["n"]).unwrap();
            for field in ["time", "event", "id", "topic", "hash"] {
                assert_eq!(line[field], recorded[field], "{field}");
            }
        }
        let shown = payload.then(|| json!("secret"));
        assert_eq!(told[0].get("payload"), shown.as_ref());
        // No agent sees it, and it is no attempt.
        let id = agent.last_id();
        agent.notify("notifications/cancelled", json!({"requestId": id - 1}));
        drop(following);
        let (_, log) = agent.finish();
        assert!(!log.contains("op/record"), "{log}");
    }
    let text = fs::read_to_string(folder.path("audit.jsonl")).unwrap();
    assert!(!text.contains("op/record"));
}

/// What a limit refuses is quoted in the refusal, which the record must not have where it has no payloads.
#[test]
fn where_payloads_are_not_recorded_no_reason_quotes_one() {
    let (broker, folder) = (Mosquitto::start(), Scratch::new());
    let mut config = config(&broker, &folder);
    config["operator"] = json!({"topic": "op"});
    let limited = json!({
        "pattern": "limited", "permissions": ["write"], "payload": {"type": "number", "max": 5}, "description": "d",
    });
    config["topics"].as_array_mut().unwrap().push(limited);
    for (payload, reason) in [
        ("none", "not permitted"),
        ("hash", "not permitted"),
        ("full", "77.125 is above 5"),
    ] {
        let file = folder.path(&format!("{payload}.jsonl"));
        config["audit"] = json!({"file": file, "payload": payload, "feed": {}});
        let mut agent = Agent::start(&config);
        connected(&mut agent);
        let fed = broker.subscribe(&["-t", "op/record", "-C", "2", "-F", "%p"], || {
            let refused = json!({"topic": "limited", "payload": "77.125"});
            assert!(
                agent
                    .tool("mqtt_publish", refused)
                    .error()
                    .contains("77.125")
            );
        });
        agent.finish();
        let lines = lines(&file);
        let outcome = of("outcome", &lines)
            .into_iter()
            .rfind(|line| line["outcome"] == "refused");
        let found = outcome.unwrap()["reason"].as_str().unwrap();
        assert!(found.contains(reason), "{payload}: {found}");
        assert!(fed.contains("\"reason\":\"not permitted\""), "{fed}");
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.contains("77.125"), payload == "full");
        assert!(!fed.contains("77.125"), "{fed}");
    }
}

/// A record that was moved away and whose name is something else now: nothing is written into that.
#[test]
fn in_the_place_of_a_record_that_was_moved_away_nothing_but_a_file_is_opened() {
    let (broker, folder) = (Mosquitto::start(), Scratch::new());
    let mut config = config(&broker, &folder);
    config["audit"]["required"] = true.into();
    let mut agent = Agent::start(&config);
    connected(&mut agent);
    let file = folder.path("audit.jsonl");
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/null", &file).unwrap();
    let message = json!({"topic": "t/a", "payload": "x"});
    let said = agent.tool("mqtt_publish", message).error();
    assert!(
        said.contains("the operator requires a record of each write"),
        "{said}"
    );
    let (_, log) = agent.finish();
    assert!(log.contains("is not a regular file"), "{log}");
}

#[test]
fn reads_are_recorded_where_that_is_wanted() {
    let (broker, folder) = (Mosquitto::start(), Scratch::new());
    let mut config = config(&broker, &folder);
    let file = folder.path("audit.jsonl");
    for wanted in [false, true] {
        config["audit"]["reads"] = wanted.into();
        let mut agent = Agent::start(&config);
        connected(&mut agent);
        let arguments = json!({"topic": "t/x", "timeout": 0.2});
        agent.tool("mqtt_read", arguments).error();
        agent.tool("mqtt_read", json!({"topic": "else"})).error();
        let arguments = json!({"topic": "t/#", "seconds": 0});
        agent.tool("mqtt_topics", arguments).structured();
        agent.finish();
        let lines = lines(&file);
        let reads: Vec<_> = of("read", &lines)
            .iter()
            .map(|line| (line["filter"].clone(), line["outcome"].clone()))
            .collect();
        let expected = [
            ("t/x", "permitted"),
            ("else", "refused"),
            ("t/#", "permitted"),
        ];
        let expected = expected.map(|(filter, outcome)| (json!(filter), json!(outcome)));
        assert_eq!(
            reads,
            if wanted {
                expected.to_vec()
            } else {
                Vec::new()
            }
        );
    }
}

/// What was sent is known as soon as the broker has it, although the call goes on.
#[test]
fn a_query_that_waits_for_its_reply_has_its_outcome_in_the_record() {
    let (broker, folder) = (Mosquitto::start(), Scratch::new());
    let mut agent = Agent::start(&config(&broker, &folder));
    connected(&mut agent);
    let query = agent.tool(
        "mqtt_query",
        json!({"request_topic": "t/ask", "response_topic": "t/reply", "payload": "?", "timeout": 60}),
    );
    let file = folder.path("audit.jsonl");
    eventually("the outcome of the request is recorded", || {
        let lines = lines(&file);
        let attempts = of("attempt", &lines);
        let attempt = attempts.iter().find(|line| line["topic"] == "t/ask");
        attempt.is_some_and(|attempt| {
            let outcomes = of("outcome", &lines);
            let own = outcomes.iter().find(|line| line["id"] == attempt["id"]);
            own.is_some_and(|line| line["outcome"] == "sent")
        })
    });
    assert!(query.is_pending());
    broker.publish(&["-t", "t/reply", "-m", "!"]);
    query.structured();
    agent.finish();
    let lines = lines(&file);
    assert_eq!(of("attempt", &lines).len(), of("outcome", &lines).len());
}
