//! A device: answers requests as fast as they come, through the library's own client.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mcpmqtt::broker::{Arrival, InboxLimits};
use mcpmqtt::link;
use mcpmqtt::transport::Target;
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{Listen, Options};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};

pub struct Responder {
    stop: async_channel::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Answers what comes on `request` with `re:<payload>` on `response`, once it is subscribed.
    pub fn start(port: u16, request: &str, response: &str) -> Self {
        let (stop, stopped) = async_channel::bounded(1);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let request = SubscribeFilter::parse(request).unwrap();
        let response = TopicName::parse(response).unwrap();
        let thread = std::thread::spawn(move || {
            let target = Target {
                host: "127.0.0.1".into(),
                port,
                tls: None,
                user_timeout: Duration::ZERO,
                connect_timeout: Duration::from_secs(10),
            };
            let limits = InboxLimits {
                messages: 10_000,
                bytes: 1 << 24,
                total_bytes: 1 << 24,
            };
            let (broker, pump) = link::open(Options::new("responder"), target, limits, 1);
            let executor = smol::LocalExecutor::new();
            let work = async {
                let pump = executor.spawn(pump);
                let listen = Listen {
                    filter: request,
                    qos: QoS::AtLeastOnce,
                    retained: false,
                };
                let mut inbox = broker.listen(listen).await.unwrap();
                ready.send(()).unwrap();
                let answer = async {
                    while let Arrival::Message(message) = inbox.next().await {
                        let reply = [b"re:", &*message.payload].concat();
                        let reply = Message {
                            topic: response.clone(),
                            payload: Arc::from(reply),
                            qos: QoS::AtMostOnce,
                            retain: false,
                        };
                        let deadline = Instant::now() + Duration::from_secs(10);
                        let _ = broker.publish(reply, deadline).await;
                    }
                };
                smol::future::or(answer, async {
                    let _ = stopped.recv().await;
                })
                .await;
                broker.shut_down();
                pump.await;
            };
            smol::block_on(executor.run(work));
        });
        is_ready.recv().expect("the responder subscribes");
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
