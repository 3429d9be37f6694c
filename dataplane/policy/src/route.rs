//! Which virtual host and which route serve a request.

use std::sync::Arc;

use config::snapshot::{
    CookieMatch, Forward, MoreMatches, PathMatch, RequireTls, Route, RouteAction, RouteMatch,
    RouteTable, TlsMatch, VirtualHost, Weighted,
};
use tls::session::Peer;
use wire::head::{Head, Known};

use crate::reply::{self, Reason};
use crate::{cookie, matcher, scratch};

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Found<'t> {
    /// The virtual host of its authority.
    pub host: &'t Arc<VirtualHost>,
    /// The first of its routes that matches.
    pub route: &'t Arc<Route>,
    /// The one of the route's clusters that the request goes to, where it leads to any. As in Envoy
    /// it is chosen with the route.
    pub cluster: Option<&'t Weighted>,
    /// Where they stand in the table. A request that keeps the table keeps these numbers instead of
    /// reference counts.
    pub at: Place,
}

/// A route's place in its table, and a cluster's in its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In the table's hosts.
    pub host: usize,
    /// In the host's routes.
    pub route: usize,
    /// In the route's clusters.
    pub cluster: usize,
}

impl<'t> Found<'t> {
    /// What stands at that place.
    pub fn at(table: &'t RouteTable, at: Place) -> Option<Self> {
        let host = table.hosts.get(at.host)?;
        let route = host.routes.get(at.route)?;
        let cluster = match &route.action {
            RouteAction::Forward(forward) => forward.clusters.get(at.cluster),
            RouteAction::Direct { .. } | RouteAction::Redirect(_) => None,
        };
        Some(Self { host, route, cluster, at })
    }
}

/// Why no route was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// No virtual host has that domain.
    Host,
    /// None of the virtual host's routes matches.
    Route,
    /// The virtual host is there for HTTPS, and the request did not come by it.
    Insecure,
}

impl NotFound {
    /// The reason to answer with.
    pub fn reason(self) -> Reason {
        match self {
            Self::Host | Self::Route => Reason::RouteNotFound,
            Self::Insecure => Reason::TlsRequired,
        }
    }
}

/// Finds the virtual host by the authority (equal, else longest `*suffix`, else longest `prefix*`,
/// else `*`), then its first matching route. There is no way back to another virtual host.
///
/// `random` says which of the route's clusters it is, and which share of the requests it is of.
pub fn find<'t>(table: &'t RouteTable, head: &Head, random: u64) -> Result<Found<'t>, NotFound> {
    find_for(table, head, random, None)
}

/// The same for a client with this certificate.
pub fn find_for<'t>(
    table: &'t RouteTable,
    head: &Head,
    random: u64,
    peer: Option<&Peer>,
) -> Result<Found<'t>, NotFound> {
    let host_at = host(table, head.authority()).ok_or(NotFound::Host)?;
    let host = table.hosts.get(host_at).ok_or(NotFound::Host)?;
    if host.require_tls != RequireTls::Never && is_insecure(host.require_tls, head) {
        return Err(NotFound::Insecure);
    }
    let path = matcher::bare(head.path());
    let route_at = host.routes.find(path, |route| {
        let more = route.matches.more.as_deref();
        matches(&route.matches, path, head)
            && more.is_none_or(|more| more_matches(more, head, random, peer))
    });
    let route_at = route_at.ok_or(NotFound::Route)?;
    let route = host.routes.get(route_at).ok_or(NotFound::Route)?;
    let (cluster_at, cluster) = match &route.action {
        RouteAction::Forward(forward) => pick(forward, chance(forward, head, random)).unzip(),
        RouteAction::Direct { .. } | RouteAction::Redirect(_) => (None, None),
    };
    let at = Place { host: host_at, route: route_at, cluster: cluster_at.unwrap_or(0) };
    Ok(Found { host, route, cluster, at })
}

/// The request is to come again by HTTPS. What it came by is what `x-forwarded-proto` says.
fn is_insecure(required: RequireTls, head: &Head) -> bool {
    let is_internal = || head.values(b"x-envoy-internal").next() == Some(b"true");
    let is_secure = head.value(Known::XForwardedProto) == Some(b"https");
    !is_secure && (required == RequireTls::Always || !is_internal())
}

/// The cluster that this number falls on, by weight, and its place. `None` only if the route has
/// none.
fn pick(forward: &Forward, chance: u64) -> Option<(usize, &Weighted)> {
    fallen(&forward.clusters, forward.total_weight, chance)
}

/// The number that chooses among the route's clusters: the random one, or that which the request
/// brings along, where the route has it so.
fn chance(forward: &Forward, head: &Head, random: u64) -> u64 {
    let told = forward.random_header.as_ref().and_then(|name| number(head, name));
    told.unwrap_or(random)
}

/// The number in the one line of that name.
fn number(head: &Head, name: &[u8]) -> Option<u64> {
    let mut values = head.values(name);
    let digits = values.next().filter(|_| values.next().is_none())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The name of a cluster that the request gives in this header, in the first line of it.
pub fn named<'h>(head: &'h Head, header: &'h [u8]) -> Option<&'h str> {
    std::str::from_utf8(matcher::first_value(head, header)?).ok()
}

/// The cluster of a TCP proxy that this random number falls on, by weight.
pub fn weighted(clusters: &[Weighted], total_weight: u32, random: u64) -> Option<&Weighted> {
    fallen(clusters, total_weight, random).map(|(_, cluster)| cluster)
}

fn fallen(clusters: &[Weighted], total_weight: u32, chance: u64) -> Option<(usize, &Weighted)> {
    let mut left = chance.checked_rem(u64::from(total_weight)).unwrap_or(0);
    for (at, cluster) in clusters.iter().enumerate() {
        match left.checked_sub(u64::from(cluster.weight)) {
            Some(less) => left = less,
            None => return Some((at, cluster)),
        }
    }
    clusters.iter().enumerate().next_back()
}

/// The virtual host for an authority. An empty one finds `*` only.
fn host(table: &RouteTable, authority: &[u8]) -> Option<usize> {
    let port = matcher::split_port(authority).filter(|_| table.ignore_port);
    let authority = port.map_or(authority, |(host, _)| host);
    if authority.iter().any(u8::is_ascii_uppercase) {
        scratch::with(|lower| {
            lower.extend_from_slice(authority);
            lower.make_ascii_lowercase();
            search(table, lower)
        })
    } else {
        search(table, authority)
    }
}

fn search(table: &RouteTable, authority: &[u8]) -> Option<usize> {
    if authority.is_empty() {
        return table.any;
    }
    if let Some(index) = table.exact.get(authority) {
        return Some(*index);
    }
    // The star stands for at least one byte.
    let longer = |part: &[u8]| authority.len() > part.len();
    let suffix = table.suffixes.iter().find(|(part, _)| longer(part) && authority.ends_with(part));
    let prefix =
        || table.prefixes.iter().find(|(part, _)| longer(part) && authority.starts_with(part));
    suffix.or_else(prefix).map(|(_, index)| *index).or(table.any)
}

fn matches(asked: &RouteMatch, path: &[u8], head: &Head) -> bool {
    path_matches(asked, path, head)
        && asked.headers.iter().all(|header| matcher::header(header, head))
        && asked.query.iter().all(|query| matcher::query(query, head.path()))
}

fn more_matches(asked: &MoreMatches, head: &Head, random: u64, peer: Option<&Peer>) -> bool {
    let cookie = |asked: &CookieMatch| {
        let value = cookie::value(head, &asked.name);
        value.is_some_and(|value| matcher::string(&asked.value, value)) != asked.invert
    };
    // What a client has shown was looked at. As in Envoy a session that is taken up again counts
    // as one that was not.
    let is_presented = peer.is_some_and(|peer| peer.verified);
    let is_validated = peer.is_some_and(|peer| peer.verified && !peer.is_resumed);
    let TlsMatch { presented, validated } = asked.tls;
    asked.share.is_none_or(|share| share.takes(random))
        && (!asked.grpc || reply::is_grpc(head))
        && presented.is_none_or(|presented| presented == is_presented)
        && validated.is_none_or(|validated| validated == is_validated)
        && asked.cookies.iter().all(cookie)
}

fn path_matches(asked: &RouteMatch, path: &[u8], head: &Head) -> bool {
    let fold = !asked.case_sensitive;
    match &asked.path {
        PathMatch::Connect => head.method() == b"CONNECT",
        // A CONNECT has no path, and is matched by nothing that asks for one.
        _ if path.is_empty() => false,
        PathMatch::Prefix(text) => matcher::starts_with(path, text, fold),
        PathMatch::Exact(text) => matcher::equal(path, text, fold),
        PathMatch::SeparatedPrefix(text) => {
            let next = path.get(text.len());
            matcher::starts_with(path, text, fold) && next.is_none_or(|byte| *byte == b'/')
        }
        // Anchored at both ends when it was compiled.
        PathMatch::Regex(regex) => regex.is_match(path),
    }
}

#[cfg(test)]
mod tests;
