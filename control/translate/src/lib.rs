//! What a proxy is told.
//!
//! In: the model and one declared [`Key`] that says what the proxy is. Out: Envoy v3 resources with
//! the names and shapes that istiod gives them: [`clusters`], [`endpoints`], [`listeners`],
//! [`routes`].
//!
//! Invariants: pure functions: the same model and key give the same bytes, with no clock and no
//! chance; a resource depends on nothing but the model and the key; what the key's namespace does
//! not see does not appear.

mod balance;
mod cluster;
mod endpoint;
mod http;
mod key;
mod listener;
mod parts;
mod rbac;
mod route;
mod tls;

pub use cluster::clusters;
pub use endpoint::endpoints;
pub use key::{Key, ProxyKind};
pub use listener::listeners;
pub use route::routes;
