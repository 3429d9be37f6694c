//! Access logs of the whole program: what reaches a file, when, and where to after SIGUSR1.

#[path = "differential/collector.rs"]
mod collector;
mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use collector::{AnyValue, Collector, Value};
use common::free_address;
use common::running::{self, Running};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const HCM: &str = concat!(
    "type.googleapis.com/envoy.extensions.filters.network.",
    "http_connection_manager.v3.HttpConnectionManager"
);

const BOOTSTRAP: &str = r#"
admin: { address: { socket_address: { address: 127.0.0.1, port_value: @ADMIN@ } } }
static_resources:
  listeners:
  - name: main
    address: { socket_address: { address: 127.0.0.1, port_value: @LISTEN@ } }
    access_log:
    - name: connections
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
        log_format: { text_format_source: { inline_string: "connection %BYTES_SENT%\n" } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": @HCM@
          stat_prefix: main
          access_log:
          - name: requests
            filter:
              status_code_filter: { comparison: { op: GE, value: { default_value: 400 } } }
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: "@LOG@"
              log_format: { json_format: { path: "%REQ(:path)%", code: "%RESPONSE_CODE%" } }
          - name: records
            typed_config:
              "@type": @OTLP@
              common_config:
                log_name: records
                transport_api_version: V3
                grpc_service: { envoy_grpc: { cluster_name: collector } }
              body: { string_value: "%REQ(:path)% @PADDING@" }
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
              - { match: { prefix: "/good" }, direct_response: { status: 200 } }
              - { match: { prefix: "/" }, direct_response: { status: 404 } }
  clusters:
  - name: collector
    connect_timeout: 1s
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

struct Proxy {
    running: Running,
    address: SocketAddr,
    admin: SocketAddr,
    log: PathBuf,
}

impl Proxy {
    /// Its records go to that collector; each has so many bytes more.
    fn start(name: &str, collector: SocketAddr, padding: usize) -> Self {
        let folder = running::fresh_folder(&format!("access-log-{name}"));
        let (address, admin, log) = (free_address(), free_address(), folder.join("requests.log"));
        let text = BOOTSTRAP
            .replace("@HCM@", HCM)
            .replace("@OTLP@", OTLP)
            .replace("@PADDING@", &"x".repeat(padding))
            .replace("@COLLECTOR@", &collector.port().to_string())
            .replace("@LISTEN@", &address.port().to_string())
            .replace("@ADMIN@", &admin.port().to_string())
            .replace("@LOG@", &log.display().to_string());
        let file = folder.join("bootstrap.yaml");
        fs::write(&file, text).expect("the bootstrap");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway-proxy"));
        command.args(["--concurrency", "2", "-l", "error", "-c"]).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let running = running::start(&mut command, &[address, admin], &folder.join("said.log"));
        Self { running, address, admin, log }
    }

    fn ask(&self, path: &str) {
        exchange(self.address, path);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.running.0.id()).expect("a process");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    /// The lines of the file, once there are so many.
    fn lines(path: &Path, many: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..500 {
            let text = fs::read_to_string(path).unwrap_or_default();
            lines = text.lines().map(str::to_owned).collect();
            if lines.len() >= many {
                return lines;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{} has {} lines of {many}: {lines:?}", path.display(), lines.len());
    }
}

fn exchange(address: SocketAddr, path: &str) -> String {
    let mut client = TcpStream::connect(address).expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("answered");
    answer
}

#[test]
fn files_are_written_reopened_and_whole_at_the_end() {
    let mut proxy = Proxy::start("files", free_address(), 0);
    proxy.ask("/good");
    proxy.ask("/a");
    let first = Proxy::lines(&proxy.log, 1);
    assert_eq!(first, [r#"{"code":404,"path":"/a"}"#]);
    let old = proxy.log.with_extension("old");
    fs::rename(&proxy.log, &old).expect("renamed");
    proxy.signal(Signal::SIGUSR1);
    // The signal is heard by another thread than the one that writes.
    thread::sleep(Duration::from_millis(300));
    proxy.ask("/b");
    assert_eq!(Proxy::lines(&proxy.log, 1), [r#"{"code":404,"path":"/b"}"#]);
    assert_eq!(Proxy::lines(&old, 1), first);
    let stats = exchange(proxy.admin, "/stats");
    let name = format!("access_log.{}", proxy.log.display());
    assert!(stats.contains(&format!("{name}.lines_dropped: 0")), "{stats}");
    assert!(stats.contains(&format!("{name}.bytes_written: 50")), "{stats}");
    // What was asked just before the end is written too.
    for _ in 0..20 {
        proxy.ask("/last");
    }
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.running.0.wait().expect("it ends").success());
    assert_eq!(Proxy::lines(&proxy.log, 21).len(), 21);
    let mut said = String::new();
    proxy.running.0.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
    let connections = said.lines().filter(|line| line.starts_with("connection ")).count();
    assert!(connections >= 23, "{said}");
}

/// The bodies of all records so far.
fn bodies(collector: &Collector) -> Vec<String> {
    let calls = collector.calls();
    let logs = calls.iter().flat_map(|call| &call.message.resource_logs);
    let records = logs.flat_map(|logs| &logs.scope_logs).flat_map(|scope| &scope.log_records);
    let mut bodies: Vec<_> = records
        .map(|record| match &record.body {
            Some(AnyValue { value: Some(Value::Text(text)) }) => text.trim().to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    bodies.sort();
    bodies
}

#[test]
fn the_last_records_reach_their_collector() {
    let collector = Collector::start();
    let mut proxy = Proxy::start("records", collector.address, 0);
    for number in 0..20 {
        proxy.ask(&format!("/{number:02}"));
    }
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.running.0.wait().expect("it ends").success());
    let expected: Vec<_> = (0..20).map(|number| format!("/{number:02}")).collect();
    assert_eq!(bodies(&collector), expected);
}

/// Each request is answered, what has no room is dropped and counted, and the end is not held up.
#[test]
fn a_dead_collector_stops_no_request() {
    const ASKED: u64 = 400;
    let mut proxy = Proxy::start("dead", free_address(), 16 * 1024);
    for _ in 0..ASKED {
        assert!(exchange(proxy.address, "/good").starts_with("HTTP/1.1 200 "));
    }
    let figure = |name: &str| {
        let stats = exchange(proxy.admin, "/stats");
        let found = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.map_or(0, |value| value.parse::<u64>().expect("a number"))
    };
    // A megabyte waits; what is still with the workers is not counted yet.
    let mut dropped = 0;
    for _ in 0..500 {
        dropped = figure("access_log.records.lines_dropped");
        if dropped > ASKED / 2 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(dropped > ASKED / 2 && dropped < ASKED, "{dropped}");
    assert_eq!(figure("access_log.records.records_sent"), 0);
    assert_eq!(figure("access_logs.open_telemetry_access_log.logs_dropped"), dropped);
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.running.0.wait().expect("it ends").success());
}
