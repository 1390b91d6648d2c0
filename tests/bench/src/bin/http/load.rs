//! Calls as fast as they are answered, over connections that stay open.

use std::time::{Duration, Instant};

use mcpmqtt_bench::histogram::Histogram;
use mcpmqtt_bench::micros;
use tokio::task::JoinSet;

use crate::client::{Connection, Place};
use crate::server::Server;

/// What came of one load.
#[derive(Clone, Default)]
pub struct Outcome {
    pub latencies: Histogram,
    /// Calls a second.
    pub rate: f64,
    /// Microseconds of the server's processors for each call.
    pub cpu: f64,
}

/// One connection for each of `requests`, which it repeats for this long. Answers must be 200 and of one length.
pub async fn run(server: &Server, requests: Vec<Vec<u8>>, length: Duration) -> Outcome {
    let before = server.process.spent();
    let (latencies, elapsed) = repeat(&server.place, &requests, length).await;
    let spent = server.process.spent() - before;
    let count = latencies.count() as f64;
    Outcome {
        latencies,
        rate: count / elapsed.as_secs_f64(),
        cpu: micros(spent.cpu) / count,
    }
}

async fn repeat(place: &Place, requests: &[Vec<u8>], length: Duration) -> (Histogram, Duration) {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for request in requests {
        let (place, request) = (place.clone(), request.clone());
        clients.spawn(async move {
            let mut connection = Connection::open(&place).await.expect("a connection");
            let mut latencies = Histogram::default();
            let mut last = Instant::now();
            let mut length_of_answers = None;
            while last - start < length || latencies.count() == 0 {
                let status = connection.exchange(&request).await.expect("an answer");
                let now = Instant::now();
                latencies.add(now - last);
                last = now;
                let length = connection.length();
                if status != 200 || length_of_answers.is_some_and(|before| before != length) {
                    panic!("{:?}", connection.answer());
                }
                length_of_answers = Some(length);
            }
            latencies
        });
    }
    let mut all = Histogram::default();
    while let Some(latencies) = clients.join_next().await {
        all.merge(&latencies.expect("a client"));
    }
    (all, start.elapsed())
}
