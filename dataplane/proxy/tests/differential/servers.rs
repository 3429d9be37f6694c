//! Which server is asked for over TLS, and what its certificate must say: the name that a request
//! has, or the cluster's own. A listener of the same proxy tells the upstream what was asked for.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

use crate::cases::HCM;
use crate::harness::{Outcome, Pair};

/// What a route's cluster says.
struct Towards {
    path: &'static str,
    /// Of the route.
    action: &'static str,
    names: &'static str,
    /// Of TLS.
    tls: &'static str,
    protocol: &'static str,
}

const CA: &str = "validation_context: { trusted_ca: @CA@ }";
const ANYBODY: &str = "alpn_protocols: []";
const HTTP1: &str = "http_protocol_options: {}";

const fn towards(
    path: &'static str,
    action: &'static str,
    names: &'static str,
    tls: &'static str,
) -> Towards {
    Towards { path, action, names, tls, protocol: HTTP1 }
}

const CLUSTERS: &[Towards] = &[
    towards("own", "", "", CA),
    towards("none", "", "auto_sni: false, auto_san_validation: false", CA),
    towards("sni", "", "auto_sni: true", CA),
    towards("both", "", "auto_sni: true, auto_san_validation: true", CA),
    towards("san", "", "auto_san_validation: true", CA),
    towards("unverified", "", "auto_sni: true, auto_san_validation: true", ANYBODY),
    towards(
        "besides",
        "",
        "auto_sni: true, auto_san_validation: true",
        "validation_context: { trusted_ca: @CA@, match_typed_subject_alt_names: \
         [{ san_type: DNS, matcher: { exact: b.example } }] }",
    ),
    towards(
        "missing",
        "",
        "auto_sni: true, auto_san_validation: true",
        "validation_context: { trusted_ca: @CA@, match_typed_subject_alt_names: \
         [{ san_type: DNS, matcher: { exact: nobody.example } }] }",
    ),
    towards(
        "field",
        "",
        "auto_sni: true, auto_san_validation: true, override_auto_sni_header: X-Server",
        CA,
    ),
    towards("rewritten", "host_rewrite_literal: b.example,", "auto_sni: true", CA),
    towards("by-field", "host_rewrite_header: x-to,", "auto_sni: true", CA),
    towards("by-endpoint", "auto_host_rewrite: true,", "auto_sni: true", CA),
    Towards {
        path: "two",
        action: "",
        names: "auto_sni: true, auto_san_validation: true",
        tls: CA,
        protocol: "http2_protocol_options: {}",
    },
];

/// Requests over one connection: the path and the host of each, and other fields.
pub(crate) const CASES: &[&[(&str, &str, &str)]] = &[
    &[("own", "a.example", ""), ("own", "b.example", "")],
    &[("none", "a.example", "")],
    &[("sni", "a.example", ""), ("sni", "b.example", ""), ("sni", "a.example", "")],
    &[("sni", "a.example:443", ""), ("sni", "A.Example", "")],
    &[("sni", "10.0.0.1", ""), ("sni", "10.0.0.1:80", ""), ("sni", "[::1]:80", "")],
    &[("sni", "other.example", ""), ("sni", "x.wild.example", "")],
    &[("both", "a.example", ""), ("both", "b.example", ""), ("both", "a.example", "")],
    &[("both", "x.wild.example", ""), ("both", "x.y.wild.example", "")],
    &[("both", "nobody.example", "")],
    &[("both", "a.example", ""), ("both", "nobody.example", ""), ("both", "a.example", "")],
    &[("both", "10.0.0.1", ""), ("both", "10.0.0.2", "")],
    &[("san", "a.example", ""), ("san", "b.example", ""), ("san", "nobody.example", "")],
    &[("unverified", "a.example", ""), ("unverified", "nobody.example", "")],
    &[("besides", "a.example", ""), ("missing", "a.example", "")],
    &[("field", "a.example", ""), ("field", "nobody.example", "x-server: b.example\r\n")],
    &[("field", "a.example", "x-server: nobody.example\r\n")],
    &[("field", "a.example", "x-server: b.example:80\r\n")],
    &[("field", "a.example", "x-server: a.example\r\nx-server: b.example\r\n")],
    &[("rewritten", "a.example", ""), ("by-field", "a.example", "x-to: b.example\r\n")],
    &[("by-endpoint", "a.example", "")],
    &[("two", "a.example", ""), ("two", "b.example", ""), ("two", "a.example", "")],
    &[("two", "nobody.example", "")],
];

/// What became of a case: the statuses, and what the upstream saw.
pub(crate) fn ask(pair: &Pair, case: &[(&str, &str, &str)]) -> (Told, Told) {
    let request = |(path, host, fields): &(&str, &str, &str)| {
        format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
    };
    let all: String = case.iter().map(request).collect();
    let (envoy, ours) = pair.ask(&all);
    (told(envoy), told(ours))
}

type Told = (Vec<String>, Vec<(String, Vec<String>)>);

fn told(outcome: Outcome) -> Told {
    let starts = outcome.answer.responses.into_iter().map(|message| message.start);
    let seen = outcome.upstream.into_iter().map(|mut message| {
        let named = message.fields.remove("x-asked-for").unwrap_or_default();
        (message.start, named)
    });
    (starts.collect(), seen.collect())
}

pub(crate) fn bootstrap() -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "root");
    let key = KeyPair::generate().expect("a key");
    let root = CertifiedIssuer::self_signed(params, key).expect("a root");
    let names = ["a.example", "b.example", "*.wild.example"];
    let mut params = CertificateParams::new(names.map(str::to_owned)).expect("names");
    params.subject_alt_names.push(SanType::IpAddress([10, 0, 0, 1].into()));
    let key = KeyPair::generate().expect("a key");
    let leaf = params.signed_by(&key, &root).expect("a leaf");
    let inline = |pem: &str| format!("{{ inline_string: {pem:?} }}");
    let route = |to: &Towards| {
        let Towards { path, action, .. } = to;
        let action = format!("{action} cluster: {path}");
        format!("              - {{ match: {{ path: /{path} }}, route: {{ {action} }} }}\n")
    };
    BOOTSTRAP
        .replace("@ROUTES@", &CLUSTERS.iter().map(route).collect::<String>())
        .replace("@CLUSTERS@", &CLUSTERS.iter().map(cluster).collect::<String>())
        .replace("@CHAIN@", &inline(&leaf.pem()))
        .replace("@KEY@", &inline(&key.serialize_pem()))
        .replace("@CA@", &inline(&root.pem()))
        .replace("@HCM@", HCM)
        .replace("@TLS@", TLS)
        .replace("@OPTIONS@", OPTIONS)
        .replace("@INSPECTOR@", INSPECTOR)
}

const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
const INSPECTOR: &str =
    "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
const OPTIONS: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

fn cluster(to: &Towards) -> String {
    let Towards { path, names, tls, protocol, .. } = to;
    format!(
        r#"  - name: {path}
    connect_timeout: 5s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": @OPTIONS@
        upstream_http_protocol_options: {{ {names} }}
        explicit_http_config: {{ {protocol} }}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": @TLS@.UpstreamTlsContext
        sni: own.example
        common_tls_context: {{ {tls} }}
    load_assignment:
      cluster_name: {path}
      endpoints:
      - lb_endpoints:
        - endpoint:
            hostname: endpoint.example
            address: {{ socket_address: {{ address: 127.0.0.1, port_value: @INNER@ }} }}
"#
    )
}

const BOOTSTRAP: &str = r#"
static_resources:
  listeners:
  - name: main
    address: { socket_address: { address: 127.0.0.1, port_value: @LISTEN@ } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": @HCM@
          stat_prefix: main
          http_filters:
          - &router
            name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            name: main
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
@ROUTES@
  - name: inner
    address: { socket_address: { address: 127.0.0.1, port_value: @INNER@ } }
    listener_filters:
    - name: envoy.filters.listener.tls_inspector
      typed_config: { "@type": @INSPECTOR@ }
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": @TLS@.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - certificate_chain: @CHAIN@
              private_key: @KEY@
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": @HCM@
          stat_prefix: inner
          http_filters:
          - *router
          route_config:
            name: inner
            request_headers_to_add:
            - header: { key: x-asked-for, value: "<%REQUESTED_SERVER_NAME%>" }
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - { match: { prefix: "/" }, route: { cluster: up } }
  clusters:
  - name: up
    connect_timeout: 1s
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: { socket_address: { address: 127.0.0.1, port_value: @UPSTREAM@ } }
@CLUSTERS@
"#;
