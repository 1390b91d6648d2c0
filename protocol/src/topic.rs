//! Topic names and topic filters of MQTT 3.1.1 as types: what parses is valid, and nothing needs checking again.
//!
//! Promises: matching, containment and overlap are exact, `$` topics and empty levels included; a topic is compared
//! byte for byte (no case folding, no Unicode normalisation, no trimming); no input can exhaust the stack.
//!
//! Does not: decide permissions; the policy does.

mod error;
mod filter;
mod name;
mod shared;
mod shown;
mod tree;

pub use error::{TopicError, TopicFault, unsendable};
pub use filter::{MAX_LEVELS, TopicFilter};
pub use name::TopicName;
pub use shared::SubscribeFilter;
pub use shown::{Printable, Shown, ShownPath, disturbs};
pub use tree::FilterTree;
