//! Bodies that filters keep back, change or slow down: what comes of them is whole, and nothing is
//! left behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use config::snapshot::{
    BrotliMode, Cluster, Compression, Compressor, Etags, FaultRate, FilterKind, HttpFault,
    HttpFilter, RouteAction, Share, Terminal, UpstreamProtocol,
};
use ring::start::Which;
use wire::h2::ErrorCode;

use super::fixture::{
    Proxy, answer, cluster, forward, manager, on_both, read_message, route, upstream,
};
use super::peer::{Message, Peer, server};
use crate::Counter;

fn with(kinds: Vec<FilterKind>) -> Terminal {
    let mut manager = manager(vec![route("/", RouteAction::Forward(forward(&[(0, 1)])))]);
    let filters = kinds.into_iter().enumerate();
    let filters = filters.map(|(at, kind)| HttpFilter::new(&format!("f{at}"), kind));
    manager.filters = filters.collect::<Vec<_>>().into();
    Terminal::Http(Arc::new(manager))
}

fn start(which: Which, kinds: Vec<FilterKind>, to: Cluster) -> Proxy {
    Proxy::start(which, with(kinds), vec![to])
}

fn h1() -> Cluster {
    cluster(0, &[upstream(answer("a"))])
}

fn h2(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Cluster {
    Cluster { protocol: UpstreamProtocol::Http2, ..cluster(0, &[upstream(serve)]) }
}

fn leaves_nothing(proxy: Proxy) {
    proxy.settles_down(0);
    thread::sleep(Duration::from_millis(50));
    let left = proxy.finish();
    assert_eq!((left.downs, left.streams), (0, 0), "{left:?}");
}

fn long(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| b'a' + (at % 23) as u8).collect()
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn a_body_that_is_kept_back_goes_on_whole() {
    on_both(|which| {
        for to_h2 in [false, true] {
            let echo = |peer: &mut Peer, id: u32, message: &Message| {
                peer.answer(id, 200, &[], &[b"|", &message.body[..]].concat(), &[]);
            };
            let to = if to_h2 { h2(server(echo)) } else { h1() };
            let proxy = start(which, vec![FilterKind::Buffer(4_000_000)], to);
            let body = long(3_000_000);
            let mut client = Peer::client(proxy.connect());
            let id = client.ask("POST", "/b", &[], Some(&body));
            assert!(client.wait(id).body.ends_with(&body));
            let short = client.ask("POST", "/b", &[], Some(b"short"));
            assert!(client.wait(short).body.ends_with(b"|short"));
            let mut old = proxy.connect();
            old.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                .expect("sent");
            for piece in body.chunks(70_000) {
                let head = format!("{:x}\r\n", piece.len());
                old.write_all(&[head.as_bytes(), piece, b"\r\n"].concat()).expect("sent");
            }
            old.write_all(b"0\r\n\r\n").expect("sent");
            let (head, told) = read_message(&mut old).expect("an answer");
            assert_eq!(status(&head), "200");
            assert!(told.ends_with(&body), "{} bytes", told.len());
            drop((client, old));
            leaves_nothing(proxy);
        }
    });
}

#[test]
fn no_more_is_kept_back_than_may_be() {
    on_both(|which| {
        let proxy = start(which, vec![FilterKind::Buffer(1_000)], h1());
        let mut client = Peer::client(proxy.connect());
        let id = client.begin("POST", "/b", &[], false);
        client.send(id, &long(900), false);
        client.send(id, &long(101), false);
        let message = client.wait(id);
        assert_eq!((message.status, message.text()), (413, "Payload Too Large".to_owned()));
        let good = client.ask("POST", "/b", &[], Some(&long(1_000)));
        assert_eq!(client.wait(good).status, 200);
        let mut old = proxy.connect();
        old.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n").expect("sent");
        let (head, body) = read_message(&mut old).expect("an answer");
        assert_eq!((status(&head), &body[..]), ("413", &b"Payload Too Large"[..]));
        assert!(head.to_ascii_lowercase().contains("connection: close"), "{head}");
        drop((client, old));
        leaves_nothing(proxy);
    });
}

/// Whoever leaves or gives up half-way leaves nothing behind, and its upstream is never asked.
#[test]
fn a_client_that_leaves_takes_what_is_kept_along() {
    on_both(|which| {
        let proxy = start(which, vec![FilterKind::Buffer(1 << 20)], h1());
        let mut client = Peer::client(proxy.connect());
        let given_up = client.begin("POST", "/b", &[], false);
        client.send(given_up, &long(100_000), false);
        client.reset(given_up, ErrorCode::Cancel);
        let left = client.begin("POST", "/b", &[], false);
        client.send(left, &long(100_000), false);
        let mut old = proxy.connect();
        old.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n")
            .expect("sent");
        old.write_all(&long(200_000)).expect("sent");
        thread::sleep(Duration::from_millis(100));
        drop((client, old));
        proxy.settles_down(0);
        assert_eq!(proxy.counters.get(Counter::UpstreamTotal), 0);
        leaves_nothing(proxy);
    });
}

/// A message of gRPC in its frame.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short").to_be_bytes();
    [&[0], &length[..], bytes].concat()
}

/// A service that says what it was sent, in two messages and trailers.
fn service(peer: &mut Peer, id: u32, message: &Message) {
    let fields = [("content-type", "application/grpc")];
    let kind = message.field("content-type").unwrap_or_default().as_bytes().to_vec();
    let body = [frame(&kind), frame(&message.body)].concat();
    peer.answer(id, 200, &fields, &body, &[("grpc-status", "0"), ("x-end", "now")]);
}

#[test]
fn a_browser_calls_a_service() {
    on_both(|which| {
        let proxy = start(which, vec![FilterKind::GrpcWeb], h2(server(service)));
        let said = [frame(b"application/grpc"), frame(b"abc")].concat();
        let end = b"\x80\0\0\0\x1agrpc-status:0\r\nx-end:now\r\n";
        for from_h2 in [false, true] {
            let mut ask = asker(&proxy, from_h2);
            let (kind, body) = ask("application/grpc-web", "", b"abc");
            assert_eq!(kind, "application/grpc-web+proto");
            assert_eq!(body, [&said[..], end].concat());
            let (kind, body) =
                ask("application/grpc-web-text", "application/grpc-web-text", b"YWJj");
            assert_eq!(kind, "application/grpc-web-text+proto");
            let mut bytes = Vec::new();
            wire::grpc_web::TextReader::default().read(&body, &mut bytes).expect("base64");
            assert_eq!(bytes, [&said[..], end].concat());
        }
        leaves_nothing(proxy);
    });
}

type Ask = Box<dyn FnMut(&str, &str, &[u8]) -> (String, Vec<u8>)>;

/// Asks by either codec: content type, accepted type, body; gives the answer's type and body.
fn asker(proxy: &Proxy, from_h2: bool) -> Ask {
    if from_h2 {
        let mut client = Peer::client(proxy.connect());
        return Box::new(move |kind, accept, body| {
            let fields = [("content-type", kind), ("accept", accept)];
            let id = client.ask("POST", "/s/m", &fields, Some(body));
            let message = client.wait(id);
            assert!(message.trailers.is_empty(), "{:?}", message.trailers);
            (message.field("content-type").unwrap_or_default().to_owned(), message.body)
        });
    }
    let mut socket = proxy.connect();
    Box::new(move |kind, accept, body| {
        let head = format!(
            "POST /s/m HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nAccept: {accept}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(&[head.as_bytes(), body].concat()).expect("sent");
        let (head, body) = read_message(&mut socket).expect("an answer");
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: "));
        (kind.unwrap_or_default().to_owned(), body)
    })
}

/// However a request's text is torn, and whatever it waited for.
#[test]
fn text_is_read_in_whatever_pieces_it_comes() {
    on_both(|which| {
        let kinds =
            vec![FilterKind::Buffer(100_000), FilterKind::GrpcWeb, FilterKind::Buffer(9_000)];
        for kinds in [vec![FilterKind::GrpcWeb], kinds] {
            let proxy = start(which, kinds, h2(server(service)));
            let mut client = Peer::client(proxy.connect());
            let fields = [("content-type", "application/grpc-web-text+proto")];
            for size in [1, 2, 3, 5, 4_000] {
                let id = client.begin("POST", "/s/m", &fields, false);
                let text = b"YWJjZGVm".repeat(1_000);
                let pieces = text.chunks(size).take(if size < 4_000 { 200 } else { 2 });
                let sent: usize = pieces.clone().map(<[u8]>::len).sum();
                // What is sent ends with a group.
                let rest = (4 - sent % 4) % 4;
                pieces.for_each(|piece| client.send(id, piece, false));
                client.send(id, &text[sent..sent + rest], true);
                let bytes = (sent + rest) / 4 * 3;
                let expected = b"abcdef".repeat(1_000);
                let message = client.wait(id);
                let said = [frame(b"application/grpc"), frame(&expected[..bytes])].concat();
                assert!(message.body.starts_with(&said), "{size}: {message:?}");
            }
            let id = client.ask("POST", "/s/m", &fields, Some(b"YWJ"));
            assert_ne!(client.wait(id).field("grpc-status"), Some("0"), "half a group");
            drop(client);
            leaves_nothing(proxy);
        }
    });
}

fn compressor(compression: Compression) -> FilterKind {
    FilterKind::Compressor(Arc::new(Compressor {
        compression,
        is_on: true,
        min_bytes: 30,
        types: Vec::new(),
        etags: Etags::Removed,
        hides_wishes: false,
        spares: Vec::new(),
    }))
}

fn all_compressors() -> Vec<FilterKind> {
    vec![
        compressor(Compression::Gzip { level: 6, window_bits: 12 }),
        compressor(Compression::Brotli {
            quality: 3,
            window_bits: 18,
            block_bits: 0,
            mode: BrotliMode::Generic,
        }),
        compressor(Compression::Zstd { level: 3, has_checksum: true }),
    ]
}

fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(body).expect("zstd").read_to_end(&mut out),
        _ => body.to_vec().as_slice().read_to_end(&mut out),
    }
    .expect(coding);
    out
}

/// Sends a long body, with its length or without.
fn bulk(path_decides: &str) -> Vec<u8> {
    let mut body = long(2_000_000);
    body.extend_from_slice(path_decides.as_bytes());
    body
}

fn sends_bulk(mut stream: TcpStream) {
    while let Some((head, _)) = read_message(&mut stream) {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = bulk(&path);
        if path == "/chunked" {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            for piece in body.chunks(100_000) {
                let head = format!("{:x}\r\n", piece.len());
                let _ = stream.write_all(&[head.as_bytes(), piece, b"\r\n"].concat());
            }
            let _ = stream.write_all(b"0\r\n\r\n");
        } else {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    }
}

#[test]
fn what_is_compressed_is_what_it_was() {
    on_both(|which| {
        let proxy = start(which, all_compressors(), cluster(0, &[upstream(sends_bulk)]));
        let mut client = Peer::client(proxy.connect());
        let mut old = proxy.connect();
        for path in ["/length", "/chunked"] {
            for coding in ["gzip", "br", "zstd", "identity"] {
                let id = client.ask("GET", path, &[("accept-encoding", coding)], None);
                let message = client.wait(id);
                let told = message.field("content-encoding").unwrap_or("identity");
                assert_eq!(told, coding);
                assert_eq!(message.field("vary"), Some("Accept-Encoding"));
                assert!(decoded(coding, &message.body) == bulk(path), "{coding} {path}");
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {coding}\r\n\r\n");
                old.write_all(request.as_bytes()).expect("sent");
                let (head, body) = read_message(&mut old).expect("an answer");
                assert!(decoded(coding, &body) == bulk(path), "{head}");
                if coding != "identity" {
                    assert!(body.len() < 400_000, "{coding}: {} bytes", body.len());
                }
            }
        }
        drop((client, old));
        leaves_nothing(proxy);
    });
}

fn slow(kib: u64) -> (FilterKind, Arc<HttpFault>) {
    let rate = FaultRate { fixed_kib: Some(kib), share: Share::ALL };
    let fault = Arc::new(HttpFault { rate: Some(rate), ..HttpFault::default() });
    (FilterKind::Fault(Arc::clone(&fault)), fault)
}

#[test]
fn a_slow_answer_is_whole_and_slow() {
    on_both(|which| {
        let serve = |mut stream: TcpStream| {
            while read_message(&mut stream).is_some() {
                let body = long(40_000);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            }
        };
        let (kind, fault) = slow(100);
        let proxy = start(which, vec![kind], cluster(0, &[upstream(serve)]));
        let mut old = proxy.connect();
        for _ in 0..2 {
            let begun = Instant::now();
            old.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
            let (_, body) = read_message(&mut old).expect("an answer");
            assert!(body == long(40_000), "{} bytes", body.len());
            // 40,000 bytes are eight slices of 5 KiB, of which the first is there at once.
            assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
        }
        let mut client = Peer::client(proxy.connect());
        let begun = Instant::now();
        let id = client.ask("GET", "/", &[], None);
        assert!(client.wait(id).body == long(40_000));
        assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
        // One that leaves is not waited for.
        client.ask("GET", "/", &[], None);
        thread::sleep(Duration::from_millis(100));
        assert_eq!(fault.active.count(), 1);
        drop((client, old));
        leaves_nothing(proxy);
        assert_eq!(fault.active.count(), 0);
    });
}

/// Trailers come behind a body that leaves slowly.
#[test]
fn a_slow_call_ends_with_its_status() {
    on_both(|which| {
        let serve = |peer: &mut Peer, id: u32, _: &Message| {
            let fields = [("content-type", "application/grpc")];
            peer.answer(id, 200, &fields, &long(20_000), &[("grpc-status", "7")]);
        };
        let (kind, _) = slow(100);
        let proxy = start(which, vec![kind], h2(server(serve)));
        let mut client = Peer::client(proxy.connect());
        for _ in 0..2 {
            let id = client.ask("POST", "/s/m", &[("content-type", "application/grpc")], Some(b""));
            let message = client.wait(id);
            assert!(message.body == long(20_000));
            assert_eq!(message.trailers, [("grpc-status".to_owned(), "7".to_owned())]);
        }
        drop(client);
        leaves_nothing(proxy);
    });
}

/// More than may wait here waits with the upstream.
#[test]
fn a_slow_answer_does_not_fill_memory() {
    on_both(|which| {
        let (kind, _) = slow(1);
        let proxy = start(which, vec![kind], cluster(0, &[upstream(sends_bulk)]));
        let mut clients: Vec<TcpStream> = (0..4).map(|_| proxy.connect()).collect();
        for client in &mut clients {
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        }
        thread::sleep(Duration::from_millis(400));
        drop(clients);
        leaves_nothing(proxy);
    });
}
