//! The servers that are measured, each a process of its own, and what the system says of them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mcpmqtt_bench::process::Process;
use serde_json::{Value, json};

use crate::client::{Connection, Manner, Place, STATUS};

/// What can be started.
#[derive(Clone)]
pub struct Programs {
    pub ours: String,
    pub original: String,
    pub hyper: String,
    /// The configuration for both servers; where they listen is put into a copy of it.
    pub config: Value,
    pub key: String,
    pub scratch: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    Ours,
    Hyper,
    Original,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Tcp,
    Unix,
}

pub struct Server {
    pub process: Process,
    pub place: Place,
    pub manner: Manner,
}

impl Programs {
    /// Starts one and waits until it answers.
    pub async fn start(&self, who: Who, transport: Transport) -> Server {
        let name = format!("{}/{who:?}-{transport:?}", self.scratch);
        let place = match transport {
            Transport::Tcp => Place::Tcp(free_address()),
            Transport::Unix => Place::Unix(format!("{name}.sock").into()),
        };
        let mut command = match who {
            Who::Hyper => {
                let mut command = Command::new(&self.hyper);
                let file = format!("{}/answers.json", self.scratch);
                let listen = match &place {
                    Place::Tcp(address) => address.to_string(),
                    Place::Unix(path) => path.display().to_string(),
                };
                let _ = fs::remove_file(&listen);
                command.args([&listen, &self.key, &file]);
                command
            }
            Who::Ours | Who::Original => {
                let file = format!("{name}.json");
                fs::write(&file, self.config_for(&place).to_string())
                    .expect("a place for the configuration");
                let mut command = Command::new(if who == Who::Ours {
                    &self.ours
                } else {
                    &self.original
                });
                command.args(["--transport", "remotehttp", "--config", &file]);
                command
            }
        };
        let log = fs::File::create(format!("{name}.log")).expect("a place for the log");
        let process = Process::start(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log),
        );
        let path = if who == Who::Original {
            "/mcp/mcp"
        } else {
            "/mcp"
        };
        let manner = Manner {
            path,
            key: self.key.clone(),
            session: None,
        };
        let mut server = Server {
            process,
            place,
            manner,
        };
        server.answers().await;
        server
    }

    fn config_for(&self, place: &Place) -> Value {
        let mut config = self.config.clone();
        let listen = match place {
            Place::Tcp(address) => json!({"host": "127.0.0.1", "port": address.port()}),
            Place::Unix(path) => json!({"uds": path, "port": null}),
        };
        let Value::Object(listen) = listen else {
            unreachable!()
        };
        config["remote_server"]
            .as_object_mut()
            .expect("a `remote_server` section")
            .extend(listen);
        config
    }
}

impl Server {
    async fn answers(&mut self) {
        let start = Instant::now();
        loop {
            let answer = match Connection::open(&self.place).await {
                Ok(mut connection) => connection.exchange(STATUS).await,
                Err(error) => Err(error),
            };
            if matches!(answer, Ok(200)) {
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "no server at {:?}",
                self.place
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Begins a session; its id is that of later requests in this manner.
    pub async fn initialized(&self, connection: &mut Connection) -> Manner {
        let status = connection
            .exchange(&self.manner.initialize())
            .await
            .expect("an answer");
        let answer = connection.answer();
        assert_eq!(status, 200, "{answer:?}");
        let id = connection.session_id().expect("a session");
        let manner = Manner {
            session: Some(id),
            ..self.manner.clone()
        };
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let status = connection
            .exchange(&manner.post("", &done))
            .await
            .expect("an answer");
        assert_eq!(status, 202);
        manner
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
    listener.local_addr().expect("an address")
}
