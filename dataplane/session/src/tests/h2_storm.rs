//! A seeded storm by HTTP/2: clients and upstreams that reset, break off, wait and go, among others
//! that behave and get the right answers. Nothing is left behind.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use config::snapshot::{Cluster, Forward, RouteAction, Terminal, UpstreamProtocol};
use ring::start::Which;
use wire::h2::ErrorCode;

use super::chaos::{Dice, bad_upstream, impatient, to_evil};
use super::fixture::{Proxy, answer, cluster, forward, nobody, on_both, route, upstream};
use super::peer::{Message, Peer, server};
use crate::Counter;

const LENGTH: Duration = Duration::from_secs(2);

#[test]
fn a_storm_by_http_2_leaves_nothing_behind() {
    for seed in [11, 12] {
        on_both(|which| storm(which, seed));
    }
}

fn storm(which: Which, seed: u64) {
    let proxy = Proxy::start(which, terminal(), clusters(seed));
    let (to, end) = (proxy.address, Instant::now() + LENGTH);
    let peers = |count: u64, play: fn(SocketAddr, &mut Dice) -> usize| {
        let start = |number| {
            thread::spawn(move || {
                let mut dice = Dice(seed.wrapping_mul(7 * number + count));
                let mut answers = 0;
                while Instant::now() < end {
                    answers += play(to, &mut dice);
                }
                answers
            })
        };
        (1..=count).map(start).collect::<Vec<_>>()
    };
    let (bad, good) = (peers(8, misbehave), peers(3, ask_well));
    for peer in bad {
        peer.join().expect("a bad peer has panicked");
    }
    let answers: usize = good.into_iter().map(|peer| peer.join().expect("one was wronged")).sum();
    assert!(answers > 50, "only {answers} answers");
    proxy.settles_down(0);
    // Closed sockets linger for a second at most.
    thread::sleep(Duration::from_millis(1_300));
    eprintln!("{which:?}: {answers} right answers, {:?}", proxy.counters);
    let ups = proxy.counters.get(Counter::UpstreamTotal);
    assert!(ups > 0);
    let left = proxy.finish();
    assert_eq!((left.downs, left.streams), (0, 0), "{which:?}: {left:?}");
    assert_eq!(left.counted, left.ups as u64, "{which:?}: {left:?}");
    assert_eq!(left.buffers.0, 0, "{which:?}: {left:?}");
    let breakers = left.clusters.matches("Breaker {").count();
    let quiet = left.clusters.matches("pending: 0, requests: 0, limits").count();
    assert_eq!(breakers, quiet, "{which:?}: {}", left.clusters);
}

fn terminal() -> Terminal {
    // The echo serves one after the other: whoever behaves may have to wait until those before it,
    // who do not read, have gone.
    let patient = |to| Forward { idle_timeout: Some(Some(3 * LENGTH)), ..forward(&[(to, 1)]) };
    let routes = vec![
        route("/one", RouteAction::Forward(patient(0))),
        route("/two", RouteAction::Forward(patient(1))),
        route("/direct", RouteAction::Direct { status: 200, body: (*b"direct").into() }),
        route("/", RouteAction::Forward(to_evil(&[(2, 1), (3, 1)]))),
    ];
    Terminal::Http(Arc::new(impatient(routes)))
}

fn clusters(seed: u64) -> Vec<Cluster> {
    let h2 = |cluster| Cluster { protocol: UpstreamProtocol::Http2, ..cluster };
    let echo = server(|peer: &mut Peer, id: u32, message: &Message| {
        peer.answer(id, 200, &[], &message.body, &[("x-end", "1")]);
    });
    let evil = |number: u64| upstream(move |socket| evil_upstream(socket, seed + number));
    let mut old = cluster(2, &[bad_upstream(seed), nobody()]);
    old.limits.max_connections = 8;
    old.limits.max_pending = 4;
    // Several: each takes no more than 500 requests that are reset before they are answered.
    let echoes = [(); 4].map(|()| upstream(echo.clone()));
    vec![
        cluster(0, &[upstream(answer("one"))]),
        h2(cluster(1, &echoes)),
        old,
        h2(cluster(3, &[evil(1), evil(2), nobody()])),
    ]
}

/// Answers, or does something else.
fn evil_upstream(socket: TcpStream, seed: u64) {
    let mut dice = Dice(seed);
    let (mut peer, mut seen) = (Peer::server(socket), Vec::new());
    while peer.turn() {
        for (id, message) in peer.whole(&mut seen) {
            match dice.below(8) {
                0 => peer.reset(id, ErrorCode::RefusedStream),
                1 => peer.reset(id, ErrorCode::InternalError),
                2 => {
                    peer.begin_answer(id, 200);
                    peer.send(id, &[b'x'; 3_000], false);
                    peer.reset(id, ErrorCode::Cancel);
                }
                3 => peer.connection.drain(),
                4 => return,
                5 => thread::sleep(Duration::from_millis(20)),
                6 => drop(peer.socket.write_all(b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0")),
                _ => peer.answer(id, 503, &[], &message.body, &[]),
            }
        }
    }
}

fn misbehave(to: SocketAddr, dice: &mut Dice) -> usize {
    let socket = TcpStream::connect(to).expect("connected");
    socket.set_read_timeout(Some(Duration::from_millis(1 + dice.below(30) as u64))).expect("set");
    socket.set_write_timeout(Some(Duration::from_millis(50))).expect("set");
    let mut peer = Peer::client(socket);
    peer.consumes = dice.below(3) > 0;
    let mut ids = Vec::new();
    for _ in 0..=dice.below(30) {
        let path = dice.pick(&["/one", "/two", "/direct", "/evil"]);
        if ids.len() >= 90 || peer.connection.failure().is_some() || peer.gone_away.is_some() {
            break;
        }
        let id = peer.begin("POST", path, &[], false);
        ids.push(id);
        let body = vec![b'b'; [0, 10, 20_000, 200_000][dice.below(4)]];
        match dice.below(6) {
            0 => peer.reset(id, ErrorCode::Cancel),
            1 => drop(peer.socket.write_all(&[dice.below(256) as u8; 9])),
            2 => peer.send(id, &body, false),
            3 => drop(peer.turn()),
            _ => peer.send(id, &body, true),
        }
    }
    for _ in 0..dice.below(10) {
        peer.is_closed = false;
        peer.turn();
    }
    0
}

fn ask_well(to: SocketAddr, dice: &mut Dice) -> usize {
    let socket = TcpStream::connect(to).expect("connected");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let (mut peer, mut asked) = (Peer::client(socket), Vec::new());
    for _ in 0..=dice.below(20) {
        let body = vec![b'a' + dice.below(26) as u8; [0, 10, 5_000, 70_000][dice.below(4)]];
        let path = dice.pick(&["/one", "/two"]);
        asked.push((peer.ask("POST", path, &[], Some(&body)), path == "/one", body));
    }
    for (id, is_one, body) in &asked {
        let message = peer.wait(*id);
        assert_eq!(message.status, 200, "{message:?}");
        let came = match is_one {
            true => message.body.strip_prefix(&b"one|POST /one HTTP/1.1|"[..]).expect("its answer"),
            false => &message.body[..],
        };
        assert!(came == body, "{} bytes for {}", came.len(), body.len());
    }
    asked.len()
}
