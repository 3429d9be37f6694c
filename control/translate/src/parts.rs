//! Small messages that many resources hold.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use api::envoy::protobuf::{self, Any, BoolValue, UInt32Value};
use api::envoy::types::Percent;
use api::envoy::{core, listener, matcher};
use api::names;
use prost::{Message, Name};

pub(crate) fn seconds(seconds: i64) -> protobuf::Duration {
    protobuf::Duration { seconds, nanos: 0 }
}

pub(crate) fn duration(duration: Duration) -> protobuf::Duration {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let nanos = i32::try_from(duration.subsec_nanos()).unwrap_or_default();
    protobuf::Duration { seconds, nanos }
}

/// A duration of the model.
pub(crate) fn span(time: model::kinds::value::Duration) -> protobuf::Duration {
    duration(Duration::from_nanos(time.nanos))
}

pub(crate) fn percent(value: f64) -> Percent {
    Percent { value }
}

pub(crate) fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

pub(crate) fn flag(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

pub(crate) fn any<M: Message + Name>(message: &M) -> Any {
    api::pack(message)
}

pub(crate) fn socket(address: IpAddr, port: u16) -> core::SocketAddress {
    core::SocketAddress {
        address: address.to_string(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(u32::from(port))),
        ..core::SocketAddress::default()
    }
}

pub(crate) fn address(at: SocketAddr) -> Option<core::Address> {
    let socket = socket(at.ip(), at.port());
    Some(core::Address { address: Some(core::address::Address::SocketAddress(socket)) })
}

/// Sent on the stream that everything else comes on; waited for as long as it takes.
pub(crate) fn ads() -> core::ConfigSource {
    let specifier =
        core::config_source::ConfigSourceSpecifier::Ads(core::AggregatedConfigSource {});
    core::ConfigSource {
        config_source_specifier: Some(specifier),
        initial_fetch_timeout: Some(seconds(0)),
        resource_api_version: core::ApiVersion::V3 as i32,
        ..core::ConfigSource::default()
    }
}

/// Secrets come from the proxy's own agent, under the cluster name that Istio gives it.
pub(crate) fn sds() -> core::ConfigSource {
    use core::config_source::ConfigSourceSpecifier::ApiConfigSource;
    use core::grpc_service::{EnvoyGrpc, TargetSpecifier};
    let target = EnvoyGrpc { cluster_name: names::SDS_CLUSTER.into(), ..EnvoyGrpc::default() };
    let service = core::GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(target)),
        ..core::GrpcService::default()
    };
    let source = core::ApiConfigSource {
        api_type: core::api_config_source::ApiType::Grpc as i32,
        transport_api_version: core::ApiVersion::V3 as i32,
        grpc_services: vec![service],
        set_node_on_first_message_only: true,
        ..core::ApiConfigSource::default()
    };
    core::ConfigSource {
        config_source_specifier: Some(ApiConfigSource(source)),
        initial_fetch_timeout: Some(seconds(0)),
        resource_api_version: core::ApiVersion::V3 as i32,
        ..core::ConfigSource::default()
    }
}

pub(crate) fn transport(name: &str, config: Any) -> core::TransportSocket {
    let config = core::transport_socket::ConfigType::TypedConfig(config);
    core::TransportSocket { name: name.to_owned(), config_type: Some(config) }
}

pub(crate) fn filter(name: &str, config: Any) -> listener::Filter {
    let config = listener::filter::ConfigType::TypedConfig(config);
    listener::Filter { name: name.to_owned(), config_type: Some(config) }
}

pub(crate) use matcher::string_matcher::MatchPattern as Pattern;

pub(crate) fn string(pattern: Pattern) -> matcher::StringMatcher {
    matcher::StringMatcher { match_pattern: Some(pattern), ..matcher::StringMatcher::default() }
}

/// RE2 over the whole string. The engine is not named, as only one is left.
pub(crate) fn regex(regex: String) -> matcher::RegexMatcher {
    matcher::RegexMatcher { regex, ..matcher::RegexMatcher::default() }
}
