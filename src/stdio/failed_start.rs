//! The report of a failed start to the client: clients show the answer to `initialize`, and of a program that just
//! ended they show "Connection closed".
//!
//! Promises: standard output gets whole lines of JSON-RPC or nothing; one line is read, answered and written before the
//! next is read, so that nothing piles up; the report ends when the client has the answer, when it leaves, or at the
//! deadline.
//! Does not: log; the caller has logged the fault already.

use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use async_io::Timer;
use smol::future;

use super::descriptor::{Input, Output};
use super::lines::{InputLine, Lines};
use crate::mcp::{Told, Unready};

/// Tells the client on standard input and output why the program did not start, for at most `patience`. At a
/// terminal there is no client.
pub async fn tell_client(reason: &str, patience: Duration) {
    if io::stdin().is_terminal() {
        return;
    }
    let input = io::stdin().as_fd().try_clone_to_owned();
    let output = io::stdout().as_fd().try_clone_to_owned();
    if let (Ok(input), Ok(output)) = (input, output) {
        tell_client_on(input, output, reason, patience).await;
    }
}

/// Tells the client on any two descriptors. Returns when `initialize` was answered, at the end of input, when a
/// descriptor breaks, or after `patience`.
pub async fn tell_client_on(input: OwnedFd, output: OwnedFd, reason: &str, patience: Duration) {
    let telling = async {
        // A client that is gone needs no answer, and the program ends in either case.
        let _ = tell(input, output, &Unready::new(reason)).await;
    };
    let late = async {
        Timer::after(patience).await;
    };
    future::or(telling, late).await;
}

async fn tell(input: OwnedFd, output: OwnedFd, unready: &Unready) -> io::Result<()> {
    let (mut input, mut output) = (Input::new(input)?, Output::new(output)?);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut lines = Lines::new(LINE_BYTES);
    loop {
        let count = input.read(&mut chunk).await?;
        if count == 0 {
            break;
        }
        let mut rest = chunk.get(..count).unwrap_or_default();
        while let Some(line) = lines.next(&mut rest) {
            if write(&mut output, answer(unready, line)).await? {
                return Ok(());
            }
        }
        // Input that never waits must not keep the deadline from being seen.
        future::yield_now().await;
    }
    if let Some(line) = lines.last() {
        write(&mut output, answer(unready, line)).await?;
    }
    Ok(())
}

fn answer(unready: &Unready, line: InputLine<'_>) -> Told {
    match line {
        InputLine::Whole(bytes) => unready.answer(bytes),
        InputLine::TooLong => unready.too_long(LINE_BYTES),
    }
}

/// Writes the answer, if there is one; whether it was the last.
async fn write(output: &mut Output, told: Told) -> io::Result<bool> {
    let Some(mut text) = told.text else {
        return Ok(told.is_last);
    };
    text.push(b'\n');
    let mut rest = text.as_slice();
    while !rest.is_empty() {
        let part = rest.get(..output.most()).unwrap_or(rest);
        let count = output.write(part).await?;
        rest = rest.get(count..).unwrap_or_default();
    }
    Ok(told.is_last)
}

const CHUNK_BYTES: usize = 16 << 10;
/// Requests before a handshake are short.
const LINE_BYTES: usize = 1 << 20;
