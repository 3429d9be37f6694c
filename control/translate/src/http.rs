//! The HTTP connection manager.

use api::envoy::core::Http1ProtocolOptions;
use api::envoy::hcm::http_connection_manager::{
    CodecType, ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier,
    SetCurrentClientCertDetails, UpgradeConfig,
};
use api::envoy::hcm::http_filter::ConfigType;
use api::envoy::hcm::{HttpConnectionManager, HttpFilter, Rds};
use api::envoy::listener::Filter;
use api::envoy::protobuf::Any;
use api::envoy::route::RouteConfiguration;
use api::envoy::router::Router;

use crate::parts::{ads, any, filter, flag, seconds};

/// The name that inbound proxies give in `server`.
const SERVER_NAME: &str = "istio-envoy";

/// For requests of the own application; routes come by RDS.
pub(crate) fn outbound(stat_prefix: String, routes: &str) -> Filter {
    let routes = Rds { route_config_name: routes.to_owned(), config_source: Some(ads()) };
    let mut manager = manager(stat_prefix, RouteSpecifier::Rds(routes));
    manager.http_filters = vec![router()];
    filter("envoy.filters.network.http_connection_manager", any(&manager))
}

/// For requests to the own application. `judges` are its access filters, in order.
pub(crate) fn inbound(
    stat_prefix: String,
    routes: RouteConfiguration,
    judges: Vec<HttpFilter>,
) -> Filter {
    let mut manager = manager(stat_prefix, RouteSpecifier::RouteConfig(routes));
    manager.http_filters = judges;
    manager.http_filters.push(router());
    manager.server_name = SERVER_NAME.to_owned();
    manager.forward_client_cert_details = ForwardClientCertDetails::AppendForward as i32;
    manager.set_current_client_cert_details = Some(SetCurrentClientCertDetails {
        subject: flag(true),
        uri: true,
        dns: true,
        ..SetCurrentClientCertDetails::default()
    });
    filter("envoy.filters.network.http_connection_manager", any(&manager))
}

pub(crate) fn http_filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
        ..HttpFilter::default()
    }
}

fn router() -> HttpFilter {
    http_filter("envoy.filters.http.router", any(&Router::default()))
}

fn manager(stat_prefix: String, routes: RouteSpecifier) -> HttpConnectionManager {
    HttpConnectionManager {
        codec_type: CodecType::Auto as i32,
        stat_prefix,
        route_specifier: Some(routes),
        http_protocol_options: Some(Http1ProtocolOptions::default()),
        use_remote_address: flag(false),
        normalize_path: flag(true),
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::KeepUnchanged as i32,
        stream_idle_timeout: Some(seconds(0)),
        proxy_100_continue: true,
        upgrade_configs: vec![UpgradeConfig {
            upgrade_type: "websocket".to_owned(),
            ..UpgradeConfig::default()
        }],
        ..HttpConnectionManager::default()
    }
}
