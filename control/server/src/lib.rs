//! ringwayd, the control plane's serving half.
//!
//! In: the mesh as [`push::World`]s, one after another; proxies' requests over gRPC; signing
//! requests. Out: xDS responses ([`ads`]), certificates ([`ca`]), secrets ([`sds`]) and what
//! operators read ([`monitoring`]).
//!
//! Invariants: a client is sent a resource only if its bytes differ from what it holds; a client
//! that refuses a configuration is heard once and still gets the next; secrets leave only over
//! TLS, to a caller that has shown the identity they are for; a certificate names the caller and
//! nothing that the request asked for; a slow client holds at most one pending push.

pub mod ads;
pub mod auth;
pub mod ca;
pub mod feed;
pub mod listen;
pub mod monitoring;
pub mod push;
pub mod sds;
pub mod serve;
pub mod world;
