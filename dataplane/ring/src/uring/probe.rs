//! Whether io_uring can be used here, and which of its younger features there are.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use io_uring::{IoUring, Probe, cqueue, opcode, types};

use super::lent::{self, Lent};
use super::setup;
use crate::buf::{Group, SMALL_BYTES};
use crate::driver::Size;

/// What the kernel's io_uring offers beyond what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Multishot receives end by themselves after a number of bytes (Linux 6.17). Without this
    /// receives are armed one at a time.
    pub budgets: bool,
    /// The ring is entered by one thread only, which saves locks (Linux 6.0).
    pub single_issuer: bool,
}

/// Tries io_uring out: sets a ring up, lends it buffers, receives. `Err` says in words why it
/// cannot be used. The answer is found once a process.
pub fn probe() -> Result<Features, String> {
    static ANSWER: OnceLock<Result<Features, String>> = OnceLock::new();
    ANSWER.get_or_init(try_out).clone()
}

fn try_out() -> Result<Features, String> {
    let mut ring = setup::ring().map_err(|error| refusal(&error))?;
    let params = ring.params();
    let (timed_waits, no_drops) = (params.is_feature_ext_arg(), params.is_feature_nodrop());
    let single_issuer = params.is_setup_single_issuer();
    if !timed_waits || !no_drops {
        return Err("this kernel's io_uring is too old (Linux 5.19 or newer is needed)".to_owned());
    }
    has_operations(&ring)?;
    let mut lent = lend(&ring).map_err(|error| {
        format!(
            "io_uring takes no buffers to receive into ({error}); Linux 5.19 or newer is needed"
        )
    })?;
    let budgets = keeps_budget(&mut ring, &mut lent).unwrap_or(false);
    drop(ring);
    Ok(Features { budgets, single_issuer })
}

fn refusal(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no io_uring, or a seccomp profile hides it \
             (allow io_uring_setup, io_uring_enter and io_uring_register)"
            .to_owned(),
        Some(libc::EPERM | libc::EACCES) => "io_uring is forbidden here, by a seccomp profile or \
             by the sysctl kernel.io_uring_disabled"
            .to_owned(),
        Some(libc::ENOMEM) => "there is not enough locked memory for io_uring (raise \
             RLIMIT_MEMLOCK)"
            .to_owned(),
        _ => format!("io_uring cannot be set up: {error}"),
    }
}

fn has_operations(ring: &IoUring) -> Result<(), String> {
    let needed = [
        ("ACCEPT", opcode::AcceptMulti::CODE),
        ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
        ("POLL_ADD", opcode::PollAdd::CODE),
        ("RECV", opcode::Recv::CODE),
        ("SEND", opcode::Send::CODE),
        ("SENDMSG", opcode::SendMsg::CODE),
    ];
    let mut known = Probe::new();
    let asked = ring.submitter().register_probe(&mut known);
    asked.map_err(|error| format!("io_uring does not say what it can do: {error}"))?;
    match needed.iter().find(|(_, code)| !known.is_supported(*code)) {
        Some((name, _)) => Err(format!("this kernel's io_uring lacks the operation {name}")),
        None => Ok(()),
    }
}

/// Lends four buffers.
fn lend(ring: &IoUring) -> io::Result<Lent> {
    let group = Group::new(SMALL_BYTES, 4)?;
    let mut lent = Lent::new(ring, Size::Small, &group)?;
    lent.top_up();
    Ok(lent)
}

/// Offers three buffers full where the budget is two, and looks whether the third stays away.
fn keeps_budget(ring: &mut IoUring, lent: &mut Lent) -> io::Result<bool> {
    let (mut writer, reader) = UnixStream::pair()?;
    writer.write_all(&[0; 3 * SMALL_BYTES])?;
    let fd = types::Fd(reader.as_raw_fd());
    let entry = setup::receive(fd, lent::group_id(Size::Small), Some(2 * SMALL_BYTES));
    // SAFETY: the entry points to nothing; it receives into lent buffers, which `lent` keeps until
    // the caller has dropped the ring, and the loop below ends when the receive has ended.
    let queued = unsafe { ring.submission().push(&entry) };
    queued.map_err(|_| io::ErrorKind::ResourceBusy)?;
    let mut bytes = 0;
    loop {
        ring.submit_and_wait(1)?;
        for completion in ring.completion() {
            let (result, flags) = (completion.result(), completion.flags());
            if let Some(id) = cqueue::buffer_select(flags) {
                drop(lent.take_back(id, result));
            }
            bytes += usize::try_from(result).map_err(|_| io::ErrorKind::Unsupported)?;
            if !cqueue::more(flags) {
                return Ok(bytes == 2 * SMALL_BYTES);
            }
            if bytes > 2 * SMALL_BYTES {
                // Ends the receive: closing a ring does not wait for what is outstanding.
                writer.shutdown(Shutdown::Both)?;
            }
        }
    }
}
