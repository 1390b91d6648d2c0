//! The end of a program over stdio that could not start.

use std::rc::Rc;
use std::time::Duration;

use smol::LocalExecutor;
use smol::future::{self, FutureExt as _};

use super::signals;
use crate::app::execute::execute;
use crate::stdio;

/// Reports to the client why the program did not start, until the client has the answer, leaves, or a signal comes; ten
/// seconds at most. Without signals it reports nothing, because nobody could end it: standard error has the reason, too.
pub fn tell_client(reason: &str) {
    let executor = Rc::new(LocalExecutor::new());
    let Ok(stop) = signals::stop(&executor, None, &signals::HaltSwitch::default()) else {
        return;
    };
    let telling = stdio::tell_client(reason, PATIENCE);
    execute(&executor, future::or(stop, telling).boxed_local());
}

/// Clients start the program and speak at once; one that has not spoken by then does not speak MCP.
const PATIENCE: Duration = Duration::from_secs(10);
