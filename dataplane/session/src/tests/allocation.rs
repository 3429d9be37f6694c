//! After warm-up a request allocates nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use config::snapshot::{Cluster, RouteAction, Terminal, UpstreamProtocol};

use super::fixture::{
    Proxy, cluster, forward, manager, on_both, read_message, route, tcp_proxy, upstream,
};
use super::mutual_tls::{SERVER, pair};
use super::peer::{Message, Peer, server};

/// Answers every head that comes with the same bytes, reading as little as it can.
pub(super) fn terse(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(1..) = stream.read(&mut bytes) {
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

fn ask(client: &mut TcpStream, times: usize) {
    for _ in 0..times {
        client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n").expect("sent");
        let (head, body) = read_message(client).expect("answered");
        assert_eq!(body, b"ok", "{head}");
    }
}

/// Allocations of a worker that serves so many requests.
pub(super) fn allocations(start: impl Fn() -> Proxy, requests: usize) -> u64 {
    let proxy = start();
    ask(&mut proxy.connect(), requests);
    proxy.stop()
}

#[test]
fn a_request_allocates_nothing_after_warm_up() {
    on_both(|which| {
        let http = || {
            let routes = vec![route("/", RouteAction::Forward(forward(&[(0, 1)])))];
            let terminal = Terminal::Http(Arc::new(manager(routes)));
            Proxy::start(which, terminal, vec![cluster(0, &[upstream(terse)])])
        };
        let (few, many) = (allocations(http, 500), allocations(http, 4_500));
        // Timers and clocks may cost a handful; 4,000 requests may not.
        assert!(many < few + 20, "{which:?}: {few} for 500 requests, {many} for 4,500");
    });
}

#[test]
fn a_proxied_byte_allocates_nothing_after_warm_up() {
    on_both(|which| {
        let tcp = || Proxy::start(which, tcp_proxy(0), vec![cluster(0, &[upstream(terse)])]);
        let (few, many) = (allocations(tcp, 500), allocations(tcp, 4_500));
        assert!(many < few + 20, "{which:?}: {few} for 500 round trips, {many} for 4,500");
    });
}

/// Both sidecars together, with mutual TLS between them: records of TLS take no more than requests.
#[test]
fn a_request_over_mutual_tls_allocates_nothing_after_warm_up() {
    on_both(|which| {
        let count = |requests| {
            let route = || vec![route("/", RouteAction::Forward(forward(&[(0, 1)])))];
            let terminals =
                [route(), route()].map(|routes| Terminal::Http(Arc::new(manager(routes))));
            let (first, second) = pair(which, terminals, cluster(0, &[upstream(terse)]), SERVER);
            ask(&mut first.connect(), requests);
            first.stop() + second.stop()
        };
        let (few, many) = (count(500), count(4_500));
        assert!(many < few + 40, "{which:?}: {few} for 500 requests, {many} for 4,500");
    });
}

/// The same by HTTP/2, several requests at a time.
#[test]
fn a_request_by_http_2_allocates_nothing_after_warm_up() {
    on_both(|which| {
        let count = |rounds: usize| {
            let routes = vec![route("/", RouteAction::Forward(forward(&[(0, 1)])))];
            let terminal = Terminal::Http(Arc::new(manager(routes)));
            let proxy = Proxy::start(which, terminal, vec![cluster(0, &[upstream(terse)])]);
            let mut client = Peer::client(proxy.connect());
            for _ in 0..rounds {
                let ids = [0; 4].map(|_| client.ask("GET", "/a", &[("accept", "*/*")], None));
                ids.iter().for_each(|id| assert_eq!(client.wait(*id).body, b"ok"));
                client.messages.clear();
            }
            proxy.stop()
        };
        let (few, many) = (count(200), count(1_200));
        assert!(many < few + 20, "{which:?}: {few} for 800 requests, {many} for 4,800");
    });
}

/// A call by gRPC from HTTP/2 to HTTP/2, with a body each way and trailers.
#[test]
fn a_call_by_grpc_allocates_nothing_after_warm_up() {
    on_both(|which| {
        let count = |rounds: usize| {
            let serve = server(|peer: &mut Peer, id: u32, _: &Message| {
                peer.answer(id, 200, &[], b"ok", &[("grpc-status", "0")]);
                peer.messages.remove(&id);
            });
            let protocol = UpstreamProtocol::Http2;
            let to = Cluster { protocol, ..cluster(0, &[upstream(serve)]) };
            let routes = vec![route("/", RouteAction::Forward(forward(&[(0, 1)])))];
            let terminal = Terminal::Http(Arc::new(manager(routes)));
            let proxy = Proxy::start(which, terminal, vec![to]);
            let mut client = Peer::client(proxy.connect());
            let kind = [("content-type", "application/grpc"), ("te", "trailers")];
            for _ in 0..rounds {
                let ids = [0; 4].map(|_| client.ask("POST", "/a.B/c", &kind, Some(b"ok")));
                ids.iter().for_each(|id| assert_eq!(client.wait(*id).body, b"ok"));
                client.messages.clear();
            }
            proxy.stop()
        };
        let (few, many) = (count(200), count(1_200));
        assert!(many < few + 20, "{which:?}: {few} for 800 calls, {many} for 4,800");
    });
}
