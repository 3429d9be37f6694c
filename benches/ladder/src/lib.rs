//! The ladder: one byte-forwarding proxy on one thread, written on many grounds.
//!
//! In: `--listen IP:PORT --upstream IP:PORT`. Out: `ready` on standard output, then the bytes of
//! each accepted connection to a connection of its own to the upstream and back, with half-close.
//! Each rung is a program of `src/bin` (the lowest, `bare`, is an example of the ring crate, where
//! `unsafe` may stand). What they share is here, so that they differ in their ground alone.

pub mod command;
pub mod readiness;
