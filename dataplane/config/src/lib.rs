//! Envoy v3 resources, validated and compiled into one immutable [`snapshot::Snapshot`].
//!
//! In: protobuf messages (from a bootstrap file or over xDS). Out: matchers, routes, clusters and
//! secrets in the form that the hot path reads, published by one atomic swap ([`swap`]).
//!
//! Invariants: what is set in a message but not understood is refused with its place and the
//! reason; a snapshot is applied whole or not at all; nothing in it changes after it is published
//! (secrets rotate behind their slots in `tls`).

pub mod bootstrap;
pub mod compile;
pub mod dns;
pub mod health;
pub mod limits;
mod refused;
pub mod snapshot;
pub mod swap;
pub mod update;
pub mod validate;

pub use bootstrap::{Bootstrap, ControlPlane, Target};
pub use compile::{Binder, Compiler, Filler, ListenerOptions, Needed, Secrets};
pub use refused::{Code, Kind, Refused};
pub use update::{Change, Origin, Update};
