//! Network filters that count connections, or choose by the name that a client asks for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Judge, Pair};

const NETWORK: &str = "type.googleapis.com/envoy.extensions.filters.network";
const INSPECTOR: &str =
    "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";

const BOOTSTRAP: &str = r#"
static_resources:
  listeners:
  - name: main
    address: { socket_address: { address: 127.0.0.1, port_value: @LISTEN@ } }
@LISTENER_FILTERS@
    filter_chains:
    - filters:
@FILTERS@
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: main
          cluster: up
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

fn bootstrap(filter: &str) -> String {
    BOOTSTRAP
        .replace("@FILTERS@", filter)
        .replace("@LISTENER_FILTERS@", "")
        .replace("@CLUSTERS@", "")
}

fn limit(fields: &str) -> String {
    bootstrap(&format!(
        r#"      - name: limit
        typed_config:
          "@type": {NETWORK}.connection_limit.v3.ConnectionLimit
          stat_prefix: limit
          {fields}"#
    ))
}

fn rate(fields: &str) -> String {
    bootstrap(&format!(
        r#"      - name: rate
        typed_config:
          "@type": {NETWORK}.local_ratelimit.v3.LocalRateLimit
          stat_prefix: rate
          {fields}"#
    ))
}

/// The tests of the harness connect once to see that the proxy listens.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A connection, and whether it is served.
fn come(address: SocketAddr) -> (TcpStream, bool) {
    let mut stream = TcpStream::connect(address).expect("accepted");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    let _ = stream.write_all(REQUEST);
    let served = matches!(stream.read(&mut [0; 1024]), Ok(1..));
    (stream, served)
}

/// One that is served, once a place is free.
fn come_at_last(address: SocketAddr) -> TcpStream {
    for _ in 0..200 {
        if let (stream, true) = come(address) {
            return stream;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("{address}: no place comes free")
}

#[test]
fn connections_are_counted_as_envoy_does() {
    let Some(judge) = Judge::find("connections_are_counted_as_envoy_does") else { return };
    let pair = Pair::start(&judge, "gates-limit", &limit("max_connections: 2"));
    for address in pair.addresses() {
        let (first, second) = (come_at_last(address), come_at_last(address));
        assert!(!come(address).1, "{address}: a third is too many");
        drop(first);
        let third = come_at_last(address);
        assert!(!come(address).1, "{address}: again");
        drop((second, third));
    }
    let off = "max_connections: 1\n          \
               runtime_enabled: { default_value: false, runtime_key: a }";
    let pair = Pair::start(&judge, "gates-off", &limit(off));
    for address in pair.addresses() {
        let (first, second) = (come(address), come(address));
        assert!(first.1 && second.1, "{address}: it is off");
    }
}

#[test]
fn connections_that_are_too_many_wait_as_in_envoy() {
    let name = "connections_that_are_too_many_wait_as_in_envoy";
    let Some(judge) = Judge::find(name) else { return };
    let fields = "max_connections: 1\n          delay: 0.4s";
    let pair = Pair::start(&judge, "gates-delay", &limit(fields));
    for address in pair.addresses() {
        let _first = come_at_last(address);
        thread::sleep(Duration::from_millis(600));
        let begun = Instant::now();
        assert!(!come(address).1, "{address}");
        let taken = begun.elapsed();
        assert!(taken >= Duration::from_millis(350), "{address}: closed after {taken:?}");
    }
}

#[test]
fn connections_come_as_often_as_envoy_lets_them() {
    let Some(judge) = Judge::find("connections_come_as_often_as_envoy_lets_them") else { return };
    // One is taken by whoever looks whether the proxy listens.
    let bucket = "token_bucket: { max_tokens: 4, tokens_per_fill: 1, fill_interval: 1000s }";
    let pair = Pair::start(&judge, "gates-rate", &rate(bucket));
    for address in pair.addresses() {
        let served: Vec<bool> = (0..6).map(|_| come(address).1).collect();
        let count = served.iter().filter(|is_served| **is_served).count();
        assert!((1..=3).contains(&count), "{address}: {served:?}");
        assert!(served.is_sorted_by_key(|is_served| !is_served), "{address}: {served:?}");
    }
    let off =
        format!("{bucket}\n          runtime_enabled: {{ default_value: false, runtime_key: a }}");
    let pair = Pair::start(&judge, "gates-rate-off", &rate(&off));
    for address in pair.addresses() {
        assert!((0..6).all(|_| come(address).1), "{address}: it is off");
    }
}

/// A ClientHello with this server name, or none.
fn hello(name: Option<&str>) -> Vec<u8> {
    let long = |length: usize| u16::try_from(length).expect("short").to_be_bytes();
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let entry = [&[0][..], &long(name.len()), name.as_bytes()].concat();
        let list = [&long(entry.len())[..], &entry].concat();
        extensions = [&[0, 0][..], &long(list.len()), &list].concat();
    }
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &[0, 2, 0x13, 0x01],
        &[1, 0],
        &long(extensions.len()),
        &extensions,
    ]
    .concat();
    let message = [&[1, 0][..], &long(body.len()), &body].concat();
    [&[22, 3, 1][..], &long(message.len()), &message].concat()
}

/// Who is reached by a client that asks for this name, of backends that say who they are.
fn reached(address: SocketAddr, name: Option<&str>) -> String {
    let mut stream = TcpStream::connect(address).expect("accepted");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    let _ = stream.write_all(&hello(name));
    let mut said = [0; 16];
    let length = stream.read(&mut said).unwrap_or(0);
    String::from_utf8_lossy(&said[..length]).into_owned()
}

/// Says its name to whoever comes, once they have said something.
fn backend(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(name.as_bytes());
        }
    });
    port
}

#[test]
fn clusters_are_named_by_clients_as_in_envoy() {
    let Some(judge) = Judge::find("clusters_are_named_by_clients_as_in_envoy") else { return };
    let cluster = |name: &str, port: u16| {
        format!(
            "  - name: {name}\n    connect_timeout: 1s\n    load_assignment: {{ cluster_name: \
             {name}, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ \
             address: 127.0.0.1, port_value: {port} }} }} }} }}] }}] }}\n"
        )
    };
    let clusters =
        [cluster("one.test", backend("one")), cluster("two.test", backend("two"))].concat();
    let filters = r#"      - name: sni
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster"#;
    let inspector = r#"    listener_filters:
    - name: tls
      typed_config:
        "@type": @INSPECTOR@"#;
    let text = BOOTSTRAP
        .replace("@FILTERS@", filters)
        .replace("@LISTENER_FILTERS@", inspector)
        .replace("@INSPECTOR@", INSPECTOR)
        .replace("@CLUSTERS@", &clusters)
        .replace("port_value: @UPSTREAM@", &format!("port_value: {}", backend("default")));
    let pair = Pair::start(&judge, "gates-sni", &text);
    for address in pair.addresses() {
        for (name, expected) in [
            (Some("one.test"), "one"),
            (Some("two.test"), "two"),
            (Some("TWO.test"), "two"),
            (Some("three.test"), ""),
            (None, "default"),
        ] {
            assert_eq!(reached(address, name), expected, "{address}: {name:?}");
        }
    }
}
