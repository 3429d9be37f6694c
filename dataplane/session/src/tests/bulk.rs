//! Long bodies that the kernel moves on by itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use config::snapshot::{RouteAction, Terminal};
use socket2::{Domain, Socket, Type};

use super::fixture::{
    Proxy, cluster, forward, manager, on_both, pattern, read_message, route, upstream,
};
use crate::Counter;

const LONG: usize = 24 << 20;

fn http(idle: Option<Duration>) -> Terminal {
    let forward = RouteAction::Forward(forward(&[(0, 1)]));
    let mut manager = manager(vec![route("/", forward)]);
    manager.stream_idle_timeout = idle;
    Terminal::Http(Arc::new(manager))
}

fn head_of(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")
}

/// Echoes bodies.
fn echo_bodies(mut stream: TcpStream) {
    while let Some((_, body)) = read_message(&mut stream) {
        let sent = stream.write_all(head_of(body.len()).as_bytes());
        if sent.and_then(|()| stream.write_all(&body)).is_err() {
            return;
        }
    }
}

/// Promises a long body, sends half of it, and then does what it is told.
fn half(then: impl Fn(TcpStream) + Clone + Send + 'static) -> impl Fn(TcpStream) + Clone + Send {
    move |mut stream: TcpStream| {
        read_message(&mut stream).expect("a request");
        stream.write_all(head_of(LONG).as_bytes()).expect("a head");
        if stream.write_all(&pattern(LONG / 2)).is_ok() {
            then(stream);
        }
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Bodies of both directions, one request behind the other on the same connections.
#[test]
fn long_bodies_are_relayed_by_the_kernel() {
    on_both(|which| {
        let proxy = Proxy::start(which, http(None), vec![cluster(0, &[upstream(echo_bodies)])]);
        let mut client = proxy.connect();
        for length in [LONG, 10, LONG + 1] {
            let sent = pattern(length);
            let (mut writer, copy) = (client.try_clone().expect("a clone"), sent.clone());
            let writing = thread::spawn(move || {
                let head = format!("PUT / HTTP/1.1\r\nHost: x\r\ncontent-length: {length}\r\n\r\n");
                writer.write_all(head.as_bytes()).expect("sent");
                writer.write_all(&copy).expect("sent");
            });
            let (head, body) = read_message(&mut client).expect("an answer");
            writing.join().expect("written");
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert!(body == sent, "{} of {length} bytes, or changed ones", body.len());
        }
        let relayed = proxy.counters.get(Counter::RelayedBytes);
        // Each way twice; what the first reads brought was copied.
        assert!(relayed > 2 * LONG as u64, "only {relayed} bytes were relayed");
        assert_eq!(proxy.counters.get(Counter::UpstreamTotal), 1, "the connection is used again");
        drop(client);
        proxy.settles(0, 1);
    });
}

/// An upstream that ends in the middle: the client sees that something is missing.
#[test]
fn half_a_body_is_told_from_a_whole_one() {
    on_both(|which| {
        let server = upstream(half(drop));
        let proxy = Proxy::start(which, http(None), vec![cluster(0, &[server])]);
        let mut client = proxy.connect();
        client.write_all(GET).expect("sent");
        let mut all = Vec::new();
        // An end or a reset: either way it is not what was promised.
        let _ = client.read_to_end(&mut all);
        let got = all.len() - head_of(LONG).len();
        assert!(got <= LONG / 2 + 1_000, "{got} bytes");
        proxy.settles(0, 0);
    });
}

/// A client that leaves in the middle takes the upstream's connection with it.
#[test]
fn a_client_that_leaves_ends_the_relay() {
    on_both(|which| {
        let (told, hears) = channel();
        let server = upstream(move |mut stream: TcpStream| {
            read_message(&mut stream).expect("a request");
            stream.write_all(head_of(LONG).as_bytes()).expect("a head");
            // Both come to an end once the proxy has gone: it takes no more, and says no more.
            let _ = stream.write_all(&pattern(LONG));
            let _ = stream.read(&mut [0]);
            told.send(()).expect("the test listens");
        });
        let proxy = Proxy::start(which, http(None), vec![cluster(0, &[server])]);
        let mut client = proxy.connect();
        client.write_all(GET).expect("sent");
        client.read_exact(&mut vec![0; LONG / 4]).expect("a part");
        drop(client);
        proxy.settles(0, 0);
        hears.recv_timeout(Duration::from_secs(60)).expect("the upstream's connection has ended");
    });
}

/// What moves slowly is alive; what does not move is given up after the idle time.
#[test]
fn a_relay_that_stands_still_is_given_up() {
    on_both(|which| {
        let (told, hears) = channel::<()>();
        let hears = Arc::new(std::sync::Mutex::new(hears));
        let server = upstream(half(move |stream| stay(stream, &hears)));
        let idle = Some(Duration::from_secs(4));
        let proxy = Proxy::start(which, http(idle), vec![cluster(0, &[server])]);
        // So little fits into the kernel that bytes move only as fast as they are read.
        let mut client = narrow(proxy.address);
        client.write_all(GET).expect("sent");
        // Longer than the idle time in all, and never standing still for it.
        for _ in 0..10 {
            client.read_exact(&mut vec![0; 512 << 10]).expect("a part");
            thread::sleep(Duration::from_millis(500));
        }
        // Now nothing more comes, and the proxy gives up.
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        assert!(rest.len() < LONG, "it was not whole");
        proxy.settles(0, 0);
        drop(told);
    });
}

/// A client with a small receive buffer.
fn narrow(to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(64 << 10).expect("a size");
    socket.connect(&to.into()).expect("the proxy accepts");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    socket.into()
}

fn stay(stream: TcpStream, until: &std::sync::Mutex<Receiver<()>>) {
    let _ = until.lock().map(|until| until.recv());
    drop(stream);
}
