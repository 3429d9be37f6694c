//! HTTP/1.1 as RFC 9112 has it, sans-io.
//!
//! A caller keeps a connection's bytes together until [`find_end`] sees the end of the head, has
//! it read by [`parse_request`] or [`parse_response`], and then feeds what follows to a [`Body`].

mod authority;
mod body;
mod encode;
mod fields;
mod hop;
mod lines;
mod refusal;
mod request;
mod response;

pub use authority::is_valid as is_authority;
pub(crate) use authority::is_valid_with_port as is_authority_with_port;
pub use body::{Body, CHUNK_LINE_BYTES_MAX, Step, TRAILER_BYTES_MAX};
pub use encode::{
    CHUNK_END, LAST_CHUNK, Sink, chunk_head, encode_request, encode_response, reason_phrase,
};
pub(crate) use fields::decimal;
pub use hop::strip_hop_by_hop;
pub use refusal::Refusal;
pub(crate) use request::is_token_byte;
pub use request::parse_request;
pub use response::{ResponseTo, parse_response};

/// What a connection accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The size of a head, start line and empty lines before it included
    /// (`max_request_headers_kb`). Never more than [`HEAD_BYTES_MAX`] is read.
    pub head_bytes_max: usize,
    /// The number of field lines (`max_headers_count`), at most [`FIELDS_MAX`].
    pub fields_max: usize,
    /// Requests of HTTP/1.0 are served (`http_protocol_options.accept_http_10`); otherwise they
    /// are answered with 426.
    pub accept_http_10: bool,
    /// Any token is taken for a method (`allow_custom_methods`); otherwise those that Envoy knows.
    pub custom_methods: bool,
    /// A request of HTTP/1.0 may come without `host` (`default_host_for_http_10`): its authority is
    /// then empty, for the caller to fill in.
    pub no_host_in_10: bool,
    /// `content-length` beside `transfer-encoding: chunked` is taken out (`allow_chunked_length`,
    /// RFC 9112, 6.3); otherwise the message is refused.
    pub chunked_with_length: bool,
    /// Names are kept as they came (`preserve_case`), for
    /// [`NameForm::Kept`](crate::head::NameForm::Kept).
    pub keeps_names: bool,
}

/// The highest `head_bytes_max` there is (Envoy: `max_request_headers_kb` of 8192).
pub const HEAD_BYTES_MAX: usize = 8192 * 1024;

/// The highest `fields_max` there is: a head's field table stands on the stack while it is read.
pub const FIELDS_MAX: usize = 256;

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 60 * 1024,
            fields_max: 100,
            accept_http_10: false,
            custom_methods: false,
            no_host_in_10: false,
            chunked_with_length: false,
            keeps_names: false,
        }
    }
}

/// How far a head was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head has not come whole. Nothing is consumed: come again with more behind the same
    /// bytes.
    Partial,
    /// The head is filled in; so many bytes belonged to it.
    Complete {
        /// The bytes of the head, from the front of the input.
        consumed: usize,
    },
}

/// Where the head at the front of `bytes` ends, looking only at what came after `from`, the
/// length of `bytes` at the last call (0 at first).
///
/// With it a caller that gets a head byte by byte does not read it anew for each.
pub fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    let lead = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    // The last three bytes seen before may be the beginning of the end.
    let from = lead.max(from.saturating_sub(3));
    memchr::memchr_iter(b'\n', bytes.get(from..)?).find_map(|at| {
        let next = from + at + 1;
        match bytes.get(next..)? {
            [b'\n', ..] => Some(next + 1),
            [b'\r', b'\n', ..] => Some(next + 2),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests;
