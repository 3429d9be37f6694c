//! What a peer can make a worker hold is bounded, and costs other peers nothing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use config::snapshot::{Cluster, RouteAction, Snapshot, Terminal};
use config::swap::Published;
use ring::driver::{Connect, Driver, Tag, What};
use ring::start::Which;
use ring::{Buf, Epoll, Limits, Uring};

use super::fixture::{
    Proxy, cluster, forward, manager, on_both, read_message, route, tcp_proxy, upstream,
};
use crate::limits::{SHARE_PARTS, UNSENT_HIGH};
use crate::transport::{Scratch, Transport};
use crate::{Counter, Worker, WorkerSpec};

/// Routes to a direct answer and to the first cluster.
fn http(body: &[u8]) -> Terminal {
    Terminal::Http(Arc::new(manager(vec![
        route("/direct", RouteAction::Direct { status: 200, body: body.into() }),
        route("/", RouteAction::Forward(forward(&[(0, 1)]))),
    ])))
}

fn silent(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

const DIRECT: &str = "GET /direct HTTP/1.1\r\nHost: x\r\n\r\n";

/// Writes single bytes so slowly that each arrives by itself.
fn dribble(client: &mut TcpStream, bytes: usize) {
    client.set_nodelay(true).expect("no delay");
    for _ in 0..bytes {
        client.write_all(b"G").expect("sent");
        thread::sleep(Duration::from_micros(120));
    }
}

/// A worker with so few buffers that single bytes would use them up.
fn with_few_buffers(which: Which, to: Cluster) -> Proxy {
    let limits = Limits { small_buffers: 1_024, large_buffers: 128, ..Limits::default() };
    Proxy::start_limited(which, limits, http(b"ok"), vec![to], None)
}

fn another_is_served(proxy: &Proxy) {
    let mut other = proxy.connect();
    other.set_read_timeout(Some(Duration::from_secs(3))).expect("a timeout");
    other.write_all(DIRECT.as_bytes()).expect("sent");
    let (_, body) = read_message(&mut other).expect("an answer in spite of the dribbler");
    assert_eq!(body, b"ok");
}

/// A byte holds the buffer that it came in: single bytes that cannot be used yet must not hold all
/// buffers of the worker.
#[test]
fn single_bytes_behind_a_request_hold_no_buffers() {
    on_both(|which| {
        let proxy = with_few_buffers(which, cluster(0, &[upstream(silent)]));
        let mut dribbler = proxy.connect();
        dribbler.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        dribble(&mut dribbler, 1_500);
        another_is_served(&proxy);
    });
}

/// A body in single bytes behind a connection that is still being made.
#[test]
fn a_body_in_single_bytes_holds_no_buffers() {
    on_both(|which| {
        let full = Full::new();
        let mut unreachable = cluster(0, &[full.address]);
        unreachable.connect_timeout = Duration::from_secs(30);
        let proxy = with_few_buffers(which, unreachable);
        let mut dribbler = proxy.connect();
        let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
        dribbler.write_all(head.as_bytes()).expect("sent");
        dribble(&mut dribbler, 1_500);
        another_is_served(&proxy);
    });
}

/// A listener whose queue is full: a connection to it is neither made nor refused.
struct Full {
    address: std::net::SocketAddr,
    _listener: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

impl Full {
    fn new() -> Self {
        use socket2::{Domain, Socket, Type};
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
        listener.bind(&any.into()).expect("bound");
        listener.listen(0).expect("listens");
        let address = listener.local_addr().expect("known").as_socket().expect("IPv4");
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            waiting.push(stream);
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}

/// A client that asks and asks and reads nothing is served as much as fits, and then waits.
#[test]
fn unread_answers_hold_pipelined_requests_back() {
    on_both(|which| {
        let body = [b'x'; 32 * 1024];
        let proxy = Proxy::start(which, http(&body), vec![cluster(0, &[])]);
        let mut client = proxy.connect();
        socket2::SockRef::from(&client).set_recv_buffer_size(64 * 1024).expect("set");
        let mut writer = client.try_clone().expect("a clone");
        let writing = thread::spawn(move || writer.write_all(DIRECT.repeat(2_000).as_bytes()));
        thread::sleep(Duration::from_millis(500));
        let served = proxy.counters.get(Counter::RequestTotal);
        assert!(served < 500, "{served} answers wait for a client that reads nothing");
        for number in 0..2_000 {
            let (_, answer) = read_message(&mut client).expect("an answer");
            assert!(answer == body, "answer {number} has {} bytes", answer.len());
        }
        writing.join().expect("joined").expect("written");
        drop(client);
        proxy.settles(0, 0);
    });
}

/// Many short answers, unread: the ring takes 8,192 pieces a socket and gives it up then.
#[test]
fn many_short_answers_fit() {
    on_both(|which| {
        let proxy = Proxy::start(which, http(b"ok"), vec![cluster(0, &[])]);
        let mut client = proxy.connect();
        socket2::SockRef::from(&client).set_recv_buffer_size(32 * 1024).expect("set");
        let mut writer = client.try_clone().expect("a clone");
        let writing = thread::spawn(move || writer.write_all(DIRECT.repeat(30_000).as_bytes()));
        thread::sleep(Duration::from_millis(300));
        let (first, _) = read_message(&mut client).expect("the first answer");
        let mut answer = vec![0; first.len() + 2];
        let mut reader = std::io::BufReader::new(&client);
        for number in 1..30_000 {
            reader.read_exact(&mut answer).unwrap_or_else(|why| panic!("answer {number}: {why}"));
            assert!(answer.ends_with(b"\r\n\r\nok"), "answer {number}");
        }
        writing.join().expect("joined").expect("written");
        drop(client);
        proxy.settles(0, 0);
    });
}

/// A reader that takes nothing while single bytes are queued for it.
#[test]
fn single_bytes_queue_in_few_pieces() {
    on_both(|which| match which {
        Which::Uring => queue_single_bytes(Uring::new(&Limits::default()).expect("a ring")),
        _ => queue_single_bytes(Epoll::new(&Limits::default()).expect("a driver")),
    });
}

fn queue_single_bytes<D: Driver>(mut driver: D) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = listener.local_addr().expect("an address");
    let deadline = driver.now().after(Duration::from_secs(5));
    let connect = Connect { to, from: None, deadline, keepalive: None };
    let socket = driver.connect(&connect, Tag(1)).expect("connecting");
    let mut events = Vec::new();
    while !events.iter().any(|event: &ring::driver::Event| matches!(event.what, What::Connected)) {
        driver.turn(Some(deadline), &mut events).expect("a turn");
    }
    let (mut reader, _) = listener.accept().expect("accepted");
    let mut io = Transport::plain(socket);
    let block: &'static [u8] = &[b'-'; 1 << 20];
    let mut blocks = 0;
    while driver.unsent(socket) == 0 {
        io.send(&mut driver, Buf::from_static(block)).expect("queued");
        blocks += 1;
    }
    for byte in (0..20_000).map(|at| &b"abcdefghij"[at % 10..=at % 10]) {
        io.send(&mut driver, Buf::from_static(byte)).expect("queued");
    }
    assert!(driver.pool().in_use_bytes() < 64 * 1024);
    // Where memory is scarce less may wait.
    let mut taken = Vec::new();
    assert_eq!(io.is_congested(&driver), io.unsent(&driver) > UNSENT_HIGH);
    while driver.pool().scratch().free_bytes() > SHARE_PARTS * 8 * 1024 {
        taken.push(driver.pool().take(64 * 1024).expect("memory"));
    }
    assert_eq!(io.is_congested(&driver), io.unsent(&driver) > 8 * 1024);
    drop(taken);
    io.finish(&mut driver, &mut Scratch::default());
    // What TLS would have to say after the end goes nowhere, and breaks nothing.
    io.send(&mut driver, Buf::from_static(b"late")).expect("dropped");
    let reading = thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).map(|_| all)
    });
    while !reading.is_finished() {
        let soon = driver.now().after(Duration::from_millis(10));
        events.clear();
        driver.turn(Some(soon), &mut events).expect("a turn");
        assert!(!events.iter().any(|event| matches!(event.what, What::Failed(_))), "{events:?}");
        io.sent(&mut driver, &mut Scratch::default()).expect("sent");
    }
    let all = reading.join().expect("joined").expect("read");
    assert_eq!(all.len(), blocks * block.len() + 20_000);
    assert!(all.ends_with(b"abcdefghij"));
}

/// What a peak has made resident goes back, second by second.
#[test]
fn a_peak_is_given_back_by_the_seconds() {
    let published = Published::new(Snapshot::default());
    let spec = WorkerSpec {
        index: 0,
        workers: 1,
        reader: published.reader(),
        control: Arc::default(),
        counters: Arc::default(),
        wall: SystemTime::now(),
        seed: 7,
    };
    let mut worker = Worker::new(Epoll::new(&Limits::default()).expect("a driver"), spec);
    let pool = worker.io.driver.pool().clone();
    let peak: Vec<_> = (0..400).map_while(|_| pool.take(64 * 1024)).collect();
    assert_eq!(peak.len(), 400);
    drop(peak);
    (0..40).for_each(|_| worker.on_second());
    let left: usize = (0..40).map(|_| pool.trim(usize::MAX)).sum();
    assert_eq!(left, 0, "bytes were not given back");
}

/// Single bytes to an upstream that reads nothing for a while: all of them arrive.
#[test]
fn single_bytes_to_a_sleeper_arrive() {
    on_both(|which| {
        let sleeper = |mut stream: TcpStream| {
            thread::sleep(Duration::from_millis(400));
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all);
            let _ = stream.write_all(&(all.len() as u64).to_be_bytes());
        };
        let proxy = Proxy::start(which, tcp_proxy(0), vec![cluster(0, &[upstream(sleeper)])]);
        let mut client = proxy.connect();
        dribble(&mut client, 1_000);
        client.shutdown(std::net::Shutdown::Write).expect("finished");
        let mut length = [0; 8];
        client.read_exact(&mut length).expect("answered");
        assert_eq!(u64::from_be_bytes(length), 1_000);
        drop(client);
        proxy.settles(0, 0);
    });
}
