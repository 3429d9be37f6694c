//! A process without descriptors left: the listener pauses instead of spinning, tells it once, and
//! goes on by itself. Alone in its process, whose limit it lowers.

use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ringway_ring::{
    Bind, Driver, Epoll, Event, Failure, Limits, Nanos, Op, Tag, Uring, What, listener, machine,
    probe,
};

mod common;

#[test]
fn no_descriptors_left() {
    match probe() {
        Ok(_) => pauses_and_resumes(Uring::new(&Limits::default()).unwrap()),
        Err(reason) => common::without_uring("no_descriptors_left", &reason),
    }
    pauses_and_resumes(Epoll::new(&Limits::default()).unwrap());
}

fn pauses_and_resumes(mut driver: impl Driver) {
    let bound = listener("127.0.0.1:0".parse().unwrap(), Bind::default()).unwrap();
    let addr = bound.local_addr().unwrap();
    driver.listen(bound.as_fd(), Tag(1)).unwrap();
    let mut clients: Vec<_> = (0..3).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let before = set_limit(descriptors() as u64 + 1);
    let mut events = Vec::new();
    let cpu = machine::thread_cpu();
    run_for(&mut driver, &mut events, 350);
    let used = machine::thread_cpu() - cpu;
    set_limit(before);
    let accepted = |events: &[Event]| {
        events.iter().filter(|event| matches!(event.what, What::Accepted(_))).count()
    };
    let lack = Failure { op: Op::Accept, errno: libc::EMFILE };
    let told = events.iter().filter(|e| matches!(e.what, What::Failed(f) if f == lack)).count();
    assert!(accepted(&events) < 3, "{events:?}");
    assert_eq!(told, 1, "{events:?}");
    assert!(used < Duration::from_millis(100), "{used:?} of CPU time in 350 ms: it spins");
    run_for(&mut driver, &mut events, 300);
    assert_eq!(accepted(&events), 3, "no connection was lost");
    clients.clear();
}

fn run_for(driver: &mut impl Driver, events: &mut Vec<Event>, ms: u64) {
    let end = Instant::now() + Duration::from_millis(ms);
    while Instant::now() < end {
        let left = end.saturating_duration_since(Instant::now()).as_nanos() as u64;
        driver.turn(Some(Nanos(driver.now().0 + left)), events).unwrap();
    }
}

fn descriptors() -> usize {
    // The directory that is being read is one of them.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// Sets the soft limit of descriptors and says what it was.
fn set_limit(soft: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    let before = std::mem::replace(&mut limit.rlim_cur, soft);
    // SAFETY: reads `limit` only.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    before
}
