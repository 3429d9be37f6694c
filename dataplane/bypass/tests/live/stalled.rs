//! Readers that do not read.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use ringway_bypass::Options;

use crate::stage::{Stage, expect, fill, pattern};

/// What TCP itself takes for a reader that does not read: both buffers at their largest.
fn tcp_takes_at_most() -> usize {
    let most = |name: &str| {
        let path = format!("/proc/sys/net/ipv4/{name}");
        let text = std::fs::read_to_string(path).expect("a limit");
        text.split_ascii_whitespace().last().and_then(|word| word.parse().ok()).unwrap_or(0_usize)
    };
    most("tcp_rmem") + most("tcp_wmem")
}

/// `more`: what is sent once it reads again. By TCP alone tiny buffers make that slow as well.
fn check(test: &str, buffer: Option<usize>, piece: usize, more: usize) {
    let Some(stage) = Stage::new(test, &Options::default()) else { return };
    // TCP's own timer would make every one of them slow; a busy machine some.
    let flows = (0..3).any(|_| stall(&stage, buffer, piece, more) < Duration::from_secs(2));
    assert!(flows, "more than two seconds until it flowed again, three times");
}

/// How long it takes until all has flowed once the reader reads again.
fn stall(stage: &Stage, buffer: Option<usize>, piece: usize, more: usize) -> Duration {
    let (mut ours, mut theirs) = stage.pair();
    let mut most = tcp_takes_at_most();
    if let Some(bytes) = buffer {
        setsockopt(&theirs, sockopt::RcvBuf, &bytes).expect("a buffer");
        setsockopt(&ours, sockopt::SndBuf, &bytes).expect("a buffer");
        // The kernel doubles both; its own accounts make a third of that.
        most = 6 * bytes;
    }
    let sent = fill(&mut ours, piece, 256 << 20);
    assert!(sent <= most, "{sent} bytes for a reader that does not read, {most} at most");
    // The longer the stall, the rarer TCP would ask again for what it had to drop.
    thread::sleep(Duration::from_secs(3));
    let begun = Instant::now();
    let writer = thread::spawn(move || {
        for at in (sent..sent + more).step_by(1 << 16) {
            ours.write_all(&pattern(at, 1 << 16)).expect("sent");
        }
        ours
    });
    expect(&mut theirs, 0, sent + more);
    let took = begun.elapsed();
    // And small messages find their way past TCP again.
    let mut ours = writer.join().expect("sent");
    let before = crate::stage::carried();
    for at in 0..100 {
        ours.write_all(&pattern(at, 500)).expect("sent");
        expect(&mut theirs, at, 500);
    }
    assert_eq!(crate::stage::carried(), before);
    took
}

#[test]
fn a_reader_that_stalls_holds_its_sender_up() {
    check("a_reader_that_stalls_holds_its_sender_up", None, 8_192, 4 << 20);
}

#[test]
fn a_reader_that_stalls_holds_up_large_messages() {
    check("a_reader_that_stalls_holds_up_large_messages", None, 400_000, 4 << 20);
}

#[test]
fn a_reader_that_stalls_with_a_buffer_of_its_own_choice() {
    check("a_reader_that_stalls_with_a_buffer_of_its_own_choice", Some(64 << 10), 3_000, 4 << 20);
}

#[test]
fn a_reader_that_stalls_with_a_tiny_buffer() {
    check("a_reader_that_stalls_with_a_tiny_buffer", Some(8 << 10), 1_000, 1 << 16);
}
