//! Pipes, through which a relay moves bytes without copying them to user space.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys;

/// The size that a pipe is asked for: with 1 MiB a relay costs half to three quarters of the CPU
/// that it costs with the usual 64 KiB.
pub(crate) const PIPE_BYTES: usize = 1 << 20;

/// Empty pipes that are kept for the next relay; more are closed.
const IDLE_MAX: usize = 8;

/// A pipe, and how many bytes are in it.
#[derive(Debug)]
pub(crate) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
    level: usize,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (read, write) = sys::pipe()?;
        let capacity = sys::resize_pipe(write.as_fd(), PIPE_BYTES);
        Ok(Self { read, write, capacity, level: 0 })
    }

    /// Bytes in the pipe.
    pub(crate) fn level(&self) -> usize {
        self.level
    }

    /// Moves what the socket has into the pipe, at most so much and as far as it fits. 0 means that
    /// the peer has closed its sending side; a full pipe and a dry socket both are `EAGAIN`.
    pub(crate) fn fill(&mut self, from: BorrowedFd<'_>, most: u64) -> io::Result<usize> {
        let room = self.capacity - self.level.min(self.capacity);
        let room = usize::try_from(most).unwrap_or(usize::MAX).min(room);
        if room == 0 {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        let moved = sys::splice(from, self.write.as_fd(), room)?;
        self.level += moved;
        Ok(moved)
    }

    /// Moves what is in the pipe into the socket, as far as it takes it.
    pub(crate) fn drain(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
        let moved = sys::splice(self.read.as_fd(), to, self.level)?;
        self.level -= moved.min(self.level);
        Ok(moved)
    }
}

/// A worker's pipes: made when first needed, held by a relay only while they carry data.
#[derive(Debug)]
pub(crate) struct Pipes {
    idle: Vec<Pipe>,
    in_use: usize,
    limit: usize,
}

impl Pipes {
    pub(crate) fn new(limit: usize) -> Self {
        Self { idle: Vec::with_capacity(IDLE_MAX), in_use: 0, limit }
    }

    /// Whether there never is one.
    pub(crate) fn are_off(&self) -> bool {
        self.limit == 0
    }

    /// An empty pipe; `None` where all are in use or the process has no descriptors left.
    pub(crate) fn take(&mut self) -> Option<Pipe> {
        if self.in_use >= self.limit {
            return None;
        }
        let pipe = self.idle.pop().or_else(|| Pipe::new().ok())?;
        self.in_use += 1;
        Some(pipe)
    }

    /// Takes a pipe back. One that still has bytes in it is closed: they belong to nobody.
    pub(crate) fn give(&mut self, pipe: Pipe) {
        self.in_use -= 1;
        if pipe.level == 0 && self.idle.len() < IDLE_MAX {
            self.idle.push(pipe);
        }
    }
}
