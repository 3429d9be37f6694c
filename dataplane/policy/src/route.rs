//! Which virtual host and which route serve a request.

use std::sync::Arc;

use config::snapshot::{
    Forward, PathMatch, RequireTls, Route, RouteMatch, RouteTable, VirtualHost, Weighted,
};
use wire::head::{Head, Known};

use crate::reply::Reason;
use crate::{matcher, scratch};

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Found<'t> {
    /// The virtual host of its authority.
    pub host: &'t Arc<VirtualHost>,
    /// The first of its routes that matches.
    pub route: &'t Arc<Route>,
    /// Where they stand in the table: the host in its hosts, the route in the host's routes. A
    /// request that keeps the table keeps these two numbers instead of two reference counts.
    pub at: (usize, usize),
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
/// `_random` is for `runtime_fraction`, which the compiled form does not have yet.
pub fn find<'t>(table: &'t RouteTable, head: &Head, _random: u64) -> Result<Found<'t>, NotFound> {
    let at = host(table, head.authority()).ok_or(NotFound::Host)?;
    let host = table.hosts.get(at).ok_or(NotFound::Host)?;
    if host.require_tls != RequireTls::Never && is_insecure(host.require_tls, head) {
        return Err(NotFound::Insecure);
    }
    let path = matcher::bare(head.path());
    let index = host.routes.find(path, |route| matches(&route.matches, path, head));
    let index = index.ok_or(NotFound::Route)?;
    let route = host.routes.get(index).ok_or(NotFound::Route)?;
    Ok(Found { host, route, at: (at, index) })
}

/// The request is to come again by HTTPS. What it came by is what `x-forwarded-proto` says.
fn is_insecure(required: RequireTls, head: &Head) -> bool {
    let is_internal = || head.values(b"x-envoy-internal").next() == Some(b"true");
    let is_secure = head.value(Known::XForwardedProto) == Some(b"https");
    !is_secure && (required == RequireTls::Always || !is_internal())
}

/// The cluster that this random number falls on, by weight. `None` only if the route has none.
pub fn pick(forward: &Forward, random: u64) -> Option<&Weighted> {
    weighted(&forward.clusters, forward.total_weight, random)
}

/// As [`pick`], for `TcpProxy::clusters` too.
pub fn weighted(clusters: &[Weighted], total_weight: u32, random: u64) -> Option<&Weighted> {
    let mut left = random.checked_rem(u64::from(total_weight)).unwrap_or(0);
    for cluster in clusters {
        match left.checked_sub(u64::from(cluster.weight)) {
            Some(less) => left = less,
            None => return Some(cluster),
        }
    }
    clusters.last()
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
