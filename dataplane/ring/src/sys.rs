//! The system calls that no safe library wraps, each behind one safe function.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::time::Duration;

use crate::driver::Nanos;

pub(crate) mod epoll;
pub(crate) mod ring;

/// An anonymous private mapping: zero-filled, page-aligned, resident only where touched.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Maps `len` bytes (rounded up to pages). Huge pages are refused: one touched byte would cost
    /// two megabytes.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        let len = len.max(1).next_multiple_of(page_bytes());
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the range was just mapped and is ours; the advice changes no contents.
        unsafe { libc::madvise(base, len, libc::MADV_NOHUGEPAGE) };
        let base = NonNull::new(base.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { base, len })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Gives the whole pages within a range (in bytes from the base) back to the kernel, and says
    /// how many bytes that were. They read as zero from then on, so nobody may have a view of any
    /// byte of the range, nor the kernel write to it.
    pub(crate) fn discard(&self, range: Range<usize>) -> usize {
        let page = page_bytes();
        let start = range.start.next_multiple_of(page);
        let end = range.end.min(self.len) / page * page;
        let Some(len) = end.checked_sub(start).filter(|len| *len > 0) else { return 0 };
        // SAFETY: the pages are within this mapping, and the caller (the group that the mapping
        // belongs to) has nobody who uses them: zeros are as good as what stands there.
        let done = unsafe {
            libc::madvise(self.base.add(start).as_ptr().cast(), len, libc::MADV_DONTNEED)
        };
        if done == 0 { len } else { 0 }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly this range was mapped by `new`; whoever hands out pointers into it keeps
        // the mapping alive for as long as they are used.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// The size of a memory page.
pub(crate) fn page_bytes() -> usize {
    // SAFETY: reads a constant of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

/// The monotonic clock.
pub(crate) fn now() -> Nanos {
    let time = clock(libc::CLOCK_MONOTONIC);
    Nanos(time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos()))
}

/// One of the kernel's clocks.
pub(crate) fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(id, &mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A new counter for waking up: non-blocking, closed on exec.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    owned(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })
}

/// Accepts one connection: non-blocking, closed on exec.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null pointers say that the peer's address is not asked for.
    owned(unsafe { libc::accept4(listener.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags) })
}

/// Receives into `into`.
pub(crate) fn recv(socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `into.len()` bytes to `into`.
    count(unsafe { libc::recv(socket.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), 0) })
}

/// Takes the pages of a mapping of code out of this process.
pub(crate) fn forget_code(range: &Range<usize>) {
    // SAFETY: the range is a private mapping of a file, readable and executable but not writable,
    // as the kernel listed it: what is dropped is read again from the same file, byte for byte,
    // when it is next run. Nothing else is changed, and a range that is gone is an error.
    unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), libc::MADV_DONTNEED) };
}

/// Takes up to `len` bytes that have arrived on a TCP socket and throws them away uncopied.
pub(crate) fn discard(socket: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT;
    // SAFETY: with MSG_TRUNC TCP writes nothing to the buffer, which may be null (tcp(7)).
    count(unsafe { libc::recv(socket.as_raw_fd(), ptr::null_mut(), len, flags) })
}

/// Moves up to `len` bytes between a pipe and a socket without waiting.
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: null offsets say "from where it stands", the only choice for pipes and sockets.
    count(unsafe { libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), len, flags) })
}

/// A new pipe (reading end, writing end): non-blocking, closed on exec.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors.
    let done = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    let [read, write] = ends;
    Ok((owned(read)?, owned(write)?))
}

/// Lets a later `bind` set the address only: the port is chosen by `connect`.
pub(crate) fn bind_without_port(socket: BorrowedFd<'_>) -> io::Result<()> {
    let yes: libc::c_int = 1;
    set_option(socket, libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, &yes.to_ne_bytes())
}

/// Puts a protocol on top of a connected socket's TCP, by its name.
pub(crate) fn set_upper_protocol(socket: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    set_option(socket, libc::SOL_TCP, libc::TCP_ULP, name.as_bytes())
}

fn set_option(socket: BorrowedFd<'_>, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    let size = value.len() as libc::socklen_t;
    // SAFETY: the kernel reads at most `size` bytes of `value`.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.as_ptr().cast(), size) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for a pipe of `bytes` and says what it has got, which may be less (`fs.pipe-max-size`,
/// `fs.pipe-user-pages-soft`).
pub(crate) fn resize_pipe(pipe: BorrowedFd<'_>, bytes: usize) -> usize {
    let asked = i32::try_from(bytes).unwrap_or(i32::MAX);
    // SAFETY: takes a number, no pointer.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, asked) };
    // SAFETY: takes nothing.
    let got = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETPIPE_SZ) };
    usize::try_from(got).unwrap_or_else(|_| page_bytes())
}

/// Writing to a closed socket is an error to handle, not a signal that ends the process:
/// `splice(2)` has no flag for that.
pub(crate) fn ignore_sigpipe() {
    // SAFETY: ignoring a signal installs no handler; Rust programs ignore this one anyway.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// The CPUs that the calling thread may run on.
pub(crate) fn affinity() -> io::Result<Vec<usize>> {
    // SAFETY: a CPU set is plain bits, all zero is the empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most the size given to `set`.
    let done = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `cpu` stays below the number of bits in a set.
    let is_set = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(is_set).collect())
}

/// Pins the calling thread to one CPU.
pub(crate) fn set_affinity(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: a CPU set is plain bits, all zero is the empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` was checked to be below the number of bits in a set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the kernel reads the size given from `set`.
    let done = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives unused memory of the C allocator back, where it is glibc's.
pub(crate) fn malloc_trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The descriptor that a call has just made, or its error.
fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor to us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The number of bytes that a call reports, or its error.
fn count(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Whether an error only says that the call would have had to wait.
pub(crate) fn would_wait(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR))
}

/// The number of an error, `EIO` where it has none.
pub(crate) fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// A socket with socket2's options on it.
pub(crate) fn options<'a>(socket: &'a impl AsFd) -> socket2::SockRef<'a> {
    socket2::SockRef::from(socket)
}
