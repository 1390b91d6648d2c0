//! Why a resource cannot be read or watched.

/// Why a resource was not read.
#[derive(Clone, Debug)]
pub enum ReadError {
    /// There is no such resource.
    NotFound,
    /// The same in better words; one sentence.
    Absent(String),
    /// The client may not have it, or its URI is wrong; one sentence.
    Refused(String),
    /// There is, but it could not be read now; one sentence.
    Failed(String),
}
