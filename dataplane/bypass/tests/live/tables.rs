//! Nothing stays in the tables, and full ones only mean TCP.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use ringway_bypass::{Counts, Options};

use crate::stage::{Asks, PATIENCE, Stage, expect, pattern};

/// Ends take their moment.
fn await_nothing_held(stage: &Stage) {
    let begun = Instant::now();
    while stage.bypass.held() != (0, 0) {
        assert!(begun.elapsed() < PATIENCE, "held: {:?}", stage.bypass.held());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn thousands_of_connections_leave_nothing_behind() {
    let name = "thousands_of_connections_leave_nothing_behind";
    let Some(stage) = Stage::new(name, &Options::default()) else { return };
    assert_eq!(stage.bypass.held(), (0, 0), "the trial has left nothing");
    for number in 0..3_000 {
        let (mut ours, mut theirs) = stage.pair();
        ours.write_all(&pattern(number, 100)).expect("sent");
        expect(&mut theirs, number, 100);
        match number % 3 {
            // Unread, in the one's queue or the other's.
            0 => theirs.write_all(b"unread").expect("answered"),
            1 => drop(theirs),
            _ => drop(ours),
        }
    }
    await_nothing_held(&stage);
    assert_eq!(stage.bypass.counts().paired, 3_000);
}

#[test]
fn a_full_table_means_tcp() {
    let name = "a_full_table_means_tcp";
    let options = Options { pairs_max: 4, ..Options::default() };
    let Some(stage) = Stage::new(name, &options) else { return };
    let mut pairs: Vec<_> = (0..20).map(|_| stage.pair()).collect();
    for (ours, theirs) in &mut pairs {
        ours.write_all(&pattern(0, 1_000)).expect("sent");
        expect(theirs, 0, 1_000);
        theirs.write_all(&pattern(0, 1_000)).expect("answered");
        expect(ours, 0, 1_000);
    }
    assert_eq!(stage.bypass.counts(), Counts { paired: 4, full: 16, diverted: 8 });
    drop(pairs);
    await_nothing_held(&stage);
    // Room again.
    let (mut ours, mut theirs) = stage.pair();
    ours.write_all(b"x").expect("sent");
    expect_one(&mut theirs);
    assert_eq!(stage.bypass.counts().paired, 5);
}

fn expect_one(stream: &mut TcpStream) {
    let mut one = [0];
    Asks(stream).read_exact(&mut one).expect("a byte");
    assert_eq!(&one, b"x");
}

#[test]
fn two_ends_of_one_process_are_left_alone() {
    let name = "two_ends_of_one_process_are_left_alone";
    let Some(stage) = Stage::new(name, &Options::default()) else { return };
    // The sidecar's, because it listens only now; as is the end that connects.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let to = listener.local_addr().expect("an address");
    for _ in 0..10 {
        let mut one = TcpStream::connect(to).expect("connected");
        let (mut other, _) = listener.accept().expect("accepted");
        one.write_all(b"x").expect("sent");
        expect_one(&mut other);
    }
    assert_eq!(stage.bypass.counts(), Counts::default());
    assert_eq!(stage.bypass.held(), (0, 0));
}
