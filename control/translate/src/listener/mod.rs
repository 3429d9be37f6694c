//! LDS.

mod inbound;
mod outbound;

use api::envoy::listener::{Filter, FilterChain, FilterChainMatch, Listener};
use api::envoy::listener::{ListenerFilter, listener_filter::ConfigType};
use api::envoy::protobuf::{Any, UInt32Value};
use api::envoy::tcp_proxy::{TcpProxy, tcp_proxy::ClusterSpecifier};
use api::envoy::types::{HashPolicy, hash_policy};
use model::Model;

use crate::Key;
use crate::parts::{any, filter};

/// All listeners of a proxy, in a fixed order: `virtualOutbound`, the services', `virtualInbound`.
pub fn listeners(model: &Model, key: &Key) -> Vec<Listener> {
    let mut all = vec![outbound::catch_all(model)];
    all.extend(outbound::services(model, key));
    all.push(inbound::virtual_inbound(model, key));
    all
}

/// Connections to this port, if any, go on as bytes.
fn tcp_chain(name: &str, port: Option<u16>, filters: Vec<Filter>) -> FilterChain {
    let matches = port.map(|port| FilterChainMatch {
        destination_port: Some(UInt32Value { value: u32::from(port) }),
        ..FilterChainMatch::default()
    });
    FilterChain {
        name: name.to_owned(),
        filter_chain_match: matches,
        filters,
        ..FilterChain::default()
    }
}

fn tcp_proxy(cluster: &str) -> Filter {
    hashed_tcp_proxy(cluster, false)
}

/// The same, where the client's address may say which host it is.
fn hashed_tcp_proxy(cluster: &str, by_source: bool) -> Filter {
    let source = hash_policy::PolicySpecifier::SourceIp(hash_policy::SourceIp {});
    let hash = HashPolicy { policy_specifier: Some(source) };
    let proxy = TcpProxy {
        hash_policy: Some(hash).filter(|_| by_source).into_iter().collect(),
        stat_prefix: cluster.to_owned(),
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        ..TcpProxy::default()
    };
    filter("envoy.filters.network.tcp_proxy", any(&proxy))
}

fn listener_filter(name: &str, config: Any) -> ListenerFilter {
    ListenerFilter {
        name: name.to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
        ..ListenerFilter::default()
    }
}
