//! Completions, turned into news.

use std::os::fd::{FromRawFd, OwnedFd};

use io_uring::cqueue;

use super::Ring;
use super::operation::{self, Operation};
use crate::buf::Buf;
use crate::driver::{Size, Socket};
use crate::engine::{Core, NOBODY, News, Received};

/// Messages kept for the next vectored sends; more are freed.
const MESSAGES_MAX: usize = 64;

impl Ring {
    /// Appends what has been completed to `news`.
    pub(super) fn reap(&mut self, core: &mut Core, news: &mut Vec<(Socket, News)>) {
        let mut entries = std::mem::take(&mut self.completions);
        entries.extend(self.ring.completion());
        for entry in entries.drain(..) {
            if entry.user_data() == operation::WAKE {
                self.deaf |= !cqueue::more(entry.flags());
                if core.waker.take() {
                    news.push((NOBODY, News::Woken));
                }
            } else if let Some((operation, socket)) = Operation::of(entry.user_data()) {
                self.completed(core, operation, socket, &entry, news);
            }
        }
        self.completions = entries;
    }

    fn completed(
        &mut self,
        core: &mut Core,
        operation: Operation,
        socket: Socket,
        entry: &cqueue::Entry,
        news: &mut Vec<(Socket, News)>,
    ) {
        let (result, more) = (entry.result(), cqueue::more(entry.flags()));
        if operation == Operation::Send {
            self.has_spoken(core, socket);
        }
        if !more {
            self.let_go(core, operation, socket);
        }
        match operation {
            Operation::RecvSmall | Operation::RecvLarge => {
                let size =
                    if operation == Operation::RecvSmall { Size::Small } else { Size::Large };
                let id = cqueue::buffer_select(entry.flags());
                let data = id.and_then(|id| self.lent(size).take_back(id, result));
                if result == -libc::ENOBUFS {
                    self.lent(size).grow();
                }
                received(socket, result, data, more, news);
            }
            Operation::Send => {
                let outcome = usize::try_from(result).map_err(|_| -result);
                news.push((socket, News::Sent(outcome)));
            }
            Operation::Accept => accepted(socket, result, more, news),
            Operation::PollRead if result >= 0 => news.push((socket, News::Readable)),
            Operation::PollWrite if result >= 0 => news.push((socket, News::Writable)),
            Operation::PollRead | Operation::PollWrite => news.push((socket, News::Over)),
        }
    }

    /// The kernel has let go of an operation.
    pub(super) fn let_go(&mut self, core: &mut Core, operation: Operation, socket: Socket) {
        self.outstanding -= 1;
        let Some(slot) = core.sockets.get_mut(socket) else { return };
        slot.outstanding &= !operation.bit();
        if operation == Operation::Send
            && let Some(message) = slot.message.take()
            && self.messages.len() < MESSAGES_MAX
        {
            self.messages.push(message);
        }
    }
}

fn received(
    socket: Socket,
    result: i32,
    data: Option<Buf>,
    more: bool,
    news: &mut Vec<(Socket, News)>,
) {
    let item = match (result, data) {
        (1.., Some(data)) => {
            news.push((socket, News::Received(Received::Data(data))));
            if more {
                return;
            }
            News::ReceiveEnded
        }
        (1.., None) => News::ReceiveFailed(libc::EIO),
        (0, _) => News::Received(Received::Eof),
        (..0, _) => match -result {
            libc::ENOBUFS => News::Received(Received::NoBuffers),
            libc::EAGAIN | libc::EINTR => News::ReceiveEnded,
            errno => News::ReceiveFailed(errno),
        },
    };
    news.push((socket, item));
}

fn accepted(socket: Socket, result: i32, more: bool, news: &mut Vec<(Socket, News)>) {
    if result < 0 {
        news.push((socket, News::AcceptEnded(-result)));
        return;
    }
    // SAFETY: the kernel has just made this descriptor for this completion; nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(result) };
    news.push((socket, News::Accepted(fd)));
    if !more {
        news.push((socket, News::AcceptEnded(0)));
    }
}
