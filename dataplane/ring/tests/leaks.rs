//! Whatever is done in whatever order: no descriptor, no slot and no buffer is lost, nothing is
//! heard of what was closed, and every byte that arrives is the right one. One test at a time in
//! this process, since they count its descriptors.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ringway_ring::{
    Bind, Buf, Connect, Driver, Epoll, Limits, Nanos, Size, Socket, Tag, Uring, What, listener,
    probe,
};

mod common;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn both(name: &str, limits: Limits, uring: impl Fn(Uring), epoll: impl Fn(Epoll)) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    match probe() {
        Ok(_) => no_descriptor_is_lost(name, || uring(Uring::new(&limits).unwrap())),
        Err(reason) => common::without_uring(name, &reason),
    }
    no_descriptor_is_lost(name, || epoll(Epoll::new(&limits).unwrap()));
}

fn no_descriptor_is_lost(name: &str, test: impl Fn()) {
    let before = descriptors();
    test();
    // Sockets of the test's own threads may take a moment.
    let end = Instant::now() + Duration::from_secs(5);
    while descriptors() > before && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(descriptors(), before, "{name}: descriptors");
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit.max(1)
    }
}

const SOCKETS: usize = 200;

#[test]
fn random_operations_end_without_leaks() {
    let seeds: Vec<u64> = match std::env::var("RING_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=4).collect(),
    };
    for seed in seeds {
        println!("seed {seed} (again with RING_SEED={seed})");
        // Few buffers and pipes, so that they run out.
        let (small_buffers, large_buffers, pipes) = (32, 4, 3);
        let limits = Limits { small_buffers, large_buffers, pipes, ..Limits::default() };
        let name = format!("seed {seed}");
        both(&name, limits, |driver| Storm::run(driver, seed), |driver| Storm::run(driver, seed));
    }
}

/// A driver under random operations, with plain sockets as peers that write, read, close and reset
/// at random too.
struct Storm<D> {
    driver: D,
    random: Random,
    open: Vec<Socket>,
    /// How often each open socket was heard of; a socket that is not here was closed.
    heard: HashMap<Socket, usize>,
    /// Sockets whose sending side is closed.
    finished: HashSet<Socket>,
    peers: Vec<TcpStream>,
    events: Vec<ringway_ring::Event>,
    held: Vec<Buf>,
    addr: std::net::SocketAddr,
    server: TcpListener,
}

impl<D: Driver> Storm<D> {
    fn run(mut driver: D, seed: u64) {
        let bound = listener("127.0.0.1:0".parse().unwrap(), Bind::default()).unwrap();
        let addr = bound.local_addr().unwrap();
        let front = driver.listen(bound.as_fd(), Tag(0)).unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        let (open, heard, peers) = (Vec::new(), HashMap::new(), Vec::new());
        let (events, held, random) = (Vec::new(), Vec::new(), Random(seed * 0x9e37_79b9 + 1));
        let finished = HashSet::new();
        let mut storm =
            Self { finished, driver, random, open, heard, peers, events, held, addr, server };
        for _ in 0..6_000 {
            storm.step();
        }
        storm.calm(front);
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0 | 1 if self.peers.len() < SOCKETS => self.connect_in(),
            2 if self.peers.len() < SOCKETS => self.connect_out(),
            3..=6 => self.touch_peer(),
            7..=13 => self.touch_socket(),
            14 => self.held.clear(),
            _ => self.turn(),
        }
    }

    fn connect_in(&mut self) {
        let peer = TcpStream::connect(self.addr).unwrap();
        peer.set_nonblocking(true).unwrap();
        self.peers.push(peer);
    }

    fn connect_out(&mut self) {
        let deadline = Nanos(self.driver.now().0 + 50_000_000);
        let mut to = self.server.local_addr().unwrap();
        if self.random.below(4) == 0 {
            to.set_port(1);
        }
        let connect = Connect { to, from: None, deadline, keepalive: None };
        let socket = self.driver.connect(&connect, Tag(1)).unwrap();
        self.enter(socket);
    }

    fn enter(&mut self, socket: Socket) {
        assert!(self.heard.insert(socket, 0).is_none(), "{socket:?} came twice");
        self.open.push(socket);
    }

    fn touch_peer(&mut self) {
        if let Ok((peer, _)) = self.server.accept() {
            peer.set_nonblocking(true).unwrap();
            self.peers.push(peer);
        }
        if self.peers.is_empty() {
            return;
        }
        let at = self.random.below(self.peers.len());
        match self.random.below(12) {
            0 => drop(self.peers.swap_remove(at)),
            1 => {
                let peer = self.peers.swap_remove(at);
                socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
            }
            2 => drop(self.peers[at].shutdown(std::net::Shutdown::Write)),
            3..=6 => {
                let len = [10, 5_000, 200_000][self.random.below(3)];
                let _ = self.peers[at].write(&vec![0xa5; len]);
            }
            _ => {
                let mut bytes = vec![0; 300_000];
                if let Ok(n) = self.peers[at].read(&mut bytes) {
                    assert!(bytes[..n].iter().all(|byte| *byte == 0xa5), "a wrong byte");
                }
            }
        }
    }

    fn touch_socket(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = self.random.below(self.open.len());
        let socket = self.open[at];
        match self.random.below(14) {
            0 => self.end(at, D::close),
            1 => self.end(at, D::reset),
            2 => self.driver.retag(socket, Tag(self.random.0)),
            3..=5 => {
                let budget = [1, 10_000, 1 << 20][self.random.below(3)];
                let size = [Size::Small, Size::Large][self.random.below(2)];
                if self.driver.relayed(socket) == 0 && !self.is_source(socket) {
                    self.driver.recv(socket, budget, size);
                }
            }
            6..=9 if !self.finished.contains(&socket) => self.send(socket),
            6..=9 => {}
            10 if self.random.below(4) == 0 => {
                self.driver.finish(socket);
                self.finished.insert(socket);
            }
            _ => {
                let other = self.open[self.random.below(self.open.len())];
                if other != socket {
                    let _ = self.driver.relay(socket, other, u64::MAX);
                }
            }
        }
    }

    /// Whether the socket is the source of a relay: then another relay from it is refused.
    fn is_source(&mut self, socket: Socket) -> bool {
        match self.driver.relay(socket, socket, u64::MAX) {
            Ok(()) => panic!("relayed to itself"),
            Err(error) => error.to_string().contains("already"),
        }
    }

    fn send(&mut self, socket: Socket) {
        static BYTES: [u8; 300_000] = [0xa5; 300_000];
        let len = [5, 4_000, 300_000][self.random.below(3)];
        match self.driver.pool().take(len) {
            Some(mut piece) => {
                piece.extend(&BYTES[..len]);
                self.driver.send(socket, piece.freeze());
            }
            None => self.driver.send(socket, Buf::from_static(&BYTES[..len])),
        }
    }

    fn end(&mut self, at: usize, how: impl Fn(&mut D, Socket)) {
        let socket = self.open.swap_remove(at);
        how(&mut self.driver, socket);
        self.heard.remove(&socket);
        self.events.retain(|event| event.socket != socket);
    }

    fn turn(&mut self) {
        let deadline = Nanos(self.driver.now().0 + 1_000_000);
        self.driver.turn(Some(deadline), &mut self.events).unwrap();
        for event in std::mem::take(&mut self.events) {
            if let What::Accepted(socket) = event.what {
                self.enter(socket);
                continue;
            }
            let heard = self.heard.get_mut(&event.socket);
            *heard.unwrap_or_else(|| panic!("heard of a closed socket: {event:?}")) += 1;
            if let What::Data(data) = event.what {
                assert!(data.iter().all(|byte| *byte == 0xa5), "a wrong byte");
                if self.random.below(3) == 0 && self.held.len() < 20 {
                    self.held.push(data);
                }
            }
        }
    }

    /// Closes everything and waits for the end.
    fn calm(mut self, front: Socket) {
        self.driver.close(front);
        while !self.open.is_empty() {
            let how = if self.random.below(2) == 0 { D::close } else { D::reset };
            self.end(0, how);
        }
        self.held.clear();
        self.peers.clear();
        self.events.clear();
        drop(self.server);
        let end = Instant::now() + Duration::from_secs(35);
        while self.driver.open() > 0 {
            assert!(Instant::now() < end, "{} sockets stay open", self.driver.open());
            let deadline = Nanos(self.driver.now().0 + 20_000_000);
            self.driver.turn(Some(deadline), &mut self.events).unwrap();
            assert!(self.events.is_empty(), "{:?}", self.events);
        }
        assert_eq!(self.driver.pool().in_use_bytes(), 0, "scratch buffers");
        assert_eq!(self.driver.pool().received_bytes(), 0, "receive buffers");
    }
}

#[test]
fn dropped_in_the_middle_nothing_is_lost() {
    both("dropped", Limits::default(), drop_in_the_middle, drop_in_the_middle);
}

fn drop_in_the_middle(mut driver: impl Driver) {
    let bound = listener("127.0.0.1:0".parse().unwrap(), Bind::default()).unwrap();
    let addr = bound.local_addr().unwrap();
    driver.listen(bound.as_fd(), Tag(0)).unwrap();
    let mut peers: Vec<_> = (0..50).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let mut events = Vec::new();
    for turn in 0..10 {
        let deadline = Nanos(driver.now().0 + 1_000_000);
        driver.turn(Some(deadline), &mut events).unwrap();
        for event in events.drain(..) {
            if let What::Accepted(socket) = event.what {
                driver.recv(socket, 1 << 20, Size::Large);
                driver.send(socket, Buf::from_static(&[0xa5; 4_000_000]));
            }
        }
        for peer in peers.iter_mut().skip(turn).step_by(7) {
            peer.write_all(&[0xa5; 10_000]).unwrap();
        }
    }
    // Accepted by the kernel, never told.
    peers.extend((0..5).map(|_| TcpStream::connect(addr).unwrap()));
}
