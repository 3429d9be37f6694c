//! Messages into the form that workers read.
//!
//! One module a resource; each takes its message apart without `..`, so that a field that a new
//! version of the API brings does not compile until it is decided what becomes of it. What is set
//! and not understood is refused with its place; docs/config-support.md lists every field.

mod access_log;
mod action;
mod answers;
mod at;
mod balance;
mod chain;
mod cluster;
mod compiler;
mod destination;
pub(crate) mod dns;
mod endpoint;
mod format;
mod hash;
mod hcm;
mod headers;
mod health;
mod http1;
mod http2;
mod http_filter;
mod inspect;
mod labels;
mod lb_policy;
mod listener;
mod local_reply;
mod matcher;
mod matches;
mod mirror;
mod network;
mod origin;
mod outlier;
mod rbac;
mod retry;
mod rewrite;
mod route;
pub(crate) mod scope;
mod secret;
pub(crate) mod source;
mod store;
mod tcp;
pub(crate) mod tls;
mod upstream_http;
pub(crate) mod value;
mod verdicts;

pub(crate) use at::{At, Fault, decide, typed};
pub(crate) use chain::typed_config;
pub use compiler::{Binder, Compiler, Needed};
pub(crate) use http_filter::type_name;
pub use listener::ListenerOptions;
pub use secret::{Filler, Secrets};

#[cfg(test)]
mod tests;
