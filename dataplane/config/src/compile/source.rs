//! `ConfigSource`: where the rest of a resource comes from.

use std::time::Duration;

use api::envoy::core::{
    ApiConfigSource, ApiVersion, ConfigSource, GrpcService, HeaderValue,
    api_config_source::ApiType, config_source, grpc_service,
};

use super::at::{At, Fault, decide};
use super::value;
use crate::limits::MAX_METADATA;

/// The sources that are understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The aggregated stream.
    Ads,
    /// A gRPC service behind the cluster of that name.
    Grpc(String),
}

/// Reads a source. Resources are waited for however long it takes (`initial_fetch_timeout`).
pub(crate) fn source(at: &At<'_>, source: &ConfigSource) -> Result<Source, Fault> {
    decide!(at, source => ConfigSource {
        used: resource_api_version, config_source_specifier;
        refused: authorities;
        without_effect: initial_fetch_timeout;
    });
    version(&at.field("resource_api_version"), *resource_api_version)?;
    use config_source::ConfigSourceSpecifier as Specifier;
    #[allow(deprecated)]
    match config_source_specifier {
        Some(Specifier::Ads(_)) => Ok(Source::Ads),
        Some(Specifier::ApiConfigSource(source)) => {
            let at = at.field("api_config_source");
            let service = grpc(&at, source)?.service;
            let at = at.field("grpc_services");
            at.item(0).refuse("initial_metadata", &service.metadata)?;
            Ok(Source::Grpc(service.cluster))
        }
        Some(Specifier::Path(_)) => Err(at.field("path").unsupported("files are not watched")),
        Some(Specifier::PathConfigSource(_)) => {
            Err(at.field("path_config_source").unsupported("files are not watched"))
        }
        Some(Specifier::Self_(_)) => Err(at.field("self").unsupported("only ADS is supported")),
        None => Err(at.missing("a source has to be given; `ads: {}` is supported")),
    }
}

/// A source that has to be the aggregated stream.
pub(crate) fn ads(at: &At<'_>, given: &Option<ConfigSource>) -> Result<(), Fault> {
    let Some(given) = given else {
        return Err(at.missing("a source has to be given; `ads: {}` is supported"));
    };
    match source(at, given)? {
        Source::Ads => Ok(()),
        Source::Grpc(_) => Err(at.unsupported("only ADS is supported here")),
    }
}

/// A gRPC source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grpc {
    /// Where it is.
    pub(crate) service: Service,
    /// The delta protocol instead of the state of the world.
    pub(crate) delta: bool,
}

/// Reads a gRPC source.
pub(crate) fn grpc(at: &At<'_>, source: &ApiConfigSource) -> Result<Grpc, Fault> {
    decide!(at, source => ApiConfigSource {
        used: api_type, transport_api_version, grpc_services;
        refused: cluster_names, config_validators;
        without_effect: refresh_delay, request_timeout, rate_limit_settings,
            set_node_on_first_message_only;
    });
    version(&at.field("transport_api_version"), *transport_api_version)?;
    let place = at.field("api_type");
    let delta = match value::enumeration(&place, *api_type)? {
        ApiType::Grpc | ApiType::AggregatedGrpc => false,
        ApiType::DeltaGrpc | ApiType::AggregatedDeltaGrpc => true,
        _ => return Err(place.unsupported("only GRPC and DELTA_GRPC are supported")),
    };
    let at = at.field("grpc_services");
    let [service] = grpc_services.as_slice() else {
        return Err(at.invalid("exactly one service has to be given"));
    };
    let service = self::service(&at.item(0), service)?;
    Ok(Grpc { service, delta })
}

/// A gRPC service behind a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// The cluster that leads to it.
    pub(crate) cluster: String,
    /// `:authority`; empty for the cluster's name.
    pub(crate) authority: String,
    /// How long a call may take.
    pub(crate) timeout: Option<Duration>,
    /// What goes with each call.
    pub(crate) metadata: Vec<(String, String)>,
}

/// Reads a gRPC service.
pub(crate) fn service(at: &At<'_>, service: &GrpcService) -> Result<Service, Fault> {
    decide!(at, service => GrpcService {
        used: target_specifier, initial_metadata, timeout;
        without_effect: retry_policy;
    });
    let Some(grpc_service::TargetSpecifier::EnvoyGrpc(target)) = target_specifier else {
        return Err(at.unsupported("only `envoy_grpc` is supported"));
    };
    decide!(_, target => grpc_service::EnvoyGrpc {
        used: cluster_name, authority;
        without_effect: retry_policy, max_receive_message_length, skip_envoy_headers;
    });
    if cluster_name.is_empty() {
        return Err(at.field("envoy_grpc").missing("`cluster_name` has to be given"));
    }
    let place = at.field("initial_metadata");
    place.at_most(MAX_METADATA, initial_metadata.len())?;
    let metadata = initial_metadata.iter().enumerate();
    let metadata = metadata.map(|(index, header)| pair(&place.item(index), header));
    Ok(Service {
        cluster: cluster_name.clone(),
        authority: authority.clone(),
        timeout: value::timeout(&at.field("timeout"), timeout, None)?,
        metadata: metadata.collect::<Result<_, _>>()?,
    })
}

/// The value may be a secret, so that it is in no message.
fn pair(at: &At<'_>, header: &HeaderValue) -> Result<(String, String), Fault> {
    let HeaderValue { key, value, raw_value } = header;
    at.refuse("raw_value", raw_value)?;
    let of_a_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if key.is_empty() || !key.bytes().all(of_a_key) || key.to_ascii_lowercase().ends_with("-bin") {
        return Err(at.field("key").invalid(format!("`{key}` is no name of gRPC's text metadata")));
    }
    if !value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%') {
        return Err(at.field("value").unsupported("only ASCII text without `%` is supported"));
    }
    Ok((key.clone(), value.clone()))
}

/// V3, or not said: no other has been spoken for years.
pub(crate) fn version(at: &At<'_>, version: i32) -> Result<(), Fault> {
    match value::enumeration(at, version)? {
        ApiVersion::Auto | ApiVersion::V3 => Ok(()),
        _ => Err(at.unsupported("only V3 is supported")),
    }
}
