//! What goes wrong with a run, and with one request of it.

use std::{fmt, io};

/// Why there was no run at all. What single requests meet is counted in the report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The load cannot be made as it is described.
    #[error("{what} {reason}")]
    Spec {
        /// Which part of the description.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has no timer for us.
    #[error("cannot make a timer: {0}; the limit of open files may be too low (ulimit -n)")]
    Timer(io::Error),
    /// A worker died of a bug.
    #[error("a worker of the load generator died: {0}")]
    Worker(String),
}

impl Error {
    pub(super) fn spec(what: &str, reason: String) -> Self {
        Self::Spec { what: what.into(), reason }
    }
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Connect(io::ErrorKind),
    Io(io::ErrorKind),
    Closed,
    Timeout,
    Refused(&'static str),
    BodyDiffers,
    BytesBehind,
    NotSent,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(kind) => write!(f, "cannot connect: {kind}"),
            Self::Io(kind) => write!(f, "connection failed: {kind}"),
            Self::Closed => f.write_str("connection closed before the whole answer"),
            Self::Timeout => f.write_str("no whole answer in time"),
            Self::Refused(code) => write!(f, "answer is not HTTP/1.1: {code}"),
            Self::BodyDiffers => f.write_str("body differs from what was expected"),
            Self::BytesBehind => f.write_str("bytes behind the answer"),
            Self::NotSent => f.write_str("not sent: all connections were busy till the end"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            kind => Self::Io(kind),
        }
    }
}
