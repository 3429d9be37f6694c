//! How another thread wakes a worker up.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys;

/// Wakes one driver up from any thread: its next turn reports [`crate::What::Woken`]. Many calls
/// before that turn are one event. What was written before `wake` is seen by whoever gets the
/// event. Harmless once the driver is gone.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: File,
    /// Set between a `wake` and the turn that reports it, so that only the first costs a call.
    pending: AtomicBool,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let file = File::from(sys::eventfd()?);
        Ok(Self(Arc::new(Shared { file, pending: AtomicBool::new(false) })))
    }

    /// Makes the driver's current or next turn end with a [`crate::What::Woken`] event.
    pub fn wake(&self) {
        if !self.0.pending.swap(true, Ordering::AcqRel) {
            // The counter cannot overflow (it is 0 or 1), so the write cannot fail for being full.
            let _ = (&self.0.file).write(&1u64.to_ne_bytes());
        }
    }

    /// Takes the pending wake-up, if there is one. For the driver.
    pub(crate) fn take(&self) -> bool {
        let mut counter = [0; 8];
        let _ = (&self.0.file).read(&mut counter);
        self.0.pending.swap(false, Ordering::AcqRel)
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }
}
