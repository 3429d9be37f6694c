//! Listening, accepting, connecting, addresses, waking.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ringway_ring::{Bind, Connect, Failure, Nanos, Op, Socket, Tag, What, listener};

use crate::common;
use crate::kit::{LISTENER, Made, World, is, on_both};

on_both!(
    many_are_accepted,
    tags_follow_retag,
    connecting_succeeds,
    connecting_is_refused,
    connecting_meets_its_deadline,
    connecting_from_an_address,
    addresses_are_told,
    a_waker_wakes_from_another_thread,
    a_closed_listener_accepts_no_more,
    deadlines_are_kept,
);

fn many_are_accepted<D: Made>() {
    let mut world = World::<D>::new();
    let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(world.addr).unwrap()).collect();
    let mut sockets = std::collections::HashSet::new();
    world.until("200 accepts", |_, events| {
        for event in events.drain(..) {
            assert_eq!(event.tag, LISTENER);
            let What::Accepted(socket) = event.what else { panic!("{event:?}") };
            sockets.insert(socket);
        }
        (sockets.len() == clients.len()).then_some(())
    });
    assert_eq!(world.driver.open(), 201);
}

fn tags_follow_retag<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, client) = world.pair();
    world.driver.recv(socket, 100, ringway_ring::Size::Small);
    world.turn(0);
    world.driver.retag(socket, Tag(42));
    drop(client);
    let tag = world.expect("end", |event| {
        (event.socket == socket && matches!(event.what, What::Eof)).then_some(event.tag)
    });
    assert_eq!(tag, Tag(42));
}

fn connecting_succeeds<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, peer) = world.outgoing();
    let local = world.driver.local(socket).unwrap();
    assert_eq!(peer.peer_addr().unwrap(), local);
    assert_eq!(world.driver.peer(socket).unwrap(), peer.local_addr().unwrap());
}

fn connecting_is_refused<D: Made>() {
    let mut world = World::<D>::new();
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let connect = world.connect_to(addr);
    let socket = world.driver.connect(&connect, Tag(5)).unwrap();
    let refused = Failure { op: Op::Connect, errno: libc::ECONNREFUSED };
    world.expect("refusal", is(socket, |what| matches!(what, What::Failed(f) if *f == refused)));
    world.driver.close(socket);
    world.until_open(1);
}

/// A listener whose queue is full answers nothing.
fn deaf_peer() -> (std::net::TcpListener, Vec<TcpStream>) {
    let bind = Bind { backlog: 0, ..Bind::default() };
    let deaf = listener("127.0.0.1:0".parse().unwrap(), bind).unwrap();
    let addr = deaf.local_addr().unwrap();
    let waiting = (0..3)
        .filter_map(|_| TcpStream::connect_timeout(&addr, Duration::from_millis(50)).ok())
        .collect();
    (deaf, waiting)
}

fn connecting_meets_its_deadline<D: Made>() {
    let mut world = World::<D>::new();
    let (deaf, _waiting) = deaf_peer();
    let deadline = Nanos(world.clock().0 + 80_000_000);
    let connect = Connect { deadline, ..world.connect_to(deaf.local_addr().unwrap()) };
    let start = Instant::now();
    let socket = world.driver.connect(&connect, Tag(5)).unwrap();
    let late = Failure { op: Op::Connect, errno: libc::ETIMEDOUT };
    world.expect("time-out", is(socket, |what| matches!(what, What::Failed(f) if *f == late)));
    assert!((75..500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    world.driver.close(socket);
    world.until_open(1);
    // Closed before its deadline: nothing is heard of it.
    let deadline = Nanos(world.clock().0 + 30_000_000);
    let socket = world.driver.connect(&Connect { deadline, ..connect }, Tag(6)).unwrap();
    world.driver.close(socket);
    world.turn_for(60);
    assert_eq!(world.told(socket), [""; 0]);
}

fn connecting_from_an_address<D: Made>() {
    let mut world = World::<D>::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let from = Some("127.0.0.6".parse().unwrap());
    let connect = Connect { from, ..world.connect_to(server.local_addr().unwrap()) };
    let socket = world.driver.connect(&connect, Tag(5)).unwrap();
    world.expect("connect", is(socket, |what| matches!(what, What::Connected)));
    let (_, peer) = server.accept().unwrap();
    assert_eq!(Some(peer.ip()), from);
    // An address that is not ours: the answer is an event like any other failure.
    let connect = Connect { from: Some("192.0.2.1".parse().unwrap()), ..connect };
    let socket = world.driver.connect(&connect, Tag(6)).unwrap();
    let failure = Failure { op: Op::Connect, errno: libc::EADDRNOTAVAIL };
    world.expect("failure", is(socket, |what| matches!(what, What::Failed(f) if *f == failure)));
}

fn addresses_are_told<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, client) = world.pair();
    assert_eq!(world.driver.local(socket).unwrap(), world.addr);
    assert_eq!(world.driver.peer(socket).unwrap(), client.local_addr().unwrap());
    assert_eq!(world.driver.original(socket).unwrap(), world.addr, "nobody redirected it");
    world.driver.close(socket);
    assert!(world.driver.local(socket).is_err(), "a stale handle names nobody");
    six::<D>();
}

/// IPv6, and IPv4 through an IPv6 listener, where the machine has IPv6.
fn six<D: Made>() {
    let bind = Bind { v6_only: false, ..Bind::default() };
    let Ok(bound) = listener("[::]:0".parse().unwrap(), bind) else {
        return common::skip("addresses_are_told for IPv6", "there is none here");
    };
    let port = bound.local_addr().unwrap().port();
    let mut world = World::<D>::new();
    world.driver.listen(bound.as_fd(), Tag(6)).unwrap();
    for ip in ["127.0.0.1", "::1"] {
        let addr = std::net::SocketAddr::new(ip.parse().unwrap(), port);
        let _client = TcpStream::connect(addr).unwrap();
        let socket: Socket = world.expect("accept", |event| match event.what {
            What::Accepted(socket) => Some(socket),
            _ => None,
        });
        assert_eq!(world.driver.local(socket).unwrap(), addr);
        assert_eq!(world.driver.original(socket).unwrap(), addr);
    }
}

fn a_waker_wakes_from_another_thread<D: Made>() {
    let mut world = World::<D>::new();
    let waker = world.driver.waker();
    for _ in 0..3 {
        let waker = waker.clone();
        let start = Instant::now();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            for _ in 0..5 {
                waker.wake();
            }
        });
        world.driver.turn(None, &mut world.events).unwrap();
        while world.events.is_empty() {
            world.driver.turn(None, &mut world.events).unwrap();
        }
        assert!(start.elapsed() >= Duration::from_millis(19));
        thread.join().unwrap();
        world.turn_for(5);
        let woken = world.events.iter().filter(|event| matches!(event.what, What::Woken)).count();
        assert!((1..=5).contains(&woken), "{:?}", world.events);
        world.events.clear();
    }
    drop(world);
    waker.wake();
}

fn a_closed_listener_accepts_no_more<D: Made>() {
    let mut world = World::<D>::new();
    let bound = listener("127.0.0.1:0".parse().unwrap(), Bind::default()).unwrap();
    let second = world.driver.listen(bound.as_fd(), Tag(9)).unwrap();
    world.turn(0);
    world.driver.close(second);
    world.until_open(1);
    // The caller's own descriptor still listens, but nobody accepts.
    let _client = TcpStream::connect(bound.local_addr().unwrap()).unwrap();
    world.turn_for(20);
    assert_eq!(world.told(second), [""; 0]);
    assert_eq!(world.driver.open(), 1);
}

fn deadlines_are_kept<D: Made>() {
    let mut world = World::<D>::new();
    for ms in [0, 1, 3, 20] {
        let at = Nanos(world.clock().0 + ms * 1_000_000);
        world.driver.turn(Some(at), &mut world.events).unwrap();
        let now = world.driver.now();
        assert!(now >= at, "{ms} ms: woken early without a reason");
        assert!(now.0 - at.0 < 100_000_000, "{ms} ms: woken late");
    }
}
