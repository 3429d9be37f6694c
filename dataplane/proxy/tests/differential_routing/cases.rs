//! The tables. To add a case, add a line; to add a configuration, add a `Setting`.

mod deadlines;
mod matches;
mod mirrors;
mod redirect;
mod rewrite;
mod steering;
mod weights;

/// One request, as bytes.
pub(crate) struct Case {
    pub(crate) request: &'static str,
    /// The words of `docs/differences-from-envoy.md` that say why this one differs.
    pub(crate) differs: Option<&'static str>,
    /// It can be asked by HTTP/2 too.
    pub(crate) by_http2: bool,
}

/// One configuration and what is asked of it.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    /// Fields of the connection manager besides routes and filters.
    options: &'static str,
    /// HTTP filters before the router.
    filters: &'static str,
    /// Fields of the router.
    router: &'static str,
    /// Fields of the route configuration.
    routes: &'static str,
    pub(crate) cases: &'static [Case],
}

/// What most settings do without.
const PLAIN: Setting =
    Setting { name: "", options: "", filters: "", router: "", routes: "", cases: &[] };

pub(crate) fn settings() -> Vec<&'static Setting> {
    [
        redirect::SETTINGS,
        rewrite::SETTINGS,
        weights::SETTINGS,
        deadlines::SETTINGS,
        steering::SETTINGS,
        mirrors::SETTINGS,
        matches::SETTINGS,
    ]
    .concat()
}

const fn same(request: &'static str) -> Case {
    Case { request, differs: None, by_http2: true }
}

/// What HTTP/2 cannot ask, or answers otherwise for reasons of its own.
const fn by_http1(request: &'static str) -> Case {
    Case { request, differs: None, by_http2: false }
}

const fn differs(request: &'static str, line: &'static str) -> Case {
    Case { request, differs: Some(line), by_http2: true }
}

/// A GET of a path at a host with these fields.
macro_rules! get {
    ($path:literal at $host:literal $(, $field:literal)*) => {
        concat!("GET ", $path, " HTTP/1.1\r\nHost: ", $host, "\r\n", $($field, "\r\n",)* "\r\n")
    };
    ($path:literal $(, $field:literal)*) => {
        concat!("GET ", $path, " HTTP/1.1\r\nHost: x\r\n", $($field, "\r\n",)* "\r\n")
    };
}
use get;

impl Setting {
    pub(crate) fn bootstrap(&self) -> String {
        BOOTSTRAP
            .replace("@HCM@", HCM)
            .replace("@OPTIONS@", &indent(self.options, 10))
            .replace("@FILTERS@", &indent(self.filters, 10))
            .replace("@ROUTER@", &indent(self.router, 14))
            .replace("@ROUTES@", &indent(self.routes, 12))
    }
}

fn indent(text: &str, by: usize) -> String {
    let lines = text.trim_matches('\n').lines().map(|line| format!("{}{line}", " ".repeat(by)));
    lines.collect::<Vec<_>>().join("\n")
}

const HCM: &str = concat!(
    "type.googleapis.com/envoy.extensions.filters.network.",
    "http_connection_manager.v3.HttpConnectionManager"
);

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
@ROUTER@
          route_config:
            name: main
@ROUTES@
  clusters:
  - name: up
    connect_timeout: 1s
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: &up { socket_address: { address: 127.0.0.1, port_value: @UPSTREAM@ } }
  - name: named
    connect_timeout: 1s
    load_assignment:
      cluster_name: named
      endpoints: [{ lb_endpoints: [{ endpoint: { hostname: ep.example, address: *up } }] }]
  - name: dead
    connect_timeout: 1s
    load_assignment:
      cluster_name: dead
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: { socket_address: { address: 127.0.0.1, port_value: @DEAD@ } }
  - name: empty
    connect_timeout: 1s
    load_assignment: { cluster_name: empty }
"#;
