//! What a stream has sent of one type and what the client said to it.

use std::sync::Arc;

use super::Kind;

/// The longest part of a client's error text that is kept and logged, in bytes.
pub const REJECTION_TEXT_MAX: usize = 4096;

/// The state of one type on one stream, as `/debug/syncz` shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// The version of the newest response, empty before the first.
    pub sent: Arc<str>,
    /// The newest version that the client has acknowledged, empty before the first.
    pub acked: Arc<str>,
    /// The refusal of the newest refused version; an acknowledgement of a later one clears it.
    pub nacked: Option<Rejection>,
    /// How many resources the client has been sent and still subscribes to.
    pub resources: usize,
    /// Whether the newest response has not been answered yet.
    pub in_flight: bool,
}

/// One response that a client refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// The version that was refused.
    pub version: Arc<str>,
    /// The gRPC code of the client's `error_detail`.
    pub code: i32,
    /// The client's own words, cut at [`REJECTION_TEXT_MAX`].
    pub message: String,
}

impl Rejection {
    /// Keeps a client's error text within the limit, whole characters only.
    pub fn new(version: Arc<str>, code: i32, message: &str) -> Self {
        let end = message.floor_char_boundary(REJECTION_TEXT_MAX.min(message.len()));
        let message = message.get(..end).unwrap_or_default().to_owned();
        Self { version, code, message }
    }
}

/// Something about a request that an operator wants to read once.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The client refused a response.
    Nack(Kind, Rejection),
    /// The answer was to a response that is no longer the newest; it was ignored.
    StaleNonce(Kind),
    /// The client asked for a type that ringwayd does not serve.
    UnknownType(String),
    /// The client asked for a type that this listener or caller may not have.
    Forbidden(Kind),
}

/// Why a stream has to end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More names than [`super::NAMES_MAX`], or one longer than [`super::NAME_LENGTH_MAX`].
    #[error(
        "too many or too long resource names of type {kind}: at most {names} of {length} bytes"
    )]
    TooManyNames {
        /// The type asked for.
        kind: Kind,
        /// The most names of one type on one stream.
        names: usize,
        /// The most bytes of one name.
        length: usize,
    },
}
