//! What is sent arrives, in its order, by whichever way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use ringway_bypass::{Counts, Options};

use crate::stage::{Asks, Stage, carried, expect, expect_all, pattern};

/// To the application and back again.
fn echo(ours: &mut TcpStream, theirs: &mut TcpStream, len: usize) {
    let sent = pattern(0, len);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut read = vec![0; 32 << 10];
            let mut left = len;
            while left > 0 {
                let n = Asks(theirs).read(&mut read).expect("bytes");
                assert!(n > 0, "ended early");
                theirs.write_all(&read[..n]).expect("answered");
                left -= n;
            }
        });
        let mut reader = ours.try_clone().expect("a second handle");
        scope.spawn(move || expect(&mut reader, 0, len));
        ours.write_all(&sent).expect("sent");
    });
}

#[test]
fn echoes_of_all_sizes_are_the_same() {
    let name = "echoes_of_all_sizes_are_the_same";
    let Some(stage) = Stage::new(name, &Options::default()) else { return };
    let (mut ours, mut theirs) = stage.pair();
    for len in [1, 2, 63, 64, 1_460, 4_096, 16_383, 65_535, 65_536, 65_537, 1 << 20, 64 << 20] {
        echo(&mut ours, &mut theirs, len);
    }
    assert_eq!(stage.bypass.counts(), Counts { paired: 1, full: 0, diverted: 2 });
}

#[test]
fn small_messages_do_not_touch_the_loopback() {
    let name = "small_messages_do_not_touch_the_loopback";
    let Some(stage) = Stage::new(name, &Options::default()) else { return };
    let (mut ours, mut theirs) = stage.pair();
    let before = carried();
    for round in 0..1_000 {
        ours.write_all(&pattern(round, 1_000)).expect("sent");
        expect(&mut theirs, round, 1_000);
        theirs.write_all(&pattern(round, 2_000)).expect("answered");
        expect(&mut ours, round, 2_000);
    }
    assert_eq!(carried(), before, "3 MB went past it");
}

#[test]
fn order_holds_while_the_way_changes() {
    let name = "order_holds_while_the_way_changes";
    let Some(stage) = Stage::new(name, &Options::default()) else { return };
    let (mut ours, mut theirs) = stage.pair();
    let total = 48 << 20;
    let before = carried();
    let sender = thread::spawn(move || {
        let (mut sent, mut seed) = (0, 7_u64);
        while sent < total {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Some fit in beside others, some are larger than all that may be diverted.
            let most = if seed >> 62 == 0 { 300_000 } else { 9_000 };
            let len = (1 + (seed >> 33) as usize % most).min(total - sent);
            ours.write_all(&pattern(sent, len)).expect("sent");
            sent += len;
            if seed >> 55 & 63 == 0 {
                thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let (mut read, mut seed) = (0, 3_u64);
    while read < total {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let len = (1 + (seed >> 33) as usize % 120_000).min(total - read);
        expect(&mut theirs, read, len);
        read += len;
        if seed >> 55 & 63 == 0 {
            thread::sleep(Duration::from_millis(2));
        }
    }
    sender.join().expect("all sent");
    expect_all(&mut theirs, 0);
    let by_tcp = carried() - before;
    // How much goes past it is the scheduler's affair; the tests beside this one see that it does.
    assert!(by_tcp > 1 << 20, "{by_tcp}: some had to go by TCP");
}
