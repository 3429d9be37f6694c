//! The asynchronous side of the proxy: one thread, on which everything runs that is not a byte of
//! traffic.
//!
//! In: the bootstrap, an ADS stream, certificates. Out: resources handed to the compiler of
//! `config`, secrets put into their slots, a loopback admin port.
//!
//! Invariants: what was accepted last stays in force whatever happens to the control plane; a token
//! leaves this machine over verified TLS only; nothing read from a peer can panic.

pub mod admin;
mod apply;
pub mod backoff;
mod connect;
mod dns;
mod error;
mod health;
pub mod identity;
mod otlp;
mod run;
mod settings;
mod target;
pub mod xds;

pub use apply::{Applier, Bind, Wake};
pub use dns::Answer;
pub use error::AgentError;
pub use otlp::Outbox;
pub use run::{Keep, Parts, run, run_on};
pub use settings::{AgentConfig, Control, Surroundings};
pub use target::{Address, Rotation, Target, TargetTls};

#[cfg(test)]
mod tests;
