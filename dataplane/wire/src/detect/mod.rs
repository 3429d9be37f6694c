//! Telling protocols apart from a connection's first bytes.
//!
//! [`tls`] does what Envoy's `tls_inspector` does and [`http`] what its `http_inspector` does.

mod http;
mod tls;

pub use http::{HTTP_BYTES_MAX, Http, http};
pub use tls::{Alpn, ClientHello, HELLO_BYTES_MAX, RECORDS_MAX, tls};

/// What the bytes so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected<T> {
    /// Not enough yet: come again with more behind the same bytes.
    More,
    /// It is not this protocol.
    No,
    /// It is.
    Yes(T),
}

#[cfg(test)]
mod tests;
