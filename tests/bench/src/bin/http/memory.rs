//! What idle things cost in resident bytes: connections, sessions, streams.

use std::time::Duration;

use crate::client::{Connection, Manner};
use crate::server::Server;

/// Opens things until there are `count` of them; what one costs.
async fn each<T>(server: &Server, count: usize, mut open: impl AsyncFnMut() -> T) -> (f64, Vec<T>) {
    // The first one makes what all share.
    let first = open().await;
    tokio::time::sleep(SETTLE).await;
    let before = server.process.resident();
    let mut opened = vec![first];
    for _ in 0..count {
        opened.push(open().await);
    }
    tokio::time::sleep(SETTLE).await;
    let all = server.process.resident() - before;
    (all / count as f64, opened)
}

/// Connections that have been served once and wait.
pub async fn connections(server: &Server, count: usize, request: &[u8]) -> f64 {
    let open = async || {
        let mut connection = connect(server).await;
        assert_eq!(connection.exchange(request).await.expect("an answer"), 200);
        connection
    };
    each(server, count, open).await.0
}

/// Sessions with a handshake, and then a stream for each, with its connection.
pub async fn sessions_and_streams(server: &Server, count: usize) -> (f64, f64) {
    let mut connection = connect(server).await;
    let (sessions, mut manners) = each(server, count, async || {
        server.initialized(&mut connection).await
    })
    .await;
    let open = async || {
        let manner: Manner = manners.pop().expect("a session");
        let mut stream = connect(server).await;
        stream
            .begin(&manner.get_stream(), "\r\n\r\n")
            .await
            .expect("a stream");
        stream
    };
    (sessions, each(server, count, open).await.0)
}

/// Streams of the version without sessions, with their connections.
pub async fn listens(server: &Server, count: usize, topic: &str) -> f64 {
    let mut id = 0;
    let open = async || {
        id += 1;
        let mut stream = connect(server).await;
        let request = server.manner.listen(id, topic);
        stream
            .begin(&request, "acknowledged")
            .await
            .expect("a stream");
        stream
    };
    each(server, count, open).await.0
}

async fn connect(server: &Server) -> Connection {
    Connection::open(&server.place).await.expect("a connection")
}

pub const SETTLE: Duration = Duration::from_millis(1500);
