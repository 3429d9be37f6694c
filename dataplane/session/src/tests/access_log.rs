//! Lines of access logs: one for each request and connection, whatever becomes of it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use config::snapshot::{
    AccessLog, Ask, ClusterId, Fact, FieldName, Format, HttpManager, LogCollector, LogFormat,
    LogTarget, Operator, OtlpFormat, OtlpNode, Part, RouteAction, TcpProxy, Terminal,
};

use super::allocation::{allocations, terse};
use super::fixture::{
    Proxy, cluster, echo, forward, manager, nobody, on_both, read_message, route, tcp_proxy,
    upstream,
};
use super::peer::Peer;
use super::retry::always;

/// A line of these, with a space between them.
fn log(asks: &[Ask]) -> AccessLog {
    let mut parts = Vec::new();
    for ask in asks {
        parts.push(Part::Operator(Operator { ask: ask.clone(), bytes_max: None }));
        parts.push(Part::Text(b" "[..].into()));
    }
    parts.pop();
    parts.push(Part::Text(b"\n"[..].into()));
    let format = LogFormat::Text { format: Format { parts }, empty: "-" };
    AccessLog { filter: None, format, target: LogTarget::Stdout }
}

fn facts() -> Vec<Ask> {
    let field = |name: &str| FieldName { name: name.as_bytes().into(), other: None };
    vec![
        Ask::Request(field(":method")),
        Ask::Request(field(":path")),
        Ask::Fact(Fact::Protocol),
        Ask::Fact(Fact::ResponseCode),
        Ask::Fact(Fact::ResponseFlags),
        Ask::Details { spaces: false },
        Ask::Fact(Fact::BytesReceived),
        Ask::Fact(Fact::BytesSent),
        Ask::Fact(Fact::UpstreamCluster),
        Ask::Fact(Fact::UpstreamRequestAttemptCount),
        Ask::Response(field("content-length")),
    ]
}

/// A record of these for a collector.
fn record(asks: &[Ask]) -> AccessLog {
    let node = |ask: &Ask| {
        let parts = vec![Part::Operator(Operator { ask: ask.clone(), bytes_max: None })];
        OtlpNode::Text(Format { parts })
    };
    let attributes = asks.iter().map(|ask| ((*b"\x0a\x01k").into(), node(ask))).collect();
    let body = Some(OtlpNode::List(asks.iter().map(node).collect()));
    let collector = LogCollector {
        name: "log".into(),
        stat_prefix: "".into(),
        cluster: ClusterId(0),
        cluster_name: "cluster-0".into(),
        authority: "".into(),
        timeout: Duration::from_secs(10),
        metadata: Vec::new(),
        flush_interval: Duration::from_secs(1),
        buffer_bytes: 16_384,
        has_labels: true,
        attributes: Vec::new(),
    };
    let format = LogFormat::Otlp(OtlpFormat { body, attributes });
    AccessLog { filter: None, format, target: LogTarget::Collector(Arc::new(collector)) }
}

fn logging(to: u32) -> HttpManager {
    let direct = RouteAction::Direct { status: 418, body: (*b"tea").into() };
    let routes = vec![route("/tea", direct), route("/", RouteAction::Forward(forward(&[(to, 1)])))];
    HttpManager { access_log: vec![log(&facts())], ..manager(routes) }
}

fn answer(proxy: &Proxy, request: &[u8]) {
    let mut client = proxy.connect();
    client.write_all(request).expect("sent");
    read_message(&mut client).expect("answered");
    client.shutdown(Shutdown::Both).expect("closed");
}

#[test]
fn a_request_is_told_of_once() {
    on_both(|which| {
        let up = always("200 OK").0;
        let clusters = vec![cluster(0, &[up]), cluster(1, &[nobody()])];
        let proxy = Proxy::start(which, Terminal::Http(Arc::new(logging(0))), clusters);
        let mut client = proxy.connect();
        for _ in 0..2 {
            client
                .write_all(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
                .expect("sent");
            read_message(&mut client).expect("answered");
        }
        drop(client);
        answer(&proxy, b"GET /tea HTTP/1.1\r\nHost: x\r\n\r\n");
        answer(&proxy, b"NO REQUEST\r\n\r\n");
        let mut client = Peer::client(proxy.connect());
        let id = client.ask("GET", "/b", &[], None);
        client.wait(id);
        drop(client);
        proxy.settles_down(0);
        let lines = proxy.logged();
        assert_eq!(lines.len(), 5, "{lines:#?}");
        let post = "POST /a HTTP/1.1 200 - via_upstream 3 ";
        assert!(lines[0].starts_with(post) && lines[0].contains(" cluster-0 1 "), "{lines:#?}");
        assert_eq!(lines[0], lines[1]);
        assert_eq!(lines[2], "GET /tea HTTP/1.1 418 - direct_response 0 3 - 0 3");
        assert!(lines[3].starts_with("- - HTTP/1.1 400 DPE http1."), "{lines:#?}");
        assert!(lines[4].starts_with("GET /b HTTP/2 200 - via_upstream 0 "), "{lines:#?}");
    });
}

/// Nobody listens, and nobody waits: what the reply says of it, the line says too.
#[test]
fn failures_say_why() {
    on_both(|which| {
        let clusters = vec![cluster(0, &[nobody()])];
        let proxy = Proxy::start(which, Terminal::Http(Arc::new(logging(0))), clusters);
        answer(&proxy, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
        proxy.settles_down(0);
        let lines = proxy.logged();
        let details = "upstream_reset_before_response_started{remote_connection_failure|\
                       delayed_connect_error:_Connection_refused}";
        assert_eq!(lines.len(), 1, "{lines:#?}");
        let expected = format!("GET /x HTTP/1.1 503 UF {details} 0 ");
        assert!(lines[0].starts_with(&expected), "{lines:#?}");
        // A client that does not wait for its answer.
        let silent = upstream(|mut stream| while stream.read(&mut [0; 64]).is_ok_and(|n| n > 0) {});
        let clusters = vec![cluster(0, &[silent])];
        let proxy = Proxy::start(which, Terminal::Http(Arc::new(logging(0))), clusters);
        let mut client = proxy.connect();
        client.write_all(b"GET /gone HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        std::thread::sleep(Duration::from_millis(100));
        drop(client);
        proxy.settles_down(0);
        let lines = proxy.logged();
        let expected = "GET /gone HTTP/1.1 0 DC downstream_remote_disconnect 0 0 cluster-0 1 -";
        assert_eq!(lines, [expected]);
    });
}

#[test]
fn a_connection_is_told_of_with_its_bytes() {
    on_both(|which| {
        let asks = [
            Ask::Fact(Fact::AccessLogType),
            Ask::Fact(Fact::ResponseFlags),
            Ask::Fact(Fact::BytesReceived),
            Ask::Fact(Fact::BytesSent),
            Ask::Fact(Fact::UpstreamCluster),
        ];
        let terminal = || {
            let Terminal::Tcp(proxy) = tcp_proxy(0) else { panic!("a TCP proxy") };
            let TcpProxy { stat_prefix, clusters, total_weight, .. } = &*proxy;
            Terminal::Tcp(Arc::new(TcpProxy {
                stat_prefix: Arc::clone(stat_prefix),
                clusters: clusters.clone(),
                total_weight: *total_weight,
                idle_timeout: None,
                tunnel: None,
                max_duration: None,
                jitter_percent: 0.0,
                max_connect_attempts: 1,
                hash_source: false,
                access_log: vec![log(&asks)],
            }))
        };
        let proxy = Proxy::start(which, terminal(), vec![cluster(0, &[upstream(echo)])]);
        let mut client = proxy.connect();
        client.write_all(&[7; 70_000]).expect("sent");
        client.read_exact(&mut [0; 70_000]).expect("echoed");
        drop(client);
        proxy.settles(0, 0);
        assert_eq!(proxy.logged(), ["TcpConnectionEnd - 70000 70000 cluster-0"]);
        let proxy = Proxy::start(which, terminal(), vec![cluster(0, &[nobody()])]);
        let _ = proxy.connect().read(&mut [0; 1]);
        proxy.settles(0, 0);
        assert_eq!(proxy.logged(), ["TcpConnectionEnd UF,URX 0 0 cluster-0"]);
    });
}

/// The records and the blocks are used again.
#[test]
fn a_request_that_is_logged_allocates_nothing_after_warm_up() {
    on_both(|which| {
        let logged = || {
            let mut manager = logging(0);
            manager.access_log.push(record(&facts()));
            let terminal = Terminal::Http(Arc::new(manager));
            Proxy::start(which, terminal, vec![cluster(0, &[upstream(terse)])])
        };
        let (few, many) = (allocations(logged, 500), allocations(logged, 4_500));
        assert!(many < few + 20, "{which:?}: {few} for 500 requests, {many} for 4,500");
    });
}
