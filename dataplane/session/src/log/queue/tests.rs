use config::snapshot::LogTarget;

use super::{Lines, LogDrain, log_queues};
use crate::limits::{LOG_BLOCK_BYTES, LOG_BLOCKS};

fn one() -> (Lines, LogDrain) {
    let (mut queues, drain) = log_queues(1);
    (Lines::new(queues.remove(0)), drain)
}

fn put(lines: &mut Lines, target: &LogTarget, line: &[u8]) -> u64 {
    lines.write(target, |out| out.extend_from_slice(line))
}

#[test]
fn lines_come_out_in_order_and_by_target() {
    let (mut lines, drain) = one();
    let file = LogTarget::File("/a".into());
    assert_eq!(put(&mut lines, &LogTarget::Stdout, b"1\n"), 0);
    assert_eq!(put(&mut lines, &LogTarget::Stdout, b"2\n"), 0);
    assert_eq!(put(&mut lines, &file, b"3\n"), 0);
    assert_eq!(put(&mut lines, &LogTarget::Stdout, b""), 0);
    assert_eq!(put(&mut lines, &LogTarget::Stdout, b"4\n"), 0);
    lines.hand_over();
    let (worker, block) = drain.next().expect("a block");
    let runs: Vec<_> =
        block.runs().map(|(target, bytes)| (target.clone(), bytes.to_vec())).collect();
    assert_eq!(
        runs,
        [
            (LogTarget::Stdout, b"1\n2\n".to_vec()),
            (file, b"3\n".to_vec()),
            (LogTarget::Stdout, b"4\n".to_vec()),
        ]
    );
    drain.give_back(worker, block);
    // Nothing was written since: nothing comes.
    lines.hand_over();
    drop(lines);
    assert!(drain.next().is_none());
}

/// Whatever a writer does that takes nothing: lines are dropped and counted, none is torn, and the
/// worker never waits.
#[test]
fn what_nobody_takes_is_dropped_and_counted() {
    let (mut lines, drain) = one();
    let line = [b"x".repeat(999), b"\n".to_vec()].concat();
    let (mut written, mut dropped) = (0, 0);
    for _ in 0..1_000 {
        match put(&mut lines, &LogTarget::Stderr, &line) {
            0 => written += 1,
            lost => dropped += lost,
        }
    }
    assert_eq!(written, LOG_BLOCKS as u64 * (LOG_BLOCK_BYTES as u64 / 1_000));
    assert_eq!(written + dropped, 1_000);
    let (mut taken, mut told) = (0, 0);
    for _ in 0..LOG_BLOCKS {
        let (worker, block) = drain.next().expect("a block");
        for (_, bytes) in block.runs() {
            assert!(bytes.chunks(1_000).all(|found| found == line));
            taken += bytes.len() as u64 / 1_000;
        }
        told += block.dropped().map(|(_, lines)| lines).sum::<u64>();
        drain.give_back(worker, block);
    }
    // The next block tells of what was lost before it.
    assert_eq!(put(&mut lines, &LogTarget::Stderr, &line), 0);
    lines.hand_over();
    let (_, block) = drain.next().expect("a block");
    told += block.dropped().map(|(_, lines)| lines).sum::<u64>();
    assert_eq!((taken, told), (written, dropped));
}

#[test]
fn a_line_longer_than_a_block_is_dropped_whole() {
    let (mut lines, drain) = one();
    assert_eq!(put(&mut lines, &LogTarget::Stdout, b"before\n"), 0);
    assert_eq!(put(&mut lines, &LogTarget::Stdout, &b"x".repeat(LOG_BLOCK_BYTES + 1)), 1);
    assert_eq!(put(&mut lines, &LogTarget::Stdout, b"behind\n"), 0);
    lines.hand_over();
    let mut text = Vec::new();
    for _ in 0..2 {
        let (worker, block) = drain.next().expect("a block");
        block.runs().for_each(|(_, bytes)| text.extend_from_slice(bytes));
        drain.give_back(worker, block);
    }
    assert_eq!(text, b"before\nbehind\n");
}

/// The blocks go round: once they have their room, lines cost no allocation.
#[test]
fn lines_allocate_nothing_after_warm_up() {
    let (mut lines, drain) = one();
    let mut turn = || {
        for _ in 0..200 {
            assert_eq!(put(&mut lines, &LogTarget::Stdout, &[b'x'; 500]), 0);
        }
        lines.hand_over();
        while let Ok((worker, block)) = drain.filled.try_recv() {
            drain.give_back(worker, block);
        }
    };
    (0..2 * LOG_BLOCKS).for_each(|_| turn());
    let cost = allocation_counter::measure(|| (0..100).for_each(|_| turn()));
    assert_eq!(cost.count_total, 0, "{cost:?}");
}
