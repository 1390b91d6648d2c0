//! The seam to async-h1: the admitted head goes in as memory, answers come out as bytes.
//!
//! Promises: `decode` sees only what the guard wrote itself (a known method and path, the host `localhost`, fields
//! of printable ASCII), and never a socket or a body. It would hang, panic or be smuggled past otherwise.

use std::io::Write as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use async_h1::server::Encoder;
use http_types::{Method, Request, Response, StatusCode};
use smol::io::{AsyncReadExt as _, Cursor};

use super::head::Head;
use super::refusal::Refusal;

/// The request that an admitted head stands for.
///
/// # Errors
/// 431 when the fields to pass on are longer than async-h1 takes.
pub(super) fn decode(head: &Head) -> Result<Request, Refusal> {
    let mut text = Vec::with_capacity(head.forwarded.len() + 128);
    // Writing into memory cannot fail.
    let _ = write!(
        text,
        "{} {} HTTP/1.1\r\nhost: localhost\r\n",
        head.method, head.path
    );
    text.extend_from_slice(&head.forwarded);
    text.extend_from_slice(b"\r\n");
    // Memory is always ready. Polled here, its 4 KiB of fields are on the stack and not in every request's future.
    let mut decoding = pin!(async_h1::server::decode(Cursor::new(text)));
    let polled = decoding
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    match polled {
        Poll::Ready(Ok(Some((request, _)))) => Ok(request),
        _ => Err(Refusal::new(
            StatusCode::RequestHeaderFieldsTooLarge,
            "the fields of the head are too long",
        )),
    }
}

/// The bytes of an answer; `last` announces that the connection ends with it.
pub(super) fn encode(mut response: Response, method: Method, last: bool) -> Encoder {
    if last {
        response.insert_header("connection", "close");
    }
    Encoder::new(response, method)
}

/// The bytes of an answer with status 204, which must not have the length that async-h1 gives it (RFC 9110 §8.6).
pub(super) fn encode_empty(response: Response, method: Method, last: bool) -> Vec<u8> {
    let mut encoder = encode(response, method, last);
    let mut bytes = Vec::new();
    // Memory is always ready.
    let reading = pin!(encoder.read_to_end(&mut bytes));
    let _ = reading.poll(&mut Context::from_waker(Waker::noop()));
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let kept = lines.filter(|line| !line.starts_with(b"content-length:"));
    kept.flatten().copied().collect()
}
