//! What tools and tests share: pods in network namespaces ([`net`]), redirect rules ([`capture`]),
//! packets ([`tap`]), a server to test with ([`echo`]), load ([`load`]), latencies ([`hist`]), and
//! what is around ([`around`]).
//!
//! In: what a demo or a test wants to see on this machine. Out: namespaces joined by a bridge,
//! processes inside them, Istio's redirect rules in the kernel, the bytes that crossed the bridge,
//! and how long requests took. Invariants: nothing is named or mounted outside this process, so
//! that its death leaves nothing behind; the host's own links, rules and namespaces are never
//! touched; no `unsafe`.

pub mod around;
pub mod capture;
pub mod echo;
pub mod hist;
pub mod load;
pub mod net;
pub mod tap;
