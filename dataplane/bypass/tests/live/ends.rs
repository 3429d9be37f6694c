//! Half-close, close, reset.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use ringway_bypass::Options;

use crate::stage::{Asks, PATIENCE, Stage, expect, expect_all, fill, pattern};

#[test]
fn what_is_in_flight_arrives_before_the_end() {
    let name = "what_is_in_flight_arrives_before_the_end";
    let Some(stage) = Stage::new(name, &Options::default()) else { return };
    // By one way, by the other, by both.
    for len in [1, 40_000, 65_536, 200_000, 3 << 20] {
        for whole in [true, false] {
            let (mut ours, mut theirs) = stage.pair();
            let sender = thread::spawn(move || {
                let piece = if whole { len } else { 1 + len / 7 };
                pattern(0, len).chunks(piece).for_each(|p| ours.write_all(p).expect("sent"));
                ours.shutdown(Shutdown::Write).expect("half-closed");
                ours
            });
            thread::sleep(Duration::from_millis(20));
            expect_all(&mut theirs, len);
            let mut ours = sender.join().expect("sent");
            // The other way is still open, and ends in the same manner.
            let answer = thread::spawn(move || {
                theirs.write_all(&pattern(0, len)).expect("answered");
                drop(theirs);
            });
            expect_all(&mut ours, len);
            answer.join().expect("answered");
        }
    }
}

#[test]
fn nothing_is_sent_after_the_end() {
    let name = "nothing_is_sent_after_the_end";
    let Some(stage) = Stage::new(name, &Options::default()) else { return };
    let (mut ours, mut theirs) = stage.pair();
    ours.write_all(b"last").expect("sent");
    ours.shutdown(Shutdown::Write).expect("half-closed");
    assert_eq!(ours.write(b"more").map_err(|e| e.kind()), Err(ErrorKind::BrokenPipe));
    let mut read = String::new();
    Asks(&mut theirs).read_to_string(&mut read).expect("to the end");
    assert_eq!(read, "last");
}

#[test]
fn a_sender_hears_that_its_peer_is_gone() {
    let name = "a_sender_hears_that_its_peer_is_gone";
    let Some(stage) = Stage::new(name, &Options::default()) else { return };
    let (mut ours, theirs) = stage.pair();
    ours.write_all(&pattern(0, 5_000)).expect("sent");
    drop(theirs);
    let begun = Instant::now();
    let why = loop {
        if let Err(error) = ours.write(b"anybody?") {
            break error.kind();
        }
        assert!(begun.elapsed() < PATIENCE, "nobody says anything");
        thread::sleep(Duration::from_millis(1));
    };
    assert!(matches!(why, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{why:?}");
}

#[test]
fn a_reset_is_heard_after_what_came_before_it() {
    let name = "a_reset_is_heard_after_what_came_before_it";
    let Some(stage) = Stage::new(name, &Options::default()) else { return };
    for reads in [true, false] {
        let (mut ours, mut theirs) = stage.pair();
        theirs.write_all(&pattern(0, 3_000)).expect("sent");
        setsockopt(&theirs, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).expect("set");
        drop(theirs);
        if reads {
            expect(&mut ours, 0, 3_000);
        } else {
            let why = ours.write(b"?").expect_err("reset").kind();
            assert_eq!(why, ErrorKind::ConnectionReset);
            continue;
        }
        let why = Asks(&mut ours).read(&mut [0]).expect_err("reset").kind();
        assert_eq!(why, ErrorKind::ConnectionReset);
    }
}

#[test]
fn connections_outlive_the_bypass() {
    let name = "connections_outlive_the_bypass";
    let Some(stage) = Stage::new(name, &Options::default()) else { return };
    let (mut ours, mut theirs) = stage.pair();
    ours.write_all(&pattern(0, 5_000)).expect("sent");
    expect(&mut theirs, 0, 5_000);
    let Stage { bypass, application: _application } = stage;
    drop(bypass);
    let sent = fill(&mut ours, 10_000, 1 << 20);
    expect(&mut theirs, 0, sent);
    theirs.write_all(&pattern(0, 5_000)).expect("answered");
    expect(&mut ours, 0, 5_000);
}

#[test]
fn what_is_unread_outlives_the_bypass() {
    let name = "what_is_unread_outlives_the_bypass";
    let Some(stage) = Stage::new(name, &Options::default()) else { return };
    let (mut ours, mut theirs) = stage.pair();
    ours.write_all(&pattern(0, 5_000)).expect("sent");
    drop(ours);
    drop(stage);
    // Longer than the kernel takes to free what nobody holds.
    thread::sleep(Duration::from_millis(300));
    expect_all(&mut theirs, 5_000);
}
