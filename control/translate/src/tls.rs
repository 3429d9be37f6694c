//! Mutual TLS on both sides.
//!
//! Istio's client sidecar chooses its ALPN per request (`istio.alpn`), which open-source Envoy
//! cannot do. Here a cluster's ALPN says what its port is declared to speak, so that a PERMISSIVE
//! server picks the same chain: HTTP ports offer `istio-http/1.1` (or `istio-h2`) and `istio`, TCP
//! ports only `istio`, and so do ports of unknown protocol, whose bytes then pass as TCP. The plain
//! names at the end are what the two sides agree on. `istio-peer-exchange` is offered by no one,
//! since it would announce a preamble that nobody sends; TCP servers list `istio` in its place,
//! because some TLS stacks refuse a handshake in which nothing is agreed.

use api::envoy::tls::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use api::envoy::tls::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig,
    TlsParameters, UpstreamTlsContext, tls_parameters::TlsProtocol,
};
use api::envoy::{core, matcher};
use api::names;
use model::Protocol;

use crate::parts::{Pattern, any, flag, sds, string, transport};

/// Offered by clients of ports that are declared as HTTP/1.
const CLIENT_HTTP1: [&str; 3] = ["istio-http/1.1", "istio", "http/1.1"];
/// Offered by clients of ports that are declared as HTTP/2.
const CLIENT_HTTP2: [&str; 3] = ["istio-h2", "istio", "h2"];
/// Offered by clients of all other ports.
const CLIENT_TCP: [&str; 1] = ["istio"];
/// Accepted where requests are read.
const SERVER_HTTP: [&str; 2] = ["h2", "http/1.1"];
/// Accepted where bytes are passed on.
const SERVER_TCP: [&str; 3] = ["istio", "h2", "http/1.1"];

const CIPHERS: [&str; 6] = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
];

/// What a server asks of its clients.
pub(crate) fn server(trust_domain: &str, http: bool) -> core::TransportSocket {
    let own_domain = string(Pattern::Prefix(format!("spiffe://{trust_domain}/")));
    let alpn: &[&str] = if http { &SERVER_HTTP } else { &SERVER_TCP };
    let mut common = common(vec![own_domain], alpn);
    if let Some(params) = &mut common.tls_params {
        params.cipher_suites = CIPHERS.map(str::to_owned).to_vec();
    }
    let context = DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: flag(true),
        ..DownstreamTlsContext::default()
    };
    transport("envoy.transport_sockets.tls", any(&context))
}

/// What a client asks of the servers of a cluster. `accounts` are the SPIFFE ids of who may answer.
pub(crate) fn client(
    sni: String,
    accounts: &[String],
    protocol: Protocol,
) -> core::TransportSocket {
    let accounts = accounts.iter().map(|id| string(Pattern::Exact(id.clone()))).collect();
    let alpn: &[&str] = match protocol {
        protocol if protocol.is_http2() => &CLIENT_HTTP2,
        protocol if protocol.is_http() => &CLIENT_HTTP1,
        _ => &CLIENT_TCP,
    };
    let context = UpstreamTlsContext {
        common_tls_context: Some(common(accounts, alpn)),
        sni,
        ..UpstreamTlsContext::default()
    };
    transport("envoy.transport_sockets.tls", any(&context))
}

// The untyped SAN list is what istiod sends; it holds for URIs, DNS names and addresses alike.
#[allow(deprecated)]
fn common(san: Vec<matcher::StringMatcher>, alpn: &[&str]) -> CommonTlsContext {
    let secret = |name: &str| SdsSecretConfig { name: name.to_owned(), sds_config: Some(sds()) };
    let validation = CombinedCertificateValidationContext {
        default_validation_context: Some(CertificateValidationContext {
            match_subject_alt_names: san,
            ..CertificateValidationContext::default()
        }),
        validation_context_sds_secret_config: Some(secret(names::SDS_ROOTS)),
        ..CombinedCertificateValidationContext::default()
    };
    CommonTlsContext {
        tls_params: Some(TlsParameters {
            tls_minimum_protocol_version: TlsProtocol::TlSv12 as i32,
            tls_maximum_protocol_version: TlsProtocol::TlSv13 as i32,
            ..TlsParameters::default()
        }),
        tls_certificate_sds_secret_configs: vec![secret(names::SDS_IDENTITY)],
        alpn_protocols: alpn.iter().map(|name| (*name).to_owned()).collect(),
        validation_context_type: Some(ValidationContextType::CombinedValidationContext(validation)),
        ..CommonTlsContext::default()
    }
}
