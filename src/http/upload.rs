//! The body of a request, from its connection.
//!
//! Promises: it comes in its time, its bytes are taken from the budget of all bodies as they come, and a client that
//! waits for `100 Continue` gets it.

use super::body::Body;
use super::budget::Share;
use super::client::Client;
use super::connection::{Broken, late};
use super::head::Head;
use super::refusal::Refusal;
use super::seats::{Called, Stage};
use super::wire::Buffer;

/// Reads the body that this head announces, with its share of the budget.
pub(super) async fn read(client: &mut Client, head: &Head) -> Result<(Vec<u8>, Share), Broken> {
    let Client { buffer, site, .. } = client;
    let mut body = Body::new(head.framing, site.limits.body_bytes)?;
    let mut share = site.bodies.share();
    let waits_for_go = head.expects_continue && head.has_body() && buffer.is_empty();
    // Mostly it comes with its head.
    if !take(buffer, &mut body, &mut share)? {
        Box::pin(rest(client, &mut body, &mut share, waits_for_go)).await?;
    }
    Ok((body.into_bytes(), share))
}

/// Reads what is still to come of a body.
async fn rest(
    client: &mut Client,
    body: &mut Body,
    share: &mut Share,
    waits_for_go: bool,
) -> Result<(), Broken> {
    let Client {
        stream,
        buffer,
        seat,
        site,
        ..
    } = client;
    // RFC 9110 §10.1.1: not needed when the client did not wait for it.
    if waits_for_go {
        let go = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        match seat.within(site.deadlines.write, go).await {
            Ok(Ok(())) => {}
            _ => return Err(Broken::Gone),
        }
    }
    let reading = async {
        loop {
            match buffer.fill(stream).await {
                Ok(1..) => {}
                Ok(0) => return Err(Refusal::bad("the body is cut off").into()),
                Err(_) => return Err(Broken::Gone),
            }
            if take(buffer, body, share)? {
                return Ok(());
            }
        }
    };
    match seat
        .within_at(Stage::Body, site.deadlines.body, reading)
        .await
    {
        Ok(read) => read,
        Err(Called::Late) => Err(late("the body did not come in time").into()),
        Err(Called::Evicted) => Err(Broken::Gone),
    }
}

/// Takes what has come of a body; whether that was the end of it.
fn take(buffer: &mut Buffer, body: &mut Body, share: &mut Share) -> Result<bool, Refusal> {
    let before = body.len();
    let used = body.take(buffer.bytes())?;
    buffer.consume(used);
    share.grow(body.len() - before)?;
    Ok(body.is_complete())
}
