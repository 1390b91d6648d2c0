//! Consent to a write, by a person at the client and by the operator: the real program, a real mosquitto with an access
//! list, and `mosquitto_pub` as the operator.

use std::process::Command;

use serde_json::{Value, json};

use crate::chapter;
use crate::common::agent::{Agent, Answer};
use crate::common::mosquitto::Mosquitto;
use crate::common::scratch::Scratch;
use crate::common::waiting::PATIENCE;

/// The access list of the manual: the program asks and tells, and cannot answer.
const ACCESS: &str = "user gateway
topic write operator/ask/#
topic read operator/answer/#
topic readwrite plant/#

user ops
topic readwrite #
";

const OPS: [&str; 2] = ["-u", "ops"];

fn broker() -> (Mosquitto, Scratch) {
    let scratch = Scratch::new();
    let access = scratch.file("access", ACCESS);
    // Started by root it would become a user that may not read the list.
    // With an unbounded queue mosquitto 2.0.11 ends the connection of who publishes at QoS 1 what the list forbids.
    let options = format!(
        "user root\nmax_queued_messages 1000\nacl_file {}\n",
        access.display()
    );
    (Mosquitto::with(&options, &[]), scratch)
}

fn config(port: u16, consent: &str, operator: Value) -> Value {
    let mut operator = operator;
    operator["topic"] = "operator".into();
    json!({
        "mqtt": {"host": "127.0.0.1", "port": port, "username": "gateway"},
        "topics": [{
            "pattern": "plant/valve", "permissions": ["read", "write"], "description": "A valve.", "consent": consent,
        }],
        "operator": operator,
    })
}

fn open(agent: &mut Agent) -> Answer {
    let open = json!({"topic": "plant/valve", "payload": "open", "qos": 1});
    agent.tool("mqtt_publish", open)
}

/// The number and the content of the next message for the operator on `ask/+` and what follows, which `then` causes.
fn told<T>(broker: &Mosquitto, rest: &str, then: impl FnOnce() -> T) -> (String, Value, T) {
    let mut caused = None;
    let filter = format!("operator/ask/+{rest}");
    let args = [
        &OPS[..],
        &["-t", &filter, "-C", "1", "-W", "60", "-F", "%r %t %p"],
    ]
    .concat();
    let text = broker.subscribe(&args, || caused = Some(then()));
    let (retained, rest) = text.trim().split_once(' ').unwrap();
    assert_eq!(retained, "0", "{text}");
    let (topic, payload) = rest.split_once(' ').unwrap();
    let number = topic.split('/').nth(2).unwrap().to_owned();
    (
        number,
        serde_json::from_str(payload).unwrap(),
        caused.unwrap(),
    )
}

fn answer(broker: &Mosquitto, number: &str, more: &[&str]) {
    let topic = format!("operator/answer/{number}");
    broker.publish(&[&OPS[..], &["-q", "1", "-t", &topic], more].concat());
}

fn words(answer: Answer) -> String {
    let answer = answer.wait();
    let text = &answer["result"]["content"][0]["text"];
    text.as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

#[test]
fn the_operator_allows_or_denies_with_mosquitto_pub() {
    let (broker, _scratch) = broker();
    let mut agent = Agent::start(&config(broker.port, "operator", json!({})));
    for (sent, expected) in [
        // Home Assistant publishes with `retain: true` where its automation says so.
        (&["-m", "allow by Ana", "-r"][..], "delivered"),
        (&["-m", "\"allow\""], "delivered"),
        (&["-m", " Deny \n"], "the operator did not agree"),
        (
            &["-m", r#"{"verdict": "deny", "by": "Node-RED"}"#],
            "the operator did not agree (`Node-RED`)",
        ),
    ] {
        let (number, question, result) = told(&broker, "", || open(&mut agent));
        assert_eq!(question["topic"], "plant/valve");
        assert_eq!(question["payload"], "open");
        // Nothing was asked, of a question that is not open, and what reads as no answer.
        answer(&broker, &"0".repeat(32), &["-m", "allow"]);
        answer(&broker, &number, &["-m", "yes"]);
        let (closed, outcome, ()) = told(&broker, "/closed", || answer(&broker, &number, sent));
        assert_eq!(closed, number);
        let allowed = expected == "delivered";
        assert_eq!(
            outcome["outcome"],
            if allowed { "allowed" } else { "denied" }
        );
        match allowed {
            true => assert_eq!(result.structured()["outcome"], expected),
            false => assert!(words(result).contains(expected)),
        }
        // Doubled, late and retained.
        answer(&broker, &number, &["-m", "allow", "-r"]);
    }
    // A program that starts now gets the retained answers, and asks anew.
    let mut other = Agent::start(&config(broker.port, "operator", json!({})));
    let (number, _, result) = told(&broker, "", || open(&mut other));
    answer(&broker, &number, &["-m", "deny"]);
    assert!(words(result).contains("did not agree"));
    let (_, log) = other.finish();
    let line = "4 bytes to `plant/valve`: refused: the operator did not agree";
    assert!(log.contains(line), "{log}");
}

#[test]
fn two_programs_below_one_topic_do_not_take_each_others_answers() {
    let (broker, _scratch) = broker();
    let config = config(broker.port, "operator", json!({}));
    let (mut one, mut other) = (Agent::start(&config), Agent::start(&config));
    let (first, _, one) = told(&broker, "", || open(&mut one));
    let (second, _, other) = told(&broker, "", || open(&mut other));
    answer(&broker, &second, &["-m", "deny"]);
    assert!(words(other).contains("did not agree"));
    answer(&broker, &first, &["-m", "allow"]);
    assert_eq!(one.structured()["outcome"], "delivered");
}

#[test]
fn an_account_that_may_answer_asks_nobody_unless_the_file_says_so() {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&config(broker.port, "operator", json!({})));
    let refused = words(open(&mut agent));
    assert!(
        refused.contains("own account may publish to `operator/answer/#`"),
        "{refused}"
    );
    let unprotected = config(broker.port, "operator", json!({"unprotected": true}));
    let mut agent = Agent::start(&unprotected);
    let (number, _, result) = told(&broker, "", || open(&mut agent));
    answer(&broker, &number, &["-m", "allow"]);
    assert_eq!(result.structured()["outcome"], "delivered");
}

/// The next request of the server.
fn asked(agent: &Agent) -> Value {
    let asked = agent.others.recv_timeout(PATIENCE).expect("a question");
    assert_eq!(asked["method"], "elicitation/create", "{asked}");
    asked
}

fn able(agent: &mut Agent, version: &str) {
    let client = json!({"name": "able", "version": "1"});
    let hello = json!({"protocolVersion": version, "capabilities": {"elicitation": {}}, "clientInfo": client});
    agent.request("initialize", hello).wait();
    agent.notify("notifications/initialized", json!({}));
}

#[test]
fn a_person_at_the_client_is_asked_on_the_session_and_the_other_question_is_withdrawn() {
    let (broker, scratch) = broker();
    for version in ["2025-06-18", "2025-11-25"] {
        let file = scratch.file(
            "config.json",
            &config(broker.port, "either", json!({})).to_string(),
        );
        let mut agent = Agent::with_args(&["--config", file.to_str().unwrap()]);
        able(&mut agent, version);
        let result = open(&mut agent);
        let question = asked(&agent);
        let text = question["params"]["message"].as_str().unwrap();
        assert!(
            text.contains("Topic: `plant/valve`\nPayload: `open`"),
            "{text}"
        );
        let said = json!({"action": "accept", "content": {"agree": true}});
        let (_, outcome, ()) = told(&broker, "/closed", || {
            agent
                .line(&json!({"jsonrpc": "2.0", "id": question["id"], "result": said}).to_string());
        });
        assert_eq!(outcome, json!({"outcome": "allowed", "by": "client"}));
        assert_eq!(result.structured()["outcome"], "delivered");
        // The operator is faster: the client is told that its answer is not needed any more.
        let (number, _, result) = told(&broker, "", || open(&mut agent));
        let question = asked(&agent);
        answer(&broker, &number, &["-m", "deny"]);
        assert!(words(result).contains("the operator did not agree"));
        let withdrawn = agent.others.recv_timeout(PATIENCE).unwrap();
        assert_eq!(withdrawn["method"], "notifications/cancelled");
        assert_eq!(withdrawn["params"]["requestId"], question["id"]);
    }
}

#[test]
fn requests_of_a_batch_are_each_consented_to() {
    let (broker, scratch) = broker();
    let file = scratch.file(
        "config.json",
        &config(broker.port, "operator", json!({})).to_string(),
    );
    let mut agent = Agent::with_args(&["--config", file.to_str().unwrap()]);
    able(&mut agent, "2025-03-26");
    let call = |id: u64, payload: &str| {
        let arguments = json!({"topic": "plant/valve", "payload": payload});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "mqtt_publish", "arguments": arguments}})
    };
    let batch = json!([call(100, "open"), call(101, "close")]).to_string();
    let mut args = OPS.to_vec();
    args.extend(["-t", "operator/ask/+", "-C", "2", "-W", "60", "-F", "%t %p"]);
    let text = broker.subscribe(&args, || agent.line(&batch));
    for line in text.lines() {
        let (topic, payload) = line.split_once(' ').unwrap();
        let question: Value = serde_json::from_str(payload).unwrap();
        let verdict = if question["payload"] == "open" {
            "allow"
        } else {
            "deny"
        };
        answer(&broker, topic.rsplit('/').next().unwrap(), &["-m", verdict]);
    }
    let answers = agent.others.recv_timeout(PATIENCE).unwrap();
    let text = answers.to_string();
    assert_eq!(answers.as_array().unwrap().len(), 2, "{text}");
    assert_eq!(
        text.matches("\\\"outcome\\\":\\\"sent\\\"").count(),
        1,
        "{text}"
    );
    assert_eq!(
        text.matches("the operator did not agree").count(),
        1,
        "{text}"
    );
}

#[test]
fn a_query_is_consented_to_as_a_publish_is() {
    let (broker, _scratch) = broker();
    let mut agent = Agent::start(&config(broker.port, "operator", json!({})));
    let query = json!({
        "request_topic": "plant/valve", "response_topic": "plant/valve", "payload": "echo", "timeout": 5,
    });
    for (verdict, expected) in [
        ("allow", None),
        ("deny", Some("the operator did not agree")),
    ] {
        let (number, question, result) =
            told(&broker, "", || agent.tool("mqtt_query", query.clone()));
        assert_eq!(question["payload"], "echo");
        answer(&broker, &number, &["-m", verdict]);
        match expected {
            None => assert_eq!(result.structured()["payload"], "echo"),
            Some(expected) => assert!(words(result).contains(expected)),
        }
    }
}

/// The blocks of the manual's chapter in one language.
fn chapter(language: &str) -> Vec<String> {
    chapter::blocks(include_str!("../../config/CONSENT.md"), language)
}

/// The chapter's configuration and its way to answer: the command, and the program that signs in another's arithmetic.
#[test]
fn the_chapter_s_file_and_its_answers_do_what_it_says() {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    let secret = scratch.file("operator.secret", "a secret of an operator\n");
    scratch.file("answer.py", &chapter("python")[0]);
    let mut config: Value = serde_json::from_str(&chapter("json")[0]).unwrap();
    config["mqtt"] = json!({"host": "127.0.0.1", "port": broker.port});
    config["operator"]["secret_file"] = json!(secret);
    let mut agent = Agent::start(&config);
    let open = json!({"topic": "line/valve/set", "payload": "open", "qos": 1});
    let asked = |agent: &mut Agent| {
        let args = ["-t", "plant/op/ask/+", "-C", "1", "-W", "60", "-F", "%t %p"];
        let mut result = None;
        let text = broker.subscribe(&args, || {
            result = Some(agent.tool("mqtt_publish", open.clone()));
        });
        let (topic, question) = text.trim().split_once(' ').unwrap();
        let number = topic.rsplit('/').next().unwrap().to_owned();
        let question: Value = serde_json::from_str(question).unwrap();
        (
            number,
            question["digest"].as_str().unwrap().to_owned(),
            result.unwrap(),
        )
    };
    let signed = |number: &str, verdict: &str, digest: &str| {
        let mut python = Command::new("python3");
        python.args(["answer.py", number, verdict, digest]);
        let said = python.current_dir(scratch.path("")).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).unwrap()
    };
    let (number, digest, result) = asked(&mut agent);
    let topic = format!("plant/op/answer/{number}");
    let commands = chapter("sh").join("\n");
    let unsigned = commands.lines().last().unwrap();
    let unsigned = unsigned.replace("0123456789abcdef0123456789abcdef", &number);
    chapter::run(&unsigned, &broker, &scratch.path(""));
    let denied = signed(&number, "deny", &digest);
    broker.publish(&["-t", &topic, "-m", &denied.replace("deny", "allow")]);
    broker.publish(&["-t", &topic, "-m", &denied]);
    assert!(words(result).contains("the operator did not agree"));
    let (number, digest, result) = asked(&mut agent);
    let allowed = signed(&number, "allow", &digest);
    broker.publish(&["-t", &format!("plant/op/answer/{number}"), "-m", &allowed]);
    assert_eq!(result.structured()["outcome"], "delivered");
}
