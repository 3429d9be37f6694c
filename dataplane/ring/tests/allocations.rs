//! After warm-up nothing is allocated for what passes through. Alone in its process, whose
//! allocator it counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

use ringway_ring::{Bind, Driver, Epoll, Limits, Size, Tag, Uring, What, listener, probe};

mod common;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: promised by the caller.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const CONNECTIONS: usize = 20;
const WARM_UP: usize = 2_000;
const COUNTED: usize = 10_000;

#[test]
fn ten_thousand_round_trips_allocate_nothing() {
    match probe() {
        Ok(_) => {
            let on = Uring::new(&Limits::default()).unwrap();
            assert_eq!(allocations_of_echoes(on, "io_uring"), 0);
        }
        Err(reason) => common::without_uring("ten_thousand_round_trips_allocate_nothing", &reason),
    }
    assert_eq!(allocations_of_echoes(Epoll::new(&Limits::default()).unwrap(), "epoll"), 0);
}

/// Echoes in two pieces (the first from a scratch buffer), with connections coming and going, and
/// counts the allocations of the worker's thread.
fn allocations_of_echoes(mut driver: impl Driver, name: &str) -> u64 {
    let bound = listener("127.0.0.1:0".parse().unwrap(), Bind::default()).unwrap();
    let addr = bound.local_addr().unwrap();
    driver.listen(bound.as_fd(), Tag(0)).unwrap();
    let peers = std::thread::spawn(move || ping(addr));
    let mut events = Vec::with_capacity(1024);
    let (mut echoes, mut before) = (0, 0);
    while echoes < WARM_UP + COUNTED {
        driver.turn(None, &mut events).unwrap();
        for event in events.drain(..) {
            match event.what {
                What::Accepted(socket) => driver.recv(socket, 1 << 20, Size::Small),
                What::Data(data) => {
                    let mut head = driver.pool().take(4).unwrap();
                    head.extend(b"got ");
                    driver.send(event.socket, head.freeze());
                    driver.send(event.socket, data);
                    echoes += 1;
                }
                What::Eof | What::Failed(_) => driver.close(event.socket),
                What::Sent(_) | What::Paused => {}
                other => panic!("{other:?}"),
            }
        }
        if echoes < WARM_UP {
            before = ALLOCATIONS.get();
        }
    }
    let allocations = ALLOCATIONS.get() - before;
    println!("{name}: {allocations} allocations in {COUNTED} round trips");
    drop(driver);
    peers.join().unwrap();
    allocations
}

/// Round trips on some connections at a time, each of which is replaced after a hundred.
fn ping(addr: std::net::SocketAddr) {
    let connect = || {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    };
    let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
    let mut answer = [0; 8];
    for round in 0.. {
        for stream in &mut streams {
            if stream.write_all(b"ping").is_err() {
                return;
            }
        }
        for stream in &mut streams {
            if stream.read_exact(&mut answer).is_err() {
                return;
            }
            assert_eq!(&answer, b"got ping");
        }
        if round % 5 == 0
            && let Some(oldest) = streams.get_mut(round / 5 % CONNECTIONS)
        {
            match TcpStream::connect(addr) {
                Ok(fresh) => *oldest = fresh,
                Err(_) => return,
            }
        }
    }
}
