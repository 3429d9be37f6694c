//! Setting up a ring, with as much as the kernel offers.

use std::io;
use std::ptr;

use io_uring::squeue::{Entry, Flags};
use io_uring::{Builder, IoUring, opcode, types};

use crate::sys;

/// Entries that can be submitted by one call; more take several.
const SUBMISSIONS: u32 = 256;

/// Completions that can wait; more are kept by the kernel until these are worked off, and end
/// multishot operations, which are then armed again.
const COMPLETIONS: u32 = 4096;

/// The largest budget passed on to the kernel: its counters are 32 bits wide.
const BUDGET_MAX: usize = 1 << 30;

/// A ring for the calling thread, with the best set of flags that the kernel knows.
pub(super) fn ring() -> io::Result<IoUring> {
    let sets: [fn(&mut Builder); 4] = [
        // Linux 6.6.
        |ring| {
            ring.setup_single_issuer().setup_defer_taskrun().setup_no_sqarray();
        },
        // Linux 6.1.
        |ring| {
            ring.setup_single_issuer().setup_defer_taskrun();
        },
        // Linux 5.19.
        |ring| {
            ring.setup_coop_taskrun();
        },
        |_| {},
    ];
    let mut refusal = io::Error::from_raw_os_error(libc::EINVAL);
    for set in sets {
        let mut builder = IoUring::builder();
        builder.dontfork().setup_submit_all().setup_cqsize(COMPLETIONS);
        set(&mut builder);
        match builder.build(SUBMISSIONS) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refusal = error,
            result => return result,
        }
    }
    Err(refusal)
}

/// An entry that receives into buffers of `group`: as often as data comes until `budget` bytes are
/// there, or once where the kernel keeps no budgets.
pub(super) fn receive(fd: types::Fd, group: u16, budget: Option<usize>) -> Entry {
    match budget {
        Some(bytes) => {
            let mut entry = opcode::RecvMulti::new(fd, group).build();
            sys::ring::set_budget(&mut entry, bytes.min(BUDGET_MAX) as u32);
            entry
        }
        None => {
            let receive = opcode::Recv::new(fd, ptr::null_mut(), 0).buf_group(group);
            receive.build().flags(Flags::BUFFER_SELECT)
        }
    }
}
