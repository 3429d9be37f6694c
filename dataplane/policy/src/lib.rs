//! Pure decisions on a request head and a snapshot: which filter chain, which path, which route,
//! who may, which headers, which answer.
//!
//! In: a [`wire::head::Head`], what is known of the connection ([`facts`]), the compiled
//! configuration. Out: a borrowed part of that configuration, a verdict with its reason, or the
//! head changed in place.
//!
//! Invariants: no clock, no randomness and no socket (the time and random numbers are arguments);
//! the only state is what filters count, which the snapshot holds; nothing is allocated after
//! warm-up, but for a CORS preflight and a hashed field that is rewritten; what is judged is what
//! is forwarded ([`path`] runs first and changes the head itself); every refusal is one
//! [`reply::Reason`]. The judge of behaviour is Envoy 1.40; where we differ on purpose the function
//! says so.

pub mod chain;
mod cookie;
pub mod deadline;
pub mod facts;
pub mod filter;
#[cfg(test)]
mod fixture;
pub mod format;
pub mod hash;
pub mod headers;
pub mod local_reply;
pub mod log;
mod matcher;
pub mod mirror;
pub mod path;
pub mod rbac;
pub mod redirect;
pub mod reply;
pub mod retry;
pub mod rewrite;
pub mod route;
mod scratch;
pub mod steer;
