//! Mutual TLS for one connection, sans-io, and the identities it is made with.
//!
//! In: ciphertext as it came, plaintext to be sent. Out: plaintext ranges, ciphertext, the peer's
//! SPIFFE id. rustls does the work behind the [`Session`] trait, because the interface that opens
//! records in place is about to change there.
//!
//! Invariants: no clock but rustls' own certificate time, no socket; a peer that is not verified is
//! never reported as a peer; no input panics.

pub mod session;

/// Filled in by the owner of this crate; see the contract.
#[derive(Debug)]
pub struct ServerContext;
/// Filled in by the owner of this crate; see the contract.
#[derive(Debug)]
pub struct ClientContext;
