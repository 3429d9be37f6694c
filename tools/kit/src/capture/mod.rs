//! Istio's redirect rules: which connections of a pod pass through its proxy.
//!
//! [`Rules::new`] is a pure function of [`Options`]. The result can be shown as the text that
//! `iptables-restore --noflush` reads, as a script for `nft -f`, or put into the kernel, by either
//! program or by netlink messages of our own, each time as one transaction.

mod apply;
mod netlink;
mod nft;
mod options;
mod restore;
mod rules;

pub use self::{
    apply::{ApplyError, Via, apply, installed, remove},
    options::{Options, Ports, Ranges},
    rules::{Chain, Family, Match, Placed, Rule, Rules, Verdict},
};
