//! epoll.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::owned;

/// A new epoll instance, closed on exec.
pub(crate) fn create() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// Starts watching `fd`: each of its events then carries `data`.
pub(crate) fn add(
    epoll: BorrowedFd<'_>,
    fd: BorrowedFd<'_>,
    interest: i32,
    data: u64,
) -> io::Result<()> {
    let mut event = libc::epoll_event { events: interest as u32, u64: data };
    let (epoll, fd) = (epoll.as_raw_fd(), fd.as_raw_fd());
    // SAFETY: the kernel reads one event from `event`.
    let done = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Stops watching `fd`. Needed before closing a duplicate: the other one keeps the file alive.
pub(crate) fn remove(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>) {
    let (epoll, fd) = (epoll.as_raw_fd(), fd.as_raw_fd());
    // SAFETY: deleting reads no event.
    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd, ptr::null_mut()) };
}

/// Waits until something happened, at most `timeout_ns` (for ever where `None`), and says how many
/// of `events` are filled.
pub(crate) fn wait(
    epoll: BorrowedFd<'_>,
    events: &mut [libc::epoll_event],
    timeout_ns: Option<u64>,
) -> io::Result<usize> {
    let room = i32::try_from(events.len()).unwrap_or(i32::MAX);
    let epoll = epoll.as_raw_fd();
    // Zero and for ever need no fine clock; epoll_pwait2 (Linux 5.11) has it for the rest.
    let coarse = match timeout_ns {
        None => -1,
        Some(0) => 0,
        Some(ns) => match wait_fine(epoll, events, room, ns) {
            // EPERM is what some seccomp profiles answer to calls they do not know.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                i32::try_from(ns.div_ceil(1_000_000)).unwrap_or(i32::MAX)
            }
            answer => return answer,
        },
    };
    // SAFETY: the kernel writes at most `room` events to `events`.
    let filled = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), room, coarse) };
    usize::try_from(filled).map_err(|_| io::Error::last_os_error())
}

fn wait_fine(
    epoll: i32,
    events: &mut [libc::epoll_event],
    room: i32,
    ns: u64,
) -> io::Result<usize> {
    let seconds = libc::time_t::try_from(ns / 1_000_000_000).unwrap_or(libc::time_t::MAX);
    let rest = (ns % 1_000_000_000) as libc::c_long;
    let timeout = libc::timespec { tv_sec: seconds, tv_nsec: rest };
    let no_mask = ptr::null::<libc::sigset_t>();
    // SAFETY: the kernel writes at most `room` events to `events` and reads one timespec. The raw
    // call is used since not every C library has a function for it.
    let filled = unsafe {
        let events = events.as_mut_ptr();
        libc::syscall(libc::SYS_epoll_pwait2, epoll, events, room, &timeout, no_mask, 0usize)
    };
    usize::try_from(filled).map_err(|_| io::Error::last_os_error())
}
