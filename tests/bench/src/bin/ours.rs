//! The client of mcpmqtt, through its library face.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mcpmqtt::mqtt::Target;
use mcpmqtt::mqtt::{self, Arrival, Client, Inbox, InboxLimits};
use mcpmqtt::protocol::QoS;
use mcpmqtt::protocol::client::{Listen, Options, Outcome};
use mcpmqtt::protocol::message::Message;
use mcpmqtt::protocol::topic::{SubscribeFilter, TopicName};
use mcpmqtt_bench::histogram::Histogram;
use mcpmqtt_bench::mqtt::{PAYLOAD, Stopwatch, Task, WINDOW};
use smol::LocalExecutor;

fn main() {
    let task = Task::from_arguments();
    let mut options = Options::new("bench-ours");
    options.client_id += &task.mode;
    options.limits.inflight = WINDOW;
    let limits = InboxLimits {
        messages: 100_000,
        ..InboxLimits::default()
    };
    let (broker, pump) = mqtt::connect(options, Target::new("127.0.0.1", task.port), limits, 1);
    let executor = Rc::new(LocalExecutor::new());
    // All of it as tasks: to wake the future that `block_on` polls costs a look at all sockets.
    let work = executor.spawn(work(Rc::clone(&executor), broker, task));
    let pump = executor.spawn(pump);
    smol::block_on(executor.run(async {
        work.await;
        pump.await;
    }));
}

async fn work(executor: Rc<LocalExecutor<'static>>, broker: Client, task: Task) {
    assert!(broker.changes().connected().await);
    match task.mode.as_str() {
        "publish" => publish_all(&executor, &broker, &task).await,
        "receive" => receive_all(&broker, &task).await,
        "rtt" => round_trips(&broker, &task).await,
        other => panic!("unknown mode {other}"),
    }
    broker.shut_down();
}

async fn publish_all(executor: &Rc<LocalExecutor<'static>>, broker: &Client, task: &Task) {
    let watch = Stopwatch::start();
    let asked = Rc::new(Cell::new(0));
    let workers: Vec<_> = (0..WINDOW)
        .map(|_| {
            let (broker, task, asked) = (broker.clone(), task.clone(), Rc::clone(&asked));
            executor.spawn(async move {
                let topic = TopicName::parse(&task.topic).expect("a topic");
                while asked.get() < task.count {
                    asked.set(asked.get() + 1);
                    publish(&broker, &topic, task.qos).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await;
    }
    watch.report(task.count, &Histogram::default());
}

async fn publish(broker: &Client, topic: &TopicName, qos: u8) {
    let message = Message {
        topic: topic.clone(),
        payload: PAYLOAD.as_slice().into(),
        qos: level(qos),
        retain: false,
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    match broker.publish(message, deadline).await {
        Ok(Outcome::Sent | Outcome::Delivered) => {}
        other => panic!("{other:?}"),
    }
}

async fn receive_all(broker: &Client, task: &Task) {
    let mut inbox = listen(broker, task).await;
    println!("ready");
    let Arrival::Message(_) = inbox.next().await else {
        panic!("no message")
    };
    let watch = Stopwatch::start();
    for _ in 1..task.count {
        let Arrival::Message(_) = inbox.next().await else {
            panic!("no message")
        };
    }
    assert_eq!(inbox.lost(), 0);
    watch.report(task.count, &Histogram::default());
}

async fn round_trips(broker: &Client, task: &Task) {
    let mut inbox = listen(broker, task).await;
    let topic = TopicName::parse(&task.topic).expect("a topic");
    let watch = Stopwatch::start();
    let mut trips = Histogram::default();
    for _ in 0..task.count {
        let start = Instant::now();
        let back = async {
            let Arrival::Message(_) = inbox.next().await else {
                panic!("no message")
            };
            start.elapsed()
        };
        let (trip, ()) = smol::future::zip(back, publish(broker, &topic, task.qos)).await;
        trips.add(trip);
    }
    watch.report(task.count, &trips);
}

async fn listen(broker: &Client, task: &Task) -> Inbox {
    let filter = SubscribeFilter::parse(&task.topic).expect("a filter");
    let listen = Listen {
        filter,
        qos: level(task.qos),
        retained: false,
    };
    broker.listen(listen).await.expect("a grant")
}

fn level(qos: u8) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)]
}
