//! Answers that leave slowly, for a fault filter's sake (`response_rate_limit`).
//!
//! As in Envoy a second is cut into slices, and what was not used of them is kept for a second.

use std::time::Duration;

use ring::driver::{Driver, Nanos};
use ring::{Buf, Key};

use crate::encode::Piece;
use crate::held::Held;
use crate::limits::UNSENT_HIGH;
use crate::serving::Asker;
use crate::worker::Worker;

/// Envoy's: slices of a second.
const SLICES: u64 = 20;
const SLICE: Duration = Duration::from_millis(50);

/// A body that leaves slowly.
pub(crate) struct Slowed {
    slice_bytes: u64,
    /// All slices before this one have been used.
    used_until: Nanos,
    waiting: Held,
    waiting_bytes: usize,
    /// Nothing more is added.
    ends: bool,
}

impl Slowed {
    pub(super) fn new(kib: u64, now: Nanos) -> Self {
        let slice_bytes = (kib.saturating_mul(1024) / SLICES).max(1);
        // One slice may be used at once.
        let used_until = Nanos(now.0.saturating_sub(nanos(1)));
        let waiting = Held::default();
        Self { slice_bytes, used_until, waiting, waiting_bytes: 0, ends: false }
    }

    /// Bytes that have not left.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// When more may leave.
    pub(crate) fn next(&self) -> Option<Nanos> {
        (self.waiting_bytes > 0).then(|| self.used_until.after(SLICE))
    }

    /// Enough waits: the upstream is not to be read from.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting_bytes > UNSENT_HIGH
    }

    /// Takes out what may leave now, a piece at a time.
    fn pop(&mut self, now: Nanos) -> Option<Buf> {
        let oldest = Nanos(now.0.saturating_sub(nanos(SLICES)));
        self.used_until = self.used_until.max(oldest);
        let slices = now.0.saturating_sub(self.used_until.0) / nanos(1);
        let most = slices.saturating_mul(self.slice_bytes);
        let mut bytes = self.waiting.pop()?;
        let piece = bytes.split_to(bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX)));
        self.waiting.put_back(bytes);
        self.waiting_bytes = self.waiting_bytes.saturating_sub(piece.len());
        // A slice that was begun is used.
        let used = (piece.len() as u64).div_ceil(self.slice_bytes);
        self.used_until = Nanos(self.used_until.0.saturating_add(used.saturating_mul(nanos(1))));
        Some(piece).filter(|piece| !piece.is_empty())
    }
}

fn nanos(slices: u64) -> u64 {
    let slice = u64::try_from(SLICE.as_nanos()).unwrap_or(u64::MAX);
    slices.saturating_mul(slice)
}

impl<D: Driver> Worker<D> {
    /// Bytes of an answer to its client, at once or slowly.
    pub(super) fn put_slowly(&mut self, to: Asker, key: Key, piece: Piece) {
        let pool = self.io.driver.pool().clone();
        let bodies = self.bodies_of(key);
        let Some(slowed) = bodies.and_then(|bodies| bodies.slowed.as_mut()) else {
            return self.put_down(to, piece);
        };
        match piece {
            Piece::Data(bytes) => {
                slowed.waiting_bytes += bytes.len();
                if slowed.waiting.push(&pool, bytes).is_err() {
                    return self.fail(key, policy::reply::Reason::UpstreamOverflow);
                }
                self.let_go_slowly(to, key);
            }
            Piece::End => slowed.ends = true,
        }
    }

    fn let_go_slowly(&mut self, to: Asker, key: Key) {
        let now = self.io.driver.now();
        while let Some(bodies) = self.bodies_of(key)
            && let Some(slowed) = &mut bodies.slowed
            && let Some(piece) = slowed.pop(now)
        {
            self.put_down(to, Piece::Data(piece));
        }
        if let Some(stream) = self.streams.get_mut(key) {
            stream.active_at = now;
        }
        self.set_alarm(key);
    }

    /// More of an answer may leave.
    pub(crate) fn on_slice(&mut self, key: Key) {
        let Some(stream) = self.streams.get(key) else { return };
        let (up, to) = (stream.up, Asker { down: stream.down, stream: Some(key) });
        let is_holding = self.hold_down(to.down);
        self.let_go_slowly(to, key);
        if is_holding {
            self.release_down(to.down);
        }
        let Some(slowed) = self.bodies_of(key).and_then(|bodies| bodies.slowed.as_ref()) else {
            return;
        };
        let (is_over, is_full) = (slowed.ends && slowed.waiting_bytes == 0, slowed.is_full());
        if is_over {
            return self.end_exchange(to);
        }
        self.settle_response(key);
        if let Some(up) = up.filter(|_| !is_full) {
            self.rearm_up(up);
        }
    }

    /// The answer is complete, but some of it has not left: it ends later.
    pub(crate) fn ends_later(&mut self, to: Asker) -> bool {
        let Some(key) = self.stream_of_asker(to) else { return false };
        let is_slowed = |worker: &mut Self| {
            let slowed = worker.bodies_of(key).and_then(|bodies| bodies.slowed.as_ref());
            slowed.map(|slowed| (slowed.ends, slowed.waiting_bytes > 0))
        };
        let Some((has_ended, _)) = is_slowed(self) else { return false };
        if !has_ended {
            self.send_down(to, Piece::End);
        }
        if is_slowed(self).is_some_and(|(_, waits)| waits) {
            // The upstream has done its part.
            if let Some(stream) = self.streams.get_mut(key) {
                (stream.deadline, stream.try_deadline) = (None, None);
            }
            self.set_alarm(key);
            return true;
        }
        if let Some(bodies) = self.bodies_of(key) {
            bodies.slowed = None;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_leaves_than_may() {
        let at = |ms: u64| Nanos(1_000_000_000_000 + ms * 1_000_000);
        let limits = ring::start::Limits::default();
        let pool = ring::Pool::new(&limits).expect("memory");
        let mut slowed = Slowed::new(20, at(0));
        let mut bytes = pool.take(10_000).expect("memory");
        bytes.extend(&[b'x'; 10_000]);
        slowed.waiting.push(&pool, bytes.freeze()).expect("memory");
        slowed.waiting_bytes = 10_000;
        let mut left = |ms| std::iter::from_fn(|| slowed.pop(at(ms))).map(|p| p.len()).sum();
        // 20 KiB a second are 1 KiB a slice.
        let expected =
            [(0, 1_024), (10, 0), (49, 0), (50, 1_024), (60, 0), (160, 2_048), (200, 1_024)];
        for (ms, bytes) in expected {
            let sum: usize = left(ms);
            assert_eq!(sum, bytes, "after {ms} ms");
        }
        let rest: usize = left(60_000);
        assert_eq!(rest, 10_000 - 5 * 1_024, "what was not used in a second is lost, and no more");
        assert_eq!(slowed.next(), None);
    }
}
