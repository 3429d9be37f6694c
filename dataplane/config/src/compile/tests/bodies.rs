//! Filters that look at bodies or connections, and the proxy's own answers.

use std::time::Duration;

use super::*;
use crate::snapshot::{
    BrotliMode, Compression, Etags, FilterKind, Gate, LogFormat, Override, OverrideKind, Routes,
};

const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.http";
const NETWORK: &str = "type.googleapis.com/envoy.extensions.filters.network";
const LIBRARY: &str = "type.googleapis.com/envoy.extensions.compression";

fn with_filter(kind: &str, fields: &str) -> String {
    with_manager(&format!(
        "http_filters: [{{name: f, typed_config: {{\"@type\": {HTTP}.{kind}{fields}}}}}, \
         {ROUTER}]\nroute_config: {{virtual_hosts: []}}"
    ))
}

fn filter(yaml: &str) -> FilterKind {
    let (snapshot, _) = good(yaml);
    let all = manager(&snapshot).filters.all();
    match &all[0].kind {
        FilterKind::HealthCheck(check) => FilterKind::HealthCheck(check.clone()),
        FilterKind::Buffer(most) => FilterKind::Buffer(*most),
        FilterKind::GrpcWeb => FilterKind::GrpcWeb,
        FilterKind::Compressor(compressor) => FilterKind::Compressor(compressor.clone()),
        other => panic!("{other:?}"),
    }
}

fn compressor(fields: &str) -> String {
    with_filter("compressor.v3.Compressor", &format!(", {fields}"))
}

fn library(kind: &str, fields: &str) -> String {
    format!(
        "compressor_library: {{name: l, typed_config: {{\"@type\": {LIBRARY}.{kind}{fields}}}}}"
    )
}

#[test]
fn filters_say_what_they_are_for() {
    let check = with_filter(
        "health_check.v3.HealthCheck",
        ", pass_through_mode: true, headers: [{name: x-a}], cluster_min_healthy_percentages: \
         {b: {value: 20.9}, a: {value: 0}}",
    );
    let FilterKind::HealthCheck(check) = filter(&check) else { panic!("no health check") };
    assert!(check.passes_through && check.headers.len() == 1);
    let clusters = check.clusters.iter().map(|one| (&*one.name, one.min_percent));
    assert_eq!(clusters.collect::<Vec<_>>(), [("a", 0), ("b", 20)]);
    let buffer = with_filter("buffer.v3.Buffer", ", max_request_bytes: 7");
    assert!(matches!(filter(&buffer), FilterKind::Buffer(7)));
    let web = with_filter("grpc_web.v3.GrpcWeb", "");
    assert!(matches!(filter(&web), FilterKind::GrpcWeb));
}

#[test]
fn a_compressor_has_envoys_defaults() {
    let gzip = library("gzip.compressor.v3.Gzip", "");
    let FilterKind::Compressor(plain) = filter(&compressor(&gzip)) else { panic!("none") };
    assert_eq!(plain.compression, Compression::Gzip { level: 6, window_bits: 12 });
    assert_eq!((plain.is_on, plain.min_bytes, plain.types.len()), (true, 30, 8));
    let brotli =
        library("brotli.compressor.v3.Brotli", ", encoder_mode: TEXT, input_block_bits: 20");
    let more = format!(
        "{brotli}, response_direction_config: {{common_config: {{enabled: {{default_value: false, \
         runtime_key: k}}, content_type_matcher: [{{prefix: a}}]}}, weaken_etag_on_compress: true, \
         uncompressible_response_codes: [404]}}"
    );
    let FilterKind::Compressor(more) = filter(&compressor(&more)) else { panic!("none") };
    let expected =
        Compression::Brotli { quality: 3, window_bits: 18, block_bits: 20, mode: BrotliMode::Text };
    assert_eq!(more.compression, expected);
    assert_eq!((more.is_on, more.etags, more.types.len()), (false, Etags::Weakened, 1));
    assert_eq!(more.spares, [404]);
}

#[test]
fn routes_have_their_own_buffers_and_compressors() {
    let said = |kind: &str, fields: &str| {
        let yaml = with_manager(&format!(
            "http_filters: [{ROUTER}]\nroute_config: {{virtual_hosts: [{{name: v, domains: ['*'], \
             typed_per_filter_config: {{f: {{\"@type\": {HTTP}.{kind}, {fields}}}}}}}]}}"
        ));
        let (snapshot, _) = good(&yaml);
        let Routes::Inline(table) = &manager(&snapshot).routes else { panic!("not inline") };
        match table.hosts[0].overrides.get("f") {
            Some(Override::With(kind)) => kind.clone(),
            other => panic!("{other:?}"),
        }
    };
    let buffer = |fields: &str| said("buffer.v3.BufferPerRoute", fields);
    assert!(matches!(buffer("disabled: true"), OverrideKind::Buffer(None)));
    let own = buffer("buffer: {max_request_bytes: 9}");
    assert!(matches!(own, OverrideKind::Buffer(Some(9))));
    let compressor = |fields: &str| match said("compressor.v3.CompressorPerRoute", fields) {
        OverrideKind::Compressor(own) => (own.is_on, own.hides_wishes),
        other => panic!("{other:?}"),
    };
    assert_eq!(compressor("disabled: true"), (Some(false), None));
    assert_eq!(compressor("overrides: {}"), (None, None));
    let hides = "overrides: {response_direction_config: {remove_accept_encoding_header: true}}";
    assert_eq!(compressor(hides), (Some(true), Some(true)));
}

#[test]
fn own_answers_are_mapped() {
    let yaml = with_manager(&format!(
        "http_filters: [{ROUTER}]\nroute_config: {{virtual_hosts: []}}\nlocal_reply_config: \
         {{mappers: [{{filter: {{response_flag_filter: {{flags: [NR]}}}}, status_code: 410, body: \
         {{inline_string: gone}}, headers_to_add: [{{header: {{key: x-a, value: \
         '%REQ(b)%'}}}}]}}], body_format: {{json_format: {{m: '%LOCAL_REPLY_BODY%'}}}}}}"
    ));
    let (snapshot, _) = good(&yaml);
    let replies = manager(&snapshot).local_replies.as_ref().expect("there are some");
    let mapper = &replies.mappers[0];
    assert_eq!((mapper.status, mapper.body.as_deref()), (Some(410), Some(&b"gone"[..])));
    assert_eq!(mapper.headers.len(), 1);
    let format = replies.format.as_ref().expect("a format");
    assert!(matches!(format.format, LogFormat::Json(_)));
    assert_eq!(&*format.content_type, b"application/json");
}

fn with_network(filter: &str) -> String {
    format!(
        "static_resources: {{listeners: [{{name: l, address: {{socket_address: {{address: \
         127.0.0.1, port_value: 0}}}}, filter_chains: [{{filters: [{{name: f, typed_config: \
         {{\"@type\": {NETWORK}.{filter}}}}}, {{name: t, typed_config: {{\"@type\": \
         {NETWORK}.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: c}}}}]}}]}}]}}"
    )
}

#[test]
fn gates_are_counted_in_order() {
    let limit =
        "connection_limit.v3.ConnectionLimit, stat_prefix: s, max_connections: 5, delay: 2s";
    let (snapshot, _) = good(&with_network(limit));
    match &snapshot.listeners[0].chains[0].gates[..] {
        [Gate::Limit(limit)] => {
            assert_eq!((limit.most, limit.delay), (5, Some(Duration::from_secs(2))));
        }
        other => panic!("{other:?}"),
    }
    let rate = "local_ratelimit.v3.LocalRateLimit, stat_prefix: s, token_bucket: {max_tokens: 3, \
                fill_interval: 1s}";
    let (snapshot, _) = good(&with_network(rate));
    assert!(matches!(&snapshot.listeners[0].chains[0].gates[..], [Gate::Rate(_)]));
    let off = ", runtime_enabled: {default_value: false, runtime_key: k}";
    let (snapshot, _) = good(&with_network(&format!("{rate}{off}")));
    assert!(snapshot.listeners[0].chains[0].gates.is_empty());
    let (snapshot, _) = good(&with_network("sni_cluster.v3.SniCluster"));
    assert!(snapshot.listeners[0].chains[0].cluster_by_sni);
}

#[test]
fn what_cannot_be_had_is_refused_with_its_place() {
    let gzip = |fields: &str| compressor(&library("gzip.compressor.v3.Gzip", fields));
    for (yaml, expected) in [
        (with_filter("buffer.v3.Buffer", ""), "max_request_bytes: it has to be given"),
        (with_filter("buffer.v3.Buffer", ", max_request_bytes: 0"), "at least 1"),
        (with_filter("buffer.v3.Buffer", ", max_request_bytes: 99999999"), "16777216 at most"),
        (with_filter("health_check.v3.HealthCheck", ""), "pass_through_mode: it has to be given"),
        (
            with_filter("health_check.v3.HealthCheck", ", pass_through_mode: true, cache_time: 1s"),
            "cache_time: this field is not supported",
        ),
        (compressor("content_length: 5"), "compressor_library: it has to be given"),
        (gzip(", window_bits: 8"), "window_bits: between 9 and 15"),
        (gzip(", compression_strategy: RLE"), "compression_strategy: this field is not supported"),
        (
            compressor(&format!(
                "{}, request_direction_config: {{}}",
                library("zstd.compressor.v3.Zstd", "")
            )),
            "request_direction_config: requests are not compressed",
        ),
        (
            with_network("connection_limit.v3.ConnectionLimit, stat_prefix: s, max_connections: 0"),
            "max_connections: at least 1",
        ),
        (
            with_network(
                "local_ratelimit.v3.LocalRateLimit, stat_prefix: s, share_key: k, token_bucket: \
                 {max_tokens: 1, fill_interval: 1s}",
            ),
            "share_key: this field is not supported",
        ),
    ] {
        let (_, refused, _) = apply(&yaml);
        let said = refused.first().unwrap_or_else(|| panic!("not refused\n{yaml}")).to_string();
        assert!(said.contains(expected), "{said}\n{expected}\n{yaml}");
    }
}
