//! `HttpProtocolOptions` of a cluster: what is spoken to its hosts, and how.

use std::collections::HashMap;
use std::time::Duration;

use api::envoy::Any;
use api::envoy::cluster::cluster::ClusterProtocolSelection;
use api::envoy::core::{
    self, Http1ProtocolOptions, Http2ProtocolOptions, UpstreamHttpProtocolOptions,
};
use api::envoy::upstream_http::HttpProtocolOptions;
use api::envoy::upstream_http::http_protocol_options::explicit_http_config::ProtocolConfig;
use api::envoy::upstream_http::http_protocol_options::{
    AutoHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
};

use super::at::{At, Fault, decide, typed};
use super::{http1, http2, matcher, value};
use crate::snapshot::{HostNames, Http1, Http2, UpstreamProtocol};

/// The one key of `typed_extension_protocol_options` that is known.
const KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Envoy's default for idle upstream connections.
const IDLE: Duration = Duration::from_secs(3600);
/// Envoy's defaults for answers.
const HEAD_KIB: u32 = 60;
const FIELDS: u32 = 100;

pub(crate) struct Options {
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_requests_per_connection: Option<u32>,
    pub(crate) protocol: Option<UpstreamProtocol>,
    pub(crate) http1: Http1,
    pub(crate) http2: Http2,
    pub(crate) max_head_kib: u32,
    pub(crate) max_fields: u32,
    pub(crate) max_connection_duration: Option<Duration>,
    pub(crate) host_names: Option<HostNames>,
}

/// The options that a cluster carries under their extension's name.
pub(crate) fn options(at: &At<'_>, given: &HashMap<String, Any>) -> Result<Options, Fault> {
    let mut options = Options {
        idle_timeout: Some(IDLE),
        max_requests_per_connection: None,
        protocol: None,
        http1: Http1::default(),
        http2: Http2::default(),
        max_head_kib: HEAD_KIB,
        max_fields: FIELDS,
        max_connection_duration: None,
        host_names: None,
    };
    for (key, any) in given {
        let at = at.key(key);
        if key != KEY {
            return Err(at.unsupported("these options are not supported"));
        }
        read(&at, &typed(&at, any)?, &mut options)?;
    }
    Ok(options)
}

fn read(at: &At<'_>, given: &HttpProtocolOptions, options: &mut Options) -> Result<(), Fault> {
    decide!(at, given => HttpProtocolOptions {
        used: common_http_protocol_options, upstream_http_protocol_options,
            upstream_protocol_options;
        refused: http_filters, header_validation_config, outlier_detection,
            request_mirror_policies, retry_policy, hash_policy;
    });
    let place = at.field("upstream_http_protocol_options");
    options.host_names = host_names(&place, upstream_http_protocol_options.as_ref())?;
    options.common(at, common_http_protocol_options.as_ref())?;
    let (protocol, http1, http2) = protocol(at, upstream_protocol_options.as_ref())?;
    (options.protocol, options.http1, options.http2) = (Some(protocol), http1, http2);
    Ok(())
}

fn host_names(
    at: &At<'_>,
    given: Option<&UpstreamHttpProtocolOptions>,
) -> Result<Option<HostNames>, Fault> {
    let Some(given) = given else { return Ok(None) };
    decide!(at, given => UpstreamHttpProtocolOptions {
        used: auto_sni, auto_san_validation, override_auto_sni_header;
    });
    let place = at.field("override_auto_sni_header");
    let field = match override_auto_sni_header.as_str() {
        "" => None,
        name => Some(matcher::header_name(&place, name)?),
    };
    let names = HostNames { sni: *auto_sni, san: *auto_san_validation, field };
    Ok((names.sni || names.san).then_some(names))
}

/// What is spoken, and how.
type Spoken = (UpstreamProtocol, Http1, Http2);

fn protocol(at: &At<'_>, given: Option<&UpstreamProtocolOptions>) -> Result<Spoken, Fault> {
    match given {
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(given)) => {
            explicit(&at.field("explicit_http_config"), given.protocol_config.as_ref())
        }
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(given)) => {
            let at = at.field("use_downstream_protocol_config");
            decide!(_, given => UseDownstreamHttpConfig {
                used: http_protocol_options, http2_protocol_options;
                // No client speaks it.
                without_effect: http3_protocol_options;
            });
            let place = at.field("http_protocol_options");
            let http1 = http1(&place, http_protocol_options.as_ref())?;
            let place = at.field("http2_protocol_options");
            let http2 = http2::compile(&place, http2_protocol_options.as_ref(), None)?;
            Ok((UpstreamProtocol::Downstream, http1, http2))
        }
        Some(UpstreamProtocolOptions::AutoConfig(given)) => {
            let at = at.field("auto_config");
            decide!(at, given => AutoHttpConfig {
                used: http_protocol_options, http2_protocol_options;
                refused: http3_protocol_options, alternate_protocols_cache_options;
            });
            let place = at.field("http_protocol_options");
            let http1 = http1(&place, http_protocol_options.as_ref())?;
            let place = at.field("http2_protocol_options");
            let http2 = http2::compile(&place, http2_protocol_options.as_ref(), None)?;
            Ok((UpstreamProtocol::Negotiated, http1, http2))
        }
        None => Err(at.missing("`explicit_http_config` has to be given")),
    }
}

fn explicit(at: &At<'_>, given: Option<&ProtocolConfig>) -> Result<Spoken, Fault> {
    match given {
        Some(ProtocolConfig::HttpProtocolOptions(given)) => {
            let http1 = http1(&at.field("http_protocol_options"), Some(given))?;
            Ok((UpstreamProtocol::Http1, http1, Http2::default()))
        }
        Some(ProtocolConfig::Http2ProtocolOptions(given)) => {
            let http2 = http2::compile(&at.field("http2_protocol_options"), Some(given), None)?;
            Ok((UpstreamProtocol::Http2, Http1::default(), http2))
        }
        Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
            let at = at.field("http3_protocol_options");
            Err(at.unsupported("HTTP/3 is not spoken to upstreams"))
        }
        None => Err(at.missing("a protocol has to be given")),
    }
}

impl Options {
    /// What is spoken by the cluster's own, older fields; the extension has the last word.
    pub(crate) fn old_protocol(
        &mut self,
        at: &At<'_>,
        selection: ClusterProtocolSelection,
        (old1, given): (Option<&Http1ProtocolOptions>, Option<&Http2ProtocolOptions>),
        names: Option<&UpstreamHttpProtocolOptions>,
    ) -> Result<(), Fault> {
        let names = host_names(&at.field("upstream_http_protocol_options"), names)?;
        let http1 = http1(&at.field("http_protocol_options"), old1)?;
        let options = http2::compile(&at.field("http2_protocol_options"), given, None)?;
        if self.protocol.is_some() {
            return Ok(());
        }
        (self.http1, self.http2, self.host_names) = (http1, options, names);
        self.protocol = Some(match (selection, given) {
            (ClusterProtocolSelection::UseDownstreamProtocol, _) => UpstreamProtocol::Downstream,
            (_, Some(_)) => UpstreamProtocol::Http2,
            (_, None) => UpstreamProtocol::Http1,
        });
        Ok(())
    }

    /// The options that are the same for all versions of HTTP.
    pub(crate) fn common(
        &mut self,
        at: &At<'_>,
        given: Option<&core::HttpProtocolOptions>,
    ) -> Result<(), Fault> {
        let Some(given) = given else { return Ok(()) };
        let at = &at.field("common_http_protocol_options");
        decide!(at, given => core::HttpProtocolOptions {
            // The action is about requests that come in; Envoy does not look at it here either.
            used: idle_timeout, max_requests_per_connection, max_connection_duration,
                max_headers_count, max_response_headers_kb;
            refused: max_stream_duration;
            without_effect: headers_with_underscores_action, max_connection_duration_jitter;
        });
        self.max_fields = value::u32_or(max_headers_count, FIELDS);
        if self.max_fields == 0 {
            return Err(at.field("max_headers_count").invalid("at least 1"));
        }
        self.max_head_kib = value::u32_or(max_response_headers_kb, HEAD_KIB);
        if !(1..=8192).contains(&self.max_head_kib) {
            return Err(at.field("max_response_headers_kb").invalid("between 1 and 8192"));
        }
        let place = at.field("max_connection_duration");
        self.max_connection_duration = value::timeout(&place, max_connection_duration, None)?;
        self.idle_timeout = value::timeout(&at.field("idle_timeout"), idle_timeout, Some(IDLE))?;
        let most = max_requests_per_connection.as_ref().map(|most| most.value);
        self.max_requests_per_connection = most.or(self.max_requests_per_connection);
        Ok(())
    }
}

/// What is said to upstreams.
fn http1(at: &At<'_>, options: Option<&Http1ProtocolOptions>) -> Result<Http1, Fault> {
    let Some(options) = options else { return Ok(Http1::default()) };
    decide!(at, options => Http1ProtocolOptions {
        used: header_key_format, allow_chunked_length, send_fully_qualified_url;
        refused: enable_trailers;
        // These are about clients.
        without_effect: allow_absolute_url, accept_http_10, default_host_for_http_10,
            use_balsa_parser, allow_custom_methods, ignore_http_11_upgrade,
            override_stream_error_on_invalid_http_message;
    });
    Ok(Http1 {
        names: http1::names(&at.field("header_key_format"), header_key_format.as_ref())?,
        chunked_with_length: *allow_chunked_length,
        absolute_target: *send_fully_qualified_url,
        ..Http1::default()
    })
}
