//! Mutual TLS for one connection, sans-io, and the identities it is made with.
//!
//! In: ciphertext as it came, plaintext to be sent. Out: plaintext ranges, ciphertext, the peer's
//! SPIFFE id. Behind the [`Session`] trait rustls shakes hands (and does all of TLS 1.2); records
//! of TLS 1.3 are opened and sealed here, in place and without an allocation.
//!
//! A connection's way: `greeting` (a server waits for the ClientHello), `handshake` (rustls), then
//! `traffic`, which reads `record`s by the keys of `aead` and obeys the `messages` among them.
//!
//! Invariants: no clock but rustls' own certificate time and that of the trial in `choice`, no
//! socket; a peer that is not verified is never reported as a peer; no nonce is used twice; no
//! input panics.

mod aead;
mod choice;
mod client;
mod context;
mod engine;
mod error;
mod flow;
mod greeting;
mod handshake;
mod identity;
mod leaf;
mod messages;
mod pieces;
mod provider;
mod record;
mod san;
mod server;
pub mod session;
mod slot;
mod subject;
mod traffic;
mod verify;

pub use client::{Client, ClientContext, ClientSpec};
pub use context::{Parameters, Version, Versions};
pub use identity::{CHAIN_MAX, Identity, ROOTS_MAX, Trust};
pub use provider::provider;
pub use san::{SanKind, SanMatch, SanPattern};
pub use server::{ALPN_MAX, Server, ServerContext, ServerSpec};
pub use session::{Opened, Peer, Sealed, Session, TlsError};
pub use slot::Slot;
pub use traffic::SEAL_OVERHEAD;

#[cfg(test)]
mod tests;
