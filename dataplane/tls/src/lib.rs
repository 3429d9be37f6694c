//! Mutual TLS for one connection, sans-io, and the identities it is made with.
//!
//! In: ciphertext as it came, plaintext to be sent. Out: plaintext ranges, ciphertext, the peer's
//! SPIFFE id. rustls does the work behind the [`Session`] trait, because the interface that opens
//! records in place is about to change there.
//!
//! Invariants: no clock but rustls' own certificate time, no socket; a peer that is not verified is
//! never reported as a peer; no input panics.

mod client;
mod context;
mod error;
mod flow;
mod greeting;
mod identity;
mod leaf;
mod provider;
mod san;
mod server;
pub mod session;
mod slot;
mod subject;
mod verify;

pub use client::{Client, ClientContext, ClientSpec};
pub use context::{Parameters, Version, Versions};
pub use flow::SEAL_OVERHEAD;
pub use identity::{CHAIN_MAX, Identity, ROOTS_MAX, Trust};
pub use provider::provider;
pub use san::{SanKind, SanMatch, SanPattern};
pub use server::{ALPN_MAX, Server, ServerContext, ServerSpec};
pub use session::{Opened, Peer, Sealed, Session, TlsError};
pub use slot::Slot;

#[cfg(test)]
mod tests;
