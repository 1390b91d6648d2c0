//! The body of one request, from bytes.
//!
//! Promises: memory grows with what came, never with what was announced; the end is where the framing says and
//! nowhere else; a body that is too large is refused as soon as that is known.
//! Does not: read, wait, or keep chunk extensions and trailers, which nobody here needs.

use http_types::StatusCode;

use super::head::Framing;
use super::refusal::Refusal;

/// A body while it arrives.
#[derive(Debug)]
pub(in crate::http) struct BodyReader {
    data: Vec<u8>,
    limit: usize,
    state: BodyState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyState {
    /// So many bytes are still to come.
    Length(usize),
    Chunk(Chunk),
    Complete,
}

/// Where in the chunked coding (RFC 9112 §7.1) the next byte stands. `line` counts the bytes of the line so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size {
        size: usize,
        line: usize,
    },
    Extension {
        size: usize,
        line: usize,
    },
    SizeEnd {
        size: usize,
    },
    Data {
        left: usize,
    },
    DataCr,
    DataLf,
    /// `line`: bytes in this trailer line; `total`: in all of them.
    Trailer {
        line: usize,
        total: usize,
    },
    TrailerEnd {
        empty: bool,
        total: usize,
    },
}

impl BodyReader {
    /// A body to come.
    ///
    /// # Errors
    /// 413 when it announces more than `limit` bytes.
    pub(in crate::http) fn new(framing: Framing, limit: usize) -> Result<BodyReader, Refusal> {
        let state = match framing {
            Framing::None | Framing::Length(0) => BodyState::Complete,
            Framing::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= limit => BodyState::Length(length),
                _ => return Err(too_large(limit)),
            },
            Framing::Chunked => BodyState::Chunk(START),
        };
        let data = Vec::new();
        Ok(BodyReader { data, limit, state })
    }

    /// Takes what belongs to the body from the front of `input`; says how much that was.
    ///
    /// # Errors
    /// The chunked coding is broken, or too much came.
    pub(in crate::http) fn take(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut used = 0;
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            used += match self.state {
                BodyState::Complete => break,
                BodyState::Length(left) => {
                    let part = self.append(rest, left);
                    self.state = match left - part {
                        0 => BodyState::Complete,
                        left => BodyState::Length(left),
                    };
                    part
                }
                BodyState::Chunk(Chunk::Data { left }) => {
                    let part = self.append(rest, left);
                    self.state = BodyState::Chunk(match left - part {
                        0 => Chunk::DataCr,
                        left => Chunk::Data { left },
                    });
                    part
                }
                BodyState::Chunk(chunk) => {
                    let byte = rest.first().copied().unwrap_or_default();
                    self.state = self.framing_byte(chunk, byte)?;
                    1
                }
            };
        }
        Ok(used)
    }

    pub(in crate::http) fn is_complete(&self) -> bool {
        self.state == BodyState::Complete
    }

    /// Bytes of content so far.
    pub(in crate::http) fn len(&self) -> usize {
        self.data.len()
    }

    pub(in crate::http) fn into_bytes(self) -> Vec<u8> {
        self.data
    }

    fn append(&mut self, rest: &[u8], left: usize) -> usize {
        let part = rest.len().min(left);
        self.data
            .extend_from_slice(rest.get(..part).unwrap_or_default());
        part
    }

    fn framing_byte(&self, chunk: Chunk, byte: u8) -> Result<BodyState, Refusal> {
        Ok(BodyState::Chunk(match (chunk, byte) {
            (Chunk::Size { size, line }, _) if byte.is_ascii_hexdigit() => {
                self.size_digit(size, line, byte)?
            }
            (Chunk::Size { line: 0, .. }, _) => return Err(broken("a chunk size is missing")),
            (Chunk::Size { size, line }, b';') => Chunk::Extension {
                size,
                line: line + 1,
            },
            (Chunk::Size { size, .. } | Chunk::Extension { size, .. }, b'\r') => {
                Chunk::SizeEnd { size }
            }
            // RFC 9112 §7.1.1, RFC 9110 §5.5: bytes beyond ASCII are opaque, and the program ignores them.
            (Chunk::Extension { size, line }, b'\t' | 0x20..=0x7e | 0x80..) => Chunk::Extension {
                size,
                line: counted(line, CHUNK_LINE_BYTES)?,
            },
            (Chunk::SizeEnd { size: 0 }, b'\n') => Chunk::Trailer { line: 0, total: 0 },
            (Chunk::SizeEnd { size }, b'\n') => Chunk::Data { left: size },
            (Chunk::DataCr, b'\r') => Chunk::DataLf,
            (Chunk::DataLf, b'\n') => START,
            (Chunk::Trailer { line, total }, b'\r') => Chunk::TrailerEnd {
                empty: line == 0,
                total,
            },
            (Chunk::Trailer { line, total }, b'\t' | 0x20..=0x7e | 0x80..) => Chunk::Trailer {
                line: line + 1,
                total: counted(total, TRAILER_BYTES)?,
            },
            (Chunk::TrailerEnd { empty: true, .. }, b'\n') => return Ok(BodyState::Complete),
            (Chunk::TrailerEnd { total, .. }, b'\n') => Chunk::Trailer { line: 0, total },
            (Chunk::DataCr | Chunk::DataLf, _) => {
                return Err(broken("a chunk is longer than its size says"));
            }
            (Chunk::Size { .. }, _) => return Err(broken("a chunk size is not hexadecimal")),
            _ => return Err(broken("a byte stands where it may not")),
        }))
    }

    fn size_digit(&self, size: usize, line: usize, byte: u8) -> Result<Chunk, Refusal> {
        let digit = char::from(byte).to_digit(16).unwrap_or_default() as usize;
        let size = size
            .checked_mul(16)
            .and_then(|size| size.checked_add(digit))
            .filter(|size| *size <= self.limit.saturating_sub(self.data.len()))
            .ok_or_else(|| too_large(self.limit))?;
        Ok(Chunk::Size {
            size,
            line: counted(line, CHUNK_LINE_BYTES)?,
        })
    }
}

fn counted(count: usize, most: usize) -> Result<usize, Refusal> {
    if count >= most {
        return Err(broken("a chunk line or the trailer is too long"));
    }
    Ok(count + 1)
}

fn broken(what: &str) -> Refusal {
    Refusal::bad(format!("the chunked body is broken: {what}"))
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(
        StatusCode::PayloadTooLarge,
        format!("the body is larger than {limit} bytes"),
    )
}

const START: Chunk = Chunk::Size { size: 0, line: 0 };
/// A size of 16 digits and room for an extension that is ignored.
const CHUNK_LINE_BYTES: usize = 64;
/// Trailers are dropped; more of them than this is an attack.
const TRAILER_BYTES: usize = 1024;
