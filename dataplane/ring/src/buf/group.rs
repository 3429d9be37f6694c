//! Buffers of one size in one mapping, each behind a small head that counts its views.

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;

use super::Buf;
use crate::sys::Mapping;
use trim::Tide;

mod trim;

/// Buffers that may be in use before the chain of free ones must grow: 2 KiB of memory, so that a
/// worker does not allocate in the middle of ordinary traffic.
const READY: usize = 512;

/// What stands in front of each buffer's bytes. It fills a cache line, which also moves the starts
/// of neighbouring buffers to different lines of a page, and so to different cache sets.
#[repr(C, align(64))]
pub(crate) struct Head {
    /// Views of the buffer; 0 while it is free or lent to the kernel.
    references: Cell<u32>,
    index: Cell<u32>,
    capacity: Cell<u32>,
    /// While there are views: a strong reference (`Rc::into_raw`), so that the memory outlives
    /// its driver if need be.
    group: Cell<*const Group>,
}

const HEAD_BYTES: usize = size_of::<Head>();
const _: () = assert!(HEAD_BYTES == 64);

/// A fixed number of buffers of one size.
pub(crate) struct Group {
    memory: Mapping,
    size: usize,
    count: u32,
    /// Buffers from this index on have never been used.
    fresh: Cell<u32>,
    /// The buffer freed last, its index plus 1; 0 for none.
    last_free: Cell<u32>,
    /// For each buffer that was ever used, while it is free: the one freed before it, in the same
    /// form. It stands here and not in the head, so that all memory of a free buffer may be given
    /// back; as long as the most buffers that were ever in use, with room for [`READY`] at first.
    next_free: RefCell<Vec<u32>>,
    /// Buffers in the chain that `last_free` begins.
    free: Cell<u32>,
    /// Free buffers whose memory was given back; they are used when the chain is empty.
    dropped: RefCell<Vec<u32>>,
    /// How many of the chain have not been needed lately.
    tide: Tide,
    /// Buffers that have views.
    taken: Cell<u32>,
}

impl Group {
    /// Room for `count` buffers of `size` bytes, a multiple of 64. Nothing is touched yet.
    pub(crate) fn new(size: usize, count: usize) -> io::Result<Rc<Self>> {
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let count = u32::try_from(count).map_err(invalid)?;
        let size = u32::try_from(size).map_err(invalid)?.next_multiple_of(64) as usize;
        let bytes = (size + HEAD_BYTES).checked_mul(count as usize);
        let memory = Mapping::new(bytes.ok_or(io::ErrorKind::InvalidInput)?)?;
        Ok(Rc::new(Self {
            memory,
            size,
            count,
            fresh: Cell::new(0),
            last_free: Cell::new(0),
            next_free: RefCell::new(Vec::with_capacity(READY.min(count as usize))),
            free: Cell::new(0),
            dropped: RefCell::default(),
            tide: Tide::default(),
            taken: Cell::new(0),
        }))
    }

    /// Bytes in each buffer.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// How many buffers there are.
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    /// How many buffers have views.
    pub(crate) fn taken(&self) -> usize {
        self.taken.get() as usize
    }

    /// How many buffers could be taken now.
    pub(crate) fn available(&self) -> usize {
        let never_used = self.count - self.fresh.get();
        self.dropped.borrow().len() + (self.free.get() + never_used) as usize
    }

    /// Takes a buffer, whose one reference then is the caller's.
    pub(super) fn take(self: &Rc<Self>) -> Option<NonNull<Head>> {
        let index = self.take_index()?;
        self.lend(index)
    }

    /// A free buffer as a view of its first `len` bytes, after `fill` has written them.
    pub(crate) fn fill<E>(
        self: &Rc<Self>,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Option<Result<Buf, E>> {
        let mut buffer = super::BufMut::new(self.take()?);
        Some(fill(buffer.spare_mut()).map(|len| {
            buffer.advance(len.min(buffer.remaining()));
            buffer.freeze()
        }))
    }

    /// Takes a free buffer for lending it to the kernel: its bytes are the kernel's until
    /// [`Group::received`] or [`Group::put_index`].
    pub(crate) fn take_index(&self) -> Option<u32> {
        let last = self.last_free.get();
        if last != 0 {
            let index = last - 1;
            self.last_free.set(*self.next_free.borrow().get(index as usize)?);
            let free = self.free.get() - 1;
            self.free.set(free);
            self.tide.ebb(free);
            return Some(index);
        }
        if let Some(index) = self.dropped.borrow_mut().pop() {
            return Some(index);
        }
        let index = self.fresh.get();
        if index >= self.count {
            return None;
        }
        self.fresh.set(index + 1);
        self.next_free.borrow_mut().push(0);
        Some(index)
    }

    /// Puts a buffer without views back.
    pub(crate) fn put_index(&self, index: u32) {
        if let Some(next) = self.next_free.borrow_mut().get_mut(index as usize) {
            *next = self.last_free.replace(index + 1);
            self.free.set(self.free.get() + 1);
        }
    }

    /// A view of a buffer that was lent to the kernel and has come back with `len` bytes.
    pub(crate) fn received(self: &Rc<Self>, index: u32, len: usize) -> Option<Buf> {
        self.lend(index).map(|head| Buf::new(head, len))
    }

    /// The address of a buffer's bytes, for the kernel.
    pub(crate) fn address(&self, index: u32) -> Option<u64> {
        self.place(index).map(|place| place.as_ptr() as u64 + HEAD_BYTES as u64)
    }

    /// The first reference to a buffer that has none.
    fn lend(self: &Rc<Self>, index: u32) -> Option<NonNull<Head>> {
        let head = self.head(index)?;
        if head.references.get() != 0 {
            debug_assert!(false, "buffer {index} is already lent out");
            return None;
        }
        head.references.set(1);
        head.index.set(index);
        head.capacity.set(self.size as u32);
        head.group.set(Rc::into_raw(Rc::clone(self)));
        self.taken.set(self.taken.get() + 1);
        self.place(index)
    }

    fn place(&self, index: u32) -> Option<NonNull<Head>> {
        if index >= self.count {
            return None;
        }
        // SAFETY: the mapping has room for `count` heads with their buffers, and `index` is less.
        let place = unsafe { self.memory.base().add(index as usize * self.step()) };
        Some(place.cast())
    }

    /// Bytes from one head to the next.
    fn step(&self) -> usize {
        self.size + HEAD_BYTES
    }

    fn head(&self, index: u32) -> Option<&Head> {
        // SAFETY: the place is aligned (page-aligned base, steps of 64), within the mapping that
        // `self` keeps, zeroed memory is a valid head, and heads are only ever shared (cells).
        self.place(index).map(|place| unsafe { place.as_ref() })
    }
}

/// What can be done with a buffer by whoever holds a reference to it. All callers are in the
/// parent module, where each `Buf` and `BufMut` stands for exactly one reference.
impl Group {
    /// Where the buffer's bytes begin.
    pub(super) fn data(head: NonNull<Head>) -> NonNull<u8> {
        // SAFETY: a buffer of at least 64 bytes follows its head in the same mapping.
        unsafe { head.add(1) }.cast()
    }

    /// How many bytes the buffer has.
    pub(super) fn capacity(head: NonNull<Head>) -> usize {
        view(&head).capacity.get() as usize
    }

    /// How many references there are.
    pub(super) fn references(head: NonNull<Head>) -> u32 {
        view(&head).references.get()
    }

    /// One reference more.
    pub(super) fn retain(head: NonNull<Head>) {
        let references = &view(&head).references;
        // Four billion views would need ninety gigabytes; stop rather than wrap.
        let more = references.get().checked_add(1);
        references.set(more.unwrap_or_else(|| std::process::abort()));
    }

    /// One reference less; the last one returns the buffer.
    pub(super) fn release(head: NonNull<Head>) {
        let head = view(&head);
        let left = head.references.get() - 1;
        head.references.set(left);
        if left > 0 {
            return;
        }
        // SAFETY: `lend` put this strong reference here when the first view was made, and the last
        // view takes it out, once. The mapping, and with it `head`, lives at least until the end
        // of this function, where `group` is dropped.
        let group = unsafe { Rc::from_raw(head.group.get()) };
        group.taken.set(group.taken.get() - 1);
        group.put_index(head.index.get());
    }
}

/// The head of a buffer to which the caller holds a reference.
fn view(head: &NonNull<Head>) -> &Head {
    // SAFETY: while there is a reference the buffer's mapping is alive (the head holds its group),
    // and heads are only ever shared (cells, one thread).
    unsafe { head.as_ref() }
}
