//! YAML in, compiled facts or refusals out.

mod bad;
mod bodies;
mod dns;
mod filters;
mod good;
mod health;
mod life;
mod random;
mod reach;
mod routing;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use api::envoy::Any;
use prost::{Message, Name};

use super::{Compiler, ListenerOptions};
use crate::bootstrap::Bootstrap;
use crate::refused::Refused;
use crate::snapshot::{Bound, Cluster, HttpManager, Snapshot, TcpProxy, Terminal};
use crate::update::Update;

/// Opens no socket.
pub(super) fn no_sockets(_: SocketAddr, _: &ListenerOptions) -> std::io::Result<Arc<Bound>> {
    Ok(Arc::new(Bound::default()))
}

/// Applies the file's resources and builds.
pub(super) fn apply(yaml: &str) -> (Snapshot, Vec<Refused>, Compiler) {
    let mut bootstrap = Bootstrap::parse(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    let mut compiler = Compiler::new();
    let refused = compiler.apply(bootstrap.take_resources(), &mut no_sockets);
    (compiler.build(), refused, compiler)
}

/// Applies what has to be good.
pub(super) fn good(yaml: &str) -> (Snapshot, Compiler) {
    let (snapshot, refused, compiler) = apply(yaml);
    assert!(refused.is_empty(), "{}\n{yaml}", refused[0]);
    (snapshot, compiler)
}

/// A file with one cluster `c` that has the given lines besides its name.
pub(super) fn with_cluster(lines: &str) -> String {
    format!("static_resources:\n  clusters:\n  - name: c\n{}", indent(lines, 4))
}

/// A file with one listener `l` that has the given lines besides its name and address.
pub(super) fn with_listener(lines: &str) -> String {
    format!(
        "static_resources:\n  listeners:\n  - name: l\n    address: {{socket_address: \
         {{address: 127.0.0.1, port_value: 15001}}}}\n{}",
        indent(lines, 4)
    )
}

/// A listener whose one chain ends in a TCP proxy with the given lines.
pub(super) fn with_tcp(lines: &str) -> String {
    let filter = "filter_chains:\n- filters:\n  - name: tcp\n    typed_config:\n      \
                  \"@type\": type.googleapis.com/\
                  envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy\n      stat_prefix: s\n";
    with_listener(&format!("{filter}{}", indent(lines, 6)))
}

/// A listener whose one chain ends in a connection manager with the given lines.
pub(super) fn with_manager(lines: &str) -> String {
    let filter = "filter_chains:\n- filters:\n  - name: http\n    typed_config:\n      \
                  \"@type\": type.googleapis.com/envoy.extensions.filters.network.\
                  http_connection_manager.v3.HttpConnectionManager\n      stat_prefix: s\n";
    with_listener(&format!("{filter}{}", indent(lines, 6)))
}

/// The router, as the last HTTP filter.
pub(super) const ROUTER: &str = "{name: router, typed_config: {\"@type\": \
    type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}";

/// A connection manager with the given inline route configuration.
pub(super) fn with_routes(lines: &str) -> String {
    with_manager(&format!(
        "http_filters: [{ROUTER}]\nroute_config:\n  name: r\n  validate_clusters: false\n{}",
        indent(lines, 2)
    ))
}

/// One virtual host with one route of the given lines.
pub(super) fn with_route(lines: &str) -> String {
    with_routes(&format!(
        "virtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n  - name: one\n{}",
        indent(lines, 4)
    ))
}

pub(super) fn indent(lines: &str, by: usize) -> String {
    lines.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

pub(super) fn cluster<'s>(snapshot: &'s Snapshot, compiler: &Compiler, name: &str) -> &'s Cluster {
    let id = compiler.cluster_id(name).expect("a known name");
    snapshot.cluster(id).expect("in the snapshot")
}

pub(super) fn tcp(snapshot: &Snapshot) -> &TcpProxy {
    match &snapshot.listeners[0].chains[0].terminal {
        Terminal::Tcp(proxy) => proxy,
        Terminal::Http(_) => panic!("HTTP"),
    }
}

pub(super) fn manager(snapshot: &Snapshot) -> &HttpManager {
    match &snapshot.listeners[0].chains[0].terminal {
        Terminal::Http(manager) => manager,
        Terminal::Tcp(_) => panic!("TCP"),
    }
}

/// One resource as a delta response brings it.
pub(super) fn resource<M: Message + Name + Default>(yaml: &str) -> Update {
    let message: M = api::text::parse(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    let any: Any = api::pack(&message);
    let (update, refused) = Update::state_of_the_world(&any.type_url, std::slice::from_ref(&any));
    assert!(refused.is_empty());
    let mut update = update;
    update.clusters.whole = false;
    update.listeners.whole = false;
    update
}
