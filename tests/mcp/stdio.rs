//! The stdio front door over real pipes, sockets and files.

use std::collections::HashSet;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use mcpmqtt::stdio::{Ending, StdioLimits};
use serde_json::{Value, json};

use crate::common::messages::{modern, request};
use crate::common::schema::{check_answer, check_notification};
use crate::wire::{Wire, dialogue, limits};

fn ping(id: impl Into<Value>) -> Value {
    request(id, "ping", json!({}))
}

fn call(id: impl Into<Value>, tool: &str) -> Value {
    modern(id, "tools/call", json!({"name": tool}))
}

fn cancel(id: impl Into<Value>) -> Value {
    let params = json!({"requestId": id.into(), "reason": "changed my mind"});
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
}

#[test]
fn both_eras_on_one_pipe() {
    dialogue(|executor| async move {
        let mut wire = Wire::open(&executor, limits());
        let discovered = wire.ask(&modern(0, "server/discover", json!({}))).await;
        assert_eq!(discovered["result"]["resultType"], "complete");
        wire.initialize("2025-06-18").await;
        let called = wire
            .ask(&request("", "tools/call", json!({"name": "fail"})))
            .await;
        assert_eq!(
            (&called["id"], &called["result"]["isError"]),
            (&json!(""), &json!(true))
        );
        let called = wire.ask(&call("m", "fail")).await;
        assert_eq!(called["result"]["resultType"], "complete");
        wire.hang_up();
        let (ending, rest) = wire.end().await;
        assert!(matches!(ending, Ending::EndOfInput));
        assert!(rest.is_empty());
    });
}

#[test]
fn lines_may_end_and_begin_oddly() {
    dialogue(|executor| async move {
        let mut wire = Wire::open(&executor, limits());
        let text = "\u{FEFF}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n\r\n \n";
        for byte in text.as_bytes() {
            wire.write(&[*byte]).await;
        }
        assert_eq!(wire.hear().await["id"], 1);
        wire.write(br#" {"jsonrpc":"2.0","id":2,"method":"ping"}"#)
            .await;
        wire.hang_up();
        let (_, rest) = wire.end().await;
        assert_eq!(rest, [json!({"jsonrpc": "2.0", "id": 2, "result": {}})]);
    });
}

#[test]
fn a_slow_tool_delays_nobody() {
    dialogue(|executor| async move {
        let mut wire = Wire::open(&executor, limits());
        wire.say(&call(1, "wait")).await;
        assert_eq!(wire.ask(&ping(2)).await["id"], 2);
        assert_eq!(wire.ask(&call(3, "fail")).await["id"], 3);
        wire.gate.send(()).await.unwrap();
        let answer = wire.hear().await;
        assert_eq!(answer["id"], 1);
        assert_eq!(
            answer["result"]["structuredContent"],
            json!({"waited": true})
        );
    });
}

#[test]
fn a_cancelled_call_is_dropped_and_never_answered() {
    dialogue(|executor| async move {
        let mut wire = Wire::open(&executor, limits());
        for id in [json!(1), json!("1")] {
            wire.say(&call(id, "wait")).await;
        }
        assert_eq!(wire.ask(&ping(2)).await["id"], 2);
        assert_eq!(
            wire.gate.receiver_count(),
            3,
            "two calls hold the gate, and the tool"
        );
        wire.say(&cancel("1")).await;
        // Unknown, finished and malformed ones are ignored.
        wire.say(&cancel("nobody")).await;
        wire.say(&cancel(json!([1]))).await;
        wire.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled"}))
            .await;
        assert_eq!(wire.ask(&ping(3)).await["id"], 3);
        // The cancelled one does not take the gate's only pass, and its id is free again.
        wire.gate.send(()).await.unwrap();
        assert_eq!(wire.hear().await["id"], 1);
        assert_eq!(wire.gate.receiver_count(), 1);
        wire.gate.send(()).await.unwrap();
        assert_eq!(wire.ask(&call("1", "wait")).await["id"], "1");
        wire.hang_up();
        assert!(wire.end().await.1.is_empty());
    });
}

#[test]
fn an_id_in_flight_is_not_taken_twice() {
    dialogue(|executor| async move {
        let mut wire = Wire::open(&executor, limits());
        wire.say(&call(7, "wait")).await;
        for again in [call(7, "fail"), ping(7)] {
            let answer = wire.ask(&again).await;
            assert_eq!(answer["id"], 7);
            assert_eq!(answer["error"]["code"], -32600);
        }
        assert_eq!(wire.ask(&ping("7")).await["result"], json!({}));
        wire.gate.send(()).await.unwrap();
        assert!(wire.hear().await["result"].is_object());
        assert!(
            wire.ask(&ping(7)).await["result"].is_object(),
            "free again once answered"
        );
    });
}

#[test]
fn a_line_over_the_cap_is_answered_and_skipped() {
    dialogue(|executor| async move {
        let limits = StdioLimits {
            line_bytes: 1000,
            ..limits()
        };
        let mut wire = Wire::open(&executor, limits);
        wire.write(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"x\":\"")
            .await;
        for _ in 0..100 {
            wire.write(&[b'x'; 10_000]).await;
        }
        let answer = wire.hear().await;
        assert_eq!(answer["error"]["code"], -32600);
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("1000 bytes"), "{message}");
        assert!(answer.get("id").is_none());
        wire.write(b"\"}}\n").await;
        assert_eq!(wire.ask(&ping(2)).await["id"], 2);
    });
}

#[test]
fn a_call_of_three_megabytes_is_served() {
    dialogue(|executor| async move {
        let mut wire = Wire::open(&executor, limits());
        let text = "y".repeat(3 << 20);
        let params = json!({"name": "echo", "arguments": {"text": text}});
        let answer = wire.ask(&modern(1, "tools/call", params)).await;
        assert_eq!(
            answer["result"]["content"][0]["text"],
            "`text` must be a string of at most 100000 characters; found one of 3145728"
        );
    });
}

#[test]
fn progress_comes_before_the_answer_and_not_after() {
    dialogue(|executor| async move {
        let mut wire = Wire::open(&executor, limits());
        let params = json!({"name": "count", "_meta": {"progressToken": 0}});
        wire.say(&modern(1, "tools/call", params)).await;
        for done in [1.0, 2.0, 3.0] {
            let note = wire.hear().await;
            check_notification("2026-07-28", &note);
            assert_eq!(note["params"]["progress"], done);
        }
        assert_eq!(wire.hear().await["id"], 1);
        wire.hang_up();
        assert!(wire.end().await.1.is_empty());
    });
}

#[test]
fn a_batch_is_one_line_in_the_one_version_that_has_them() {
    dialogue(|executor| async move {
        let mut wire = Wire::open(&executor, limits());
        wire.initialize("2025-03-26").await;
        let batch = json!([
            request(1, "tools/call", json!({"name": "wait"})),
            ping(2),
            cancel(9),
            request(3, "initialize", json!({})),
            5,
        ]);
        wire.say(&batch).await;
        assert_eq!(
            wire.ask(&ping(4)).await["id"],
            4,
            "a batch delays nobody either"
        );
        wire.gate.send(()).await.unwrap();
        let answers = wire.hear().await;
        let answers = answers.as_array().unwrap();
        let codes: Vec<_> = answers
            .iter()
            .map(|it| (&it["id"], &it["error"]["code"]))
            .collect();
        let null = Value::Null;
        assert_eq!(codes.len(), 4);
        for expected in [(1, None), (2, None), (3, Some(-32600))] {
            let code = expected.1.map_or(null.clone(), Value::from);
            assert!(codes.contains(&(&json!(expected.0), &code)), "{codes:?}");
        }
        assert!(codes.contains(&(&null, &json!(-32600))));
        // Nothing but notifications: no answer at all.
        wire.say(&json!([cancel(1), cancel(2)])).await;
        assert_eq!(wire.ask(&ping(5)).await["id"], 5);
        // A cancelled member is left out; a batch cancelled whole is not answered.
        wire.say(&json!([request(6, "tools/call", json!({"name": "wait"}))]))
            .await;
        wire.say(&cancel(6)).await;
        assert_eq!(wire.ask(&ping(7)).await["id"], 7);
        let many: Vec<Value> = (0..101).map(ping).collect();
        let refused = wire.ask(&Value::from(many)).await;
        assert_eq!(
            (&refused["error"]["code"], &refused["id"]),
            (&json!(-32600), &null)
        );
    });
}

#[test]
fn at_the_limit_calls_are_refused_and_the_rest_is_served() {
    dialogue(|executor| async move {
        let limits = StdioLimits {
            requests: 2,
            patience: Duration::from_millis(20),
            ..limits()
        };
        let mut wire = Wire::open(&executor, limits);
        wire.say(&call(1, "wait")).await;
        wire.say(&call(2, "wait")).await;
        let refused = wire.ask(&call(3, "wait")).await;
        assert_eq!(
            (&refused["id"], &refused["error"]["code"]),
            (&json!(3), &json!(-32603))
        );
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("busy") && message.contains("2 requests"),
            "{message}"
        );
        assert_eq!(wire.ask(&ping(4)).await["id"], 4);
        assert_eq!(wire.ask(&modern(5, "tools/list", json!({}))).await["id"], 5);
        wire.say(&cancel(1)).await;
        wire.say(&call(6, "wait")).await;
        assert_eq!(wire.ask(&ping(7)).await["id"], 7, "cancelling made room");
        wire.gate.send(()).await.unwrap();
        wire.gate.send(()).await.unwrap();
        let ids = [
            wire.hear().await["id"].clone(),
            wire.hear().await["id"].clone(),
        ];
        assert!(
            ids.contains(&json!(2)) && ids.contains(&json!(6)),
            "{ids:?}"
        );
    });
}

#[test]
fn a_call_waits_for_room_that_comes_in_time() {
    dialogue(|executor| async move {
        let limits = StdioLimits {
            request_bytes: 300,
            ..limits()
        };
        let mut wire = Wire::open(&executor, limits);
        for id in 1..=3 {
            wire.say(&call(id, "wait")).await;
        }
        for id in 1..=3 {
            wire.gate.send(()).await.unwrap();
            assert_eq!(wire.hear().await["id"], id);
        }
    });
}

#[test]
fn a_client_that_does_not_read_is_not_read_either() {
    dialogue(|executor| async move {
        let limits = StdioLimits {
            output_bytes: 100_000,
            ..limits()
        };
        let mut wire = Wire::open(&executor, limits);
        // Answers of 2 MiB; the pipe holds 64 KiB.
        wire.say(&call("big", "large")).await;
        let mut said = 0;
        let line = format!("{}\n", ping("x".repeat(1000)));
        let stuck = async {
            loop {
                wire.write(line.as_bytes()).await;
                said += 1;
            }
        };
        let pause = async {
            async_io::Timer::after(Duration::from_millis(300)).await;
        };
        smol::future::or(stuck, pause).await;
        // What the server took beyond the two pipes is at most its limit and a chunk.
        assert!(said < 500, "{said} lines were taken while nothing was read");
        assert!(said > 20);
        let mut heard = 0;
        while heard < said {
            let answer = wire.hear().await;
            heard += usize::from(answer["id"] != "big");
        }
    });
}

#[test]
fn the_end_of_input_lets_calls_finish() {
    dialogue(|executor| async move {
        let mut wire = Wire::open(&executor, limits());
        wire.say(&call(1, "wait")).await;
        wire.ask(&ping(2)).await;
        wire.hang_up();
        wire.gate.send(()).await.unwrap();
        let (ending, rest) = wire.end().await;
        assert!(matches!(ending, Ending::EndOfInput));
        assert_eq!(rest.len(), 1);
        assert_eq!(rest[0]["id"], 1);
    });
}

#[test]
fn the_end_of_input_has_calls_that_do_not_finish_answered_with_an_error() {
    dialogue(|executor| async move {
        let limits = StdioLimits {
            drain: Duration::from_millis(50),
            ..limits()
        };
        let mut wire = Wire::open(&executor, limits);
        let gate = wire.gate.clone();
        wire.say(&call(1, "wait")).await;
        wire.ask(&ping(2)).await;
        wire.hang_up();
        let begun = Instant::now();
        let (ending, rest) = wire.end().await;
        assert!(matches!(ending, Ending::EndOfInput));
        assert_eq!(rest.len(), 1, "{rest:?}");
        check_answer("2026-07-28", "tools/call", &rest[0]);
        assert_eq!(rest[0]["id"], 1);
        assert_eq!(rest[0]["error"]["code"], -32603);
        let words = rest[0]["error"]["message"].as_str().unwrap();
        assert!(words.starts_with("not done: the input ended"), "{words}");
        assert!(begun.elapsed() >= Duration::from_millis(50));
        while gate.receiver_count() > 0 {
            smol::future::yield_now().await;
        }
    });
}

#[test]
fn a_stop_cuts_the_time_after_the_end_of_input_short() {
    dialogue(|executor| async move {
        let limits = StdioLimits {
            grace: Duration::from_millis(50),
            ..limits()
        };
        let mut wire = Wire::open(&executor, limits);
        wire.say(&call(1, "wait")).await;
        wire.ask(&ping(2)).await;
        wire.hang_up();
        wire.stop();
        let begun = Instant::now();
        let (_, rest) = wire.end().await;
        assert_eq!(rest.len(), 1, "{rest:?}");
        assert!(rest[0]["error"].is_object());
        assert!(begun.elapsed() < limits.drain);
    });
}

#[test]
fn with_nothing_in_flight_the_end_is_at_once() {
    dialogue(|executor| async move {
        // Whoever waited for the grace would not end in this test's time.
        let limits = StdioLimits {
            grace: Duration::from_secs(3600),
            ..limits()
        };
        let mut wire = Wire::open(&executor, limits);
        wire.ask(&ping(1)).await;
        wire.hang_up();
        wire.end().await;
    });
}

#[test]
fn a_stop_ends_it() {
    dialogue(|executor| async move {
        let mut wire = Wire::open(&executor, limits());
        wire.ask(&ping(1)).await;
        wire.stop();
        let (ending, rest) = wire.end().await;
        assert!(matches!(ending, Ending::Stopped));
        assert!(rest.is_empty());
    });
}

#[test]
fn a_client_that_no_longer_reads_ends_it() {
    dialogue(|executor| async move {
        let mut wire = Wire::open(&executor, limits());
        wire.turn_away();
        wire.say(&ping(1)).await;
        let (ending, _) = wire.end().await;
        assert!(matches!(ending, Ending::OutputBroken(_)), "{ending:?}");
    });
}

#[test]
fn answers_that_are_ready_together_go_out_together() {
    dialogue(|executor| async move {
        // A datagram is a write: their number is the number of writes.
        let (output, from) = UnixDatagram::pair().unwrap();
        let (input, mut to) = UnixStream::pair().unwrap();
        let lines: String = (0..200).map(|id| format!("{}\n", ping(id))).collect();
        to.write_all(lines.as_bytes()).unwrap();
        drop(to);
        let wire = Wire::on(&executor, limits(), input.into(), output.into(), None, None);
        let (ending, _) = wire.end().await;
        assert!(matches!(ending, Ending::EndOfInput));
        from.set_nonblocking(true).unwrap();
        let mut whole = Vec::new();
        let mut buffer = [0; 8192];
        let mut writes = 0;
        while let Ok(count) = from.recv(&mut buffer) {
            assert!(count <= 4096);
            whole.extend_from_slice(&buffer[..count]);
            writes += 1;
            if whole.ends_with(b"\n") && whole.iter().filter(|byte| **byte == b'\n').count() == 200
            {
                break;
            }
        }
        let expected = whole.len().div_ceil(4096);
        assert_eq!(writes, expected, "{} bytes", whole.len());
        assert_eq!(whole.split(|byte| *byte == b'\n').count(), 201);
    });
}

#[test]
fn one_socket_for_both_directions_keeps_its_flags() {
    dialogue(|executor| async move {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let kept = ours.try_clone().unwrap();
        let before = rustix::fs::fcntl_getfl(&kept).unwrap();
        let input = OwnedFd::from(ours.try_clone().unwrap());
        let to = OwnedFd::from(theirs.try_clone().unwrap());
        let mut wire = Wire::on(
            &executor,
            limits(),
            input,
            ours.into(),
            Some(to),
            Some(theirs.into()),
        );
        assert_eq!(wire.ask(&ping(1)).await["id"], 1);
        assert_eq!(rustix::fs::fcntl_getfl(&kept).unwrap(), before);
        wire.stop();
        assert!(matches!(wire.ending().await, Ending::Stopped));
        assert_eq!(rustix::fs::fcntl_getfl(&kept).unwrap(), before);
    });
}

#[test]
fn regular_files_and_dev_null_serve_too() {
    dialogue(|executor| async move {
        let directory = std::env::temp_dir();
        let name = |end: &str| directory.join(format!("mcpmqtt-{}-{end}", std::process::id()));
        let open = |path: &std::path::Path| {
            let mut options = std::fs::OpenOptions::new();
            options
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
                .unwrap()
        };
        let (mut input, mut output) = (open(&name("in")), open(&name("out")));
        for id in 0..3000 {
            writeln!(input, "{}", ping(id)).unwrap();
        }
        input.rewind().unwrap();
        let server = output.try_clone().unwrap();
        let wire = Wire::on(&executor, limits(), input.into(), server.into(), None, None);
        assert!(matches!(wire.end().await.0, Ending::EndOfInput));
        let mut text = String::new();
        output.rewind().unwrap();
        output.read_to_string(&mut text).unwrap();
        std::fs::remove_file(name("in")).unwrap();
        std::fs::remove_file(name("out")).unwrap();
        let ids: HashSet<u64> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["id"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        assert_eq!(ids.len(), 3000);

        let null = || {
            std::fs::File::options()
                .read(true)
                .write(true)
                .open("/dev/null")
                .unwrap()
        };
        let wire = Wire::on(
            &executor,
            limits(),
            null().into(),
            null().into(),
            None,
            None,
        );
        assert!(matches!(wire.end().await.0, Ending::EndOfInput));
    });
}
