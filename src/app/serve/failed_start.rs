//! The end of a program over stdio that could not start.

use std::rc::Rc;
use std::time::Duration;

use async_io::block_on;
use smol::LocalExecutor;
use smol::future;

use super::signals;
use crate::stdio;

/// Reports to the client why the program did not start, until the client has the answer, leaves, or a signal comes; ten
/// seconds at most.
pub fn tell_client(reason: &str) {
    let executor = Rc::new(LocalExecutor::new());
    let stop = signals::stop(&executor, None);
    let telling = stdio::tell_client(reason, PATIENCE);
    block_on(executor.run(async {
        match stop {
            Ok(stop) => future::or(stop, telling).await,
            // A signal ends the program on the spot, or it goes on for its ten seconds: both are an end.
            Err(_) => telling.await,
        }
    }));
}

/// Clients start the program and speak at once; one that has not spoken by then does not speak MCP.
const PATIENCE: Duration = Duration::from_secs(10);
