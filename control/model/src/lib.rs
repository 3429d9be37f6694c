//! What the objects mean together.
//!
//! In: [`source::Batch`]es of objects. Out: one immutable [`Model`] (services with their endpoints,
//! workloads, routes, rules and policies, looked up the way a proxy needs them) and
//! [`Diagnostic`]s for what was refused or will not do what it says.
//!
//! Invariants: the same objects give the same model, in whatever order they came; what is not built
//! is refused with its place, never passed over; a refused version never replaces a good one, and a
//! refused `AuthorizationPolicy` without a good version admits nobody; building cannot fail.

mod check;
mod diagnostic;
mod names;
mod store;
pub mod view;

pub use diagnostic::{Code, Diagnostic, Severity};
pub use names::{Mesh, is_visible, matches_host, resolve_host};
pub use store::Store;
pub use view::{
    Config, Endpoint, Identity, Model, MtlsMode, Protocol, Service, ServicePort, Workload,
};

/// The kinds as they are written, for whoever translates them.
pub use source::kinds;
