//! The errors of reading or watching a resource.

/// Why a resource was not read or watched.
#[derive(Clone, Debug)]
pub enum ReadError {
    /// The resource does not exist.
    NotFound,
    /// The resource does not exist; the text explains that in one sentence.
    Absent(String),
    /// The client may not read the resource, or the URI is wrong; one sentence.
    Refused(String),
    /// The resource exists but could not be read; one sentence.
    Failed(String),
}
