//! Sends of one or of many pieces.

use std::ptr;

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};

use crate::pieces::Pieces;
use crate::sockets::Slot;

/// Pieces that are sent by one operation; more wait for the next.
pub(crate) const PIECES_MAX: usize = 64;

/// A send that waits where the socket is full.
const PATIENT: i32 = libc::MSG_NOSIGNAL;
/// A send that does not: it takes all at once, or says how far it came. `MSG_WAITALL` is what makes
/// the kernel call less than all a failure.
const SILENT: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_WAITALL;

/// What `sendmsg(2)` is given. Kept in its slot, at one address, until its completion was seen.
pub(crate) struct Message {
    header: libc::msghdr,
    pieces: [libc::iovec; PIECES_MAX],
}

impl Default for Message {
    fn default() -> Self {
        let empty = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let header = libc::msghdr {
            msg_name: ptr::null_mut(),
            msg_namelen: 0,
            msg_iov: ptr::null_mut(),
            msg_iovlen: 0,
            msg_control: ptr::null_mut(),
            msg_controllen: 0,
            msg_flags: 0,
        };
        Self { header, pieces: [empty; PIECES_MAX] }
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message({} pieces)", self.header.msg_iovlen)
    }
}

/// The message, pointing to the first pieces of a queue.
pub(super) fn filled(mut message: Box<Message>, queue: &Pieces) -> Box<Message> {
    let mut count = 0;
    for (piece, bytes) in message.pieces.iter_mut().zip(queue.iter()) {
        piece.iov_base = bytes.as_ptr().cast_mut().cast();
        piece.iov_len = bytes.len();
        count += 1;
    }
    message.header.msg_iov = message.pieces.as_mut_ptr();
    message.header.msg_iovlen = count;
    message
}

/// An entry that sends the slot's message, or where it has none the first piece of its queue.
/// `silent`: it is done when it was submitted, and has a completion only if it fell short.
pub(super) fn send(fd: types::Fd, slot: &Slot, silent: bool) -> Entry {
    let flags = if silent { SILENT } else { PATIENT };
    let entry = if let Some(message) = &slot.message {
        opcode::SendMsg::new(fd, &message.header).flags(flags as u32).build()
    } else {
        let (start, len) = slot.queue.front().map_or((ptr::null(), 0), |piece| {
            (piece.as_ptr(), u32::try_from(piece.len()).unwrap_or(u32::MAX))
        });
        opcode::Send::new(fd, start, len).flags(flags).build()
    };
    if silent { entry.flags(Flags::SKIP_SUCCESS) } else { entry }
}

/// How many bytes that entry sends.
pub(super) fn bytes(slot: &Slot) -> usize {
    match &slot.message {
        Some(_) => slot.queue.iter().take(PIECES_MAX).map(|piece| piece.len()).sum(),
        None => slot.queue.front().map_or(0, |piece| piece.len()),
    }
}
