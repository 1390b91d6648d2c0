//! From the word that halts to the last packet: less than a turn of the driver.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{Options, Outcome, PublishError, Sending};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};
use smol::LocalExecutor;

use crate::mqtt::{self, Client, InboxLimits, Tap, Tapped, Target};

/// So many tasks publish, each one message at a time: the most that one write of the driver's holds.
const FLOODS: u64 = 20;

/// A broker that grants everything and says `halt` after so many PUBLISHes. Ends with the connection; returns how many came.
fn broker(halts_after: usize) -> (u16, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut published = 0;
        let mut head = [0; 2];
        while socket.read_exact(&mut head).is_ok() {
            let mut body = vec![0; usize::from(head[1])];
            socket.read_exact(&mut body).unwrap();
            let answer: &[u8] = match head[0] >> 4 {
                1 => &[0x20, 2, 0, 0],
                3 => {
                    published += 1;
                    match published == halts_after {
                        true => &[0x30, 7, 0, 4, b'h', b'a', b'l', b't', b'!'],
                        false => &[],
                    }
                }
                8 => &[0x90, 3, body[0], body[1], 0],
                12 => &[0xD0, 0],
                _ => &[],
            };
            socket.write_all(answer).unwrap();
        }
        published
    });
    (port, serving)
}

fn message() -> Message {
    Message {
        topic: TopicName::parse("t").unwrap(),
        payload: b"x".as_slice().into(),
        qos: QoS::AtMostOnce,
        retain: false,
    }
}

/// Publishes without end, a few at a time.
async fn flood(client: Client) {
    loop {
        let deadline = Instant::now() + Duration::from_secs(10);
        if client.publish(message(), deadline).await.is_err() {
            break;
        }
    }
}

fn sent(client: &Client) -> u64 {
    let sent = client.counts().traffic.sent;
    sent.iter().map(|count| count.messages).sum()
}

/// Runs a flood until `halts` has halted it; what was sent before and in the end, and what the broker got.
fn run(halts_after: usize, by_message: bool) -> (u64, u64, usize) {
    let (port, serving) = broker(halts_after);
    let executor = LocalExecutor::new();
    let (before, after) = async_io::block_on(executor.run(async {
        let target = Target::new("127.0.0.1", port);
        let (client, driver) =
            mqtt::connect(Options::new("flood"), target, InboxLimits::default(), 1);
        let driver = executor.spawn(driver);
        let at = Rc::new(Cell::new(None));
        let (halting, seen) = (client.clone(), Rc::clone(&at));
        let halt = move || {
            halting.set_sending(Sending::Halted("halted".into()));
            seen.set(Some(sent(&halting)));
        };
        let tap: Tap = match by_message {
            true => {
                let halt = halt.clone();
                Rc::new(move |_, tapped| {
                    if matches!(tapped, Tapped::Message { .. }) {
                        halt();
                    }
                })
            }
            false => Rc::new(|_, _| {}),
        };
        let filter = SubscribeFilter::parse("halt").unwrap();
        let _observing = client.observe_reserved(filter, tap).await.unwrap();
        let floods: Vec<_> = (0..20)
            .map(|_| executor.spawn(flood(client.clone())))
            .collect();
        if !by_message {
            while sent(&client) < halts_after as u64 {
                smol::future::yield_now().await;
            }
            halt();
        }
        for flood in floods {
            flood.await;
        }
        // Whatever was still to come would have come before the answer.
        assert!(client.ping().await);
        let counted = (at.get().unwrap(), sent(&client));
        client.shut_down();
        driver.await;
        counted
    }));
    (before, after, serving.join().unwrap())
}

#[test]
fn after_the_word_that_halts_no_packet_leaves() {
    for by_message in [false, true] {
        for halts_after in [1, 7, 100, 3_000] {
            let (before, after, came) = run(halts_after, by_message);
            // Within a turn the last write is not counted yet.
            let uncounted = if by_message { FLOODS } else { 0 };
            assert!(
                (before..=before + uncounted).contains(&after),
                "{before} {after}"
            );
            assert_eq!(came as u64, after, "{by_message} {halts_after}");
            assert!(came >= halts_after);
        }
    }
}

#[test]
fn a_halt_ends_what_was_handed_in_before_it_although_it_is_lifted_before_the_driver_s_turn() {
    let (port, serving) = broker(usize::MAX);
    let executor = LocalExecutor::new();
    let (before, exempt, after) = async_io::block_on(executor.run(async {
        let target = Target::new("127.0.0.1", port);
        let (client, driver) = mqtt::connect(Options::new("t"), target, InboxLimits::default(), 1);
        let driver = executor.spawn(driver);
        while !client.is_connected() {
            smol::future::yield_now().await;
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut before = Box::pin(client.publish(message(), deadline));
        let mut exempt = Box::pin(client.publish_exempt(message(), deadline));
        assert!(smol::future::poll_once(&mut before).await.is_none());
        assert!(smol::future::poll_once(&mut exempt).await.is_none());
        client.set_sending(Sending::Halted("halted".into()));
        client.set_sending(Sending::Held);
        client.set_sending(Sending::Allowed);
        let after = client.publish(message(), deadline).await;
        let ended = (before.await, exempt.await, after);
        client.shut_down();
        driver.await;
        ended
    }));
    assert_eq!(before, Err(PublishError::Halted("halted".into())));
    assert_eq!(exempt, Ok(Outcome::Sent));
    assert_eq!(after, Ok(Outcome::Sent));
    assert_eq!(serving.join().unwrap(), 2);
}
