//! `envoy.filters.network.http_connection_manager`.

use std::sync::Arc;
use std::time::Duration;

use api::envoy::core::HttpProtocolOptions;
use api::envoy::core::http_protocol_options::HeadersWithUnderscoresAction;
use api::envoy::hcm::http_connection_manager::{
    CodecType, ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier,
    ServerHeaderTransformation, SetCurrentClientCertDetails, Tracing, UpgradeConfig,
};
use api::envoy::hcm::{HttpConnectionManager, Rds, RequestIdExtension};
use api::envoy::types::Percent;

use super::at::{At, Fault, decide};
use super::scope::Scope;
use super::{
    access_log, action, http_filter, http1, http2, local_reply, origin, route, source, value,
};
use crate::snapshot::{
    ClientCert, Codec, EscapedSlashes, ForwardClientCert, Http2, HttpManager, Routes, ServerHeader,
    Spans, Underscores,
};

/// Envoy's defaults.
const IDLE: Duration = Duration::from_secs(3600);
const STREAM_IDLE: Duration = Duration::from_secs(300);
const HEAD_KIB: u32 = 60;
const FIELDS: u32 = 100;

/// `represent_ipv4_remote_address_as_ipv4_mapped_ipv6` is without effect: Envoy 1.40 writes an IPv4
/// address all the same.
pub(crate) fn compile(
    at: &At<'_>,
    manager: &HttpConnectionManager,
    scope: &mut Scope<'_>,
) -> Result<HttpManager, Fault> {
    decide!(at, manager => HttpConnectionManager {
        used: codec_type, stat_prefix, http_filters, http_protocol_options, server_name,
            server_header_transformation, max_request_headers_kb, stream_idle_timeout, via,
            request_timeout, request_headers_timeout, use_remote_address, generate_request_id,
            preserve_external_request_id, proxy_100_continue, upgrade_configs, normalize_path,
            merge_slashes, path_with_escaped_slashes_action, route_specifier,
            always_set_request_id_in_response, access_log, local_reply_config;
        // `origin`, `client_cert`, `http2`, `common_options` and `traces` look at these.
        used_elsewhere: forward_client_cert_details, set_current_client_cert_details,
            scheme_header_transformation, xff_num_trusted_hops, internal_address_config,
            original_ip_detection_extensions, skip_xff_append, strip_matching_host_port,
            strip_trailing_host_dot, append_x_forwarded_port, strip_port_mode,
            stream_error_on_invalid_http_message, http1_safe_max_connection_duration,
            common_http_protocol_options, http2_protocol_options, tracing, request_id_extension;
        refused: http3_protocol_options, stream_flush_timeout, early_header_mutation_extensions,
            forward_client_cert_matcher, proxy_status_config, path_normalization_options,
            typed_header_validation_config, forward_proto_config, access_log_options,
            access_log_flush_interval, flush_access_log_on_new_request;
        refused_if_true: add_user_agent;
        without_effect: represent_ipv4_remote_address_as_ipv4_mapped_ipv6, drain_timeout,
            drain_timeout_jitter, delayed_close_timeout, append_local_overload,
            add_proxy_protocol_connection_state;
    });
    traces(at, manager)?;
    let filters = http_filter::compile(&at.field("http_filters"), http_filters, scope)?;
    let http1 = http1::downstream(at, http_protocol_options.as_ref())?;
    let common = common_options(at, manager)?;
    let time = |name: &str, given, default| value::timeout(&at.field(name), given, default);
    Ok(HttpManager {
        codec: codec(&at.field("codec_type"), *codec_type)?,
        http1: http1.http1,
        http2: http2(at, manager)?,
        stat_prefix: stat_prefix.as_str().into(),
        routes: routes(at, route_specifier.as_ref(), scope)?,
        filters: filters.filters,
        server_name: server_name_or_default(server_name),
        server_header: server_header(at, *server_header_transformation)?,
        upgrades: upgrades(&at.field("upgrade_configs"), upgrade_configs)?,
        via: (!via.is_empty()).then(|| via.as_str().into()),
        use_remote_address: value::bool_or(use_remote_address, false),
        origin: origin::compile(at, manager)?,
        host_form: origin::host_form(at, manager)?,
        request_id_in_response: *always_set_request_id_in_response,
        generate_request_id: value::bool_or(generate_request_id, true),
        preserve_external_request_id: *preserve_external_request_id,
        client_cert: client_cert(at, manager)?,
        normalize_path: value::bool_or(normalize_path, false),
        merge_slashes: *merge_slashes,
        escaped_slashes: escaped_slashes(at, *path_with_escaped_slashes_action)?,
        accept_http_10: http1.accept_http_10,
        allow_absolute_url: http1.allow_absolute_url,
        proxy_100_continue: *proxy_100_continue,
        max_head_kib: head_kib(at, value::u32_or(max_request_headers_kb, HEAD_KIB))?,
        max_fields: common.max_fields,
        underscores: common.underscores,
        spans: common.spans,
        idle_timeout: common.idle_timeout,
        stream_idle_timeout: time("stream_idle_timeout", stream_idle_timeout, Some(STREAM_IDLE))?,
        request_timeout: time("request_timeout", request_timeout, None)?,
        request_headers_timeout: time("request_headers_timeout", request_headers_timeout, None)?,
        suppress_envoy_headers: filters.suppress_envoy_headers,
        access_log: access_log::list(&at.field("access_log"), access_log, scope)?,
        local_replies: local_reply::compile(at, local_reply_config.as_ref())?,
    })
}

fn server_name_or_default(name: &str) -> Arc<str> {
    if name.is_empty() { "envoy".into() } else { name.into() }
}

fn codec(at: &At<'_>, number: i32) -> Result<Codec, Fault> {
    match value::enumeration(at, number)? {
        CodecType::Auto => Ok(Codec::Auto),
        CodecType::Http1 => Ok(Codec::Http1),
        CodecType::Http2 => Ok(Codec::Http2),
        CodecType::Http3 => Err(at.unsupported("HTTP/3 is not spoken: use AUTO, HTTP1 or HTTP2")),
    }
}

fn traces(at: &At<'_>, manager: &HttpConnectionManager) -> Result<(), Fault> {
    tracing(&at.field("tracing"), manager.tracing.as_ref())?;
    request_id(&at.field("request_id_extension"), manager.request_id_extension.as_ref())
}

/// Sampling without a provider sends nothing, so only the provider is a matter.
fn tracing(at: &At<'_>, tracing: Option<&Tracing>) -> Result<(), Fault> {
    let Some(tracing) = tracing else { return Ok(()) };
    decide!(at, tracing => Tracing {
        refused: provider;
        without_effect: client_sampling, random_sampling, overall_sampling, verbose,
            max_path_tag_length, custom_tags, spawn_upstream_span, operation, upstream_operation,
            no_context_propagation;
    });
    Ok(())
}

/// The UUID extension is what there is anyway; its two fields are about tracing.
fn request_id(at: &At<'_>, extension: Option<&RequestIdExtension>) -> Result<(), Fault> {
    let any = extension.and_then(|extension| extension.typed_config.as_ref());
    match any.map(|any| api::any::full_name(&any.type_url)) {
        None | Some("envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig") => Ok(()),
        Some(other) => {
            Err(at.field("typed_config").unsupported(format!("`{other}` is not supported")))
        }
    }
}

fn routes(
    at: &At<'_>,
    specifier: Option<&RouteSpecifier>,
    scope: &mut Scope<'_>,
) -> Result<Routes, Fault> {
    match specifier {
        Some(RouteSpecifier::RouteConfig(config)) => {
            let table = route::compile(&at.field("route_config"), config, true, scope)?;
            Ok(Routes::Inline(Arc::new(table)))
        }
        Some(RouteSpecifier::Rds(Rds { config_source, route_config_name })) => {
            let at = at.field("rds");
            source::ads(&at.field("config_source"), config_source)?;
            if route_config_name.is_empty() {
                return Err(at.field("route_config_name").missing("it may not be empty"));
            }
            let name: Arc<str> = route_config_name.as_str().into();
            scope.needs.routes.push(Arc::clone(&name));
            Ok(Routes::Named(name))
        }
        Some(RouteSpecifier::ScopedRoutes(_)) => {
            Err(at.field("scoped_routes").unsupported("this field is not supported"))
        }
        None => Err(at.missing("`rds` or `route_config` has to be given")),
    }
}

fn server_header(at: &At<'_>, number: i32) -> Result<ServerHeader, Fault> {
    Ok(match value::enumeration(&at.field("server_header_transformation"), number)? {
        ServerHeaderTransformation::Overwrite => ServerHeader::Overwrite,
        ServerHeaderTransformation::AppendIfAbsent => ServerHeader::AppendIfAbsent,
        ServerHeaderTransformation::PassThrough => ServerHeader::PassThrough,
    })
}

fn upgrades(at: &At<'_>, configs: &[UpgradeConfig]) -> Result<Vec<Box<str>>, Fault> {
    let mut names = Vec::new();
    for (index, config) in configs.iter().enumerate() {
        let at = at.item(index);
        decide!(at, config => UpgradeConfig {
            used: upgrade_type, enabled;
            refused: filters;
        });
        let name = action::upgrade_name(&at.field("upgrade_type"), upgrade_type)?;
        if value::bool_or(enabled, true) {
            names.push(name);
        }
    }
    Ok(names)
}

fn client_cert(at: &At<'_>, manager: &HttpConnectionManager) -> Result<ClientCert, Fault> {
    let forward = manager.forward_client_cert_details;
    let current = manager.set_current_client_cert_details.as_ref();
    let forward = match value::enumeration(&at.field("forward_client_cert_details"), forward)? {
        ForwardClientCertDetails::Sanitize => ForwardClientCert::Sanitize,
        ForwardClientCertDetails::ForwardOnly => ForwardClientCert::ForwardOnly,
        ForwardClientCertDetails::AppendForward => ForwardClientCert::AppendForward,
        ForwardClientCertDetails::SanitizeSet => ForwardClientCert::SanitizeSet,
        ForwardClientCertDetails::AlwaysForwardOnly => ForwardClientCert::AlwaysForwardOnly,
    };
    let Some(current) = current else { return Ok(ClientCert { forward, ..Default::default() }) };
    let at = at.field("set_current_client_cert_details");
    decide!(at, current => SetCurrentClientCertDetails {
        used: subject, dns, uri;
        refused: cert, chain, issuer, format;
    });
    Ok(ClientCert { forward, subject: value::bool_or(subject, false), uri: *uri, dns: *dns })
}

fn escaped_slashes(at: &At<'_>, number: i32) -> Result<EscapedSlashes, Fault> {
    use PathWithEscapedSlashesAction as From;
    let at = at.field("path_with_escaped_slashes_action");
    Ok(match value::enumeration(&at, number)? {
        From::ImplementationSpecificDefault | From::KeepUnchanged => EscapedSlashes::KeepUnchanged,
        From::RejectRequest => EscapedSlashes::Reject,
        From::UnescapeAndRedirect => EscapedSlashes::UnescapeAndRedirect,
        From::UnescapeAndForward => EscapedSlashes::UnescapeAndForward,
    })
}

fn head_kib(at: &At<'_>, kib: u32) -> Result<u32, Fault> {
    match (1..=8192).contains(&kib) {
        true => Ok(kib),
        false => Err(at.field("max_request_headers_kb").invalid("between 1 and 8192")),
    }
}

struct CommonOptions {
    max_fields: u32,
    idle_timeout: Option<Duration>,
    underscores: Underscores,
    spans: Spans,
}

fn http2(at: &At<'_>, manager: &HttpConnectionManager) -> Result<Http2, Fault> {
    let malformed = manager.stream_error_on_invalid_http_message.map(|value| value.value);
    let options = manager.http2_protocol_options.as_ref();
    http2::compile(&at.field("http2_protocol_options"), options, malformed)
}

fn common_options(at: &At<'_>, manager: &HttpConnectionManager) -> Result<CommonOptions, Fault> {
    let at = &at.field("common_http_protocol_options");
    let ends_with_answer = manager.http1_safe_max_connection_duration;
    let Some(options) = &manager.common_http_protocol_options else {
        let (underscores, spans) = (Underscores::Allow, Spans::default());
        let idle_timeout = Some(IDLE);
        return Ok(CommonOptions { max_fields: FIELDS, idle_timeout, underscores, spans });
    };
    decide!(at, options => HttpProtocolOptions {
        used: idle_timeout, max_headers_count, headers_with_underscores_action,
            max_connection_duration, max_connection_duration_jitter, max_stream_duration,
            max_requests_per_connection;
        // It is about answers; Envoy does not look at it here either.
        without_effect: max_response_headers_kb;
    });
    let max_fields = value::u32_or(max_headers_count, FIELDS);
    if max_fields == 0 {
        return Err(at.field("max_headers_count").invalid("at least 1"));
    }
    let time = |name: &str, given, default| value::timeout(&at.field(name), given, default);
    Ok(CommonOptions {
        max_fields,
        idle_timeout: time("idle_timeout", idle_timeout, Some(IDLE))?,
        underscores: underscores(
            &at.field("headers_with_underscores_action"),
            *headers_with_underscores_action,
        )?,
        spans: Spans {
            connection: time("max_connection_duration", max_connection_duration, None)?,
            jitter_percent: jitter(
                &at.field("max_connection_duration_jitter"),
                max_connection_duration_jitter.as_ref(),
            )?,
            ends_with_answer,
            requests: value::u32_or(max_requests_per_connection, 0),
            stream: time("max_stream_duration", max_stream_duration, None)?,
        },
    })
}

fn underscores(at: &At<'_>, number: i32) -> Result<Underscores, Fault> {
    Ok(match value::enumeration(at, number)? {
        HeadersWithUnderscoresAction::Allow => Underscores::Allow,
        HeadersWithUnderscoresAction::RejectRequest => Underscores::Reject,
        HeadersWithUnderscoresAction::DropHeader => Underscores::Drop,
    })
}

fn jitter(at: &At<'_>, given: Option<&Percent>) -> Result<f64, Fault> {
    let percent = given.map_or(0.0, |percent| percent.value);
    match (0.0..=100.0).contains(&percent) {
        true => Ok(percent),
        false => Err(at.invalid("from 0 to 100")),
    }
}
