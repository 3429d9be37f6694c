//! Reading answers, sans-io: a thread's codec with the state of each of its connections.

mod echo;
mod http;
pub(super) mod http2;
mod values;

pub(super) use http::Question;

use super::{
    Counts,
    error::Failure,
    plan::{Plan, Speech},
};

/// How far an answer was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// More must come.
    Partial,
    /// It is whole, and right.
    Whole {
        /// The connection can be used again.
        keep: bool,
    },
}

/// What one thread reads with. A connection is named by its number.
pub(super) enum Codec {
    /// HTTP/1.1.
    Http(Box<http::Codec>),
    /// HTTP/2 and gRPC: many requests a connection.
    Http2(Box<http2::Codec>),
    /// The very bytes that were sent.
    Echo(echo::Codec),
}

impl Codec {
    pub(super) fn new(plan: &Plan, connections: usize) -> Self {
        match &plan.speech {
            Speech::Http(question) => Self::Http(Box::new(http::Codec::new(question, connections))),
            Speech::Http2(question) => {
                let streams = plan.spec.streams;
                Self::Http2(Box::new(http2::Codec::new(question, connections, streams)))
            }
            Speech::Echo(text) => Self::Echo(echo::Codec::new(text, connections)),
        }
    }

    /// A request begins: what is known of the last answer is forgotten.
    pub(super) fn begin(&mut self, link: usize) {
        match self {
            Self::Http(codec) => codec.begin(link),
            Self::Echo(codec) => codec.begin(link),
            // A stream's answer begins with the stream.
            Self::Http2(_) => {}
        }
    }

    /// What the request's first bytes must be instead of those of the text.
    pub(super) fn number(&self, link: usize) -> Option<[u8; 8]> {
        match self {
            Self::Http(_) | Self::Http2(_) => None,
            Self::Echo(codec) => Some(codec.number(link)),
        }
    }

    /// The codec of many requests a connection, if it is one.
    pub(super) fn streams(&mut self) -> Option<&mut http2::Codec> {
        match self {
            Self::Http2(codec) => Some(codec),
            Self::Http(_) | Self::Echo(_) => None,
        }
    }

    /// Reads what has come. Of streams it tells by their outcomes.
    pub(super) fn read(&mut self, link: usize, bytes: &[u8]) -> Result<Read, Failure> {
        match self {
            Self::Http(codec) => codec.read(link, bytes),
            Self::Echo(codec) => codec.read(link, bytes),
            Self::Http2(codec) => codec.read(link, bytes).map(|()| Read::Partial),
        }
    }

    /// The server has closed its side.
    pub(super) fn end(&mut self, link: usize) -> Result<Read, Failure> {
        match self {
            Self::Http(codec) => codec.end(link),
            Self::Http2(_) | Self::Echo(_) => Err(Failure::Closed),
        }
    }

    /// Counts what a slot's whole answer said of itself.
    pub(super) fn count(&self, slot: usize, counts: &mut Counts) {
        match self {
            Self::Http(codec) => codec.count(slot, counts),
            Self::Http2(codec) => codec.count(slot, counts),
            Self::Echo(_) => {}
        }
    }

    /// The most bytes of an answer's body that are known of so far.
    pub(super) fn answer_bytes(&self) -> u64 {
        match self {
            Self::Http(codec) => codec.answer_bytes(),
            Self::Http2(codec) => codec.answer_bytes(),
            Self::Echo(codec) => codec.answer_bytes(),
        }
    }
}
