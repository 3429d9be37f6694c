//! Sends that say nothing where all went well.
//!
//! Nearly every send of a small message finds room in its socket: it is done when it was submitted,
//! and a completion would tell nothing new. Such a send is asked not to wait and to have no
//! completion on success. What was submitted and has not spoken has sent all its bytes; one that
//! fell short speaks, and the next of its socket waits for room as any other operation does.

use super::Ring;
use super::operation::Operation;
use crate::driver::Socket;
use crate::engine::{Core, News};
use crate::sockets::SILENT;

/// A silent send that was not heard of yet.
#[derive(Debug)]
pub(super) struct Silent {
    socket: Socket,
    bytes: usize,
}

impl Ring {
    /// A silent send of so many bytes is queued.
    pub(super) fn fall_silent(&mut self, core: &mut Core, socket: Socket, bytes: usize) {
        if let Some(slot) = core.sockets.get_mut(socket) {
            slot.outstanding |= SILENT;
            self.silent.push(Silent { socket, bytes });
        }
    }

    /// A send has spoken: whether it was a silent one, which then waits for no more.
    pub(super) fn has_spoken(&mut self, core: &mut Core, socket: Socket) {
        let Some(slot) = core.sockets.get_mut(socket) else { return };
        let fell_short = slot.outstanding & SILENT != 0;
        slot.writable = !fell_short;
        if fell_short {
            slot.outstanding &= !SILENT;
            self.silent.retain(|silent| silent.socket != socket);
        }
    }

    /// Appends the news of all that was submitted and has not spoken. To be called when all
    /// completions were reaped.
    pub(super) fn land(&mut self, core: &mut Core, news: &mut Vec<(Socket, News)>) {
        if self.silent.is_empty() || !self.has_heard_all() {
            return;
        }
        let mut silent = std::mem::take(&mut self.silent);
        for Silent { socket, bytes } in silent.drain(..) {
            if let Some(slot) = core.sockets.get_mut(socket) {
                slot.outstanding &= !SILENT;
            }
            self.let_go(core, Operation::Send, socket);
            news.push((socket, News::Sent(Ok(bytes))));
        }
        self.silent = silent;
    }

    /// Nothing waits to be submitted, and no completion waits behind a full queue.
    fn has_heard_all(&mut self) -> bool {
        let submissions = self.ring.submission();
        self.backlog.is_empty() && submissions.is_empty() && !submissions.cq_overflow()
    }
}
