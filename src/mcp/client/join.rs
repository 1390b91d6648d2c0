//! Runs a handful of futures concurrently.
//!
//! Promises: the futures run concurrently; the results come in the order of completion.

use std::future::poll_fn;
use std::task::Poll;

use smol::future::BoxedLocal;

pub(in crate::mcp) async fn all<T>(mut open: Vec<BoxedLocal<T>>) -> Vec<T> {
    let mut done = Vec::new();
    poll_fn(|context| {
        open.retain_mut(|one| match one.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(end) => {
                done.push(end);
                false
            }
        });
        if open.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    done
}
