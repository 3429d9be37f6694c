//! What is in memory: next to nothing at start, and what a peak has touched only for a while. Alone
//! in its process, whose pages it counts.

use ringway_ring::{Buf, Epoll, Limits, Pool, Uring, machine, probe};

mod common;

const MIB: usize = 1 << 20;

#[test]
fn memory_is_resident_only_while_it_is_needed() {
    limits_cost_nothing();
    a_peak_passes();
    drivers_are_small();
}

/// Of one default pool all could be resident, not of one with a hundred times as many buffers.
fn limits_cost_nothing() {
    let limits = Limits { small_buffers: 32_768, large_buffers: 32_768, ..Limits::default() };
    let before = machine::resident_bytes();
    let pools: Vec<Pool> = (0..32).map(|_| Pool::new(&limits).unwrap()).collect();
    let grown = machine::resident_bytes() - before;
    // Four bytes a buffer would be 10 MiB.
    assert!(grown < MIB / 2, "{grown} bytes for {} pools of 2 GiB", pools.len());
}

fn a_peak_passes() {
    let pool = Pool::new(&Limits::default()).unwrap();
    let before = machine::resident_bytes();
    drop(peak(&pool));
    let peak = machine::resident_bytes() - before;
    assert!(peak > 60 * MIB, "{peak} bytes");
    for _ in 0..40 {
        pool.trim(4 * MIB);
    }
    let left = machine::resident_bytes() - before;
    assert!(left < peak / 10, "{left} of {peak} bytes are left");
}

/// All of the scratch memory, a third in each size, and every byte of it written to.
fn peak(pool: &Pool) -> Vec<Buf> {
    let mut views = Vec::new();
    for (third, size) in [4_352, 20_480, 65_536].into_iter().enumerate() {
        while pool.in_use_bytes() < pool.limit_bytes() / 3 * (third + 1)
            && let Some(mut buffer) = pool.take(size)
        {
            buffer.spare_mut().fill(1);
            buffer.advance(size);
            views.push(buffer.freeze());
        }
    }
    views
}

fn drivers_are_small() {
    let before = machine::resident_bytes();
    let epoll = Epoll::new(&Limits::default()).unwrap();
    let grown = machine::resident_bytes() - before;
    assert!(grown < MIB / 4, "epoll: {grown} bytes");
    drop(epoll);
    match probe() {
        Ok(_) => {
            let before = machine::resident_bytes();
            let _uring = Uring::new(&Limits::default()).unwrap();
            let grown = machine::resident_bytes() - before;
            // Its queues, and 16 bytes for each receive buffer.
            assert!(grown < MIB, "io_uring: {grown} bytes");
        }
        Err(reason) => common::without_uring("memory_is_resident_only_while_it_is_needed", &reason),
    }
}
