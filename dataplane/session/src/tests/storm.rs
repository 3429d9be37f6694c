//! A seeded storm of misbehaving peers against one worker: nothing is left behind, nobody panics,
//! and whoever behaves gets the right answers meanwhile.
//!
//! `RINGWAY_STORM_SEED` repeats a storm (as far as the kernel's timing lets it),
//! `RINGWAY_STORM_S` sets its length in seconds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use config::snapshot::{Bound, Listener, Route, RouteAction, Terminal};
use ring::start::Which;
use tls::ServerContext;

use super::chaos::{Dice, bad_upstream, impatient, misbehave, to_evil};
use super::fixture::{
    PATIENCE, Proxy, answer, bound, cluster, echo, forward, listener_with, manager, nobody,
    on_both, read_message, route, tcp_proxy, upstream,
};
use super::mutual_tls::{Authority, SERVER};

const GOOD: u32 = 0;
const EVIL: u32 = 1;
const OVER_TLS: u32 = 2;
const ECHO: u32 = 3;

/// Right answers that each good peer gets at least.
const ANSWERS_MIN: usize = 20;

#[test]
fn a_storm_of_misbehaving_peers_leaves_nothing_behind() {
    let seed = number("RINGWAY_STORM_SEED").unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as u64
    });
    let length = Duration::from_secs(number("RINGWAY_STORM_S").unwrap_or(3));
    eprintln!("RINGWAY_STORM_SEED={seed}");
    on_both(|which| storm(which, seed, length));
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn storm(which: Which, seed: u64, length: Duration) {
    let stage = Stage::new(which, seed);
    let end = Instant::now() + length;
    let targets = [stage.proxy.address, stage.over_tls, stage.raw];
    let over = Arc::new(AtomicBool::new(false));
    let bad: Vec<_> = (1..=12)
        .map(|number| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                let mut dice = Dice(seed.wrapping_mul(number));
                while !over.load(Ordering::Relaxed) {
                    misbehave(targets[dice.below(targets.len())], &mut dice);
                }
            })
        })
        .collect();
    let (http, raw) = (stage.patient, stage.raw);
    let good: Vec<_> = (1..=3)
        .map(|number| {
            thread::spawn(move || {
                let mut dice = Dice(seed.wrapping_mul(100 + number));
                let mut answers = 0;
                // A busy machine has longer to do as much.
                while Instant::now() < end || answers < ANSWERS_MIN {
                    answers += ask_well(http, &mut dice);
                    echo_well(raw, &mut dice);
                }
                answers
            })
        })
        .collect();
    // All of them end before anybody is told of what has gone wrong.
    let good: Vec<_> = good.into_iter().map(thread::JoinHandle::join).collect();
    over.store(true, Ordering::Relaxed);
    bad.into_iter().for_each(|peer| peer.join().expect("a bad peer has panicked"));
    let answers = good.into_iter().map(|peer| peer.expect("a good peer was wronged"));
    eprintln!("{which:?}: {} right answers, {:?}", answers.sum::<usize>(), stage.proxy.counters);
    stage.settles(which);
}

/// Requests on one connection, some of them pipelined, each with its own answer.
fn ask_well(to: SocketAddr, dice: &mut Dice) -> usize {
    let mut client = TcpStream::connect(to).expect("connected");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut asked = 0;
    for _ in 0..=dice.below(8) {
        let mut expected = Vec::new();
        let mut bytes = Vec::new();
        for _ in 0..=dice.below(3) {
            let (request, answer) = request(dice);
            bytes.extend(request);
            expected.push(answer);
        }
        let piece = [13, 4_000, usize::MAX][dice.below(3)].min(bytes.len());
        for piece in bytes.chunks(piece.max(bytes.len() / 100)) {
            client.write_all(piece).expect("sent");
        }
        for expected in expected {
            let (head, body) = read_message(&mut client).expect("an answer");
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert!(body == expected, "{} bytes for {}", body.len(), expected.len());
            asked += 1;
        }
    }
    asked
}

fn request(dice: &mut Dice) -> (Vec<u8>, Vec<u8>) {
    let path = format!("{}/{}", dice.pick(&["/good", "/tls"]), dice.next());
    let length = [0, 10, 5_000, 70_000][dice.below(4)];
    let body = vec![b'a' + dice.below(26) as u8; length];
    let (method, head, framed) = match (length, dice.below(2)) {
        (0, _) => ("GET", String::new(), Vec::new()),
        (_, 0) => ("PUT", format!("Content-Length: {length}\r\n"), body.clone()),
        _ => {
            let mut framed = Vec::new();
            for chunk in body.chunks(1 + dice.below(length)) {
                framed.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                framed.extend(chunk);
                framed.extend(b"\r\n");
            }
            framed.extend(b"0\r\n\r\n");
            ("POST", "Transfer-Encoding: chunked\r\n".to_owned(), framed)
        }
    };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n");
    let answer = [format!("good|{method} {path} HTTP/1.1|").into_bytes(), body].concat();
    ([head.into_bytes(), framed].concat(), answer)
}

fn echo_well(to: SocketAddr, dice: &mut Dice) {
    let mut client = TcpStream::connect(to).expect("connected");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    for _ in 0..dice.below(4) {
        let sent: Vec<u8> = (0..dice.below(60_000)).map(|at| (at * 31) as u8).collect();
        client.write_all(&sent).expect("sent");
        let mut back = vec![0; sent.len()];
        client.read_exact(&mut back).expect("echoed");
        assert!(back == sent, "{} bytes came back changed", sent.len());
    }
}

/// One worker with four listeners, and what stands behind it.
struct Stage {
    proxy: Proxy,
    /// As the first, for those who behave, and may be slow on a busy machine.
    patient: SocketAddr,
    over_tls: SocketAddr,
    raw: SocketAddr,
}

impl Stage {
    fn new(which: Which, seed: u64) -> Self {
        let authority = Authority::new();
        let (tls, raw, good_ones) = (bound(), bound(), bound());
        let (over_tls, raw_address) = (address_of(&tls), address_of(&raw));
        let patient = address_of(&good_ones);
        let mut to_itself = cluster(OVER_TLS, &[over_tls]);
        to_itself.transport = authority.client(SERVER);
        let mut evil = cluster(EVIL, &[bad_upstream(seed), bad_upstream(seed + 1), nobody()]);
        evil.limits.max_connections = 8;
        evil.limits.max_pending = 4;
        let good = upstream(answer("good"));
        let clusters =
            vec![cluster(GOOD, &[good]), evil, to_itself, cluster(ECHO, &[upstream(echo)])];
        let terminal = Terminal::Http(Arc::new(impatient(routes())));
        let proxy = Proxy::start(which, terminal, clusters);
        // What comes over TLS, from the worker itself, goes to the good upstream.
        let good = vec![route("/", RouteAction::Forward(forward(&[(GOOD, 1)])))];
        let to_good = Terminal::Http(Arc::new(manager(good)));
        let for_good = Terminal::Http(Arc::new(manager(routes())));
        let context = authority.server();
        proxy.change(|snapshot| {
            snapshot.listeners.push(listener("tls", tls, to_good, Some(context)));
            snapshot.listeners.push(listener("raw", raw, tcp_proxy(ECHO), None));
            snapshot.listeners.push(listener("patient", good_ones, for_good, None));
        });
        Self { proxy, patient, over_tls, raw: raw_address }
    }

    /// All clients have gone: what is left are idle connections in the pools, each counted once.
    fn settles(self, which: Which) {
        let begun = Instant::now();
        let closed = |proxy: &Proxy| {
            let get = |counter| proxy.counters.get(counter);
            get(crate::Counter::DownstreamTotal) - get(crate::Counter::DownstreamClosed)
        };
        // The TLS listener's clients are the worker's own pooled connections.
        let own = |proxy: &Proxy| {
            proxy.change(|snapshot| snapshot.clusters[OVER_TLS as usize] = None);
            closed(proxy)
        };
        while own(&self.proxy) > 0 {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.proxy.counters);
            thread::sleep(Duration::from_millis(50));
        }
        // Closed sockets linger for a second at most, and a busy machine is late.
        thread::sleep(Duration::from_secs(3));
        let left = self.proxy.finish();
        assert_eq!((left.downs, left.streams), (0, 0), "{which:?}: {left:?}");
        assert_eq!(left.ups, left.idle, "{which:?}: {left:?}");
        assert_eq!(left.counted, left.idle as u64, "{which:?}: {left:?}");
        assert_eq!(left.open, left.ups + 4, "{which:?}: {left:?}");
        assert_eq!(left.timers, 1, "the once-a-second work, {which:?}: {left:?}");
        assert_eq!(left.buffers.0, 0, "{which:?}: {left:?}");
        let breakers = left.clusters.matches("Breaker {").count();
        let quiet = left.clusters.matches("pending: 0, requests: 0, limits").count();
        assert_eq!(breakers, quiet, "{which:?}: {}", left.clusters);
    }
}

fn routes() -> Vec<Route> {
    vec![
        route("/good", RouteAction::Forward(forward(&[(GOOD, 1)]))),
        route("/tls", RouteAction::Forward(forward(&[(OVER_TLS, 1)]))),
        route("/direct", RouteAction::Direct { status: 200, body: (*b"direct").into() }),
        route("/", RouteAction::Forward(to_evil(&[(EVIL, 1)]))),
    ]
}

fn listener(
    name: &str,
    bound: Arc<Bound>,
    terminal: Terminal,
    tls: Option<Arc<ServerContext>>,
) -> Arc<Listener> {
    let address = address_of(&bound);
    let name = name.into();
    Arc::new(Listener { name, ..listener_with(address, bound, terminal, tls) })
}

fn address_of(bound: &Bound) -> SocketAddr {
    bound.sockets[0].local_addr().expect("an address")
}
