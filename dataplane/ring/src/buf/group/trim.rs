//! Giving memory back that a peak has left behind.
//!
//! Buffers are used last-in first-out, so the bottom of the chain of free ones is what nobody has
//! needed for longest: as many as were free at the worst moment of a while. Their pages go back to
//! the kernel, a few at a time, and they themselves to a list that is used when the chain is empty.

use std::cell::Cell;

use super::Group;

/// So many calls of [`Group::trim`] a buffer has to lie unused before its memory is given back, and
/// at most twice as many.
const WINDOW: u32 = 10;

/// The lowest number of free buffers of late: so many at the bottom have not been needed.
#[derive(Debug, Default)]
pub(super) struct Tide {
    /// In the window that runs.
    low: Cell<u32>,
    /// In the window before.
    low_before: Cell<u32>,
    /// Calls in the window that runs.
    calls: Cell<u32>,
}

impl Tide {
    /// One buffer was taken, so many are left.
    pub(super) fn ebb(&self, free: u32) {
        if free < self.low.get() {
            self.low.set(free);
        }
    }

    /// How many were not needed for a whole window at least. `free` is how many there are now.
    fn turn(&self, free: u32) -> u32 {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get() >= WINDOW {
            self.calls.set(0);
            self.low_before.set(self.low.replace(free));
        }
        self.low.get().min(self.low_before.get())
    }

    /// So many have left the bottom.
    fn sink(&self, n: u32) {
        for low in [&self.low, &self.low_before] {
            low.set(low.get().saturating_sub(n));
        }
    }
}

impl Group {
    /// To be called at even intervals: gives the memory of buffers back that were free throughout
    /// the last [`WINDOW`] calls, `bytes_max` at the most, and never the last `kept_bytes` of them.
    /// Says how many bytes went.
    pub(in crate::buf) fn trim(&self, bytes_max: usize, kept_bytes: usize) -> usize {
        let step = self.step();
        let cold = self.tide.turn(self.free.get()) as usize;
        let cold = cold.saturating_sub(kept_bytes / step);
        let most = bytes_max / step;
        if cold == 0 || most == 0 {
            return 0;
        }
        let chosen = self.take_bottom(cold, most);
        let runs = chosen.chunk_by(|one, next| one + 1 == *next);
        let discard = |run: &[u32]| {
            let start = run.first().map_or(0, |first| *first as usize * step);
            self.memory.discard(start..start + run.len() * step)
        };
        let discarded = runs.map(discard).sum();
        self.dropped.borrow_mut().extend(chosen.iter().rev());
        discarded
    }

    /// Takes `most` of the `cold` buffers at the bottom of the chain out of it, in the order of
    /// their places: neighbours share a page, which goes only with both. The others stay at the
    /// bottom.
    fn take_bottom(&self, cold: usize, most: usize) -> Vec<u32> {
        let mut next_free = self.next_free.borrow_mut();
        let mut at = |place: u32, set: Option<u32>| {
            let next = next_free.get_mut(place.checked_sub(1)? as usize)?;
            Some(std::mem::replace(next, set.unwrap_or(*next)))
        };
        // The last that stays where it is; 0: none.
        let (mut last, mut next) = (0, self.last_free.get());
        for _ in cold..self.free.get() as usize {
            (last, next) = (next, at(next, None).unwrap_or(0));
        }
        let mut bottom = Vec::with_capacity(cold);
        while next != 0 {
            bottom.push(next - 1);
            next = at(next, None).unwrap_or(0);
        }
        bottom.sort_unstable();
        let rest = bottom.split_off(most.min(bottom.len()));
        for index in rest {
            match last {
                0 => self.last_free.set(index + 1),
                last => drop(at(last, Some(index + 1))),
            }
            last = index + 1;
        }
        match last {
            0 => self.last_free.set(0),
            last => drop(at(last, Some(0))),
        }
        self.free.set(self.free.get() - bottom.len() as u32);
        self.tide.sink(bottom.len() as u32);
        bottom
    }
}
