//! A transport with TLS whose peer does not read: what it holds, and in what order it leaves.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::Duration;

use config::snapshot::UpstreamTransport;
use ring::driver::{Connect, Driver, Event, Socket, Tag, What};
use ring::start::Which;
use ring::{Buf, Epoll, Limits, Uring};

use super::fixture::on_both;
use super::mutual_tls::{Authority, SERVER};
use crate::limits::{SHARE_PARTS, TLS_RECORD_MAX};
use crate::transport::{Scratch, Side, Transport};

const SCRATCH_BYTES: usize = 1 << 20;

/// A server's transport and a client's, joined by a real connection, on one driver.
struct Joined<D: Driver> {
    driver: D,
    scratch: Scratch,
    ends: [Transport; 2],
    /// Whether each end is received from.
    reads: [bool; 2],
    /// What each end has received.
    got: [Vec<u8>; 2],
    events: Vec<Event>,
}

impl<D: Driver> Joined<D> {
    fn new(mut driver: D) -> Self {
        let bound = TcpListener::bind("127.0.0.1:0").expect("a port");
        bound.set_nonblocking(true).expect("nonblocking");
        let to = bound.local_addr().expect("an address");
        driver.listen(bound.as_fd(), Tag(1)).expect("listening");
        let deadline = driver.now().after(Duration::from_secs(5));
        let connect = Connect { to, from: None, deadline, keepalive: None };
        let client = driver.connect(&connect, Tag(2)).expect("connecting");
        let (mut events, mut server, mut is_connected) = (Vec::new(), None, false);
        while server.is_none() || !is_connected {
            driver.turn(Some(deadline), &mut events).expect("a turn");
            for event in events.drain(..) {
                match event.what {
                    What::Accepted(socket) => server = Some(socket),
                    What::Connected => is_connected = true,
                    other => panic!("{other:?}"),
                }
            }
        }
        Self::secured(driver, server.expect("accepted"), client)
    }

    fn secured(driver: D, server: Socket, client: Socket) -> Self {
        let authority = Authority::new();
        let mut ends = [server, client].map(Transport::plain);
        let UpstreamTransport::Tls(context) = authority.client(SERVER) else { panic!("no TLS") };
        ends[0].secure(Side::Server(authority.server().accept().expect("a session")));
        ends[1].secure(Side::Client(context.connect(None, None).expect("a session")));
        let (scratch, events) = (Scratch::default(), Vec::new());
        let (reads, got) = ([true; 2], [Vec::new(), Vec::new()]);
        let mut joined = Self { driver, scratch, ends, reads, got, events };
        joined.ends[1].hello(&mut joined.driver, &mut joined.scratch).expect("a hello");
        while joined.ends.iter().any(Transport::is_handshaking) {
            assert!(!joined.turn(), "the handshake has failed");
        }
        joined
    }

    /// One turn; whether a socket has failed in it.
    fn turn(&mut self) -> bool {
        let mut has_failed = false;
        for (end, _) in self.ends.iter_mut().zip(self.reads).filter(|(_, reads)| *reads) {
            end.arm(&mut self.driver);
        }
        let soon = self.driver.now().after(Duration::from_millis(5));
        self.driver.turn(Some(soon), &mut self.events).expect("a turn");
        for event in std::mem::take(&mut self.events) {
            let at = usize::from(event.socket == self.ends[1].socket);
            let (end, mut plain) = (&mut self.ends[at], Vec::new());
            match event.what {
                What::Data(bytes) => end
                    .receive(&mut self.driver, &mut self.scratch, bytes, &mut plain)
                    .expect("good records"),
                What::Paused => end.paused(),
                What::Eof => end.ended(),
                What::Sent(_) => end.sent(&mut self.driver, &mut self.scratch).expect("sealed"),
                What::Failed(_) => has_failed = true,
                other => panic!("{other:?}"),
            }
            plain.iter().for_each(|bytes| self.got[at].extend_from_slice(bytes));
        }
        has_failed
    }

    /// Sends pieces from the server, whose client does not read, until they have to wait for long.
    fn fill(&mut self) -> Vec<u8> {
        self.reads = [true, false];
        let (mut sent, mut still) = (Vec::new(), 0);
        while still < 20 {
            if self.ends[0].is_congested(&self.driver) {
                still += 1;
            } else {
                still = 0;
                let mut piece = self.driver.pool().take(60_000).expect("memory");
                piece.extend(&vec![(sent.len() / 60_000) as u8; 60_000]);
                sent.extend_from_slice(&piece);
                let piece: Buf = piece.freeze();
                self.ends[0].send(&mut self.driver, piece).expect("taken");
            }
            assert!(!self.turn(), "a socket has failed");
        }
        sent
    }
}

fn tiny() -> Limits {
    Limits { scratch_bytes: SCRATCH_BYTES, ..Limits::default() }
}

/// What one end may have sealed is its share and a record; the rest waits as it came. All of it
/// arrives, and the good-bye behind it.
#[test]
fn what_waits_is_not_sealed_and_the_end_comes_behind_it() {
    on_both(|which| match which {
        Which::Uring => waits_and_ends(Uring::new(&tiny()).expect("a ring")),
        _ => waits_and_ends(Epoll::new(&tiny()).expect("a driver")),
    });
}

fn waits_and_ends<D: Driver>(driver: D) {
    let mut joined = Joined::new(driver);
    let sent = joined.fill();
    let sealed = joined.driver.unsent(joined.ends[0].socket);
    let share = SCRATCH_BYTES / SHARE_PARTS;
    assert!(sealed > 0 && sealed <= share + TLS_RECORD_MAX, "{sealed} bytes are sealed");
    assert!(joined.ends[0].unsent(&joined.driver) > sealed, "nothing waits");
    joined.ends[0].finish(&mut joined.driver, &mut joined.scratch);
    joined.reads = [true; 2];
    for _ in 0..4_000 {
        if joined.ends[1].is_closed_by_peer() {
            break;
        }
        assert!(!joined.turn(), "a socket has failed");
    }
    assert!(joined.ends[1].is_closed_by_peer(), "no good-bye");
    assert!(joined.got[1] == sent, "{} of {} bytes", joined.got[1].len(), sent.len());
    assert_eq!(joined.driver.pool().in_use_bytes(), 0);
}

/// Closing seals what waits at once; where memory is lacking for it the peer sees a reset.
#[test]
fn a_close_leaves_nothing_out_unseen() {
    on_both(|which| match which {
        Which::Uring => closes(|| Uring::new(&tiny()).expect("a ring")),
        _ => closes(|| Epoll::new(&tiny()).expect("a driver")),
    });
}

fn closes<D: Driver>(driver: impl Fn() -> D) {
    for is_lacking in [false, true] {
        let mut joined = Joined::new(driver());
        let sent = joined.fill();
        let pool = joined.driver.pool().clone();
        let mut taken = Vec::new();
        while is_lacking && let Some(buffer) = pool.take(1) {
            taken.push(buffer);
        }
        let [server, _] = &mut joined.ends;
        server.close(&mut joined.driver, &mut joined.scratch);
        taken.clear();
        joined.reads = [false, true];
        let mut failed = false;
        for _ in 0..4_000 {
            if failed || joined.ends[1].is_closed_by_peer() {
                break;
            }
            failed = joined.turn();
        }
        assert_eq!(failed, is_lacking, "reset");
        assert_eq!(joined.got[1] == sent, !is_lacking, "{} bytes", joined.got[1].len());
    }
}

/// A head and its body, sent one after the other in one event, are one record; an end that was
/// said in between comes behind them.
#[test]
fn what_is_held_is_sealed_together() {
    on_both(|which| match which {
        Which::Uring => holds(Uring::new(&tiny()).expect("a ring")),
        _ => holds(Epoll::new(&tiny()).expect("a driver")),
    });
}

fn holds<D: Driver>(driver: D) {
    let mut joined = Joined::new(driver);
    while joined.driver.unsent(joined.ends[0].socket) > 0 {
        assert!(!joined.turn(), "a socket has failed");
    }
    let [server, _] = &mut joined.ends;
    assert!(server.hold() && !server.hold(), "only the first must let go");
    let mut sent = Vec::new();
    for length in [200, 1_000, 0, 5] {
        let mut piece = joined.driver.pool().take(1_024).expect("memory");
        piece.extend(&vec![length as u8; length]);
        sent.extend_from_slice(&piece);
        server.send(&mut joined.driver, piece.freeze()).expect("taken");
    }
    server.finish(&mut joined.driver, &mut joined.scratch);
    assert_eq!(joined.driver.unsent(server.socket), 0);
    assert_eq!(server.unsent(&joined.driver), 1_205);
    server.release(&mut joined.driver, &mut joined.scratch).expect("sealed");
    // Head, type and tag: once for the data, once for the good-bye of two bytes.
    assert_eq!(joined.driver.unsent(server.socket), 1_205 + 22 + 2 + 22);
    for _ in 0..4_000 {
        if joined.ends[1].is_closed_by_peer() {
            break;
        }
        assert!(!joined.turn(), "a socket has failed");
    }
    assert!(joined.got[1] == sent && joined.ends[1].is_closed_by_peer());
    assert_eq!(joined.driver.pool().in_use_bytes(), 0);
}
