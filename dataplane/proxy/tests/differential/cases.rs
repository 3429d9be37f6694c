//! The table. To add a case, add a line; to add a configuration, add a `Setting`.

mod dns;
mod formats;
mod headers;
mod health;
mod local;
mod options;
mod shapes;
mod small;
mod times;
mod tunnels;

/// One request, as bytes.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) request: &'static str,
    /// The words of `docs/differences-from-envoy.md` that say why this one differs.
    pub(crate) differs: Option<&'static str>,
}

/// One configuration and what is asked of it.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    /// Fields of the connection manager besides routes and filters.
    options: &'static str,
    /// HTTP filters before the router.
    filters: &'static str,
    /// Fields of the route configuration besides its virtual hosts.
    routes: &'static str,
    /// Clusters besides `up`, `dead` and `empty`, whose endpoints are `*up` and `*dead`. Where one
    /// is at the address `*inner`, there is a second listener that goes on to `up`.
    clusters: &'static str,
    pub(crate) cases: &'static [Case],
}

const fn same(name: &'static str, request: &'static str) -> Case {
    Case { name, request, differs: None }
}

const fn differs(name: &'static str, request: &'static str, line: &'static str) -> Case {
    Case { name, request, differs: Some(line) }
}

/// What one option of the connection manager does, with all requests going up.
const fn option(name: &'static str, options: &'static str, cases: &'static [Case]) -> Setting {
    Setting { name, options, filters: "", routes: ALL_UP, clusters: "", cases }
}

/// What these routes do, and nothing else.
const fn routes(name: &'static str, routes: &'static str, cases: &'static [Case]) -> Setting {
    Setting { name, options: "", filters: "", routes, clusters: "", cases }
}

/// A GET of a path with these fields.
macro_rules! get {
    ($path:literal $(, $field:literal)*) => {
        concat!("GET ", $path, " HTTP/1.1\r\nHost: x\r\n", $($field, "\r\n",)* "\r\n")
    };
}
use get;

impl Setting {
    /// Requests by HTTP/2 are understood.
    pub(crate) fn takes_http_2(&self) -> bool {
        !self.options.contains("codec_type: HTTP1")
    }

    pub(crate) fn bootstrap(&self) -> String {
        bootstrap(self.options, self.filters, self.routes, self.clusters)
    }
}

/// A bootstrap of these parts, as [`Setting`] says of them.
pub(crate) fn bootstrap(options: &str, filters: &str, routes: &str, clusters: &str) -> String {
    let inner = if clusters.contains("*inner") { INNER } else { "" };
    BOOTSTRAP
        .replace("@INNER_LISTENER@", inner.trim_matches('\n'))
        .replace("@HCM@", HCM)
        .replace("@OPTIONS@", &indent(options, 10))
        .replace("@FILTERS@", &indent(filters, 10))
        .replace("@ROUTES@", &indent(routes, 12))
        .replace("@CLUSTERS@", &indent(clusters, 2))
        .replace("@PRESERVE@", &extension(PRESERVE, "PreserveCaseFormatter"))
        .replace("@XFF@", &extension("original_ip_detection.xff", "Xff"))
        .replace("@FIELD@", &extension("original_ip_detection.custom_header", "CustomHeader"))
}

const PRESERVE: &str = "header_formatters.preserve_case";

/// The type of an extension of HTTP.
fn extension(package: &str, name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.http.{package}.v3.{name}Config")
}

fn indent(text: &str, by: usize) -> String {
    let lines = text.trim_matches('\n').lines();
    let lines = lines.map(|line| format!("{}{line}", " ".repeat(by)));
    lines.collect::<Vec<_>>().join("\n")
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
          access_log: @ACCESS_LOG@
@OPTIONS@
          http_filters:
@FILTERS@
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            name: main
@ROUTES@
@INNER_LISTENER@
  clusters:
  - name: up
    connect_timeout: 1s
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint: &up
            address: { socket_address: { address: 127.0.0.1, port_value: @UPSTREAM@ } }
  - name: dead
    connect_timeout: 1s
    load_assignment:
      cluster_name: dead
      endpoints:
      - lb_endpoints:
        - endpoint: &dead
            address: { socket_address: { address: 127.0.0.1, port_value: @DEAD@ } }
  - name: empty
    connect_timeout: 1s
    load_assignment: { cluster_name: empty }
@CLUSTERS@
"#;

const INNER: &str = r#"
  - name: inner
    address: &inner { socket_address: { address: 127.0.0.1, port_value: @INNER@ } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": @HCM@
          stat_prefix: inner
          server_header_transformation: PASS_THROUGH
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            name: inner
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{ match: { prefix: / }, route: { cluster: up } }]
"#;

pub(crate) const HCM: &str = concat!(
    "type.googleapis.com/envoy.extensions.filters.network.",
    "http_connection_manager.v3.HttpConnectionManager"
);

const ALL_UP: &str = r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes: [{ match: { prefix: "/" }, route: { cluster: up } }]"#;

/// All configurations.
pub(crate) fn all() -> impl Iterator<Item = &'static Setting> {
    let more = [options::SETTINGS, tunnels::SETTINGS, small::SETTINGS, times::SETTINGS];
    SETTINGS.iter().chain(more.into_iter().flatten()).chain(shapes::SETTINGS).chain(local::SETTINGS)
}

/// Cases that HTTP/2 answers otherwise on purpose, by HTTP/2 alone.
pub(crate) const BY_HTTP_2: &[(&str, &str)] = &[
    ("few fields/several by HTTP/2", "a request's head is beyond"),
    ("few fields/twice the same by HTTP/2", "a request's head is beyond"),
    ("fields enough/several by HTTP/2", "a request's head is beyond"),
    ("fields enough/twice the same by HTTP/2", "a request's head is beyond"),
    ("no underscores/one by HTTP/2", "a request with an underscore in a name"),
    ("bodies kept back/too long by HTTP/2", "a body that comes at once by HTTP/2"),
    ("unusual fields/spaces around by HTTP/2", "a value that begins or ends with a space"),
];

/// Why a case differs by HTTP/2, given why it does by HTTP/1.
pub(crate) fn by_http_2(name: &str, by_http_1: Option<&'static str>) -> Option<&'static str> {
    let listed = BY_HTTP_2.iter().find(|(listed, _)| *listed == name).map(|(_, line)| *line);
    listed.or(by_http_1)
}

const SETTINGS: &[Setting] = &[
    Setting {
        name: "plain",
        options: "",
        filters: "",
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("get", "GET /a?b=c HTTP/1.1\r\nHost: Example.com\r\nX-Mixed-Case: Value\r\n\r\n"),
            same("head", "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("post length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"),
            same("post empty", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
            same(
                "post chunked",
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n\
                 0\r\n\r\n",
            ),
            same(
                "request trailers",
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n\
                 0\r\nx-t: 1\r\n\r\n",
            ),
            same(
                "pipelined",
                "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
            ),
            same("connection close", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            same(
                "hop by hop",
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n\
                 Keep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\n\r\n",
            ),
            same("own request id", "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n\r\n"),
            same(
                "envoy headers from outside",
                "GET / HTTP/1.1\r\nHost: x\r\nX-Envoy-Upstream-Rq-Timeout-Ms: 5000\r\n\
                 X-Forwarded-Proto: https\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
            ),
            same("repeated field", "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A: 2\r\n\r\n"),
            same("absolute form", "GET http://other.example/p HTTP/1.1\r\nHost: x\r\n\r\n"),
            same(
                "method QUERY",
                "QUERY / HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nhi",
            ),
            differs(
                "method QUERY without a type",
                "QUERY / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
                "method QUERY without `content-type`",
            ),
            same("204", "GET /status/204 HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("304", "GET /status/304 HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("503 from upstream", "GET /status/503 HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("chunked response", "GET /chunked HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("response until close", "GET /close HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("upstream closes", "GET /closing HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("interim response", "GET /interim HTTP/1.1\r\nHost: x\r\n\r\n"),
            differs(
                "response hop by hop",
                "GET /hop HTTP/1.1\r\nHost: x\r\n\r\n",
                "what `connection` lists in a response",
            ),
            same("broken response", "GET /broken HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("no response", "GET /silent HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("short response", "GET /short HTTP/1.1\r\nHost: x\r\n\r\n"),
            same(
                "expect continue",
                "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
            ),
            same("http/1.0", "GET / HTTP/1.0\r\n\r\n"),
            same("no host", "GET / HTTP/1.1\r\n\r\n"),
            same(
                "upgrade refused",
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            ),
            same("no head at all", "nonsense\r\n\r\n"),
            same(
                "two lengths",
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            ),
            same(
                "length and chunked",
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\
                 Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
            same("space before colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n"),
            same("dots stay", "GET /a/../b/./c HTTP/1.1\r\nHost: x\r\n\r\n"),
        ],
    },
    Setting {
        name: "routes",
        options: "",
        filters: "",
        routes: r#"virtual_hosts:
- name: exact
  domains: ["a.example", "a.example:80"]
  routes:
  - match: { path: "/exact" }
    direct_response: { status: 200, body: { inline_string: "exact" } }
  - match: { prefix: "/pre" }
    direct_response: { status: 201, body: { inline_string: "prefix" } }
  - match: { path_separated_prefix: "/sep" }
    direct_response: { status: 202, body: { inline_string: "separated" } }
  - match: { safe_regex: { regex: "/re/[0-9]+" } }
    direct_response: { status: 203, body: { inline_string: "regex" } }
  - match: { prefix: "/hdr", headers: [{ name: x-k, string_match: { exact: v } }] }
    direct_response: { status: 206, body: { inline_string: "header" } }
  - match: { prefix: "/q", query_parameters: [{ name: k, string_match: { exact: v } }] }
    direct_response: { status: 207, body: { inline_string: "query" } }
  - match: { prefix: "/CASE", case_sensitive: false }
    direct_response: { status: 208, body: { inline_string: "case" } }
  - match: { prefix: "/dead" }
    route: { cluster: dead }
  - match: { prefix: "/empty" }
    route: { cluster: empty }
- name: suffix
  domains: ["*.wild.example"]
  routes:
  - match: { prefix: "/" }
    direct_response: { status: 200, body: { inline_string: "suffix" } }
- name: changes
  domains: ["changes"]
  request_headers_to_add: [{ header: { key: x-added, value: "1" } }]
  request_headers_to_remove: ["x-gone"]
  response_headers_to_add:
  - { header: { key: x-resp, value: "r" }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
  response_headers_to_remove: ["x-up"]
  routes: [{ match: { prefix: "/" }, route: { cluster: up, timeout: 5s } }]"#,
        clusters: "",
        cases: &[
            same("exact path", "GET /exact HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("exact path with query", "GET /exact?x HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("exact path longer", "GET /exactly HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("host case", "GET /exact HTTP/1.1\r\nHost: A.Example\r\n\r\n"),
            same("host with port", "GET /exact HTTP/1.1\r\nHost: a.example:80\r\n\r\n"),
            same("host with other port", "GET /exact HTTP/1.1\r\nHost: a.example:81\r\n\r\n"),
            same("prefix", "GET /prefix HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("separated", "GET /sep/x HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("separated not", "GET /sepx HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("regex", "GET /re/42 HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("regex must be whole", "GET /re/42x HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("header", "GET /hdr HTTP/1.1\r\nHost: a.example\r\nX-K: v\r\n\r\n"),
            same("header not", "GET /hdr HTTP/1.1\r\nHost: a.example\r\nX-K: w\r\n\r\n"),
            same("query", "GET /q?a=b&k=v HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("query not", "GET /q?k=vv HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("path case", "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("suffix host", "GET / HTTP/1.1\r\nHost: b.wild.example\r\n\r\n"),
            same("suffix needs more", "GET / HTTP/1.1\r\nHost: .wild.example\r\n\r\n"),
            same("no host found", "GET / HTTP/1.1\r\nHost: other\r\n\r\n"),
            same("refused upstream", "GET /dead HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("no endpoints", "GET /empty HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same("direct to head", "HEAD /exact HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            same(
                "direct to post",
                "POST /exact HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi",
            ),
            same(
                "header changes",
                "GET / HTTP/1.1\r\nHost: changes\r\nX-Gone: 1\r\nX-Added: 0\r\n\r\n",
            ),
        ],
    },
    Setting {
        name: "policy",
        options: "normalize_path: true\nmerge_slashes: true\nserver_name: mine\n\
                  upgrade_configs: [{ upgrade_type: websocket }]",
        filters: r#"- name: envoy.filters.http.rbac
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
    rules:
      action: ALLOW
      policies:
        readers:
          permissions:
          - and_rules:
              rules:
              - header: { name: ":method", string_match: { exact: GET } }
              - url_path: { path: { prefix: "/api/reviews/" } }
          principals: [{ any: true }]"#,
        routes: ALL_UP,
        clusters: "",
        cases: &[
            same("allowed", "GET /api/reviews/1 HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("method", "POST /api/reviews/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
            same(
                "method with body",
                "POST /api/reviews/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
            ),
            same("path", "GET /other HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("dots out", "GET /api/reviews/../secret HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("dots in", "GET /x/../api/reviews/1 HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("slashes", "GET //api//reviews//1 HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("encoded dots", "GET /api/reviews/%2e%2e/secret HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("encoded slash", "GET /api/reviews%2F1 HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("backslash", "GET /api\\reviews\\1 HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("query is not path", "GET /other?/api/reviews/ HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("upper case", "GET /API/reviews/1 HTTP/1.1\r\nHost: x\r\n\r\n"),
            same("head", "HEAD /other HTTP/1.1\r\nHost: x\r\n\r\n"),
        ],
    },
    formats::SETTING,
    headers::SETTING,
    dns::SETTING,
    health::SETTING,
];
