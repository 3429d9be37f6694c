//! The end of a socket: flush, FIN, linger, die, burial.
//!
//! A descriptor is closed and its slot freed only when nothing of it is outstanding in the kernel.

use std::time::Duration;

use super::{Alarm, Cancel, Engine, Kernel, Side};
use crate::driver::{LINGER_MS_MAX, Nanos, Socket};
use crate::sockets::{Fin, Life};
use crate::sys;

/// How long a closed socket may take to get rid of what is queued; then it is reset, so that the
/// peer does not take a part for the whole.
const FLUSH_MS_MAX: u64 = 30_000;

/// Sockets that may flush or linger at a time; more are closed at once.
const LINGERERS_MAX: usize = 4_096;

/// Bytes of one lingering socket that are thrown away in a turn.
const DRAIN_TURN_BYTES: usize = 1 << 20;

impl<K: Kernel> Engine<K> {
    /// See [`crate::Driver::close`].
    pub(crate) fn close(&mut self, socket: Socket) {
        let Some(slot) = self.core.sockets.heard_mut(socket) else { return };
        // Nothing to protect: the peer has been told nothing, or has itself nothing more to tell.
        let quiet = slot.unsent == 0 && (slot.eof || slot.hasty || !slot.spoke);
        if slot.life != Life::Stream || slot.broken || quiet {
            return self.die(socket);
        }
        if self.core.lingering >= LINGERERS_MAX {
            return if slot.unsent > 0 { self.reset(socket) } else { self.die(socket) };
        }
        self.core.lingering += 1;
        slot.life = Life::Flushing;
        (slot.armed, slot.next) = (None, None);
        // Closing the descriptor sends a FIN as well: where that follows at once, it is enough.
        if slot.fin == Fin::No && !slot.hasty {
            slot.fin = Fin::Wanted;
        }
        self.end_relays(socket);
        let patience_ends = self.in_ms(FLUSH_MS_MAX);
        self.core.set_alarm(socket, patience_ends, Alarm::Close(socket));
        self.kernel.cancel(&mut self.core, socket, Cancel::Receive);
        self.core.mark_dirty(socket);
    }

    /// See [`crate::Driver::leave`].
    pub(crate) fn leave(&mut self, socket: Socket) {
        if let Some(slot) = self.core.sockets.heard_mut(socket) {
            slot.hasty = true;
        }
        self.close(socket);
    }

    /// See [`crate::Driver::reset`].
    pub(crate) fn reset(&mut self, socket: Socket) {
        if self.core.sockets.heard(socket).is_some() {
            self.die_with_reset(socket);
        }
    }

    /// Everything has left. Where the peer may still be sending, closing now would make the kernel
    /// answer with a reset, which can destroy our last words on their way to the peer's reader; so
    /// what comes is thrown away until the peer is done or the time is up (RFC 9112 section 9.6).
    pub(super) fn flushed(&mut self, socket: Socket) {
        let patience_ends = self.in_ms(LINGER_MS_MAX);
        let Some(slot) = self.core.sockets.get_mut(socket) else { return };
        if slot.eof || slot.hasty || !slot.spoke {
            return self.die(socket);
        }
        slot.life = Life::Lingering;
        self.core.set_alarm(socket, patience_ends, Alarm::Close(socket));
        self.drain(socket);
    }

    /// Throws away what has arrived on a lingering socket.
    pub(super) fn drain(&mut self, socket: Socket) {
        let mut bytes = 0;
        while bytes < DRAIN_TURN_BYTES {
            let Some(fd) = self.core.sockets.fd(socket) else { return };
            match sys::discard(fd, DRAIN_TURN_BYTES) {
                Ok(0) => return self.die(socket),
                Ok(n) => bytes += n,
                Err(error) if sys::would_wait(&error) => {
                    return self.kernel.watch(&mut self.core, socket, Side::Read);
                }
                Err(_) => return self.die(socket),
            }
        }
        self.core.schedule(socket);
    }

    /// The time of a closed socket is up.
    pub(super) fn lose_patience(&mut self, socket: Socket) {
        match self.core.sockets.get(socket).map(|slot| slot.life) {
            Some(Life::Flushing) => self.die_with_reset(socket),
            Some(Life::Lingering) => self.die(socket),
            _ => {}
        }
    }

    /// Nothing more of this socket matters. It is buried when the kernel has let go of it.
    pub(super) fn die(&mut self, socket: Socket) {
        let Some(slot) = self.core.sockets.get_mut(socket) else { return };
        match slot.life {
            Life::Dying => return,
            Life::Flushing | Life::Lingering => self.core.lingering -= 1,
            Life::Listener | Life::Connecting | Life::Stream => {}
        }
        slot.life = Life::Dying;
        (slot.armed, slot.next) = (None, None);
        self.end_relays(socket);
        self.core.clear_alarm(socket);
        self.kernel.cancel(&mut self.core, socket, Cancel::All);
        self.bury(socket);
    }

    fn die_with_reset(&mut self, socket: Socket) {
        if let Some(fd) = self.core.sockets.fd(socket) {
            // With no time to linger, closing sends a reset and drops what is unsent.
            let _ = sys::options(&fd).set_linger(Some(Duration::ZERO));
        }
        self.die(socket);
    }

    /// Closes the descriptor and frees the slot, if nothing is outstanding.
    pub(super) fn bury(&mut self, socket: Socket) {
        let Some(slot) = self.core.sockets.get(socket) else { return };
        if slot.life == Life::Dying && slot.outstanding == 0 {
            self.kernel.detach(&mut self.core, socket);
            self.core.sockets.remove(socket);
        }
    }

    fn in_ms(&self, ms: u64) -> Nanos {
        Nanos(self.core.now.0 + ms * 1_000_000)
    }
}
