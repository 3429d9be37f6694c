//! A load generator for HTTP/1.1 and TCP that does not hide what it waits for.
//!
//! With a rate the load is open-loop: requests are due at fixed times whatever the answers do, and
//! a request's latency counts from when it was due, not from when a connection was free to send it
//! (no coordinated omission). Without a rate it is closed-loop: each connection sends its next
//! request when it has the answer to the last. Answers are checked, not only counted: status line,
//! framing, length, and content where one is expected.

mod control;
mod error;
mod http;
mod pace;
mod report;
mod run;
mod spec;
mod tcp;

#[cfg(test)]
mod tests;

pub use control::{Control, PHASES_MAX, Progress};
pub use error::Error;
pub use report::{Counts, LoadReport};
pub use run::run;
pub use spec::{CONNECTIONS_MAX, LoadSpec, Protocol, RATE_MAX};
