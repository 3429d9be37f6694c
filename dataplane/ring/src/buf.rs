//! The worker's memory: receive buffers, scratch buffers, and views of both.
//!
//! All of it is mapped once at start and reserved as addresses only; a page becomes resident when
//! it is first written to. Buffers are 64-byte aligned (a misaligned destination costs `rep movsb`
//! more than twice its time on Zen 3) and handed out last-in first-out, so they are warm.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;

use crate::driver::Size;
use crate::start::Limits;

mod group;

pub(crate) use group::Group;
use group::Head;

/// Bytes of a small receive buffer.
pub const SMALL_BYTES: usize = 4 * 1024;
/// Bytes of a large receive buffer.
pub const LARGE_BYTES: usize = 64 * 1024;
/// Receive buffers of one size that there can be: they are lent to the kernel under names of 16
/// bits, and two buffers of one name would hold each other's bytes.
pub const RECEIVE_BUFFERS_MAX: usize = 32 * 1024;
/// The sizes that [`Pool::take`] hands out: small things (what a small receive buffer brings,
/// sealed by TLS, is one of them), one TLS record with its frame, bulk.
pub const SCRATCH_BYTES: [usize; 3] = [4 * 1024 + 256, 20 * 1024, 64 * 1024];

/// Free memory of buffers of one size that [`Pool::trim`] leaves where it is.
const KEPT_BYTES: usize = 256 * 1024;

/// How full a part of the pool is, in bytes of whole buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Handed out.
    pub used_bytes: usize,
    /// All there is.
    pub limit_bytes: usize,
}

impl Fill {
    /// What could still be handed out.
    #[must_use]
    pub fn free_bytes(self) -> usize {
        self.limit_bytes.saturating_sub(self.used_bytes)
    }
}

/// The memory of one worker. Clones share it. Stays alive until the last [`Buf`] of it is gone.
#[derive(Clone)]
pub struct Pool(Rc<Groups>);

struct Groups {
    small: Rc<Group>,
    large: Rc<Group>,
    scratch: [Rc<Group>; 3],
    scratch_limit_bytes: usize,
}

impl Pool {
    /// Reserves what `limits` allows, though never more than [`RECEIVE_BUFFERS_MAX`] receive
    /// buffers of a size.
    pub fn new(limits: &Limits) -> io::Result<Self> {
        let scratch = |size: usize| Group::new(size, limits.scratch_bytes / size);
        let received = |size, count: usize| Group::new(size, count.min(RECEIVE_BUFFERS_MAX));
        let [few, record, bulk] = SCRATCH_BYTES;
        Ok(Self(Rc::new(Groups {
            small: received(SMALL_BYTES, limits.small_buffers)?,
            large: received(LARGE_BYTES, limits.large_buffers)?,
            scratch: [scratch(few)?, scratch(record)?, scratch(bulk)?],
            scratch_limit_bytes: limits.scratch_bytes,
        })))
    }

    /// An empty scratch buffer with room for `at_least` bytes: 4.25 KiB, 20 KiB or 64 KiB. `None`
    /// where more is asked for or the limit is reached: the caller refuses with a reason.
    #[must_use]
    pub fn take(&self, at_least: usize) -> Option<BufMut> {
        let group = self.0.scratch.iter().find(|group| group.size() >= at_least)?;
        if self.in_use_bytes() + group.size() > self.0.scratch_limit_bytes {
            return None;
        }
        group.take().map(BufMut::new)
    }

    /// Bytes of scratch buffers that are handed out.
    #[must_use]
    pub fn in_use_bytes(&self) -> usize {
        self.0.scratch.iter().map(|group| group.taken() * group.size()).sum()
    }

    /// Bytes of scratch buffers that may be handed out at once.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.0.scratch_limit_bytes
    }

    /// Bytes of received data's buffers that are handed out (a view of one byte holds a buffer).
    #[must_use]
    pub fn received_bytes(&self) -> usize {
        [&self.0.small, &self.0.large].iter().map(|group| group.taken() * group.size()).sum()
    }

    /// Receive buffers of one size: how many bytes of them are handed out, and how many there are.
    /// Whoever receives should ask for less as this fills up: without a buffer nobody receives.
    #[must_use]
    pub fn received(&self, size: Size) -> Fill {
        let group = self.group(size);
        Fill { used_bytes: group.taken() * group.size(), limit_bytes: group.count() * group.size() }
    }

    /// The same of scratch buffers.
    #[must_use]
    pub fn scratch(&self) -> Fill {
        Fill { used_bytes: self.in_use_bytes(), limit_bytes: self.limit_bytes() }
    }

    /// Gives memory back to the kernel that a peak has left behind: about `bytes_max` at the most,
    /// of buffers that were free throughout the last 10 calls. To be called once in a while, at
    /// even intervals; takes some 150 microseconds a MiB. Says how many bytes went.
    pub fn trim(&self, bytes_max: usize) -> usize {
        let Groups { small, large, scratch, .. } = &*self.0;
        let mut left = bytes_max;
        for group in [small, large].into_iter().chain(scratch) {
            left = left.saturating_sub(group.trim(left, KEPT_BYTES));
        }
        bytes_max - left
    }

    /// The receive buffers of one size.
    pub(crate) fn group(&self, size: Size) -> &Rc<Group> {
        match size {
            Size::Small => &self.0.small,
            Size::Large => &self.0.large,
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("in_use_bytes", &self.in_use_bytes())
            .field("limit_bytes", &self.limit_bytes())
            .field("received_bytes", &self.received_bytes())
            .finish()
    }
}

/// A scratch buffer with one owner: filled from the front, then frozen into a [`Buf`].
///
/// Dereferences to the filled part. The memory is always initialised, though after reuse with
/// bytes of the last user.
pub struct BufMut {
    /// A buffer of which this is the only view.
    head: NonNull<Head>,
    filled: usize,
    capacity: usize,
}

impl BufMut {
    /// `head` is a buffer just taken: it has exactly one reference, which this value becomes.
    fn new(head: NonNull<Head>) -> Self {
        Self { head, filled: 0, capacity: Group::capacity(head) }
    }

    /// How many bytes fit in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many bytes still fit.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.capacity - self.filled
    }

    /// The part not filled yet: write to its front, then [`BufMut::advance`].
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let filled = self.filled;
        self.whole_mut().split_at_mut(filled).1
    }

    /// Counts the first `n` bytes of the spare part as filled.
    ///
    /// # Panics
    /// Where `n` is more than there is: the caller has counted wrongly.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.remaining(), "advance by {n}, but only {} remain", self.remaining());
        self.filled += n;
    }

    /// Appends as many of `bytes` as fit and says how many that were.
    pub fn extend(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let n = bytes.len().min(spare.len());
        spare.split_at_mut(n).0.copy_from_slice(bytes.split_at(n).0);
        self.filled += n;
        n
    }

    /// Forgets what was filled.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Shortens the filled part to `len` bytes; does nothing where it is not longer.
    pub fn truncate(&mut self, len: usize) {
        self.filled = self.filled.min(len);
    }

    /// The filled part as a view that can be shared, sent and split.
    #[must_use]
    pub fn freeze(self) -> Buf {
        let this = std::mem::ManuallyDrop::new(self);
        Buf { data: Group::data(this.head), len: this.filled, head: Some(this.head) }
    }

    fn whole_mut(&mut self) -> &mut [u8] {
        // SAFETY: this is the only view of a buffer of `capacity` initialised bytes (mapped
        // memory), and it is borrowed for as long as the slice.
        unsafe { slice::from_raw_parts_mut(Group::data(self.head).as_ptr(), self.capacity) }
    }
}

impl Deref for BufMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `filled` never exceeds the buffer's initialised bytes; no other view exists.
        unsafe { slice::from_raw_parts(Group::data(self.head).as_ptr(), self.filled) }
    }
}

impl DerefMut for BufMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        let filled = self.filled;
        self.whole_mut().split_at_mut(filled).0
    }
}

impl Drop for BufMut {
    fn drop(&mut self) {
        Group::release(self.head);
    }
}

impl fmt::Debug for BufMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufMut({} of {})", self.filled, self.capacity)
    }
}

/// `write!` into a buffer; an error (and a part written) where it does not fit.
impl fmt::Write for BufMut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.extend(text.as_bytes()) == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Writes what fits; 0 when full.
impl io::Write for BufMut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.extend(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A view of bytes that nobody changes: of a receive buffer, of a frozen scratch buffer, or of
/// static memory. Cloning and splitting copy nothing. When the last view of a buffer goes, the
/// buffer returns to where it came from.
pub struct Buf {
    data: NonNull<u8>,
    len: usize,
    /// The buffer, one reference to which is this value's; `None` for static memory.
    head: Option<NonNull<Head>>,
}

impl Buf {
    /// `head` is a buffer just taken: its one reference becomes this value's.
    pub(crate) fn new(head: NonNull<Head>, len: usize) -> Self {
        debug_assert!(len <= Group::capacity(head));
        Self { data: Group::data(head), len: len.min(Group::capacity(head)), head: Some(head) }
    }

    /// No bytes at all.
    #[must_use]
    pub const fn empty() -> Self {
        Self::from_static(&[])
    }

    /// A view of static memory: takes nothing from any pool.
    #[must_use]
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        Self { data: NonNull::from_ref(bytes).cast(), len: bytes.len(), head: None }
    }

    /// How many bytes are in view.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no bytes are in view.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the buffer that this view keeps from being used again, however few of them are in
    /// view; 0 for static memory.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.head.map_or(0, Group::capacity)
    }

    /// Takes the first `n` bytes (or all, where there are fewer) off the front, as a view of their
    /// own.
    #[must_use = "use `advance` to drop the front"]
    pub fn split_to(&mut self, n: usize) -> Self {
        let mut front = self.clone();
        front.truncate(n);
        self.advance(n);
        front
    }

    /// Takes the first `n` bytes (or all, where there are fewer) out of view.
    pub fn advance(&mut self, n: usize) {
        let n = n.min(self.len);
        // SAFETY: `n` is at most `len`, so the pointer stays within (or just behind) the memory.
        self.data = unsafe { self.data.add(n) };
        self.len -= n;
    }

    /// Shortens the view to `len` bytes; does nothing where it is not longer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// A view of a part of this one, cut off where it reaches beyond the end.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let mut part = self.clone();
        part.truncate(range.end);
        part.advance(range.start);
        part
    }

    /// Adds a copy of these bytes behind those in view, if this is the only view of a buffer and
    /// begins with it, and there is room. Says whether it did.
    #[must_use = "bytes that were not added must go elsewhere"]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        let is_whole =
            |head: &NonNull<Head>| Group::references(*head) == 1 && self.data == Group::data(*head);
        let Some(head) = self.head.filter(is_whole) else { return false };
        if Group::capacity(head) - self.len < bytes.len() {
            return false;
        }
        let filled = std::mem::ManuallyDrop::new(std::mem::take(self)).len;
        let mut whole = BufMut { head, filled, capacity: Group::capacity(head) };
        whole.extend(bytes);
        *self = whole.freeze();
        true
    }

    /// The bytes for changing in place, if this is the only view of its buffer. Static memory is
    /// never changed, so of that only an empty view is given out.
    pub fn get_mut(&mut self) -> Option<&mut [u8]> {
        match self.head {
            Some(head) if Group::references(head) == 1 => {
                // SAFETY: this view holds the only reference to the buffer, so nobody else reads
                // or writes these `len` initialised bytes while `self` is borrowed.
                Some(unsafe { slice::from_raw_parts_mut(self.data.as_ptr(), self.len) })
            }
            Some(_) => None,
            None if self.len == 0 => Some(&mut []),
            None => None,
        }
    }
}

impl Clone for Buf {
    fn clone(&self) -> Self {
        if let Some(head) = self.head {
            Group::retain(head);
        }
        Self { data: self.data, len: self.len, head: self.head }
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if let Some(head) = self.head {
            Group::release(head);
        }
    }
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `data` and `len` are within a buffer that this view keeps alive and that nobody
        // writes to while there are views (`get_mut` wants the only one), or in static memory.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Default for Buf {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<BufMut> for Buf {
    fn from(filled: BufMut) -> Self {
        filled.freeze()
    }
}

/// Shows the length only: what passes through a proxy does not belong in its log.
impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buf({})", self.len)
    }
}

#[cfg(test)]
mod tests;
