//! Pods on one machine: network namespaces, one bridge, processes inside.
//!
//! A namespace is held by a thread of this process and has no name in the file system. When the
//! process ends, in whatever way, the kernel takes the namespace, its links and its rules away.

mod link;
mod namespace;
mod network;
mod process;
mod record;
mod userns;

pub use self::{
    namespace::{Namespace, leave_for_own_namespace, set_congestion_control},
    network::{Network, Plan, Pod},
    process::{CHILD, Process, Spawn, become_child, child_arguments},
    record::{Record, Recorded, start_time},
    userns::{Privilege, enter_user_namespace, finish_user_namespace, privilege},
};

use std::io;

/// What could not be done while pods were built, used or taken down.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct NetError {
    /// What was being done, with the names of what it was done to.
    pub step: String,
    /// What the kernel said.
    pub source: io::Error,
}

impl NetError {
    pub(crate) fn new(step: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { step: step.into(), source: source.into() }
    }

    pub(crate) fn other(step: impl Into<String>, why: impl ToString) -> Self {
        Self::new(step, io::Error::other(why.to_string()))
    }
}
