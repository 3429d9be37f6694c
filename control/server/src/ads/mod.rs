//! The Aggregated Discovery Service, state of the world and incremental.
//!
//! [`Sotw`] and [`Delta`] decide what a client is sent, without a clock or a socket; the stream
//! drives one of them for each client, with the newest [`crate::push::Generation`] of the mesh.

mod client;
mod delta;
mod kind;
mod node;
mod progress;
mod protocol;
mod resource;
mod service;
mod sotw;
mod stream;

pub use delta::{Delta, IN_FLIGHT_MAX};
pub use kind::Kind;
pub use node::{NODE_ADDRESSES_MAX, NODE_LABELS_MAX, NODE_TEXT_MAX, NodeError, ProxyNode, Role};
pub use progress::{Notice, Progress, REJECTION_TEXT_MAX, Refusal, Rejection};
pub use protocol::{NAME_LENGTH_MAX, NAMES_MAX, Protocol, Step, StreamScope};
pub use resource::{Catalogue, Names, Resource, VersionMap, set_version};
pub use service::{Discovery, SecretDiscovery};
pub use sotw::Sotw;
pub use stream::{FIRST_MESSAGE_TIMEOUT, OUTBOX_MAX, StreamContext};

#[cfg(test)]
mod tests;
