//! One connection's life, from accept to close, as a closed set of states.
//!
//! In: the ring's events and the snapshot in force. Out: what the ring is asked to do. This room
//! joins the others: `wire` reads the bytes, `tls` opens and seals them, `policy` decides,
//! `upstream` says where to; nothing below it knows a clock, a socket or chance.
//!
//! Invariants: a worker shares nothing that it writes; after warm-up a request allocates nothing;
//! what a peer can make us hold is bounded ([`limits`]); no event, in whatever order, panics; every
//! refusal has a reason that log, counter and reply share; a request sees one snapshot only.

mod accept;
mod ahead;
mod bulk;
mod counters;
mod decide;
mod down;
mod encode;
mod filters;
mod follow;
mod form;
mod gates;
mod h2;
mod held;
mod inspect;
mod keys;
pub mod limits;
mod local;
mod log;
mod mirror;
mod names;
mod outlier;
mod partial;
mod patience;
mod pool;
mod queue;
mod race;
mod record;
mod request;
mod response;
mod retry;
mod secure;
mod serving;
mod share;
mod stream;
mod tcp;
mod through;
mod transport;
mod tunnel;
mod up;
mod view;
mod worker;

#[cfg(test)]
mod tests;

pub use counters::{Counter, Counters};
pub use log::{LogBlock, LogDrain, LogQueue, log_queues};
pub use worker::{Control, Worker, WorkerSpec};
