//! What the micro-benchmarks measure on: a request, and route tables of any size.

use std::sync::Arc;
use std::time::Duration;

use config::snapshot::{
    ClusterId, Forward, HeaderChanges, PathMatch, Route, RouteAction, RouteMatch, RouteTable,
    VirtualHost, Weighted,
};

/// A request as a sidecar sees it: ten fields, some two hundred bytes.
pub const REQUEST: &[u8] = b"GET /api/reviews/1?lang=en HTTP/1.1\r\n\
    Host: reviews.default.svc.cluster.local:9080\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\
    Accept-Encoding: gzip\r\nX-Request-Id: 6f1de1c0-4d7e-4c1c-8f6a-0a2d9b6f7c11\r\n\
    X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\nX-B3-SpanId: a2fb4a1d1a96d312\r\n\
    X-B3-Sampled: 0\r\nCookie: session=abcdef\r\n\r\n";

/// A table of so many virtual hosts; the one that [`REQUEST`] asks for has so many routes, of which
/// the last one matches.
pub fn table(hosts: usize, routes: usize) -> RouteTable {
    let wanted = b"reviews.default.svc.cluster.local".to_vec();
    let other = |at: usize| format!("other-{at}.default.svc.cluster.local").into_bytes();
    let mut table = RouteTable { ignore_port: true, ..RouteTable::default() };
    for at in 0..hosts {
        let last = at + 1 == hosts;
        let name = if last { wanted.clone() } else { other(at) };
        table.exact.insert(name.into(), at);
        table.hosts.push(Arc::new(host(if last { routes } else { 1 })));
    }
    table
}

fn host(routes: usize) -> VirtualHost {
    let prefix = |at: usize| if at + 1 == routes { "/".into() } else { format!("/other/{at}/") };
    let routes = (0..routes).map(|at| Arc::new(route(&prefix(at)))).collect();
    VirtualHost { routes, ..VirtualHost::default() }
}

fn route(prefix: &str) -> Route {
    let weighted = |id, weight| Weighted { name: "c".into(), cluster: ClusterId(id), weight };
    Route {
        name: "route".into(),
        matches: RouteMatch {
            path: PathMatch::Prefix(prefix.as_bytes().into()),
            case_sensitive: true,
            headers: Vec::new(),
            query: Vec::new(),
        },
        action: RouteAction::Forward(Forward {
            clusters: vec![weighted(0, 90), weighted(1, 10)],
            total_weight: 100,
            timeout: Some(Duration::from_secs(15)),
            idle_timeout: None,
            cluster_not_found: 503,
            retry: None,
            upgrades: Vec::new(),
        }),
        headers: HeaderChanges::default(),
    }
}
