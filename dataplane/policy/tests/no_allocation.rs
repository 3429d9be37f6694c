//! After warm-up a request's whole way through the decisions costs no allocation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::snapshot::{
    Action, ChainMatch, ClientCert, ClusterId, Codec, EscapedSlashes, FilterChain, Forward,
    ForwardClientCert, HeaderChange, HeaderChanges, HeaderMatch, HostForm, HostRewrite, Http1,
    Http2, HttpFilters, HttpManager, Listener, Overrides, PathMatch, PathRewrite, Permission,
    Policy, Principal, Rewrite, Route, RouteAction, RouteMatch, RouteTable, Routes, Rules,
    ServerHeader, Spans, StringKind, StringMatch, Substitution, Terminal, Transport, Underscores,
    ValueMatch, VirtualHost, Weighted,
};
use ringway_policy::facts::{ConnectionFacts, Protocols, RequestFacts};
use ringway_policy::headers::{self, Attempt, RequestContext};
use ringway_policy::{chain, path, rbac, reply, rewrite, route};
use tls::session::Peer;
use wire::h1::{Limits, parse_request};
use wire::head::Head;

const REQUEST: &[u8] = b"GET /api/./x/../reviews/1%2e0?a=b HTTP/1.1\r\nHost: Reviews:9080\r\n\
    User-Agent: one\r\nUser-Agent: two\r\nX-Forwarded-For: 1.2.3.4\r\nVia: a\r\n\
    X-Forwarded-Client-Cert: By=a;URI=b\r\nX-Envoy-Retry-On: 5xx\r\nConnection: x-hop\r\n\
    X-Hop: 1\r\nX-Role: user\r\n\r\n";

fn bytes(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

fn manager() -> HttpManager {
    HttpManager {
        stat_prefix: "test".into(),
        routes: Routes::Inline(Arc::default()),
        filters: HttpFilters::default(),
        server_name: "istio-envoy".into(),
        server_header: ServerHeader::Overwrite,
        upgrades: Vec::new(),
        via: Some("ringway".into()),
        use_remote_address: true,
        generate_request_id: true,
        preserve_external_request_id: false,
        client_cert: ClientCert {
            forward: ForwardClientCert::AppendForward,
            subject: true,
            uri: true,
            dns: true,
        },
        normalize_path: true,
        merge_slashes: true,
        escaped_slashes: EscapedSlashes::UnescapeAndForward,
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
        idle_timeout: None,
        stream_idle_timeout: None,
        request_timeout: None,
        request_headers_timeout: None,
        suppress_envoy_headers: false,
        local_replies: None,
        access_log: Vec::new(),
    }
}

fn changes() -> HeaderChanges {
    let add = HeaderChange::Append(bytes("x-added"), "1".into());
    HeaderChanges::new(vec![add.clone()], vec![add])
}

/// Each kind that makes something of what came.
fn rewrites() -> Rewrite {
    let path = Substitution::new("/api/([a-z]+)/", r"/\1/").expect("a substitution");
    let host = Substitution::new("^/api/([a-z]+)/.*$", r"\1.example").expect("a substitution");
    Rewrite {
        path: Some(PathRewrite::Regex(path)),
        host: Some(HostRewrite::PathRegex(host)),
        append_forwarded_host: true,
    }
}

fn table() -> RouteTable {
    let cluster = Weighted::plain("v1".into(), ClusterId(0), 90);
    let route = Route {
        name: "r".into(),
        matches: RouteMatch {
            headers: vec![HeaderMatch {
                name: bytes("user-agent"),
                value: ValueMatch::String(StringMatch {
                    kind: StringKind::Contains(bytes("ONE,two")),
                    ignore_case: true,
                }),
                invert: false,
                missing_as_empty: false,
            }],
            ..RouteMatch::of(PathMatch::Regex(
                regex::bytes::Regex::new(r"\A(?:/api/reviews/.*)\z").unwrap(),
            ))
        },
        action: RouteAction::Forward(Forward {
            clusters: vec![cluster],
            total_weight: 90,
            rewrite: Some(Box::new(rewrites())),
            ..Forward::nowhere()
        }),
        headers: changes(),
        overrides: Overrides::default(),
    };
    let host = VirtualHost {
        name: "v".into(),
        routes: vec![Arc::new(route)].into(),
        attempt_count: true,
        headers: changes(),
        ..VirtualHost::default()
    };
    RouteTable {
        hosts: vec![Arc::new(host)],
        exact: [(bytes("reviews"), 0)].into(),
        ignore_port: true,
        headers: changes(),
        ..RouteTable::default()
    }
}

fn rules() -> Rules {
    let text = |kind| StringMatch { kind, ignore_case: false };
    Rules {
        action: Action::Allow,
        policies: vec![Policy {
            name: "ns[default]-policy[reviews]-rule[0]".into(),
            permissions: vec![Permission::And(vec![
                Permission::Path(text(StringKind::Prefix(bytes("/api/reviews/")))),
                Permission::DestinationPort(9080),
            ])],
            principals: vec![Principal::Authenticated(Some(text(StringKind::Suffix(bytes(
                "/sa/productpage",
            )))))],
        }],
    }
}

fn listener() -> Listener {
    let chain = |matches| {
        Arc::new(FilterChain {
            name: "c".into(),
            matches,
            tls: None,
            tls_timeout: None,
            rbac: Vec::new(),
            gates: Vec::new(),
            cluster_by_sni: false,
            terminal: Terminal::Http(Arc::new(manager())),
        })
    };
    let istio = ChainMatch {
        destination_port: Some(9080),
        transport: Some(Transport::Tls),
        alpn: vec![bytes("istio-http/1.1")],
        ..ChainMatch::default()
    };
    Listener {
        name: "l".into(),
        address: SocketAddr::from(([0, 0, 0, 0], 15006)),
        bound: None,
        use_original_dst: false,
        original_dst: true,
        proxy_protocol: None,
        tls_inspector: None,
        http_inspector: None,
        inspect_timeout: None,
        continue_on_timeout: false,
        chains: vec![chain(istio), chain(ChainMatch::default())],
        default_chain: None,
        buffer_limit: 1 << 20,
        access_log: Vec::new(),
    }
}

struct World {
    listener: Listener,
    manager: HttpManager,
    table: RouteTable,
    rules: Rules,
    peer: Peer,
}

fn serve(world: &World, head: &mut Head) {
    let World { listener, manager, table, rules, peer } = world;
    let connection = ConnectionFacts {
        destination: SocketAddr::from(([10, 0, 0, 2], 9080)),
        source: SocketAddr::from(([10, 0, 0, 1], 40000)),
        direct: None,
        transport: Transport::Tls,
        sni: "reviews",
        alpn: Protocols::Wire(b"\x0eistio-http/1.1\x05istio"),
    };
    assert!(chain::select(listener, &connection).is_some());
    parse_request(REQUEST, &Limits::default(), head).expect("a fine request");
    path::normalize(head, manager).expect("a fine path");
    assert_eq!(head.path(), b"/api/reviews/1.0?a=b");
    let context = RequestContext {
        manager,
        source: connection.source,
        local: SocketAddr::from(([10, 0, 0, 2], 80)),
        peer: Some(peer),
        local_uri: "spiffe://td/ns/default/sa/reviews",
        request_id: 7,
    };
    let remote = headers::request(head, &context).expect("it may pass");
    let facts =
        RequestFacts { head: Some(head), connection: &connection, peer: Some(peer), remote };
    assert!(rbac::http(rules, &facts).allowed);
    let found = route::find(table, head, 1).expect("a route");
    let RouteAction::Forward(forward) = &found.route.action else { panic!("it forwards") };
    assert!(found.cluster.is_some());
    let timeout = Some(Duration::from_secs(15));
    let attempt = Attempt { manager, table, found: &found, attempt: 1, timeout, facts: None };
    headers::forward(head, &attempt);
    let (to, asked) = (forward.rewrite.as_ref().expect("a rewrite"), &found.route.matches.path);
    rewrite::apply(head, to, asked, true).expect("a path and a host");
    assert_eq!(
        (head.path(), head.authority()),
        (&b"/reviews/1.0?a=b"[..], &b"reviews.example"[..])
    );
    assert_eq!(head.values(b"x-added").count(), 3);
    answer(head, &attempt);
}

fn answer(head: &mut Head, attempt: &Attempt<'_>) {
    let reply = reply::Reason::ConnectionFailure.reply_after(2);
    headers::local(head, reply.status, reply.body.as_bytes());
    headers::returned(head, attempt, Some(Duration::from_millis(7)));
    headers::response(head, attempt.manager, b"Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(head.values(b"x-added").count(), 3);
}

#[test]
fn no_allocation_per_request_after_warm_up() {
    let uri = "spiffe://td/ns/default/sa/productpage".to_owned();
    let peer = Peer { uris: vec![uri], fingerprint: [7; 32], verified: true, ..Peer::default() };
    let (listener, manager, table, rules) = (listener(), manager(), table(), rules());
    let world = World { listener, manager, table, rules, peer };
    let mut head = Head::default();
    serve(&world, &mut head);
    let cost = allocation_counter::measure(|| {
        for _ in 0..1000 {
            serve(&world, &mut head);
        }
    });
    assert_eq!(cost.count_total, 0, "allocations in 1,000 requests: {cost:?}");
}
