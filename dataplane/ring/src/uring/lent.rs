//! Receive buffers lent to the kernel.
//!
//! Only about as many are lent as are needed at a time: the kernel uses them in turn, so lending
//! all would wander through all memory, and keep none of it warm.

use std::io;
use std::rc::Rc;

use io_uring::IoUring;

use crate::buf::{Buf, Group};
use crate::driver::Size;
use crate::sys::ring::Lending;

/// How many buffers are lent at first.
const SMALL_LENT_MIN: usize = 64;
const LARGE_LENT_MIN: usize = 8;

/// So many waits in a row with more than half of the buffers unused, and fewer are lent.
const CALM_WAITS: u32 = 8 * 1024;

/// The kernel's name of a group of buffers.
pub(super) fn group_id(size: Size) -> u16 {
    match size {
        Size::Small => 1,
        Size::Large => 2,
    }
}

/// A group of buffers, some of which the kernel has.
pub(super) struct Lent {
    group: Rc<Group>,
    lending: Lending,
    /// Buffers that the kernel has.
    lent: usize,
    /// Buffers that it shall have.
    target: usize,
    target_min: usize,
    calm: u32,
}

impl Lent {
    /// Registers a group; nothing is lent yet.
    pub(super) fn new(ring: &IoUring, size: Size, group: &Rc<Group>) -> io::Result<Self> {
        let lending = Lending::new(ring, group_id(size), group.count())?;
        let least = match size {
            Size::Small => SMALL_LENT_MIN,
            Size::Large => LARGE_LENT_MIN,
        };
        let target_min = least.min(lending.places()).min(group.count());
        let group = Rc::clone(group);
        Ok(Self { group, lending, lent: 0, target: target_min, target_min, calm: 0 })
    }

    /// Lends as many as are missing.
    pub(super) fn top_up(&mut self) {
        self.adapt();
        if self.lent >= self.target {
            return;
        }
        while self.lent < self.target {
            let Some(index) = self.group.take_index() else { break };
            let Some(address) = self.group.address(index) else { break };
            self.lending.lend(address, self.group.size(), index as u16);
            self.lent += 1;
        }
        self.lending.publish();
    }

    /// The kernel has found no buffer: more are lent from now on.
    pub(super) fn grow(&mut self) {
        self.calm = 0;
        let most = self.lending.places().min(self.group.count());
        self.target = (self.target * 2).min(most);
    }

    /// The kernel has used a buffer: a view of the bytes received, none where `result` is an error.
    pub(super) fn take_back(&mut self, id: u16, result: i32) -> Option<Buf> {
        self.lent = self.lent.saturating_sub(1);
        self.group.received(u32::from(id), usize::try_from(result).unwrap_or(0))
    }

    /// How many buffers the kernel has or could get.
    pub(super) fn usable(&self) -> usize {
        self.lent + self.group.available()
    }

    /// Keeps the buffers' memory for ever.
    pub(super) fn leak(&self) {
        std::mem::forget(Rc::clone(&self.group));
    }

    fn adapt(&mut self) {
        if self.lent * 2 <= self.target || self.target <= self.target_min {
            self.calm = 0;
            return;
        }
        self.calm += 1;
        if self.calm >= CALM_WAITS {
            self.calm = 0;
            self.target = (self.target / 2).max(self.target_min);
        }
    }
}
