//! `envoy.filters.http.compressor`. Bodies are compared as they were before.

use super::{Ask, Setting, ask, get, post};

const FILTERS: &str = r#"
- name: gzip
  typed_config:
    "@type": @COMPRESSOR@.Compressor
    response_direction_config:
      common_config: { min_content_length: 5 }
      disable_on_etag_header: false
      uncompressible_response_codes: [404]
    compressor_library:
      name: gzip
      typed_config: { "@type": @LIBRARY@.gzip.compressor.v3.Gzip }
- name: brotli
  typed_config:
    "@type": @COMPRESSOR@.Compressor
    response_direction_config:
      common_config: { content_type: [text/plain, text/own] }
      weaken_etag_on_compress: true
    request_direction_config: { common_config: { enabled: { default_value: false } } }
    compressor_library:
      name: brotli
      typed_config: { "@type": @LIBRARY@.brotli.compressor.v3.Brotli, quality: 5, window_bits: 20 }
- name: zstd
  typed_config:
    "@type": @COMPRESSOR@.Compressor
    response_direction_config:
      common_config: { content_type_matcher: [{ prefix: "text/" }] }
      disable_on_etag_header: true
    compressor_library:
      name: zstd
      typed_config: { "@type": @LIBRARY@.zstd.compressor.v3.Zstd }
"#;

const ROUTES: &str = r#"
virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { prefix: "/direct" }
    direct_response: { status: 200, body: { inline_string: "a body that is long enough here" } }
  - match: { prefix: "/missing" }
    direct_response: { status: 404, body: { inline_string: "a body that is long enough here" } }
  - match: { prefix: "/empty" }
    direct_response: { status: 200 }
  - match: { prefix: "/off" }
    direct_response: { status: 200, body: { inline_string: "a body that is long enough here" } }
    typed_per_filter_config: { gzip: { "@type": @COMPRESSOR@.CompressorPerRoute, disabled: true } }
  - match: { prefix: "/hide" }
    route: { cluster: up }
    typed_per_filter_config:
      gzip:
        "@type": @COMPRESSOR@.CompressorPerRoute
        overrides: { response_direction_config: { remove_accept_encoding_header: true } }
  - match: { path: "/strong" }
    route: { cluster: up }
    response_headers_to_add: [{ header: { key: etag, value: "\"abc\"" } }]
  - match: { path: "/weak" }
    route: { cluster: up }
    response_headers_to_add: [{ header: { key: etag, value: "W/\"abc\"" } }]
  - match: { path: "/strong/chunked" }
    route: { cluster: up, regex_rewrite: { pattern: { regex: "/strong" }, substitution: "" } }
    response_headers_to_add:
    - { header: { key: etag, value: "\"abc\"" } }
    - { header: { key: content-type, value: "text/own" } }
  - match: { path: "/type/html" }
    route: { cluster: up }
    response_headers_to_add: [{ header: { key: content-type, value: "text/html; charset=utf-8" } }]
  - match: { path: "/type/png" }
    route: { cluster: up }
    response_headers_to_add: [{ header: { key: content-type, value: "image/png" } }]
  - match: { path: "/vary" }
    route: { cluster: up }
    response_headers_to_add: [{ header: { key: vary, value: "origin" } }]
  - match: { path: "/vary/all" }
    route: { cluster: up }
    response_headers_to_add: [{ header: { key: vary, value: "origin, Accept-Encoding" } }]
  - match: { path: "/encoded" }
    route: { cluster: up }
    response_headers_to_add: [{ header: { key: content-encoding, value: "identity" } }]
  - match: { path: "/untouched" }
    route: { cluster: up }
    response_headers_to_add: [{ header: { key: cache-control, value: "public, no-transform" } }]
  - match: { prefix: "/" }
    route: { cluster: up }
"#;

const GZIP: &[&str] = &["accept-encoding: gzip"];
const ALL: &[&str] = &["accept-encoding: deflate, gzip, br, zstd"];

const ASKS: &[Ask] = &[
    get("/", &[]),
    get("/", GZIP),
    get("/", &["accept-encoding: br"]),
    get("/", &["accept-encoding: deflate"]),
    get("/", &["accept-encoding: gzip;q=0"]),
    get("/", &["accept-encoding: identity, gzip"]),
    get("/", &["accept-encoding: *"]),
    get("/", ALL),
    ask("HEAD", "/", GZIP, ""),
    post("/", GZIP, "a body"),
    get("/chunked", GZIP),
    get("/chunked", &["accept-encoding: br"]),
    get("/chunked", &["accept-encoding: zstd"]),
    get("/chunked", &["accept-encoding: br;q=0.5, gzip;q=0.4, zstd"]),
    get("/close", GZIP),
    get("/status/204", GZIP),
    get("/status/304", GZIP),
    get("/status/503", GZIP),
    get("/direct", GZIP),
    get("/direct", &["accept-encoding: zstd, gzip;q=0.1"]),
    get("/direct", &["accept-encoding: br"]),
    get("/missing", GZIP),
    get("/missing", &["accept-encoding: br"]),
    get("/empty", GZIP),
    get("/off", GZIP),
    get("/off", ALL),
    get("/hide", GZIP),
    get("/hide", ALL),
    get("/strong", GZIP),
    get("/weak", GZIP),
    get("/strong/chunked", &["accept-encoding: br"]),
    get("/strong/chunked", &["accept-encoding: zstd"]),
    get("/type/html", GZIP),
    get("/type/png", GZIP),
    get("/vary", GZIP),
    get("/vary/all", GZIP),
    get("/encoded", GZIP),
    get("/untouched", GZIP),
];

pub(super) const SETTINGS: &[Setting] =
    &[Setting { name: "compressor", filters: FILTERS, routes: ROUTES, asks: ASKS }];
