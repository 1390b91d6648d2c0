//! rumqttc on one thread of tokio.

use std::time::Instant;

use mcpmqtt_bench::histogram::Histogram;
use mcpmqtt_bench::mqtt::{PAYLOAD, Stopwatch, Task, WINDOW};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing, Packet, QoS};

fn main() {
    let task = Task::from_arguments();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio");
    runtime.block_on(async {
        let mut options = MqttOptions::new(
            format!("bench-rumqttc{}", task.mode),
            "127.0.0.1",
            task.port,
        );
        options.set_inflight(WINDOW as u16);
        let (client, mut events) = AsyncClient::new(options, WINDOW * 2);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        while !matches!(next(&mut events).await, Event::Incoming(Packet::ConnAck(_))) {}
        match task.mode.as_str() {
            "publish" => publish_all(&client, &mut events, &task).await,
            "receive" => receive_all(&client, &mut events, &task).await,
            "rtt" => round_trips(&client, &mut events, &task).await,
            other => panic!("unknown mode {other}"),
        }
    });
}

async fn next(events: &mut EventLoop) -> Event {
    events.poll().await.expect("a connection")
}

async fn publish_all(client: &AsyncClient, events: &mut EventLoop, task: &Task) {
    let watch = Stopwatch::start();
    let (mut asked, mut done) = (0, 0);
    while done < task.count {
        while asked < task.count && asked - done < WINDOW {
            client
                .try_publish(&task.topic, level(task.qos), false, PAYLOAD)
                .expect("room");
            asked += 1;
        }
        let finished = match next(events).await {
            Event::Outgoing(Outgoing::Publish(_)) => task.qos == 0,
            Event::Incoming(Packet::PubAck(_)) => task.qos == 1,
            Event::Incoming(Packet::PubComp(_)) => task.qos == 2,
            _ => false,
        };
        done += usize::from(finished);
    }
    watch.report(task.count, &Histogram::default());
}

async fn receive_all(client: &AsyncClient, events: &mut EventLoop, task: &Task) {
    subscribe(client, events, task).await;
    println!("ready");
    while !is_message(&next(events).await) {}
    let watch = Stopwatch::start();
    let mut received = 1;
    while received < task.count {
        received += usize::from(is_message(&next(events).await));
    }
    watch.report(task.count, &Histogram::default());
}

async fn round_trips(client: &AsyncClient, events: &mut EventLoop, task: &Task) {
    subscribe(client, events, task).await;
    let watch = Stopwatch::start();
    let mut trips = Histogram::default();
    for _ in 0..task.count {
        let start = Instant::now();
        client
            .try_publish(&task.topic, level(task.qos), false, PAYLOAD)
            .expect("room");
        let (mut back, mut acknowledged) = (None, task.qos == 0);
        while back.is_none() || !acknowledged {
            match next(events).await {
                Event::Incoming(Packet::Publish(_)) => back = Some(start.elapsed()),
                Event::Incoming(Packet::PubAck(_)) => acknowledged = true,
                _ => {}
            }
        }
        trips.add(back.expect("a trip"));
    }
    watch.report(task.count, &trips);
}

async fn subscribe(client: &AsyncClient, events: &mut EventLoop, task: &Task) {
    client
        .try_subscribe(&task.topic, level(task.qos))
        .expect("room");
    while !matches!(next(events).await, Event::Incoming(Packet::SubAck(_))) {}
}

fn is_message(event: &Event) -> bool {
    matches!(event, Event::Incoming(Packet::Publish(_)))
}

fn level(qos: u8) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)]
}
