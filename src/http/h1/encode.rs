//! Answers become bytes, by async-h1. No byte of a request gets to it.

use std::pin::pin;
use std::task::{Context, Waker};

use async_h1::server::Encoder;
use http_types::{Method, Response};
use smol::io::AsyncReadExt as _;

/// The bytes of an answer; `last` announces that the connection ends with it.
pub(in crate::http) fn encode(mut response: Response, method: Method, last: bool) -> Encoder {
    if last {
        response.insert_header("connection", "close");
    }
    Encoder::new(response, method)
}

/// The bytes of an answer with status 204, which must not have the length that async-h1 gives it (RFC 9110 §8.6).
pub(in crate::http) fn encode_empty(response: Response, method: Method, last: bool) -> Vec<u8> {
    let mut encoder = encode(response, method, last);
    let mut bytes = Vec::new();
    // Memory is always ready.
    let reading = pin!(encoder.read_to_end(&mut bytes));
    let _ = reading.poll(&mut Context::from_waker(Waker::noop()));
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let kept = lines.filter(|line| !line.starts_with(b"content-length:"));
    kept.flatten().copied().collect()
}
