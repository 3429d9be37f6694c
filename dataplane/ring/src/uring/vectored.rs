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

/// An entry that sends the slot's message, or where it has none the first piece of its queue, and
/// how many bytes it sends. `silent`: it is done when it was submitted, and has a completion only
/// if it fell short.
pub(super) fn send(fd: types::Fd, slot: &Slot, silent: bool) -> (Entry, usize) {
    let flags = if silent { SILENT } else { PATIENT };
    let (entry, bytes) = match &slot.message {
        Some(message) => {
            let pieces = slot.queue.len().min(PIECES_MAX);
            let bytes = slot.queue.iter().take(pieces).map(|piece| piece.len()).sum();
            let flags = (flags | slot.more(pieces)) as u32;
            (opcode::SendMsg::new(fd, &message.header).flags(flags).build(), bytes)
        }
        None => {
            let piece = slot.queue.front().map_or(&[][..], |piece| piece);
            // A piece is a buffer of the pool: far below 4 GiB.
            let bytes = piece.len().min(u32::MAX as usize);
            let send = opcode::Send::new(fd, piece.as_ptr(), bytes as u32);
            (send.flags(flags | slot.more(1)).build(), bytes)
        }
    };
    (if silent { entry.flags(Flags::SKIP_SUCCESS) } else { entry }, bytes)
}
