//! io_uring, where the `io-uring` crate has no safe function for it.

use std::io;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::squeue::Entry;
use io_uring::types::{BufRingEntry, Timespec};
use io_uring::{EnterFlags, IoUring};

use super::Mapping;

const REGISTER_RING_FDS: u32 = 20;
const UNREGISTER_RING_FDS: u32 = 21;

/// The name under which a ring is entered: its registered index where the kernel gives one (5.18),
/// which saves a look-up a call, else its descriptor.
#[derive(Debug)]
pub(crate) struct Gate {
    fd: RawFd,
    index: Option<u32>,
}

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct Update {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// `struct io_uring_getevents_arg`.
#[repr(C)]
struct WaitArgument {
    mask: u64,
    mask_bytes: u32,
    min_wait_usec: u32,
    timeout: u64,
}

impl Gate {
    /// Registers the ring `fd` for the calling thread, which must be the one that enters it. The
    /// ring outlives the gate.
    pub(crate) fn new(fd: RawFd) -> Self {
        let mut update = Update { offset: u32::MAX, reserved: 0, data: fd as u64 };
        let index = register(fd, REGISTER_RING_FDS, &mut update).ok().map(|()| update.offset);
        Self { fd, index }
    }

    /// Submits `submit` entries and waits for `complete` completions, at most `timeout` where one
    /// is given. Errors of the wait (`ETIME`, `EINTR`) come back as errors.
    pub(crate) fn enter(
        &self,
        submit: u32,
        complete: u32,
        timeout: Option<&Timespec>,
    ) -> io::Result<usize> {
        // Deferred completions are only delivered to a call that asks for events.
        let mut flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        let mut fd = self.fd;
        if let Some(index) = self.index {
            flags |= EnterFlags::REGISTERED_RING;
            fd = index as RawFd;
        }
        let timeout = timeout.map_or(0, |timeout| ptr::from_ref(timeout) as u64);
        let argument = WaitArgument { mask: 0, mask_bytes: 0, min_wait_usec: 0, timeout };
        let size = size_of::<WaitArgument>();
        let call = libc::SYS_io_uring_enter;
        // SAFETY: the kernel reads `argument` and the time it points to during the call only. What
        // the submitted entries point to was promised when they were pushed.
        let done =
            unsafe { libc::syscall(call, fd, submit, complete, flags.bits(), &argument, size) };
        usize::try_from(done).map_err(|_| io::Error::last_os_error())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            let mut update = Update { offset: index, reserved: 0, data: 0 };
            // A registered ring would stay alive until its thread ends.
            let _ = register(self.fd, UNREGISTER_RING_FDS, &mut update);
        }
    }
}

fn register(fd: RawFd, code: u32, update: &mut Update) -> io::Result<()> {
    let update = ptr::from_mut(update);
    // SAFETY: both codes used read and write one `struct io_uring_rsrc_update`.
    let done = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, code, update, 1) };
    if done == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets the byte budget of a multishot receive (`sqe.optlen`), for which the `io-uring` crate has
/// no field yet.
pub(crate) fn set_budget(entry: &mut Entry, budget: u32) {
    /// Where `optlen` is in `struct io_uring_sqe`.
    const OPTLEN_AT: usize = 44;
    const { assert!(size_of::<Entry>() == 64) };
    // SAFETY: `Entry` is the 64 bytes of a submission entry, so 4 bytes at 44 are within it, and
    // they are plain data.
    unsafe { ptr::from_mut(entry).cast::<u8>().add(OPTLEN_AT).cast::<u32>().write(budget) };
}

/// The queue in which buffers are lent to the kernel (a "provided buffer ring").
#[derive(Debug)]
pub(crate) struct Lending {
    memory: Mapping,
    mask: u16,
    tail: u16,
}

impl Lending {
    /// Room for `buffers` of them (at most 32,768), registered as `group`.
    pub(crate) fn new(ring: &IoUring, group: u16, buffers: usize) -> io::Result<Self> {
        let places = buffers.clamp(1, 1 << 15).next_power_of_two();
        let memory = Mapping::new(places * size_of::<BufRingEntry>())?;
        let address = memory.base().as_ptr() as u64;
        // SAFETY: the mapping has room for `places` entries. The kernel pins its pages for as long
        // as the group is registered, and uses them only for receives; whoever drops a `Lending`
        // has dropped the ring before, or has never started a receive.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(address, places as u16, group, 0)?;
        }
        Ok(Self { memory, mask: (places - 1) as u16, tail: 0 })
    }

    /// Lends one buffer. It is seen by the kernel from the next [`Lending::publish`] on. No more
    /// buffers may be lent at a time than there are places.
    pub(crate) fn lend(&mut self, address: u64, len: usize, id: u16) {
        let at = usize::from(self.tail & self.mask);
        // SAFETY: `at` is masked to the places mapped. The kernel reads a place only after the
        // tail has passed it, and the tail comes round to it only after the kernel has used it.
        let place = unsafe { self.entries().add(at).as_mut() };
        place.set_addr(address);
        place.set_len(len as u32);
        place.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was lent.
    pub(crate) fn publish(&self) {
        // SAFETY: the first entry is mapped and valid when zeroed; its last two bytes are the
        // tail, aligned to 2, which the kernel only reads.
        let tail = unsafe {
            let tail = BufRingEntry::tail(self.entries().as_ptr());
            AtomicU16::from_ptr(tail.cast_mut())
        };
        tail.store(self.tail, Ordering::Release);
    }

    /// How many buffers can be lent at a time.
    pub(crate) fn places(&self) -> usize {
        usize::from(self.mask) + 1
    }

    fn entries(&self) -> NonNull<BufRingEntry> {
        self.memory.base().cast()
    }
}
