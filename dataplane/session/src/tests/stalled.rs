//! Peers that do not read, many of them: what they hold is bounded, and whoever reads is served.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use config::snapshot::{Cluster, RouteAction, Terminal};
use ring::Limits;
use ring::start::Which;

use super::fixture::{
    PATIENCE, Proxy, cluster, forward, manager, on_both, read_message, route, tcp_proxy, upstream,
};
use super::mutual_tls::{Authority, SERVER};

const MIB: usize = 1 << 20;

/// What a stalled reader has asked for: more than the kernel keeps for its two connections.
const ASKED: usize = 8 * MIB;
/// The same where there are three.
const ASKED_TWICE: usize = 16 * MIB;

/// A worker with so little memory that the readers of a test could use it up.
const FEW: Limits = Limits {
    sockets: 1_024,
    small_buffers: 512,
    large_buffers: 32,
    scratch_bytes: 4 * MIB,
    pipes: 4,
    spin: true,
};

/// An upstream that answers `/N` with N bytes, written in pieces, and counts what it has written;
/// of a request's body it reads as little as it can.
fn generous(piece: usize, pause: Duration) -> (SocketAddr, Arc<AtomicUsize>) {
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let address = upstream(move |mut stream| {
        stream.set_nodelay(true).expect("no delay");
        socket2::SockRef::from(&stream).set_send_buffer_size(64 * 1024).expect("set");
        while let Some(length) = asked_for(&mut stream) {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            if stream.write_all(head.as_bytes()).is_err() {
                return;
            }
            for piece in body(length).chunks(piece) {
                if stream.write_all(piece).is_err() {
                    return;
                }
                counted.fetch_add(piece.len(), Ordering::Relaxed);
                if !pause.is_zero() {
                    thread::sleep(pause);
                }
            }
        }
    });
    (address, written)
}

/// Reads a request's head and how much it asks for; sleeps where it brings a body.
fn asked_for(stream: &mut TcpStream) -> Option<usize> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    if head.starts_with("POST") {
        thread::sleep(Duration::from_secs(60));
        return None;
    }
    let path = head.split(' ').nth(1).expect("a path");
    Some(path.trim_start_matches('/').parse().expect("a length"))
}

/// So many bytes, which tell where they stand.
fn body(length: usize) -> &'static [u8] {
    static BODY: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..ASKED_TWICE).map(|at| (at % 251) as u8).collect());
    &BODY[..length]
}

fn http() -> Terminal {
    let mut patient = forward(&[(0, 1)]);
    patient.timeout = None;
    Terminal::Http(Arc::new(manager(vec![route("/", RouteAction::Forward(patient))])))
}

/// A connection whose client has little room for what it does not read.
fn narrow(proxy: &Proxy) -> TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("set");
    socket.connect(&proxy.address.into()).expect("the proxy accepts");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Clients that have asked for much and read nothing.
fn stall(proxy: &Proxy, readers: usize, asked: usize, written: &AtomicUsize) -> Vec<TcpStream> {
    let before = written.load(Ordering::Relaxed);
    let written = || written.load(Ordering::Relaxed) - before;
    let request = format!("GET /{asked} HTTP/1.1\r\nHost: x\r\n\r\n");
    let ask = |_| {
        let mut client = narrow(proxy);
        client.write_all(request.as_bytes()).expect("sent");
        client
    };
    let clients = (0..readers).map(ask).collect();
    comes_to_rest(written);
    let written = written();
    assert!(written < readers * asked, "{written} bytes: nobody is held up");
    eprintln!("{readers} readers were sent {} KiB each", written / readers / 1024);
    clients
}

fn comes_to_rest(count: impl Fn() -> usize) {
    let begun = Instant::now();
    let (mut last, mut since) = (0, Instant::now());
    while last == 0 || since.elapsed() < Duration::from_millis(400) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it goes on and on: {last}");
        thread::sleep(Duration::from_millis(20));
        if count() != last {
            (last, since) = (count(), Instant::now());
        }
    }
}

/// A client that reads gets everything, small and large, while others do not read, and hardly later
/// than without them.
fn is_served_beside(proxy: &Proxy, stall: impl FnOnce(&Proxy) -> Vec<TcpStream>) -> Vec<TcpStream> {
    let alone = is_served(proxy);
    let clients = stall(proxy);
    let beside = is_served(proxy);
    eprintln!("served in {alone:?}, and in {beside:?} beside the others");
    // What the machine does besides slows both down.
    assert!(beside < Duration::from_secs(15).max(alone * 10), "{beside:?}, {alone:?} alone");
    clients
}

/// How long it takes to be served.
fn is_served(proxy: &Proxy) -> Duration {
    let begun = Instant::now();
    for _ in 0..3 {
        let mut client = proxy.connect();
        for length in [2, 2, 5_000, 2, MIB, 2, 100_000, MIB, 2] {
            let request = format!("GET /{length} HTTP/1.1\r\nHost: x\r\n\r\n");
            client.write_all(request.as_bytes()).expect("sent");
            let (head, got) = read_message(&mut client).expect("an answer in spite of the others");
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert!(got == body(length), "{} of {length} bytes, or wrong ones", got.len());
        }
    }
    begun.elapsed()
}

/// Some of the stalled ones read after all: each gets what it has asked for. The others leave.
fn wake_up(mut clients: Vec<TcpStream>, asked: usize) {
    clients.truncate(12);
    let read = |mut client: TcpStream| {
        thread::spawn(move || {
            let (_, got) = read_message(&mut client).expect("the rest of the answer");
            assert!(got == body(asked), "{} bytes, or wrong ones", got.len());
        })
    };
    let reading: Vec<_> = clients.into_iter().map(read).collect();
    reading.into_iter().for_each(|reader| reader.join().expect("read"));
}

fn only(which: Which, limits: Limits, terminal: Terminal, to: SocketAddr) -> Proxy {
    Proxy::start_limited(which, limits, terminal, vec![cluster(0, &[to])], None)
}

/// As many as would use up all large buffers, if each took what one alone may take.
#[test]
fn stalled_readers_starve_nobody() {
    on_both(|which| {
        let (to, written) = generous(64 * 1024, Duration::ZERO);
        let proxy = only(which, Limits::default(), http(), to);
        let clients = is_served_beside(&proxy, |proxy| stall(proxy, 160, ASKED, &written));
        wake_up(clients, ASKED);
        proxy.settles(0, proxy.open_ups());
        assert_eq!(proxy.finish().buffers.0, 0);
    });
}

/// With little memory, which they take up as fast as they are let.
#[test]
fn stalled_readers_leave_something_free() {
    on_both(|which| {
        let (to, written) = generous(64 * 1024, Duration::ZERO);
        let proxy = only(which, FEW, http(), to);
        let clients = is_served_beside(&proxy, |proxy| stall(proxy, 120, ASKED, &written));
        let left = proxy.finish();
        let limit = FEW.small_buffers * 4_096 + FEW.large_buffers * 65_536;
        // All of the large ones may be held, not all of the small ones. How many each holds depends
        // on the pieces that its answer came in: a buffer is held whole by few bytes.
        assert!(left.buffers.1 < limit - FEW.small_buffers * 4_096 / 16, "{left:?} of {limit}");
        drop(clients);
    });
}

/// Pieces that fill little of the buffers that they come in.
#[test]
fn stalled_readers_of_small_pieces_starve_nobody() {
    on_both(|which| {
        for piece in [700, 5_000] {
            let (to, written) = generous(piece, Duration::from_micros(200));
            let proxy = only(which, FEW, http(), to);
            let clients = is_served_beside(&proxy, |proxy| stall(proxy, 48, ASKED, &written));
            drop(clients);
        }
    });
}

#[test]
fn stalled_readers_of_raw_bytes_starve_nobody() {
    on_both(|which| {
        let (to, written) = generous(64 * 1024, Duration::ZERO);
        let proxy = only(which, FEW, tcp_proxy(0), to);
        let clients = is_served_beside(&proxy, |proxy| stall(proxy, 100, ASKED, &written));
        wake_up(clients, ASKED);
        proxy.settles(0, 0);
    });
}

/// What is sealed for them waits in scratch memory, which every answer needs.
#[test]
fn stalled_readers_of_sealed_bytes_starve_nobody() {
    on_both(|which| {
        let authority = Authority::new();
        let (to, written) = generous(64 * 1024, Duration::ZERO);
        let server = Some(authority.server());
        let second = Proxy::start_limited(which, FEW, http(), vec![cluster(0, &[to])], server);
        let towards =
            Cluster { transport: authority.client(SERVER), ..cluster(0, &[second.address]) };
        let first = Proxy::start(which, http(), vec![towards]);
        let clients = is_served_beside(&first, |proxy| stall(proxy, 80, ASKED_TWICE, &written));
        wake_up(clients, ASKED_TWICE);
    });
}

/// The other direction: bodies for an upstream that does not read them.
#[test]
fn stalled_uploads_starve_nobody() {
    on_both(|which| {
        let (to, _) = generous(64 * 1024, Duration::ZERO);
        let proxy = only(which, FEW, http(), to);
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {ASKED}\r\n\r\n");
        let sent = Arc::new(AtomicUsize::new(0));
        let upload = |_| {
            let mut client = proxy.connect();
            client.write_all(head.as_bytes()).expect("sent");
            let (mut writer, sent) = (client.try_clone().expect("a clone"), Arc::clone(&sent));
            thread::spawn(move || {
                for piece in body(ASKED).chunks(64 * 1024) {
                    if writer.write_all(piece).is_err() {
                        return;
                    }
                    sent.fetch_add(piece.len(), Ordering::Relaxed);
                }
            });
            client
        };
        let clients = is_served_beside(&proxy, |_| {
            let clients: Vec<_> = (0..100).map(upload).collect();
            comes_to_rest(|| sent.load(Ordering::Relaxed));
            assert!(sent.load(Ordering::Relaxed) < clients.len() * ASKED, "nobody is held up");
            clients
        });
        for client in clients {
            let _ = client.shutdown(std::net::Shutdown::Both);
        }
    });
}
