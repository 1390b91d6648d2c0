//! The body of a request, from its connection.
//!
//! Promises: it comes in its time, its bytes are taken from the budget of all bodies as they come, in the name of the
//! client, and a client that waits for `100 Continue` gets it.

use super::exchange::{Broken, Exchange, late};
use super::slots::{Interrupted, Stage};
use crate::http::guard::budget::Share;
use crate::http::h1::body::BodyReader;
use crate::http::h1::head::Head;
use crate::http::h1::refusal::Refusal;
use crate::http::net::io::Buffer;
use crate::mcp::Principal;

/// Reads the body that this head of the principal announces, with its share of the budget.
pub(in crate::http) async fn read(
    exchange: &mut Exchange,
    head: &Head,
    principal: &Principal,
) -> Result<(Vec<u8>, Share), Broken> {
    let Exchange {
        buffer,
        server_state,
        ..
    } = exchange;
    let mut body = BodyReader::new(head.framing, server_state.limits.body_bytes)?;
    let mut share = server_state.bodies.share(&principal.name);
    let waits_for_go = head.expects_continue && head.has_body() && buffer.is_empty();
    // Mostly it comes with its head.
    if !take(buffer, &mut body, &mut share)? {
        Box::pin(rest(exchange, &mut body, &mut share, waits_for_go)).await?;
    }
    Ok((body.into_bytes(), share))
}

/// Reads what is still to come of a body.
async fn rest(
    exchange: &mut Exchange,
    body: &mut BodyReader,
    share: &mut Share,
    waits_for_go: bool,
) -> Result<(), Broken> {
    let Exchange {
        stream,
        buffer,
        slot,
        server_state,
        ..
    } = exchange;
    // RFC 9110 §10.1.1: not needed when the client did not wait for it.
    if waits_for_go {
        let go = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        match slot.within(server_state.deadlines.write, go).await {
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
    match slot
        .within_at(Stage::Body, server_state.deadlines.body, reading)
        .await
    {
        Ok(read) => read,
        Err(Interrupted::Late) => Err(late("the body did not come in time").into()),
        Err(Interrupted::Evicted) => Err(Broken::Gone),
    }
}

/// Takes what has come of a body; whether that was the end of it.
fn take(buffer: &mut Buffer, body: &mut BodyReader, share: &mut Share) -> Result<bool, Refusal> {
    let before = body.len();
    let used = body.take(buffer.bytes())?;
    buffer.consume(used);
    share.grow(body.len() - before)?;
    Ok(body.is_complete())
}
