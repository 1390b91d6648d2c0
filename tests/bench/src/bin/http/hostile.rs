//! Clients that mean harm, in a process of their own: strangers that try keys, and requests that are no more what they
//! were.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use mcpmqtt_bench::process::Process;
use tokio::task::JoinSet;

use crate::client::{Connection, Manner, Place, STATUS};
use crate::server::Server;

/// A process with them; dropping it ends them.
pub struct Crowd {
    _process: Process,
}

#[derive(Clone, Copy)]
pub enum Harm {
    /// 50 clients with wrong keys, all at one address.
    Keys,
    /// The same, each at an address of its own.
    KeysFromEverywhere,
    /// Two clients that send requests with bytes changed, doubled, left out.
    Mutations,
}

impl Crowd {
    pub fn start(harm: Harm, server: &Server) -> Self {
        let Place::Tcp(address) = &server.place else {
            panic!("only over TCP")
        };
        let word = match harm {
            Harm::Keys => "keys",
            Harm::KeysFromEverywhere => "keys-from-everywhere",
            Harm::Mutations => "mutations",
        };
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command
            .args(["crowd", word, &address.to_string(), &server.manner.key])
            .stdin(Stdio::null());
        Self {
            _process: Process::start(&mut command),
        }
    }
}

/// Does harm until it is ended.
pub async fn run(word: &str, address: SocketAddr, key: &str) {
    let place = Place::Tcp(address);
    let mut clients = JoinSet::new();
    match word {
        "mutations" => {
            let manner = Manner {
                path: "/mcp",
                key: key.to_owned(),
                session: None,
            };
            for seed in 0..2 {
                clients.spawn(mutations(place.clone(), manner.clone(), seed));
            }
        }
        _ => {
            for client in 0..CLIENTS {
                let from = if word == "keys" { 2 } else { 2 + client };
                clients.spawn(keys(place.clone(), client, Ipv4Addr::new(127, 0, 1, from)));
            }
        }
    }
    while clients.join_next().await.is_some() {}
}

/// One wrong key after the other, as fast as they are answered.
async fn keys(place: Place, client: u8, from: Ipv4Addr) {
    for n in 0_u64.. {
        let Ok(mut connection) = Connection::open_from(&place, Some((from, 0).into())).await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let manner = Manner {
            path: "/mcp",
            key: format!("wrong-{client}-{n}"),
            session: None,
        };
        while matches!(
            connection
                .exchange(&manner.stateless_call(1, "bench/publish"))
                .await,
            Ok(401 | 429)
        ) {}
    }
}

async fn mutations(place: Place, manner: Manner, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let valid = [
        STATUS.to_vec(),
        manner.initialize(),
        manner.stateless_call(1, "bench/publish"),
        manner.stateless_call(2, "elsewhere"),
        manner.listen(3, "bench/publish"),
    ];
    loop {
        let Ok(mut connection) = Connection::open(&place).await else {
            continue;
        };
        for _ in 0..random.usize(1..4) {
            let _ = connection.send(&mutated(&mut random, &valid)).await;
        }
        // Some leave at once, some wait for the end: with nothing more to come there always is one.
        if random.u8(..4) > 0 && connection.finish().await.is_ok() {
            let _ = connection.rest().await;
        }
    }
}

fn mutated(random: &mut fastrand::Rng, from: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.choice(from).expect("requests").clone();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..bytes.len());
        let until = (at + random.usize(1..20)).min(bytes.len());
        match random.u8(..5) {
            0 => bytes[at] = random.u8(..),
            1 => bytes[at] = *random.choice(b"\r\n\0 :,;{}\"0f").expect("bytes"),
            2 => drop(bytes.drain(at..until)),
            3 => {
                let part = bytes[at..until].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes.truncate(at.max(1)),
        }
        if bytes.is_empty() {
            bytes.push(b'x');
        }
    }
    bytes
}

const CLIENTS: u8 = 50;
