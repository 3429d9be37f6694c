//! Access logs by OTLP: both proxies send records to one collector, and must say the same.
//!
//! Every record holds the port that its proxy listens on, which tells whose it is, and the port of
//! the client, which tells of what.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::cases::HCM;
use crate::collector::{AnyValue, Call, Collector, KeyValue, LogRecord, Value};
use crate::harness::Pair;
use crate::logs;

/// Logs of the connection manager: forms of bodies and attributes, labels and none, a filter.
const LOGS: &str = r#"
          - name: full
            typed_config: &full
              "@type": @OTLP@
              common_config:
                log_name: full
                transport_api_version: V3
                grpc_service:
                  envoy_grpc: { cluster_name: collector }
                  initial_metadata: [{ key: x-token, value: t }]
              body: { string_value: "%REQ(:METHOD)% %REQ(X-GONE)% 100%% é" }
              resource_attributes:
                values:
                - { key: region, value: { string_value: "as it is: %PROTOCOL%" } }
                - { key: count, value: { int_value: 7 } }
                - { key: nested, value: { array_value: { values: [{ bool_value: true }] } } }
              attributes: &attributes
                values:
                - { key: listener, value: { string_value: "%DOWNSTREAM_LOCAL_PORT%" } }
                - { key: client, value: { string_value: "%DOWNSTREAM_DIRECT_REMOTE_PORT%" } }
                - { key: path, value: { string_value: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%" } }
                - { key: code, value: { string_value: "%RESPONSE_CODE%" } }
                - { key: code_in_words, value: { string_value: "code %RESPONSE_CODE%" } }
                - { key: flags, value: { string_value: "%RESPONSE_FLAGS%" } }
                - { key: details, value: { string_value: "%RESPONSE_CODE_DETAILS%" } }
                - { key: host, value: { string_value: "%UPSTREAM_HOST%" } }
                - { key: cluster, value: { string_value: "%UPSTREAM_CLUSTER_RAW%" } }
                - { key: field, value: { string_value: "%REQ(X-FIELD)%" } }
                - { key: cut, value: { string_value: "%REQ(X-FIELD):3%" } }
                - { key: answer, value: { string_value: "%RESP(X-UP)%" } }
                - { key: received, value: { string_value: "%BYTES_RECEIVED%" } }
                - { key: state, value: { string_value: "%FILTER_STATE(x)%" } }
                - { key: empty, value: { string_value: "" } }
                - { key: twice, value: { string_value: "1" } }
                - { key: twice, value: { string_value: "2" } }
                - key: map
                  value:
                    kvlist_value:
                      values:
                      - { key: b, value: { string_value: "%PROTOCOL%" } }
                      - { key: a, value: { kvlist_value: {} } }
                - key: list
                  value:
                    array_value:
                      values:
                      - { string_value: "%ROUTE_NAME%" }
                      - { array_value: { values: [{ string_value: "%ACCESS_LOG_TYPE%" }] } }
                      - { kvlist_value: { values: [{ key: k, value: { string_value: v } }] } }
          - name: bare
            typed_config:
              "@type": @OTLP@
              common_config: &istio
                log_name: otel_envoy_accesslog
                transport_api_version: V3
                filter_state_objects_to_log: [wasm.upstream_peer, wasm.downstream_peer]
                grpc_service: { envoy_grpc: { cluster_name: collector, authority: otel.test } }
              disable_builtin_labels: true
              attributes: *attributes
          - name: failures
            filter:
              status_code_filter:
                comparison: { op: GE, value: { default_value: 400, runtime_key: r } }
            typed_config:
              "@type": @OTLP@
              grpc_service: { envoy_grpc: { cluster_name: collector }, timeout: 3s }
              log_name: failures
              stat_prefix: failures
              buffer_flush_interval: 0.2s
              buffer_size_bytes: 0
              resource_attributes:
                values:
                - { key: zone_name, value: { string_value: over } }
                - { key: own, value: { string_value: first } }
                - { key: own, value: { string_value: last } }
              body:
                kvlist_value:
                  values:
                  - { key: listener, value: { string_value: "%DOWNSTREAM_LOCAL_PORT%" } }
                  - { key: client, value: { string_value: "%DOWNSTREAM_DIRECT_REMOTE_PORT%" } }
                  - key: code
                    value: { array_value: { values: [{ string_value: "%RESPONSE_CODE%" }] } }
"#;

const BOOTSTRAP: &str = r#"
node:
  id: sidecar~10.0.0.1~app.ns~ns.svc.cluster.local
  cluster: app.ns
  locality: { region: eu, zone: eu-1 }
static_resources:
  listeners:
  - name: main
    address: { socket_address: { address: 127.0.0.1, port_value: @LISTEN@ } }
    access_log:
    - name: connections
      filter: { response_flag_filter: { flags: ["NR"] } }
      typed_config: &connections
        "@type": @OTLP@
        common_config:
          log_name: connections
          transport_api_version: V3
          grpc_service: { envoy_grpc: { cluster_name: collector } }
        attributes:
          values:
          - { key: listener, value: { string_value: "%DOWNSTREAM_LOCAL_PORT%" } }
          - { key: client, value: { string_value: "%DOWNSTREAM_DIRECT_REMOTE_PORT%" } }
          - { key: flags, value: { string_value: "%RESPONSE_FLAGS%" } }
          - { key: details, value: { string_value: "%RESPONSE_CODE_DETAILS%" } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": @HCM@
          stat_prefix: main
          access_log:@LOGS@
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            name: main
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - { name: dead, match: { prefix: "/dead" }, route: { cluster: dead } }
              - { name: tea, match: { path: "/tea" }, direct_response: { status: 418 } }
              - { match: { prefix: "/up" }, route: { cluster: up } }
  clusters:
  - name: up
    connect_timeout: 1s
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: { socket_address: { address: 127.0.0.1, port_value: @UPSTREAM@ } }
  - name: dead
    connect_timeout: 1s
    load_assignment:
      cluster_name: dead
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: { socket_address: { address: 127.0.0.1, port_value: @DEAD@ } }
  - name: collector
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
    load_assignment:
      cluster_name: collector
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: { socket_address: { address: 127.0.0.1, port_value: @COLLECTOR@ } }
"#;

const OTLP: &str = concat!(
    "type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.",
    "OpenTelemetryAccessLogConfig"
);

/// What is asked of both, and how many records come of each.
pub(crate) const CASES: &[(&str, &str, usize)] = &[
    ("up", "GET /up?a=b HTTP/1.1\r\nHost: x\r\nX-Field: value\r\n\r\n", 2),
    ("body", "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 2),
    ("no route", "GET /none HTTP/1.1\r\nHost: x\r\n\r\n", 3),
    ("direct", "GET /tea HTTP/1.1\r\nHost: x\r\nX-Field: caf\u{e9}\r\n\r\n", 3),
    ("dead", "GET /dead HTTP/1.1\r\nHost: x\r\n\r\n", 3),
    ("quotes", "GET /up/\"x\" HTTP/1.1\r\nHost: x\r\nX-Field: a\"b\\c\td\r\n\r\n", 2),
    ("long", LONG, 2),
];

/// Its length takes two bytes in protobuf.
const LONG: &str = concat!(
    "GET /up/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    " HTTP/1.1\r\nHost: x\r\n\r\n"
);

pub(crate) fn bootstrap(collector: &Collector) -> String {
    BOOTSTRAP
        .replace("@LOGS@", LOGS.trim_end())
        .replace("@HCM@", HCM)
        .replace("@OTLP@", OTLP)
        .replace("@COLLECTOR@", &collector.address.port().to_string())
}

/// A record with the resource that it came with, as text that can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Told {
    resource: String,
    record: String,
}

/// What one of the two has sent.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// By the client's port.
    pub(crate) records: BTreeMap<u16, Vec<Told>>,
    /// Each kind of head of a call once.
    pub(crate) heads: Vec<String>,
}

/// Waits until both have sent so many records, and gives them by the ports that they listen on.
pub(crate) fn sent(collector: &Collector, many: usize, since: SystemTime) -> BTreeMap<u16, Sent> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let calls = collector.calls();
        let by_port = sorted(&calls, since);
        let counts: Vec<usize> =
            by_port.values().map(|sent| sent.records.values().map(Vec::len).sum()).collect();
        if (counts.len() == 2 && counts.iter().all(|count| *count >= many))
            || Instant::now() > deadline
        {
            return by_port;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn sorted(calls: &[Call], since: SystemTime) -> BTreeMap<u16, Sent> {
    let mut all: BTreeMap<u16, Sent> = BTreeMap::new();
    for call in calls {
        for logs in &call.message.resource_logs {
            assert_eq!(logs.scope_logs.len(), 1, "{logs:?}");
            let (scope, resource) = (&logs.scope_logs[0], format!("{:?}", logs.resource));
            assert_eq!(scope.scope, None);
            let mut whose = 0;
            for record in &scope.log_records {
                let (listener, client) = ports(record);
                whose = listener;
                let record = as_text(record, listener, client, since);
                let told = Told { resource: resource.clone(), record };
                all.entry(listener).or_default().records.entry(client).or_default().push(told);
            }
            let sent = all.entry(whose).or_default();
            let head = head(call);
            if !sent.heads.contains(&head) {
                sent.heads.push(head);
            }
        }
    }
    all.values_mut().for_each(|sent| {
        sent.heads.sort();
        sent.records.values_mut().for_each(|told| told.sort());
    });
    all
}

/// What a server may look at.
fn head(call: &Call) -> String {
    let names = ["content-type", "te", "x-token", "grpc-timeout"];
    let fields = names.map(|name| call.fields.get_all(name).iter().collect::<Vec<_>>());
    format!("{:?} {} {fields:?}", call.uri.authority(), call.uri.path())
}

/// The ports of listener and client, in the attributes or in the body.
fn ports(record: &LogRecord) -> (u16, u16) {
    let of_body = match &record.body {
        Some(AnyValue { value: Some(Value::Map(map)) }) => &map.values[..],
        _ => &[],
    };
    let of = |name: &str| {
        let mut pairs = record.attributes.iter().chain(of_body);
        let pair = pairs.find(|pair| pair.key == name).unwrap_or_else(|| panic!("{record:?}"));
        text(pair).parse().expect("a port")
    };
    (of("listener"), of("client"))
}

fn text(pair: &KeyValue) -> &str {
    match &pair.value {
        Some(AnyValue { value: Some(Value::Text(text)) }) => text,
        other => panic!("{other:?}"),
    }
}

/// All fields but the time, which has to be that of the request.
fn as_text(record: &LogRecord, listener: u16, client: u16, since: SystemTime) -> String {
    let nanos = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        u64::try_from(since.as_nanos()).expect("before 2554")
    };
    // Whoever reads clocks now and then is a moment behind.
    let (first, last) = (nanos(since) - 50_000_000, nanos(SystemTime::now()) + 50_000_000);
    let time = record.time_unix_nano;
    assert!((first..=last).contains(&time), "{first} {time} {last}");
    let timeless = LogRecord { time_unix_nano: 0, ..record.clone() };
    let mut text = format!("{timeless:#?}");
    for (port, name) in [(listener, "LISTENER"), (client, "CLIENT")] {
        text = text.replace(&format!("\"{port}\""), name);
    }
    logs::steady(&text.replace("\"127.0.0.", "\" 127.0.0."))
}

/// The two, by the ports that they listen on.
pub(crate) fn whose(pair: &Pair, mut sent: BTreeMap<u16, Sent>) -> [Sent; 2] {
    let addresses: [SocketAddr; 2] = pair.addresses();
    addresses.map(|address| sent.remove(&address.port()).unwrap_or_default())
}
