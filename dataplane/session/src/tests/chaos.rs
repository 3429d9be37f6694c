//! Clients and upstreams that do random things, from a seed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use config::snapshot::{Forward, HttpManager, Retry, Route};

use super::fixture::{forward, manager, upstream};

/// A manager that waits for nobody longer than a second.
pub(super) fn impatient(routes: Vec<Route>) -> HttpManager {
    HttpManager {
        idle_timeout: Some(Duration::from_secs(1)),
        stream_idle_timeout: Some(Duration::from_secs(1)),
        ..manager(routes)
    }
}

/// A route to upstreams that misbehave: short of time, and tried again for all that may happen.
pub(super) fn to_evil(clusters: &[(u32, u32)]) -> Forward {
    let retry = Retry {
        retries: 2,
        on_connect_failure: true,
        on_reset: true,
        on_status: vec![(503, 503)],
        per_try_timeout: Some(Duration::from_millis(150)),
        ..Retry::default()
    };
    let timeout = Some(Duration::from_millis(400));
    Forward { timeout, retry: Some(retry), ..forward(clusters) }
}

/// Random numbers that a seed repeats (SplitMix64).
#[derive(Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn pause(&mut self, ms_max: usize) {
        thread::sleep(Duration::from_millis(self.below(ms_max) as u64));
    }
}

const BEGINNINGS: &[&str] = &[
    "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /good HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD /evil HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /evil HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "POST /evil HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\nhalf of it",
    "POST /evil HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz",
    "POST /evil HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
    "GET /evil HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nearly",
    "GET /tls HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /direct HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /evil HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "\r\n\r\n\r\n",
    // A ClientHello that says it is longer than it is.
    "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03",
];

/// One client's connection: random beginnings in random pieces, and a random end.
pub(super) fn misbehave(to: SocketAddr, dice: &mut Dice) {
    let Ok(mut stream) = TcpStream::connect(to) else { return };
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(1 + dice.below(120) as u64)));
    let _ = stream.set_write_timeout(Some(Duration::from_millis(200)));
    for _ in 0..=dice.below(6) {
        let text = dice.pick(BEGINNINGS).repeat(1 + dice.below(3) * dice.below(8));
        let mut bytes = text.into_bytes();
        match dice.below(6) {
            0 => bytes.truncate(dice.below(bytes.len())),
            1 => {
                let at = dice.below(bytes.len());
                bytes[at] = dice.next() as u8;
            }
            _ => {}
        }
        let piece = [1, 7, 1_000, usize::MAX][dice.below(4)].min(bytes.len().max(1));
        for piece in bytes.chunks(piece).take(200) {
            if stream.write_all(piece).is_err() {
                return;
            }
        }
        if dice.below(2) == 0 {
            let _ = stream.read(&mut [0; 3_000]);
        }
    }
    leave(stream, dice);
}

/// Ends a connection in one of the ways there are.
fn leave(mut stream: TcpStream, dice: &mut Dice) {
    match dice.below(5) {
        0 => {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        1 => {
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read(&mut [0; 100]);
        }
        2 => dice.pause(200),
        3 => {
            let _ = stream.shutdown(Shutdown::Both);
        }
        _ => {}
    }
}

const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
    "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nnot all of it",
    "HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok and more",
    "HTTP/1.1 2\u{0} nonsense\r\n\r\n",
];

/// An upstream that answers at random, to requests that may not have been asked.
pub(super) fn bad_upstream(seed: u64) -> SocketAddr {
    upstream(move |mut stream: TcpStream| {
        let port = stream.peer_addr().map_or(0, |peer| peer.port());
        let mut dice = Dice(seed ^ u64::from(port));
        let _ = stream.set_read_timeout(Some(Duration::from_millis(150)));
        let _ = stream.set_write_timeout(Some(Duration::from_millis(200)));
        loop {
            if dice.below(8) != 0 && !matches!(stream.read(&mut [0; 2_048]), Ok(1..)) {
                break;
            }
            dice.pause(3);
            let answer = match dice.below(12) {
                0 => vec![b'x'; dice.below(300_000)],
                1 => break,
                2 => {
                    let length = 200_000 + dice.below(500_000);
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                    [head.into_bytes(), vec![b'y'; length]].concat()
                }
                _ => dice.pick(ANSWERS).as_bytes().to_vec(),
            };
            let piece = [1, 9, usize::MAX][dice.below(3)].min(answer.len().max(1));
            for piece in answer.chunks(piece.max(answer.len() / 300 + 1)) {
                if stream.write_all(piece).is_err() {
                    return;
                }
            }
        }
        leave(stream, &mut dice);
    })
}
