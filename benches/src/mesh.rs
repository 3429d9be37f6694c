//! A request, an answer, and configuration of any size.

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use config::snapshot::{Bound, HttpManager, RouteTable, Routes, Snapshot, Terminal};
use config::{Bootstrap, Compiler, ListenerOptions};

/// A request as a sidecar sees it: ten fields, some three hundred bytes.
pub const REQUEST: &[u8] = b"GET /api/reviews/1?lang=en HTTP/1.1\r\n\
    Host: reviews.default.svc.cluster.local:9080\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\
    Accept-Encoding: gzip\r\nX-Request-Id: 6f1de1c0-4d7e-4c1c-8f6a-0a2d9b6f7c11\r\n\
    X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\nX-B3-SpanId: a2fb4a1d1a96d312\r\n\
    X-B3-Sampled: 0\r\nCookie: session=abcdef\r\nX-Forwarded-Proto: http\r\n\r\n";

/// The head of an answer of 1 KiB.
pub const ANSWER_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Content-Length: 1024\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: gunicorn\r\n\r\n";

/// Bytes of the answer's body.
pub const ANSWER_BODY_BYTES: usize = 1024;

/// The host that [`REQUEST`] asks for.
const HOST: &str = "reviews.default.svc.cluster.local";

/// The answer, head and body.
#[must_use]
pub fn answer() -> Vec<u8> {
    [ANSWER_HEAD, &[b'x'; ANSWER_BODY_BYTES]].concat()
}

/// Compiles a file's resources. Whatever address a listener names, its socket is on a free port.
#[must_use]
pub fn compile(yaml: &str) -> (Snapshot, Compiler) {
    let mut bootstrap = Bootstrap::parse(yaml).expect("the file is good");
    let mut compiler = Compiler::new();
    let mut bind = |_: SocketAddr, _: &ListenerOptions| {
        let sockets = vec![TcpListener::bind("127.0.0.1:0")?];
        Ok(Arc::new(Bound { sockets }))
    };
    let refused = compiler.apply(bootstrap.take_resources(), &mut bind);
    assert!(refused.is_empty(), "{}", refused[0]);
    (compiler.build(), compiler)
}

/// A file with these lists of listeners and clusters, in the flow style of YAML.
fn file(listeners: &str, clusters: &str) -> String {
    format!("static_resources: {{ listeners: [{listeners}], clusters: [{clusters}] }}")
}

/// A message packed with its type.
fn typed(name: &str, message: &str, body: &str) -> String {
    format!(
        "{{ name: {name}, typed_config: {{ '@type': type.googleapis.com/{message}, {body} }} }}"
    )
}

fn listener(chains: &str) -> String {
    let address = "socket_address: { address: 127.0.0.1, port_value: 15006 }";
    format!("{{ name: l, address: {{ {address} }}, filter_chains: [{chains}] }}")
}

/// A file with one HTTP listener that has so many virtual hosts; the one that [`REQUEST`] asks for
/// has so many routes, of which the last one matches. `filters` come before the router.
fn http(hosts: usize, routes: usize, filters: &str) -> String {
    let router = typed("router", "envoy.extensions.filters.http.router.v3.Router", "");
    let hosts: Vec<String> = (1..=hosts).map(|at| host(at, hosts, routes)).collect();
    let body = format!(
        "stat_prefix: in, http_filters: [{filters}{router}], route_config: {{ name: r, \
         validate_clusters: false, ignore_port_in_host_matching: true, virtual_hosts: [{}] }}",
        hosts.join(", ")
    );
    let manager = "envoy.extensions.filters.network.http_connection_manager.v3.\
                   HttpConnectionManager";
    let chain = format!("{{ filters: [{}] }}", typed("http", manager, &body));
    file(&listener(&chain), &cluster("up", "ROUND_ROBIN", 1))
}

fn host(at: usize, hosts: usize, routes: usize) -> String {
    let (domain, count) = match at == hosts {
        true => (HOST.to_owned(), routes),
        false => (format!("other-{at}.default.svc.cluster.local"), 1),
    };
    let mut list = String::new();
    for route in 1..=count {
        let prefix = if route == count { "/".to_owned() } else { format!("/other/{route}/") };
        let _ = write!(list, "{{ match: {{ prefix: {prefix} }}, route: {{ cluster: up }} }}, ");
    }
    format!("{{ name: h{at}, domains: [{domain}], routes: [{list}] }}")
}

/// A cluster of so many endpoints.
fn cluster(name: &str, policy: &str, endpoints: usize) -> String {
    let mut list = String::new();
    for at in 1..=endpoints {
        let address = format!("address: 10.0.{}.{}, port_value: 9080", at / 250, at % 250);
        let _ =
            write!(list, "{{ endpoint: {{ address: {{ socket_address: {{ {address} }} }} }} }}, ");
    }
    format!(
        "{{ name: {name}, connect_timeout: 1s, lb_policy: {policy}, load_assignment: \
         {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{list}] }}] }} }}"
    )
}

/// An RBAC filter of so many policies that allow, of which the last one lets [`REQUEST`] pass.
fn rbac(policies: usize, principal: impl Fn(usize) -> String) -> String {
    let mut list = String::new();
    for at in 1..=policies {
        let path = if at == policies { "/api/".to_owned() } else { format!("/api-{at}/") };
        let method = "{ header: { name: ':method', string_match: { exact: GET } } }";
        let path = format!("{{ url_path: {{ path: {{ prefix: {path} }} }} }}");
        let _ = write!(
            list,
            "policy-{at:03}: {{ permissions: [{{ and_rules: {{ rules: [{method}, {path}] }} }}], \
             principals: [{}] }}, ",
            principal(at)
        );
    }
    let body = format!("rules: {{ action: ALLOW, policies: {{ {list} }} }}");
    typed("rbac", "envoy.extensions.filters.http.rbac.v3.RBAC", &body)
}

/// The identity that the policy of this number asks for.
#[must_use]
pub fn identity(at: usize) -> String {
    format!("spiffe://cluster.local/ns/default/sa/client-{at}")
}

/// One HTTP listener in front of one cluster.
#[must_use]
pub fn plain_http() -> String {
    http(1, 1, "")
}

/// The same with 100 routes and 10 policies to go through.
#[must_use]
pub fn busy_http() -> String {
    let anyone = rbac(10, |_| "{ any: true }".to_owned());
    http(100, 100, &format!("{anyone}, "))
}

/// One TCP listener in front of one cluster.
#[must_use]
pub fn plain_tcp() -> String {
    let body = "stat_prefix: in, cluster: up";
    let proxy = typed("tcp", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", body);
    file(&listener(&format!("{{ filters: [{proxy}] }}")), &cluster("up", "ROUND_ROBIN", 1))
}

/// A listener as that of a sidecar for inbound traffic: two chains a port, for TLS and plaintext.
#[must_use]
pub fn chains(ports: u16) -> String {
    let proxy = typed(
        "tcp",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix: in, cluster: up",
    );
    let chain = |port: u16, transport: &str| {
        let matches = format!("destination_port: {port}, transport_protocol: {transport}");
        format!(
            "{{ name: {port}-{transport}, filter_chain_match: {{ {matches} }}, \
             filters: [{proxy}] }}"
        )
    };
    let chains = (1..=ports).flat_map(|at| ["tls", "raw_buffer"].map(|t| chain(9000 + at, t)));
    let chains: Vec<String> = chains.collect();
    file(&listener(&chains.join(", ")), &cluster("up", "ROUND_ROBIN", 1))
}

/// A cluster `c` of so many endpoints with this policy.
#[must_use]
pub fn balanced(policy: &str, endpoints: usize) -> String {
    file("", &cluster("c", policy, endpoints))
}

/// A listener with so many policies, each for an [`identity`] of its own.
#[must_use]
pub fn policies(count: usize) -> String {
    let principal = |at| {
        let name = identity(at);
        format!("{{ authenticated: {{ principal_name: {{ exact: '{name}' }} }} }}")
    };
    http(1, 1, &format!("{}, ", rbac(count, principal)))
}

/// The connection manager of the snapshot's only listener.
#[must_use]
pub fn manager(snapshot: &Snapshot) -> Arc<HttpManager> {
    match &snapshot.listeners[0].chains[0].terminal {
        Terminal::Http(manager) => Arc::clone(manager),
        Terminal::Tcp(_) => panic!("the listener is one for TCP"),
    }
}

/// A table of so many virtual hosts; the one that [`REQUEST`] asks for has so many routes, of which
/// the last one matches.
#[must_use]
pub fn table(hosts: usize, routes: usize) -> Arc<RouteTable> {
    let (snapshot, _) = compile(&http(hosts, routes, ""));
    match &manager(&snapshot).routes {
        Routes::Inline(table) => Arc::clone(table),
        Routes::Named(name) => panic!("{name} is not inline"),
    }
}
