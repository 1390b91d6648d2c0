//! The secret that the operator shares with this program, and the tags made with it.
//!
//! A tag is BLAKE2b-256 with the secret as its key (RFC 7693 §2.9), over the parts of what is said, joined by line feeds. In
//! Python: `hashlib.blake2b(b"\n".join(parts), key=secret, digest_size=32).hexdigest()`.

use std::fmt;

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};

/// The secret. `Debug` hides it.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

type Tagger = Blake2bMac<U32>;

impl Secret {
    /// Takes the bytes of the file; a line end at its end is not part of the secret.
    ///
    /// # Errors
    /// The secret is too short to be one, or longer than a key can be.
    pub fn of_file(bytes: &[u8]) -> Result<Secret, String> {
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        match text.len() {
            MIN_BYTES..=MAX_BYTES => Ok(Secret(text.to_vec())),
            found => Err(format!(
                "a secret has {MIN_BYTES} to {MAX_BYTES} bytes, this one has {found}"
            )),
        }
    }

    /// The tag of these parts, none of which but the last may have a line feed.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        match self.tagger(parts) {
            Some(tagger) => tagger.finalize().into_bytes().into(),
            None => [0; 32],
        }
    }

    /// Whether `tag`, in hexadecimal digits, is the tag of these parts. The comparison takes constant time.
    #[must_use]
    pub fn verifies(&self, parts: &[&[u8]], tag: &str) -> bool {
        let (Some(tag), Some(tagger)) = (bytes_of_hex(tag), self.tagger(parts)) else {
            return false;
        };
        tagger.verify_slice(&tag).is_ok()
    }

    /// None for a key of a length that cannot be: [`Secret::of_file`] lets none pass.
    fn tagger(&self, parts: &[&[u8]]) -> Option<Tagger> {
        let mut tagger = Tagger::new_from_slice(&self.0).ok()?;
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                tagger.update(b"\n");
            }
            tagger.update(part);
        }
        Some(tagger)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() % 2 != 0 {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| {
            let [high, low] = pair else { return None };
            u8::try_from(digit(high)? * 16 + digit(low)?).ok()
        })
        .collect()
}

/// Guessing so many random bytes is hopeless.
const MIN_BYTES: usize = 16;
/// RFC 7693 §2.1: a key has at most 64 bytes.
const MAX_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The tag is the one that Python's hashlib makes.
    #[test]
    fn a_tag_is_what_others_make_of_the_same_secret() {
        let secret = Secret::of_file(b"0123456789abcdef\r\n").unwrap();
        let parts: [&[u8]; 3] = [b"mcpmqtt lift", b"plant/op/halt", b"x"];
        let tag = TAG;
        assert!(secret.verifies(&parts, tag));
        assert!(secret.verifies(&parts, &tag.to_uppercase()));
        let hex: String = secret
            .tag(&parts)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, tag);
        for wrong in ["", "0", &tag[1..], &tag[2..], "zz", &format!("{tag}00")] {
            assert!(!secret.verifies(&parts, wrong), "{wrong}");
        }
        assert!(!secret.verifies(&[b"mcpmqtt lift", b"plant/op/halt", b"y"], tag));
        let other = Secret::of_file(b"0123456789abcdeg").unwrap();
        assert!(!other.verifies(&parts, tag));
        assert!(!format!("{secret:?}").contains("0123"));
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused() {
        for (bytes, fits) in [(15, false), (16, true), (64, true), (65, false), (0, false)] {
            let found = Secret::of_file(&vec![b'x'; bytes]);
            assert_eq!(found.is_ok(), fits, "{bytes}");
        }
    }

    const TAG: &str = "c22c9127f3a1e5e16ecc8bc72aa37205435314003c1f8d304a6e0bae61b1caf1";
}
