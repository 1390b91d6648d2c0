//! The bytes of one HTTP request through the guard in front of async-h1: the same is made of them
//! however they arrive, and whatever is admitted async-h1 can read.
//!
//! Input: the size of the pieces, the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcpmqtt::http::fuzz::request;

fuzz_target!(|input: &[u8]| {
    let [piece, bytes @ ..] = input else { return };
    assert_eq!(request(bytes, bytes.len()), request(bytes, usize::from(*piece)));
});
