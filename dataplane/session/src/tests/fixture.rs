//! Snapshots made by hand, and upstreams of a few lines.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use config::snapshot::*;
use ring::start::Which;
use tls::ServerContext;

pub(super) use super::proxy::{PATIENCE, Proxy};

/// Runs a test on every driver that this machine has; says so where one is missing.
pub(super) fn on_both(test: impl Fn(Which)) {
    test(Which::Epoll);
    match ring::start::probe() {
        Ok(_) => test(Which::Uring),
        Err(why) => {
            let thread = thread::current();
            let name = thread.name().unwrap_or("a test without a name");
            let file = std::env::var_os("RINGWAY_SKIPS");
            skip_to(file.as_deref(), &format!("{name} on io_uring"), &why);
        }
    }
}

/// Says by name that a test was not run, also in the file that the names are collected in: it does
/// not count as passed.
fn skip_to(file: Option<&OsStr>, test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
    let Some(path) = file else { return };
    let mut file = File::options().create(true).append(true).open(path).expect("the file of skips");
    writeln!(file, "{test}: {why}").expect("written");
}

/// Says by name that a part of a test was not run.
pub(super) fn skip(test: &str, why: &str) {
    skip_to(std::env::var_os("RINGWAY_SKIPS").as_deref(), test, why);
}

#[test]
fn a_skip_is_noted_by_name() {
    let file = std::env::temp_dir().join(format!("session-skips-{}", std::process::id()));
    skip_to(Some(file.as_os_str()), "one on io_uring", "forbidden");
    skip_to(Some(file.as_os_str()), "two", "no IPv6");
    let text = std::fs::read_to_string(&file).expect("read");
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(text, "one on io_uring: forbidden\ntwo: no IPv6\n");
}

/// A listening socket as the program makes them, on a port that is free.
pub(super) fn bound() -> Arc<Bound> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = ring::listener(any, ring::Bind::default()).expect("a port");
    Arc::new(Bound { sockets: vec![socket] })
}

pub(super) fn snapshot(listener: Listener, clusters: Vec<Cluster>) -> Snapshot {
    Snapshot {
        generation: 1,
        listeners: vec![Arc::new(listener)],
        clusters: clusters.into_iter().map(|cluster| Some(Arc::new(cluster))).collect(),
        routes: HashMap::new(),
    }
}

pub(super) fn listener(address: SocketAddr, bound: Arc<Bound>, terminal: Terminal) -> Listener {
    listener_with(address, bound, terminal, None)
}

pub(super) fn listener_with(
    address: SocketAddr,
    bound: Arc<Bound>,
    terminal: Terminal,
    tls: Option<Arc<ServerContext>>,
) -> Listener {
    let chain = FilterChain {
        name: "only".into(),
        matches: ChainMatch::default(),
        tls,
        tls_timeout: None,
        rbac: Vec::new(),
        gates: Vec::new(),
        cluster_by_sni: false,
        terminal,
    };
    Listener {
        name: "listener".into(),
        address,
        bound: Some(bound),
        use_original_dst: false,
        original_dst: false,
        proxy_protocol: None,
        tls_inspector: None,
        http_inspector: None,
        inspect_timeout: Some(Duration::from_secs(15)),
        continue_on_timeout: false,
        chains: vec![Arc::new(chain)],
        default_chain: None,
        buffer_limit: 1 << 20,
        access_log: Vec::new(),
    }
}

pub(super) fn cluster(id: u32, hosts: &[SocketAddr]) -> Cluster {
    let hosts = hosts.iter().map(|address| Endpoint::new(*address)).collect();
    Cluster {
        id: ClusterId(id),
        name: format!("cluster-{id}").into(),
        discovery: Discovery::Static,
        policy: LbPolicy::RoundRobin,
        balance: Balance::default(),
        subsets: None,
        outlier: None,
        panic_percent: 50,
        endpoints: Arc::new(Endpoints { version: 1, hosts, ..Endpoints::default() }),
        connect_timeout: Duration::from_secs(2),
        transport_matches: Vec::new(),
        transport: UpstreamTransport::Raw,
        bind: None,
        limits: CircuitBreakers::UNLIMITED,
        max_requests_per_connection: 0,
        idle_timeout: None,
        port_override: None,
        protocol: UpstreamProtocol::Http1,
        http1: Http1::default(),
        http2: Http2::default(),
        max_head_kib: 60,
        max_fields: 100,
        max_connection_duration: None,
        tcp_probes: None,
        host_names: None,
    }
}

pub(super) fn tcp_proxy(cluster: u32) -> Terminal {
    Terminal::Tcp(Arc::new(TcpProxy {
        stat_prefix: "tcp".into(),
        clusters: vec![weighted(cluster, 1)],
        total_weight: 1,
        idle_timeout: None,
        tunnel: None,
        max_duration: None,
        jitter_percent: 0.0,
        max_connect_attempts: 1,
        hash_source: false,
        access_log: Vec::new(),
    }))
}

pub(super) fn weighted(cluster: u32, weight: u32) -> Weighted {
    Weighted::plain(format!("cluster-{cluster}").into(), ClusterId(cluster), weight)
}

pub(super) fn forward(clusters: &[(u32, u32)]) -> Forward {
    Forward {
        clusters: clusters.iter().map(|&(cluster, weight)| weighted(cluster, weight)).collect(),
        total_weight: clusters.iter().map(|(_, weight)| weight).sum(),
        timeout: Some(Duration::from_secs(15)),
        ..Forward::nowhere()
    }
}

pub(super) fn route(prefix: &str, action: RouteAction) -> Route {
    Route {
        name: prefix.into(),
        matches: RouteMatch::of(PathMatch::Prefix(prefix.as_bytes().into())),
        action,
        headers: HeaderChanges::default(),
        overrides: Overrides::default(),
    }
}

pub(super) fn table(routes: Vec<Route>) -> Arc<RouteTable> {
    let host = VirtualHost {
        name: "any".into(),
        routes: routes.into_iter().map(Arc::new).collect(),
        ..VirtualHost::default()
    };
    Arc::new(RouteTable { hosts: vec![Arc::new(host)], any: Some(0), ..RouteTable::default() })
}

pub(super) fn manager(routes: Vec<Route>) -> HttpManager {
    HttpManager {
        stat_prefix: "http".into(),
        routes: Routes::Inline(table(routes)),
        filters: HttpFilters::default(),
        server_name: "envoy".into(),
        server_header: ServerHeader::Overwrite,
        upgrades: vec!["websocket".into()],
        via: None,
        use_remote_address: false,
        generate_request_id: true,
        preserve_external_request_id: false,
        client_cert: ClientCert::default(),
        normalize_path: true,
        merge_slashes: false,
        escaped_slashes: EscapedSlashes::KeepUnchanged,
        accept_http_10: false,
        allow_absolute_url: true,
        proxy_100_continue: false,
        codec: Codec::Auto,
        http1: Http1::default(),
        http2: Http2::default(),
        origin: None,
        host_form: HostForm::default(),
        request_id_in_response: false,
        underscores: Underscores::Allow,
        spans: Spans::default(),
        max_head_kib: 60,
        max_fields: 100,
        idle_timeout: Some(Duration::from_secs(3600)),
        stream_idle_timeout: Some(Duration::from_secs(300)),
        request_timeout: None,
        request_headers_timeout: None,
        suppress_envoy_headers: false,
        local_replies: None,
        access_log: Vec::new(),
    }
}

/// An upstream: each connection is handed to `serve` on a thread of its own.
pub(super) fn upstream(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// An address that refuses connections: bound for as long as the tests run, so that no other test
/// comes by its port, and never listening.
pub(super) fn nobody() -> SocketAddr {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).expect("bound");
    let address = socket.local_addr().expect("known").as_socket().expect("IPv4");
    std::mem::forget(socket);
    address
}

/// Bytes that tell where they belong.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// Sends back what comes until the peer finishes.
pub(super) fn echo(mut stream: TcpStream) {
    let mut bytes = [0; 64 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..length]).is_err() {
            return;
        }
    }
}

/// Reads one HTTP/1.1 message with a content-length, or none, or chunked; `None` at the end.
pub(super) fn read_message(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let head = read_until(stream, b"\r\n\r\n")?;
    let head = String::from_utf8(head).expect("text");
    let lower = head.to_ascii_lowercase();
    if lower.contains("transfer-encoding: chunked") {
        return Some((head, read_chunks(stream)?));
    }
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |text| text.trim().parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn read_chunks(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = String::from_utf8(read_until(stream, b"\r\n")?).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        stream.read_exact(&mut chunk).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(&chunk[..length]);
    }
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(end) {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    Some(bytes)
}

/// Answers every request with 200, its own name and the request's body.
pub(super) fn answer(name: &'static str) -> impl Fn(TcpStream) + Clone + Send + 'static {
    move |mut stream| {
        while let Some((head, body)) = read_message(&mut stream) {
            let line = head.lines().next().unwrap_or_default();
            let text = format!("{name}|{line}|{}", String::from_utf8_lossy(&body));
            let head = format!(
                "HTTP/1.1 200 OK\r\nx-name: {name}\r\ncontent-length: {}\r\n\r\n",
                text.len()
            );
            if stream.write_all(format!("{head}{text}").as_bytes()).is_err() {
                return;
            }
        }
    }
}
