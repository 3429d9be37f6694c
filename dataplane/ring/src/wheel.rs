//! Timers: a hierarchical wheel for one worker.
//!
//! Six levels of 64 slots; a slot of level 0 is one tick, a slot of each next level 64 times as
//! long. Arming and cancelling take constant time, finding the next expiry one bit scan a level. A
//! timer far away moves down a level when its slot's time comes; one beyond the last level waits
//! in the last slot and is placed anew from there.

use crate::driver::Nanos;

/// Nanoseconds of a tick: about a millisecond (a power of two, so that time to tick is a shift).
pub const TICK_NS: u64 = 1 << TICK_BITS;

const TICK_BITS: u32 = 20;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 6;
/// The farthest that a timer is placed: 63 slots of the last level, about two years. One slot less
/// than the level has, so that what is far ahead is never taken for what is due now.
const REACH: u64 = (SLOTS as u64 - 1) << (SLOT_BITS * (LEVELS as u32 - 1));
const NONE: u32 = u32::MAX;

/// A handle to an armed timer; stale once it has expired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timer {
    node: u32,
    generation: u32,
}

/// Timers, each with an item that comes out when it expires. Never early, at most one tick
/// ([`TICK_NS`]) late. Allocates only when more timers are armed than ever before.
#[derive(Debug)]
pub struct Wheel<T> {
    nodes: Vec<Node<T>>,
    /// The first node not in use, chained through `next`.
    free: u32,
    len: usize,
    /// All timers at or before this tick have expired.
    elapsed: u64,
    levels: [Level; LEVELS],
}

#[derive(Debug)]
struct Node<T> {
    item: Option<T>,
    tick: u64,
    generation: u32,
    previous: u32,
    next: u32,
    level: u8,
    slot: u8,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// One bit for each slot that has timers.
    occupied: u64,
    first: [u32; SLOTS],
}

impl<T: Copy> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy> Wheel<T> {
    /// A wheel without timers.
    #[must_use]
    pub fn new() -> Self {
        let empty = Level { occupied: 0, first: [NONE; SLOTS] };
        Self { nodes: Vec::new(), free: NONE, len: 0, elapsed: 0, levels: [empty; LEVELS] }
    }

    /// How many timers are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arms a timer that expires at `at`, or in the next tick where that has passed.
    pub fn arm(&mut self, at: Nanos, item: T) -> Timer {
        let tick = at.0.div_ceil(TICK_NS).max(self.elapsed + 1);
        let index = self.allocate(tick, item);
        self.place(index);
        self.len += 1;
        let generation = self.nodes.get(index as usize).map_or(0, |node| node.generation);
        Timer { node: index, generation }
    }

    /// Disarms a timer; `false` where it has expired or was cancelled before.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        match self.nodes.get(timer.node as usize) {
            Some(node) if node.generation == timer.generation && node.item.is_some() => {
                self.unlink(timer.node);
                self.release(timer.node);
                true
            }
            _ => false,
        }
    }

    /// Appends the items of all timers that have expired by `now` to `out`, in order of their
    /// ticks.
    pub fn expire(&mut self, now: Nanos, out: &mut Vec<T>) {
        let tick = now.0 >> TICK_BITS;
        while let Some((level, slot, start)) = self.earliest() {
            if start > tick {
                break;
            }
            self.elapsed = self.elapsed.max(start);
            self.empty_slot(level, slot, out);
        }
        self.elapsed = self.elapsed.max(tick);
    }

    /// A time before which nothing expires; `None` without timers. At that time something may
    /// expire or merely move down a level: ask again then.
    #[must_use]
    pub fn next(&self) -> Option<Nanos> {
        self.earliest().map(|(_, _, start)| Nanos(start << TICK_BITS))
    }

    /// The occupied slot whose time comes first: its level, its number and the tick it starts at.
    fn earliest(&self) -> Option<(usize, usize, u64)> {
        let mut best: Option<(usize, usize, u64)> = None;
        for (number, level) in self.levels.iter().enumerate() {
            let Some((slot, start)) = level.earliest(number as u32, self.elapsed) else { continue };
            // A coarser slot that starts at the same tick goes first: what moves down from it may
            // expire at that very tick and then comes out in the same call.
            if best.is_none_or(|(_, _, known)| start <= known) {
                best = Some((number, slot, start));
            }
        }
        best
    }

    /// Takes all timers out of a slot: expired ones come out, the others move down.
    fn empty_slot(&mut self, level: usize, slot: usize, out: &mut Vec<T>) {
        let Some(place) = self.levels.get_mut(level) else { return };
        place.occupied &= !(1 << slot);
        let mut index =
            place.first.get_mut(slot).map_or(NONE, |first| std::mem::replace(first, NONE));
        while let Some(node) = self.nodes.get_mut(index as usize) {
            let next = node.next;
            if node.tick <= self.elapsed {
                out.extend(node.item);
                self.release(index);
            } else {
                self.place(index);
            }
            index = next;
        }
    }

    /// Links a node into the slot where its tick belongs, seen from `elapsed`.
    fn place(&mut self, index: u32) {
        let elapsed = self.elapsed;
        let Some(node) = self.nodes.get_mut(index as usize) else { return };
        // The highest bit in which the two differ names the level.
        let reach = node.tick.min(elapsed.saturating_add(REACH));
        let differ = (reach ^ elapsed).max(1);
        let number = (differ.ilog2() / SLOT_BITS).min(LEVELS as u32 - 1);
        let slot = (reach >> (number * SLOT_BITS)) as usize % SLOTS;
        let Some(level) = self.levels.get_mut(number as usize) else { return };
        let Some(first) = level.first.get_mut(slot) else { return };
        (node.level, node.slot) = (number as u8, slot as u8);
        (node.previous, node.next) = (NONE, *first);
        let behind = std::mem::replace(first, index);
        level.occupied |= 1 << slot;
        if let Some(behind) = self.nodes.get_mut(behind as usize) {
            behind.previous = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(node) = self.nodes.get(index as usize) else { return };
        let (previous, next) = (node.previous, node.next);
        let (number, slot) = (usize::from(node.level), usize::from(node.slot));
        if let Some(next) = self.nodes.get_mut(next as usize) {
            next.previous = previous;
        }
        if let Some(previous) = self.nodes.get_mut(previous as usize) {
            previous.next = next;
        } else if let Some(level) = self.levels.get_mut(number) {
            if let Some(first) = level.first.get_mut(slot) {
                *first = next;
            }
            if next == NONE {
                level.occupied &= !(1 << slot);
            }
        }
    }

    fn allocate(&mut self, tick: u64, item: T) -> u32 {
        let index = self.free;
        if let Some(node) = self.nodes.get_mut(index as usize) {
            self.free = node.next;
            (node.item, node.tick) = (Some(item), tick);
            return index;
        }
        let index = self.nodes.len() as u32;
        let (generation, previous, next) = (0, NONE, NONE);
        let item = Some(item);
        self.nodes.push(Node { item, tick, generation, previous, next, level: 0, slot: 0 });
        index
    }

    fn release(&mut self, index: u32) {
        let Some(node) = self.nodes.get_mut(index as usize) else { return };
        node.item = None;
        node.generation = node.generation.wrapping_add(1);
        node.next = self.free;
        self.free = index;
        self.len -= 1;
    }
}

impl Level {
    /// The first occupied slot from `elapsed` on and the tick at which it starts.
    fn earliest(&self, number: u32, elapsed: u64) -> Option<(usize, u64)> {
        if self.occupied == 0 {
            return None;
        }
        let shift = number * SLOT_BITS;
        let current = (elapsed >> shift) % SLOTS as u64;
        let ahead = self.occupied.rotate_right(current as u32).trailing_zeros();
        let slot = (current as usize + ahead as usize) % SLOTS;
        let start = ((elapsed >> shift) + u64::from(ahead)) << shift;
        Some((slot, start))
    }
}

#[cfg(test)]
mod tests;
