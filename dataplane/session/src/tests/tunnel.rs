//! CONNECT and upgrades, by either codec on either side.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use config::snapshot::{
    CircuitBreakers, Cluster, Forward, Http2, PathMatch, RouteAction, Terminal, UpstreamProtocol,
};
use wire::h2::{Config, Role};
use wire::head::Head;

use super::fixture::{
    Proxy, cluster, echo, forward, manager, on_both, read_message, route, upstream,
};
use super::peer::{Message, Peer, request};
use crate::Counter;

/// CONNECT, and everything else.
fn terminal(terminates_connect: bool) -> Terminal {
    let to = || Forward { terminates_connect, ..forward(&[(0, 1)]) };
    let mut connect = route("/", RouteAction::Forward(to()));
    connect.matches.path = PathMatch::Connect;
    let mut manager = manager(vec![connect, route("/", RouteAction::Forward(to()))]);
    manager.upgrades.push("connect".into());
    manager.http2 = Http2 { extended_connect: true, ..Http2::default() };
    Terminal::Http(Arc::new(manager))
}

/// Agrees to any tunnel by HTTP/1.1, and says everything twice.
fn agreeing(mut stream: TcpStream) {
    let Some((head, _)) = read_message(&mut stream) else { return };
    let answer: &[u8] = match head.starts_with("CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n") {
        true => b"HTTP/1.1 200 Fine\r\n\r\n",
        false if head.contains("\r\nupgrade: websocket\r\n") => {
            b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        }
        false => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    };
    stream.write_all(answer).expect("sent");
    echo(stream);
}

/// The same by HTTP/2. A side that ends is answered by the end.
fn agreeing_h2(is_extended: bool) -> impl Fn(TcpStream) + Clone + Send + 'static {
    move |socket| {
        let config = Config { extended_connect: is_extended, ..Config::default() };
        let mut peer = Peer::new(Role::Server, socket, &config);
        let mut told: BTreeMap<u32, (usize, bool)> = BTreeMap::new();
        while peer.turn() {
            let all: Vec<(u32, Message)> =
                peer.messages.iter().map(|(id, message)| (*id, message.clone())).collect();
            for (id, message) in all {
                let (sent, ended) = *told.entry(id).or_insert_with(|| {
                    let is_upgrade = message.field("upgrade").is_some();
                    peer.begin_answer(id, if is_upgrade { 101 } else { 200 });
                    (0, false)
                });
                if message.body.len() > sent {
                    peer.send(id, &message.body[sent..], false);
                }
                if message.ended && !ended {
                    peer.send(id, b"", true);
                }
                told.insert(id, (message.body.len(), message.ended));
            }
            peer.flush();
        }
    }
}

fn h2(is_extended: bool) -> Cluster {
    let serve = agreeing_h2(is_extended);
    Cluster { protocol: UpstreamProtocol::Http2, ..cluster(0, &[upstream(serve)]) }
}

fn websocket() -> Head {
    let mut head = request("GET", "/chat", &[("sec-websocket-version", "13")]);
    assert!(head.append(b"upgrade", b"websocket"));
    head.upgrade = head.fields().last().map(|field| field.value);
    head
}

fn connect() -> Head {
    let mut head = request("CONNECT", "", &[]);
    head.authority = head.add_bytes(b"x:443");
    head
}

/// A client by HTTP/2 that knows the proxy's settings, and a tunnel that it asks for.
fn open(proxy: &Proxy, head: &Head) -> (Peer, u32) {
    let mut client = Peer::client(proxy.connect());
    assert!(client.until(|peer| peer.connection.is_greeted()));
    let id = client.connection.send_request(head, false, 0).expect("a stream");
    client.messages.insert(id, Message::default());
    client.flush();
    (client, id)
}

/// Bytes pass both ways, each side ends by itself, and nothing is left.
fn passes(proxy: Proxy, head: &Head, status: u16, ups: u64) {
    let long: Vec<u8> = (0..900_000_u32).map(|n| b'a' + (n % 19) as u8).collect();
    let (mut client, id) = open(&proxy, head);
    // These do not wait for the answer.
    client.send(id, b"early", false);
    client.flush();
    assert!(client.until(|peer| peer.messages[&id].body.ends_with(b"early")));
    assert_eq!(client.messages[&id].status, status, "{:?}", client.messages[&id]);
    client.send(id, &long, false);
    client.flush();
    assert!(client.until(|peer| peer.messages[&id].body.len() >= 5 + long.len()));
    client.send(id, b"late", true);
    client.flush();
    let message = client.wait(id);
    assert_eq!(message.body, [b"early", &long[..], b"late"].concat());
    assert!(message.ended, "{:?}", message.reset);
    drop(client);
    proxy.settles(0, ups);
}

/// The same for a client by HTTP/1.1.
fn passes_from_http_1(proxy: Proxy, request: &str, answer: &str, ups: u64) {
    let mut client = proxy.connect();
    client.write_all(request.as_bytes()).expect("sent");
    let (head, _) = read_message(&mut client).expect("an answer");
    assert!(head.starts_with(answer), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    let long: Vec<u8> = (0..900_000_u32).map(|n| b'a' + (n % 19) as u8).collect();
    let mut writer = client.try_clone().expect("a clone");
    let said = long.clone();
    let writing = std::thread::spawn(move || writer.write_all(&said));
    let mut heard = vec![0; long.len()];
    client.read_exact(&mut heard).expect("the echo");
    assert_eq!(heard, long);
    writing.join().expect("no panic").expect("sent");
    client.shutdown(Shutdown::Write).expect("shut");
    assert_eq!(client.read(&mut heard).expect("the end"), 0);
    drop(client);
    proxy.settles(0, ups);
}

const CONNECT: &str = "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n";
const WEBSOCKET: &str =
    "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\n";
const FINE: &str = "HTTP/1.1 200 OK\r\n";

#[test]
fn a_connect_ends_here_and_goes_on_as_bytes() {
    on_both(|which| {
        let raw = || vec![cluster(0, &[upstream(echo)])];
        passes(Proxy::start(which, terminal(true), raw()), &connect(), 200, 0);
        passes_from_http_1(Proxy::start(which, terminal(true), raw()), CONNECT, FINE, 0);
    });
}

#[test]
fn a_connect_goes_on_to_the_next_proxy() {
    on_both(|which| {
        let old = || vec![cluster(0, &[upstream(agreeing)])];
        passes(Proxy::start(which, terminal(false), old()), &connect(), 200, 0);
        passes_from_http_1(Proxy::start(which, terminal(false), old()), CONNECT, FINE, 0);
        passes(Proxy::start(which, terminal(false), vec![h2(false)]), &connect(), 200, 1);
        passes_from_http_1(Proxy::start(which, terminal(false), vec![h2(false)]), CONNECT, FINE, 1);
    });
}

#[test]
fn a_websocket_passes_between_the_codecs() {
    on_both(|which| {
        let old = || vec![cluster(0, &[upstream(agreeing)])];
        passes(Proxy::start(which, terminal(false), old()), &websocket(), 101, 0);
        passes(Proxy::start(which, terminal(false), vec![h2(true)]), &websocket(), 101, 1);
        passes_from_http_1(Proxy::start(which, terminal(false), old()), WEBSOCKET, SWITCHED, 0);
        let new = Proxy::start(which, terminal(false), vec![h2(true)]);
        let mut client = new.connect();
        client.write_all(WEBSOCKET.as_bytes()).expect("sent");
        let (head, _) = read_message(&mut client).expect("an answer");
        assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
        assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
        drop(client);
        new.settles_down(0);
        passes_from_http_1(new, WEBSOCKET, SWITCHED, 1);
    });
}

#[test]
fn an_upstream_that_does_not_know_extended_connect_is_not_asked() {
    on_both(|which| {
        let proxy = Proxy::start(which, terminal(false), vec![h2(false)]);
        let mut client = proxy.connect();
        client.write_all(WEBSOCKET.as_bytes()).expect("sent");
        let (head, _) = read_message(&mut client).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
        proxy.settles(0, 1);
    });
}

#[test]
fn what_is_not_let_through_is_refused() {
    on_both(|which| {
        let old = vec![cluster(0, &[upstream(agreeing)])];
        let Terminal::Http(all) = terminal(false) else { panic!("it ends in HTTP") };
        let mut manager = manager(Vec::new());
        manager.routes = match &all.routes {
            config::snapshot::Routes::Inline(table) => {
                config::snapshot::Routes::Inline(Arc::clone(table))
            }
            config::snapshot::Routes::Named(_) => panic!("they stand in the manager"),
        };
        let proxy = Proxy::start(which, Terminal::Http(Arc::new(manager)), old);
        let mut client = proxy.connect();
        client.write_all(CONNECT.as_bytes()).expect("sent");
        let (head, _) = read_message(&mut client).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
        assert_eq!(proxy.counters.get(Counter::UpstreamTotal), 0);
        proxy.settles(0, 0);
    });
}

/// A cluster that is asked as its clients ask has one connection, which a client by HTTP/2 has
/// taken; a websocket by HTTP/1.1 waits for its place and gets a connection of its own.
#[test]
fn who_waits_is_not_given_a_connection_of_the_other_codec() {
    on_both(|which| {
        let both = |socket: TcpStream| {
            let mut sign = [0; 3];
            while socket.peek(&mut sign).is_ok_and(|length| (1..3).contains(&length)) {
                std::thread::sleep(Duration::from_millis(1));
            }
            match &sign {
                b"PRI" => agreeing_h2(true)(socket),
                _ => agreeing(socket),
            }
        };
        let limits = CircuitBreakers { max_connections: 1, ..CircuitBreakers::UNLIMITED };
        let mut to = Cluster { limits, ..cluster(0, &[upstream(both)]) };
        to.protocol = UpstreamProtocol::Downstream;
        let proxy = Proxy::start(which, terminal(false), vec![to]);
        let (mut first, id) = open(&proxy, &connect());
        first.send(id, b"hi", false);
        first.flush();
        assert!(first.until(|peer| peer.messages[&id].body == b"hi"));
        let mut second = proxy.connect();
        second.write_all(WEBSOCKET.as_bytes()).expect("sent");
        // Another request by HTTP/2 comes and goes: the connection has room, but not for everybody.
        let ended = first.ask("GET", "/", &[], None);
        assert_eq!(first.wait(ended).status, 200);
        first.send(id, b"", true);
        first.flush();
        first.wait(id);
        let (head, _) = read_message(&mut second).expect("an answer");
        assert!(head.starts_with(SWITCHED), "{head}");
    });
}
