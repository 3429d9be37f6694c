//! Handing operations over to the kernel, and waiting.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::squeue::Entry;
use io_uring::types;

use super::Ring;
use super::operation::Operation;
use crate::driver::Socket;
use crate::engine::{Core, Patience};
use crate::sockets::Slot;

impl Ring {
    /// Queues an operation of a socket, unless one of that kind is outstanding already.
    pub(super) fn start(
        &mut self,
        core: &mut Core,
        socket: Socket,
        operation: Operation,
        entry: impl FnOnce(&mut Slot, types::Fd) -> Entry,
    ) {
        let Some(slot) = core.sockets.get_mut(socket) else { return };
        if slot.outstanding & operation.excluded() != 0 {
            return;
        }
        let fd = types::Fd(slot.fd.as_raw_fd());
        let entry = entry(slot, fd).user_data(operation.user_data(socket));
        slot.outstanding |= operation.bit();
        self.outstanding += 1;
        self.queue(entry);
    }

    /// Puts an entry where the next call takes it from. Where the queue is full it waits behind
    /// those that wait already.
    pub(super) fn queue(&mut self, entry: Entry) {
        if !self.backlog.is_empty() || !self.push(&entry) {
            self.backlog.push_back(entry);
        }
    }

    /// One turn's call: submits, and waits for a completion where there is patience. The time
    /// being up and signals are no errors.
    pub(super) fn enter(&mut self, patience: Patience) -> io::Result<()> {
        self.push_backlog();
        while !self.backlog.is_empty() {
            if !self.call(Patience::None)? {
                return Ok(());
            }
            self.push_backlog();
        }
        self.call(patience).map(drop)
    }

    /// Whether the kernel has taken what there was.
    fn call(&mut self, patience: Patience) -> io::Result<bool> {
        let submit = self.ring.submission().len() as u32;
        let (complete, timeout) = match patience {
            Patience::None => (0, None),
            Patience::Ns(ns) => (1, Some(timespec(ns))),
            Patience::Endless => (1, None),
        };
        match self.gate.enter(submit, complete, timeout.as_ref()) {
            Ok(_) => Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR) => Ok(true),
                // Completions overflow and must be worked off first, or the kernel is short of
                // memory. What was not taken is submitted again by the next call.
                Some(libc::EBUSY | libc::EAGAIN) => Ok(false),
                _ => Err(error),
            },
        }
    }

    fn push_backlog(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            if !self.push(&entry) {
                self.backlog.push_front(entry);
                return;
            }
        }
    }

    fn push(&mut self, entry: &Entry) -> bool {
        let mut queue = self.ring.submission();
        // SAFETY: most entries point to nothing (accept, poll, cancel, receive into lent buffers).
        // A send points to queued bytes, or to its slot's message, which points to queued bytes.
        // While a send is outstanding the engine takes nothing out of the front of that queue and
        // keeps the slot with its message; `shut_down` waits for the completion or leaks both.
        unsafe { queue.push(entry) }.is_ok()
    }
}

fn timespec(ns: u64) -> types::Timespec {
    types::Timespec::new().sec(ns / 1_000_000_000).nsec((ns % 1_000_000_000) as u32)
}
