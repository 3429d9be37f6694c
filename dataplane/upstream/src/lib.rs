//! Where a request goes: endpoints, balancers, circuit breakers and the book-keeping of pools.
//!
//! In: the snapshot, the time and a random number as arguments, what became of connections (each
//! under a key `K` that the session chooses). Out: a host, a pooled connection's key, or the reason
//! why there is none. One [`Clusters`] a worker; what workers know together is in [`Process`].
//!
//! Invariants: no clock, no randomness, no socket; every connection that [`Clusters::open`] let in
//! is counted until [`Clusters::closed`]; a host that left the configuration is never picked again
//! and is forgotten with its last connection; nothing is allocated once a host has been used, until
//! hosts change: then lists and tables of hashes are made anew.

mod balance;
mod breaker;
mod clusters;
mod edf;
mod host;
mod joint;
mod load;
mod outlier;
mod passive;
mod shared;
mod state;
mod subset;
mod table;
mod twin;
mod twister;
mod waiting;

pub use breaker::share;
pub use clusters::{Clusters, Pick};
pub use host::{HostId, IDLE_MAX, Lease, ORIGINAL_HOSTS_MAX, Release, Request, Wants};
pub use joint::Process;
pub use outlier::Outcome;
pub use state::NoHost;
pub use twin::{Ends, TWINS_MAX};
