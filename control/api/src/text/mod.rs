//! YAML or JSON into messages, and messages into JSON, by a table that the build made.
//!
//! Reading is protobuf's JSON mapping: `snake_case` and `camelCase`, `@type` in an `Any`, durations
//! as `"1.5s"`, enums by name or number, wrappers as bare values, `null` for what is not set. A
//! field that the message does not have is an error that names the place.

mod known;
mod print;
mod read;
mod scalar;
mod table;
mod time;
mod tree;
mod wire;

use std::fmt;

use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

pub use print::Case;
pub use tree::Tree;

/// Objects within objects, at most, in a text or a message.
pub const MAX_DEPTH: usize = 100;
/// Nodes of one document, at most (about a million lines).
pub const MAX_NODES: usize = 4_000_000;

/// Why a text cannot be read: where, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    /// Such as `static_resources.listeners[0].filter_chains[0]`; empty for the whole document.
    pub place: String,
    /// What is wrong, for people.
    pub reason: String,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.is_empty() {
            true => f.write_str(&self.reason),
            false => write!(f, "{}: {}", self.place, self.reason),
        }
    }
}

impl std::error::Error for TextError {}

/// Reads one message from a YAML or JSON document.
///
/// The message's type has to be in the table: `build/main.rs` lists its roots.
pub fn parse<M: Message + Name + Default>(text: &str) -> Result<M, TextError> {
    from_tree(&Tree::parse(text)?)
}

/// Reads one message from a document that is already parsed.
pub fn from_tree<M: Message + Name + Default>(tree: &Tree) -> Result<M, TextError> {
    let bytes = read::message(&M::full_name(), tree)?;
    M::decode(bytes.as_slice()).map_err(|error| {
        // In front of the cause prost names every message on the way to it.
        let error = error.to_string();
        let cause = error.rsplit(": ").next().unwrap_or_default();
        TextError { place: String::new(), reason: format!("not a {}: {cause}", M::full_name()) }
    })
}

/// Prints a message as protobuf JSON. Types within `Any` that the table does not have keep their
/// bytes, base64 under `value`.
pub fn to_json<M: Message + Name>(message: &M, case: Case) -> serde_json::Value {
    print::message(&M::full_name(), &message.encode_to_vec(), case)
}

/// Prints what an `Any` holds, with its `@type`.
pub fn any_to_json(any: &Any, case: Case) -> serde_json::Value {
    print::any(any, case)
}

/// The table has a message of this full name, so text can be read into it.
pub fn knows(full_name: &str) -> bool {
    table::message(full_name).is_some()
}

#[cfg(test)]
mod tests;
