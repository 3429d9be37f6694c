use std::collections::BTreeMap;

use super::{TICK_NS, Timer, Wheel};
use crate::driver::Nanos;

#[test]
fn a_timer_is_never_early_and_at_most_a_tick_late() {
    for at in [1, TICK_NS - 1, TICK_NS, TICK_NS + 1, 100 * TICK_NS, 5_000 * TICK_NS + 7, 1 << 50] {
        let mut wheel = Wheel::new();
        let mut out = Vec::new();
        wheel.arm(Nanos(at), 'x');
        wheel.expire(Nanos(at - 1), &mut out);
        assert!(out.is_empty(), "{at}: early");
        wheel.expire(Nanos(at + TICK_NS), &mut out);
        assert_eq!(out, ['x'], "{at}: late");
        assert!(wheel.is_empty() && wheel.next().is_none());
    }
}

#[test]
fn sleeping_until_next_gets_there() {
    let mut wheel = Wheel::new();
    let mut out = Vec::new();
    let at = Nanos(123_456_789_012_345);
    wheel.arm(at, 1);
    let mut sleeps = 0;
    while out.is_empty() {
        let next = wheel.next().unwrap();
        assert!(next.0 <= at.0 + TICK_NS);
        wheel.expire(next, &mut out);
        sleeps += 1;
        assert!(sleeps < 20, "each sleep must move down a level at least");
    }
}

#[test]
fn a_handle_is_good_for_one_cancel() {
    let mut wheel = Wheel::new();
    let timer = wheel.arm(Nanos(TICK_NS * 5), 'a');
    assert!(wheel.cancel(timer));
    assert!(!wheel.cancel(timer));
    let again = wheel.arm(Nanos(TICK_NS * 5), 'b');
    assert!(!wheel.cancel(timer), "the old handle does not reach the new timer");
    let mut out = Vec::new();
    wheel.expire(Nanos(TICK_NS * 6), &mut out);
    assert_eq!(out, ['b']);
    assert!(!wheel.cancel(again));
}

#[test]
fn farther_than_the_wheel_reaches() {
    let mut wheel = Wheel::new();
    let mut out = Vec::new();
    let at = u64::MAX / 2;
    wheel.arm(Nanos(at), 'x');
    wheel.expire(Nanos(at - TICK_NS), &mut out);
    assert!(out.is_empty());
    wheel.expire(Nanos(at + TICK_NS), &mut out);
    assert_eq!(out, ['x']);
}

/// Goal: the wheel does what a sorted map does. Method: random arms, cancels and jumps in time, on
/// scales from one tick to years, with several seeds.
#[test]
fn the_wheel_agrees_with_a_sorted_map() {
    for seed in 1..=40_u64 {
        let mut state = seed;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below.max(1)
        };
        let mut wheel = Wheel::new();
        let mut model: BTreeMap<u64, (u64, Timer)> = BTreeMap::new();
        let mut now = random(1 << 40);
        let mut out = Vec::new();
        wheel.expire(Nanos(now), &mut out);
        for id in 0..3_000_u64 {
            match random(10) {
                0..=5 => {
                    let far = random(56);
                    let at = now + random(1 << far);
                    model.insert(id, (at, wheel.arm(Nanos(at), id)));
                }
                6 | 7 => {
                    let skip = random(model.len() as u64) as usize;
                    if let Some((&id, &(_, timer))) = model.iter().nth(skip) {
                        assert!(wheel.cancel(timer), "seed {seed}");
                        model.remove(&id);
                    }
                }
                _ => {
                    let far = random(50);
                    now += random(1 << far);
                    wheel.expire(Nanos(now), &mut out);
                    check_expired(&mut model, &mut out, now, seed);
                }
            }
            assert_eq!(wheel.len(), model.len());
            let first = model.values().map(|(at, _)| *at).min();
            if let (Some(next), Some(first)) = (wheel.next(), first) {
                assert!(next.0 <= first.max(now) + 2 * TICK_NS, "seed {seed}: sleeps too long");
            }
        }
        wheel.expire(Nanos(now + (1 << 57)), &mut out);
        assert_eq!(out.len(), model.len(), "seed {seed}: all come out in the end");
    }
}

fn check_expired(model: &mut BTreeMap<u64, (u64, Timer)>, out: &mut Vec<u64>, now: u64, seed: u64) {
    let mut last_tick = 0;
    for id in out.drain(..) {
        let (at, _) = model.remove(&id).expect("expired once and not cancelled");
        assert!(at <= now, "seed {seed}: {id} came early");
        let tick = at.div_ceil(TICK_NS);
        assert!(tick + 1 >= last_tick, "seed {seed}: out of order");
        last_tick = tick;
    }
    // What was armed in a tick that had begun already waits for the next one.
    let overdue = model.values().filter(|(at, _)| at + 2 * TICK_NS <= now).count();
    assert_eq!(overdue, 0, "seed {seed}: overdue at {now}");
}
