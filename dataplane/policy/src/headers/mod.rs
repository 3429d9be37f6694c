//! The header work of Envoy's connection manager and router.
//!
//! A request goes through [`request`] when it arrives, before it is routed and judged, and through
//! [`forward`] when it is about to be sent upstream. A response goes through [`returned`] when it
//! comes from upstream and, like our own answers made by [`local`], through [`response`] on its way
//! down.

mod changes;
mod client_cert;
mod origin;
mod request;
mod response;
pub(crate) mod text;

pub use changes::{change, change_by, need_facts};
pub use request::{
    Attempt, Rejected, RequestContext, forward, host_form, ignore_upgrade, request, retry,
    underscores,
};
pub use response::{
    grpc_message, local, local_changes, local_grpc, local_grpc_status, response, returned,
};
pub(crate) use text::join_with;

#[cfg(test)]
mod tests;
