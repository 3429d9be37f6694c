//! A load generator for HTTP/1.1, HTTP/2, gRPC and TCP, with and without TLS, that does not hide
//! what it waits for and takes little for itself.
//!
//! With a rate the load is open-loop: requests are due at fixed times whatever the answers do, and
//! a request's latency counts from when it was due, not from when a connection was free to send it
//! (no coordinated omission). Without a rate it is closed-loop: each connection, or by HTTP/2 each
//! stream, sends its next request when it has the answer to the last. Answers are checked, not only
//! counted: status line, framing, length, and content where one is expected.
//!
//! An [`engine`] is one thread with its own driver, connections and counts; nothing is shared
//! while requests are on their way. [`run`] starts the threads and adds their counts up.

mod clock;
mod codec;
mod control;
mod engine;
mod error;
mod plan;
mod report;
mod run;
mod schedule;
mod secure;
mod source;
mod spec;

#[cfg(test)]
mod tests;

pub use control::{Control, PHASES_MAX, Progress};
pub use error::Error;
pub use report::{Counts, LoadReport};
pub use ring::Which;
pub use run::run;
pub use spec::{CONNECTIONS_MAX, LoadSpec, Protocol, RATE_MAX, STREAMS_MAX, THREADS_MAX, TlsSpec};
