//! A capture sees what crosses between two pods: TLS as TLS, plaintext as plaintext.

use kit::around::skip;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
};

use kit::{
    net::{Network, Plan, Pod, Privilege, privilege},
    tap::{Tap, inspect},
};
use rustls::{ClientConfig, ClientConnection};

const TLS_PORT: u16 = 8443;
const PLAIN_PORT: u16 = 8080;

#[test]
fn plaintext_and_tls_are_told_apart() {
    if privilege() != Privilege::Root {
        return skip("plaintext_and_tls_are_told_apart", "needs root");
    }
    let mut network = Network::create(Plan::default()).unwrap();
    let client = network.add_pod("client", Ipv4Addr::new(10, 244, 1, 10)).unwrap().clone();
    let server = network.add_pod("server", Ipv4Addr::new(10, 244, 2, 11)).unwrap().clone();
    let tap = Tap::start(network.bridge()).unwrap();
    let plain = exchange(&client, &server, PLAIN_PORT, |mut stream| {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n").unwrap();
    });
    let hello = exchange(&client, &server, TLS_PORT, hello_of_rustls);
    let streams = tap.stop().unwrap();

    let seen = inspect(&streams, |end| end == plain);
    assert_eq!((seen.plaintext.len(), seen.not_tls.len()), (1, 1), "{seen:?}");
    let seen = inspect(&streams, |end| end == hello);
    assert!(seen.plaintext.is_empty() && seen.not_tls.is_empty(), "{seen:?}");
    assert_eq!(seen.server_names.into_iter().collect::<Vec<_>>(), [("reviews.test".into(), 1)]);
    // Nobody answered the hello, so no version was chosen.
    assert!(seen.versions.is_empty());
}

#[test]
fn a_server_hello_tells_the_version() {
    use kit::tap::{Segment, Streams};
    let ends: [SocketAddr; 2] = ["10.0.0.1:1".parse().unwrap(), "10.0.0.2:443".parse().unwrap()];
    // supported_versions = 0x0304 in a hello whose legacy version is 0x0303.
    let mut hello = vec![22, 3, 3, 0, 50, 2, 0, 0, 46, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0x13, 0x01, 0, 0, 6, 0, 43, 0, 2, 3, 4]);
    let (front, back) = hello.split_at(20);
    for (swap, expected) in [(false, "TLSv1.3"), (true, "TLSv1.3")] {
        let mut streams = Streams::default();
        let mut parts = vec![(100, front), (120, back), (120, back)];
        if swap {
            parts.reverse();
        }
        let syn = Segment { from: ends[1], to: ends[0], sequence: 99, syn: true, payload: &[] };
        streams.add(&syn);
        for (sequence, payload) in parts {
            streams.add(&Segment { from: ends[1], to: ends[0], sequence, syn: false, payload });
        }
        let seen = inspect(&streams, |_| true);
        assert_eq!(seen.versions.into_keys().collect::<Vec<_>>(), [expected]);
    }
}

/// Sends something from the client's pod to a port of the server's, and waits for its end.
fn exchange(client: &Pod, server: &Pod, port: u16, send: fn(TcpStream)) -> SocketAddr {
    let target = SocketAddr::new(server.ip.into(), port);
    let listener = server.namespace.run(move || TcpListener::bind(target).unwrap()).unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = listener.accept().unwrap().0.read_to_end(&mut bytes);
        bytes.len()
    });
    client.namespace.run(move || send(TcpStream::connect(target).unwrap())).unwrap();
    assert!(reader.join().unwrap() > 0);
    target
}

fn hello_of_rustls(mut stream: TcpStream) {
    let config = ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut tls =
        ClientConnection::new(Arc::new(config), "reviews.test".try_into().unwrap()).unwrap();
    tls.write_tls(&mut stream).unwrap();
}
