//! The HTTP filters between the connection manager and its router, each a pure decision on a
//! request's head or a change of a response's.
//!
//! Who goes through the chain is the session: on the way up filter by filter in order, with pauses
//! where one asks for time; on the way down in reverse. As in Envoy, a response goes through all of
//! them, also one of our own that was made before the request had come so far.

pub mod compress;
pub mod cors;
pub mod fault;
pub mod grpc_web;
pub mod health;
pub mod limit;
pub mod mutation;

use config::snapshot::{
    HttpFilter, Override, OverrideKind, Overrides, RateLimit, RouteTable, Weighted,
};

use crate::reply::Reason;
use crate::route::Found;

/// What the levels of a route say of filters. Without a route nobody says anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Levels<'r> {
    cluster: Option<&'r Overrides>,
    route: Option<&'r Overrides>,
    host: Option<&'r Overrides>,
    table: Option<&'r Overrides>,
}

impl<'r> Levels<'r> {
    /// Those of this route, and of the cluster that the request was given of its clusters.
    pub fn of(table: &'r RouteTable, found: &Found<'r>, cluster: Option<&'r Weighted>) -> Self {
        Self {
            cluster: cluster.map(|cluster| &cluster.overrides),
            route: Some(&found.route.overrides),
            host: Some(&found.host.overrides),
            table: Some(&table.overrides),
        }
    }

    /// What is said of the filter of that name, most specific first.
    fn said(self, name: &str) -> impl Iterator<Item = &'r Override> {
        let levels = [self.cluster, self.route, self.host, self.table];
        levels.into_iter().flatten().filter_map(move |level| level.get(name))
    }

    /// The filter is on: as the most specific level says that says anything, else as the chain.
    pub fn is_on(self, filter: &HttpFilter) -> bool {
        match self.said(&filter.name).next() {
            Some(Override::Off) => false,
            Some(Override::On | Override::With(_)) => true,
            None => !filter.is_off,
        }
    }

    /// What the levels bring along for the filter of that name, least specific first.
    fn all_from_the_table(self, name: &str) -> impl Iterator<Item = &'r OverrideKind> {
        let levels = [self.table, self.host, self.route, self.cluster];
        let said = levels.into_iter().flatten().filter_map(move |level| level.get(name));
        said.filter_map(Override::kind)
    }

    /// How the route and its virtual host describe requests to rate limits, and whether the route
    /// wants both.
    pub fn rate_limits(self) -> (&'r [RateLimit], &'r [RateLimit], bool) {
        let of = |level: Option<&'r Overrides>| level.map_or(&[][..], |level| &level.rate_limits);
        let includes = self.route.is_some_and(|route| route.includes_host_limits);
        (of(self.route), of(self.host), includes)
    }

    /// What levels bring along for the filter of that name, most specific first. A level that only
    /// turns it on or off does not hide what a less specific one brings.
    pub fn all(self, name: &str) -> impl Iterator<Item = &'r OverrideKind> {
        self.said(name).filter_map(Override::kind)
    }

    /// What the most specific level brings along.
    pub fn own(self, name: &str) -> Option<&'r OverrideKind> {
        self.all(name).next()
    }
}

/// An answer that a filter gives in place of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'c> {
    /// Why.
    pub reason: Reason,
    /// The status.
    pub status: u16,
    /// The body, `text/plain`, and the message of a call by gRPC.
    pub body: &'c str,
    /// The status of a call by gRPC, where it does not follow from `status`.
    pub grpc_status: Option<u32>,
}

impl Answer<'static> {
    /// The usual answer for this reason.
    pub fn of(reason: Reason) -> Self {
        let reply = reason.reply();
        Self { reason, status: reply.status, body: reply.body, grpc_status: None }
    }
}

#[cfg(test)]
mod tests;
