//! Bytes in and out of one socket.

use super::{Engine, Kernel, Received, Step};
use crate::buf::Buf;
use crate::driver::{Failure, Op, SEND_NOW_BYTES, Size, Socket, What};
use crate::sockets::{Armed, Fin, Life, QUEUE_BUFS_MAX};
use crate::sys;

/// Bytes that one socket receives in a turn where receiving is done by direct calls.
const RECV_TURN_BYTES: usize = 256 * 1024;

impl<K: Kernel> Engine<K> {
    /// See [`crate::Driver::recv`].
    pub(crate) fn recv(&mut self, socket: Socket, budget: usize, size: Size) {
        let Some(slot) = self.core.sockets.heard_mut(socket) else { return };
        if slot.life == Life::Listener || slot.eof || slot.source_of.is_some() {
            debug_assert!(slot.eof, "recv on a listener or the source of a relay");
            return;
        }
        let left = u32::try_from(budget.max(1)).unwrap_or(u32::MAX);
        let armed = Armed { left, size };
        if slot.armed.is_some() {
            slot.next = Some(armed);
        } else {
            slot.armed = Some(armed);
            self.core.schedule(socket);
        }
    }

    /// Goes on with an armed receive: asks the kernel, or reads until the socket is dry, the
    /// budget is used up or others should have a turn.
    pub(super) fn receive(&mut self, socket: Socket) {
        let mut bytes = 0;
        while bytes < RECV_TURN_BYTES {
            let Some(slot) = self.core.sockets.heard(socket) else { return };
            if slot.armed.is_none() || slot.parked {
                return;
            }
            match self.kernel.recv(&mut self.core, socket) {
                Step::Pending => return,
                Step::Failed(errno) => return self.receive_failed(socket, errno),
                Step::Done(received) => {
                    if let Received::Data(data) = &received {
                        bytes += data.len();
                    }
                    self.received(socket, received);
                    self.settle(socket);
                }
            }
        }
        self.core.schedule(socket);
    }

    /// A receive has brought something.
    pub(super) fn received(&mut self, socket: Socket, received: Received) {
        let Some(slot) = self.core.sockets.get_mut(socket) else { return };
        match received {
            Received::Data(data) => {
                if let Some(armed) = &mut slot.armed {
                    let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
                    armed.left = armed.left.saturating_sub(len);
                }
                if slot.heard() {
                    self.core.tell(socket, What::Data(data));
                }
            }
            Received::Eof => {
                slot.eof = true;
                (slot.armed, slot.next) = (None, None);
                match slot.life {
                    Life::Lingering => self.die(socket),
                    _ if slot.heard() => self.core.tell(socket, What::Eof),
                    _ => {}
                }
            }
            Received::NoBuffers if slot.parked => {}
            Received::NoBuffers => {
                if self.content_itself(socket) {
                    self.core.schedule(socket);
                } else if let Some(slot) = self.core.sockets.get_mut(socket)
                    && let Some(armed) = slot.armed
                {
                    slot.parked = true;
                    self.core.park(socket, armed.size);
                }
            }
        }
    }

    /// Where all large buffers are in the caller's hands a receive goes on with small ones: those
    /// who hold them may do so for long, and nobody else shall wait for that. `true`: it does.
    pub(super) fn content_itself(&mut self, socket: Socket) -> bool {
        if self.kernel.buffers(&self.core, Size::Large) > 0 {
            return false;
        }
        let armed = self.core.sockets.get_mut(socket).and_then(|slot| slot.armed.as_mut());
        match armed {
            Some(armed) if armed.size == Size::Large => {
                armed.size = Size::Small;
                true
            }
            _ => false,
        }
    }

    /// The kernel has ended a receive without an error: what is left of the budget, or the next
    /// one, is armed.
    pub(super) fn receive_ended(&mut self, socket: Socket) {
        self.settle(socket);
        self.receive(socket);
    }

    /// Where a budget is used up: arms the next one, or tells that receiving has paused.
    fn settle(&mut self, socket: Socket) {
        let Some(slot) = self.core.sockets.heard_mut(socket) else { return };
        if slot.armed.is_some_and(|armed| armed.left == 0) {
            slot.armed = slot.next.take();
            if slot.armed.is_none() {
                self.core.tell(socket, What::Paused);
            }
        }
    }

    /// A receive has failed. The connection is gone then, also for sending.
    pub(super) fn receive_failed(&mut self, socket: Socket, errno: i32) {
        let Some(slot) = self.core.sockets.get_mut(socket) else { return };
        if !slot.heard() {
            if errno != libc::ECANCELED {
                self.die(socket);
            }
            return;
        }
        if slot.armed.is_none() || errno == libc::ECANCELED {
            return;
        }
        (slot.armed, slot.next) = (None, None);
        slot.broken = true;
        slot.forget();
        self.core.tell(socket, What::Failed(Failure { op: Op::Recv, errno }));
    }

    /// See [`crate::Driver::send`].
    pub(crate) fn send(&mut self, socket: Socket, bytes: Buf) {
        let Some(slot) = self.core.sockets.heard_mut(socket) else { return };
        if slot.broken || bytes.is_empty() {
            return;
        }
        if slot.life == Life::Listener || slot.fin != Fin::No {
            debug_assert!(false, "send on a listener or after finish");
            return;
        }
        if slot.queue.len() >= QUEUE_BUFS_MAX {
            return self.send_failed(socket, libc::ENOBUFS);
        }
        slot.push(bytes);
        if slot.unsent >= SEND_NOW_BYTES {
            self.send_queued(socket, true);
        } else {
            self.core.mark_dirty(socket);
        }
    }

    /// See [`crate::Driver::unsent`].
    pub(crate) fn unsent(&self, socket: Socket) -> usize {
        let slot = self.core.sockets.heard(socket);
        slot.filter(|slot| !slot.broken).map_or(0, |slot| slot.unsent)
    }

    /// See [`crate::Driver::finish`].
    pub(crate) fn finish(&mut self, socket: Socket) {
        let Some(slot) = self.core.sockets.heard_mut(socket) else { return };
        if slot.fin == Fin::No && slot.life != Life::Listener {
            slot.fin = Fin::Wanted;
            self.core.mark_dirty(socket);
        }
    }

    /// Sends what was queued since the last turn.
    pub(super) fn send_dirty(&mut self) {
        self.work_off(
            |core| &mut core.dirty,
            |engine, socket| {
                let Some(slot) = engine.core.sockets.get_mut(socket) else { return };
                slot.dirty = false;
                engine.send_queued(socket, false);
            },
        );
    }

    /// Sends until the queue is empty or the kernel takes no more for now. What a relay is moving
    /// to the socket goes first.
    fn send_queued(&mut self, socket: Socket, now: bool) {
        loop {
            let Some(slot) = self.core.sockets.get(socket) else { return };
            if !slot.sendable() || slot.destination_of.is_some() {
                return;
            }
            if slot.unsent == 0 {
                return self.emptied(socket);
            }
            match self.kernel.send(&mut self.core, socket, now) {
                Step::Done(n) => self.count_sent(socket, n),
                Step::Pending => return,
                Step::Failed(errno) => return self.send_failed(socket, errno),
            }
        }
    }

    /// A send that was outstanding has ended.
    pub(super) fn sent(&mut self, socket: Socket, outcome: Result<usize, i32>) {
        let Some(slot) = self.core.sockets.get_mut(socket) else { return };
        if slot.broken {
            return slot.forget();
        }
        match outcome {
            Ok(n) => {
                self.count_sent(socket, n);
                // The rest, a FIN, or what was queued meanwhile.
                self.core.mark_dirty(socket);
            }
            Err(libc::EAGAIN | libc::EINTR) => self.core.mark_dirty(socket),
            Err(errno) => self.send_failed(socket, errno),
        }
    }

    fn count_sent(&mut self, socket: Socket, n: usize) {
        let Some(slot) = self.core.sockets.get_mut(socket) else { return };
        slot.sent(n);
        if !slot.heard() {
            return;
        }
        match self.core.untold.last_mut() {
            Some((last, What::Sent(sum))) if *last == socket => *sum += n,
            _ => self.core.tell(socket, What::Sent(n)),
        }
    }

    /// Sending has failed: nothing more is sent. What has arrived can still be received: a peer
    /// that refuses our bytes may have answered before.
    fn send_failed(&mut self, socket: Socket, errno: i32) {
        let Some(slot) = self.core.sockets.get_mut(socket) else { return };
        if !slot.heard() {
            return self.die(socket);
        }
        let known = std::mem::replace(&mut slot.broken, true);
        slot.forget();
        if !known {
            self.core.tell(socket, What::Failed(Failure { op: Op::Send, errno }));
        }
    }

    /// All that was queued has left: a FIN follows if it is wanted, and then the end if the socket
    /// is closed.
    fn emptied(&mut self, socket: Socket) {
        let Some(slot) = self.core.sockets.get_mut(socket) else { return };
        if slot.fin == Fin::Wanted {
            slot.fin = Fin::Sent;
            // It fails only where the connection is gone already, which receiving reports.
            let _ = sys::options(&slot.fd).shutdown(std::net::Shutdown::Write);
        }
        if slot.life == Life::Flushing {
            self.flushed(socket);
        }
    }
}
