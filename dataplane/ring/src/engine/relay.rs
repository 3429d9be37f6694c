//! Relays: bytes from one socket to another through a pipe, by `splice(2)` on this very thread.
//!
//! The kernel is asked for readiness only. (`IORING_OP_SPLICE` always goes to a kernel worker
//! thread and costs several times as much.) A relay goes on over short dry spells and ends as
//! drained when its source stays dry or brings only little at a time: below 16 KiB a burst copying
//! is cheaper.

use std::io;

use super::{Alarm, Engine, Kernel, Side};
use crate::driver::{Failure, Nanos, Op, RelayEnd, Relayed, Socket, What};
use crate::engine::Core;
use crate::pipe::Pipe;
use crate::slab::Key;
use crate::sockets::{Fin, Life};
use crate::sys;
use crate::wheel::Timer;

/// How long a relay's source may be dry before the relay ends.
const DRY_MS: u64 = 10;

/// A burst of fewer bytes than this is a thin one.
const THIN_BYTES: usize = 16 * 1024;

/// So many thin bursts in a row end a relay.
const THIN_MAX: u8 = 4;

/// Bytes that one relay moves in a turn, so that others get their turn as well.
const RELAY_TURN_BYTES: usize = 1 << 20;

/// A relay that is running.
#[derive(Debug)]
pub(crate) struct Relay {
    source: Socket,
    destination: Socket,
    /// Held only while it carries data.
    pipe: Option<Pipe>,
    moved: u64,
    /// What may still be taken from the source.
    left: u64,
    /// The source has ended; what is in the pipe still has to be delivered.
    eof: bool,
    /// Thin bursts in a row.
    thin: u8,
    /// Runs while the source is dry.
    dry: Option<Timer>,
}

/// How one step of a relay ended.
enum Pumped {
    Moved(usize),
    /// The source has nothing for now, the pipe is empty.
    Dry,
    /// The destination takes nothing for now.
    Blocked,
    Eof,
    /// All that was asked for has moved.
    Whole,
    NoPipe,
    SourceFailed(i32),
    DestinationFailed(i32),
}

impl<K: Kernel> Engine<K> {
    /// See [`crate::Driver::relay`].
    pub(crate) fn relay(
        &mut self,
        source: Socket,
        destination: Socket,
        most: u64,
    ) -> io::Result<()> {
        let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if self.core.pipes.are_off() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "there are no pipes"));
        }
        let sockets = &mut self.core.sockets;
        match sockets.heard(source) {
            Some(from) if from.life != Life::Stream => return refused("source is not connected"),
            Some(from) if from.armed.is_some() => return refused("source is armed for receiving"),
            Some(from) if from.source_of.is_some() => return refused("source is relayed already"),
            Some(_) => {}
            None => return refused("source is closed"),
        }
        match sockets.heard(destination) {
            Some(to) if to.life != Life::Stream => return refused("destination is not connected"),
            Some(to) if to.unsent > 0 => return refused("destination has unsent bytes"),
            Some(_) if source == destination => return refused("source and destination are one"),
            Some(to) if to.fin != Fin::No => return refused("destination is finished"),
            Some(to) if to.destination_of.is_some() => return refused("destination is taken"),
            Some(_) => {}
            None => return refused("destination is closed"),
        }
        let (pipe, moved, left, eof, thin, dry) = (None, 0, most, false, 0, None);
        let relay = Relay { source, destination, pipe, moved, left, eof, thin, dry };
        let key = self.core.relays.insert(relay);
        if let Some(from) = sockets.get_mut(source) {
            from.source_of = key;
        }
        if let Some(to) = sockets.get_mut(destination) {
            to.destination_of = key;
        }
        self.core.schedule(source);
        Ok(())
    }

    /// See [`crate::Driver::relayed`].
    pub(crate) fn relayed(&self, source: Socket) -> u64 {
        let key = self.core.sockets.heard(source).and_then(|slot| slot.source_of);
        key.and_then(|key| self.core.relays.get(key)).map_or(0, |relay| relay.moved)
    }

    /// Moves what can be moved from this source.
    pub(super) fn pump(&mut self, source: Socket) {
        let Some(key) = self.core.sockets.get(source).and_then(|slot| slot.source_of) else {
            return;
        };
        let mut burst = 0;
        while burst < RELAY_TURN_BYTES {
            match self.core.pump_once(key) {
                Pumped::Moved(n) => burst += n,
                Pumped::Dry => return self.dry(key, burst),
                Pumped::Blocked => return self.blocked(key),
                Pumped::Eof => return self.end(key, RelayEnd::Eof),
                Pumped::Whole => return self.end(key, RelayEnd::Whole),
                Pumped::NoPipe => return self.end(key, RelayEnd::Drained),
                Pumped::SourceFailed(errno) => return self.fail(key, Side::Read, errno),
                Pumped::DestinationFailed(errno) => return self.fail(key, Side::Write, errno),
            }
        }
        self.core.wet(key);
        self.core.schedule(source);
    }

    /// Goes on with the relay to this destination, if there is one.
    pub(super) fn pump_towards(&mut self, destination: Socket) {
        let key = self.core.sockets.get(destination).and_then(|slot| slot.destination_of);
        if let Some(relay) = key.and_then(|key| self.core.relays.get(key)) {
            let source = relay.source;
            self.pump(source);
        }
    }

    /// The source has been dry for long enough.
    pub(super) fn ran_dry(&mut self, source: Socket) {
        let Some(key) = self.core.sockets.get(source).and_then(|slot| slot.source_of) else {
            return;
        };
        if let Some(relay) = self.core.relays.get_mut(key) {
            relay.dry = None;
            if relay.pipe.is_none() {
                self.end(key, RelayEnd::Drained);
            }
        }
    }

    /// Ends the relays of a socket that is closed. The other ends hear nothing of it.
    pub(super) fn end_relays(&mut self, socket: Socket) {
        let Some(slot) = self.core.sockets.get(socket) else { return };
        for key in [slot.source_of, slot.destination_of].into_iter().flatten() {
            self.core.take_relay(key);
        }
    }

    /// The source is dry: the pipe goes back, and the relay waits for more, but not for long.
    fn dry(&mut self, key: Key, burst: usize) {
        let at = Nanos(self.core.now.0 + DRY_MS * 1_000_000);
        if burst > 0 {
            self.core.wet(key);
        }
        let Some(relay) = self.core.relays.get_mut(key) else { return };
        match burst {
            0 => {}
            1..THIN_BYTES => relay.thin += 1,
            _ => relay.thin = 0,
        }
        if let Some(pipe) = relay.pipe.take() {
            self.core.pipes.give(pipe);
        }
        if relay.thin >= THIN_MAX {
            return self.end(key, RelayEnd::Drained);
        }
        let source = relay.source;
        if relay.dry.is_none() {
            relay.dry = Some(self.core.wheel.arm(at, Alarm::Dry(source)));
        }
        self.kernel.watch(&mut self.core, source, Side::Read);
    }

    fn blocked(&mut self, key: Key) {
        self.core.wet(key);
        if let Some(relay) = self.core.relays.get(key) {
            let destination = relay.destination;
            self.kernel.watch(&mut self.core, destination, Side::Write);
        }
    }

    fn end(&mut self, key: Key, end: RelayEnd) {
        let Some(relay) = self.core.take_relay(key) else { return };
        if let Some(slot) = self.core.sockets.get_mut(relay.source) {
            slot.eof |= end == RelayEnd::Eof;
        }
        self.core.tell(relay.source, What::Relayed(Relayed { bytes: relay.moved, end }));
    }

    fn fail(&mut self, key: Key, side: Side, errno: i32) {
        let Some(relay) = self.core.take_relay(key) else { return };
        let at_fault = match side {
            Side::Read => relay.source,
            Side::Write => relay.destination,
        };
        if let Some(slot) = self.core.sockets.heard_mut(at_fault) {
            slot.broken = true;
            self.core.tell(at_fault, What::Failed(Failure { op: Op::Relay, errno }));
        }
    }
}

impl Core {
    /// One step: as much as there is into the pipe, as much as goes out of it.
    fn pump_once(&mut self, key: Key) -> Pumped {
        let Some(relay) = self.relays.get_mut(key) else { return Pumped::NoPipe };
        let (source, destination) = (relay.source, relay.destination);
        let (Some(from), Some(to)) = (self.sockets.fd(source), self.sockets.fd(destination)) else {
            return Pumped::NoPipe;
        };
        if relay.pipe.is_none() {
            relay.pipe = self.pipes.take();
        }
        let Some(pipe) = &mut relay.pipe else { return Pumped::NoPipe };
        if !relay.eof && relay.left > 0 {
            match pipe.fill(from, relay.left) {
                Ok(n) => {
                    relay.eof = n == 0;
                    relay.left = relay.left.saturating_sub(n as u64);
                }
                // Dry, or the pipe is full.
                Err(error) if sys::would_wait(&error) => {}
                Err(error) => return Pumped::SourceFailed(sys::errno(&error)),
            }
        }
        if pipe.level() == 0 {
            return match (relay.left, relay.eof) {
                (0, _) => Pumped::Whole,
                (_, true) => Pumped::Eof,
                (_, false) => Pumped::Dry,
            };
        }
        match pipe.drain(to) {
            // Bytes that are there but do not move would keep us here for ever.
            Ok(0) => Pumped::DestinationFailed(libc::EIO),
            Ok(n) => {
                relay.moved += n as u64;
                if let Some(to) = self.sockets.get_mut(destination) {
                    to.spoke = true;
                }
                Pumped::Moved(n)
            }
            Err(error) if sys::would_wait(&error) => Pumped::Blocked,
            Err(error) => Pumped::DestinationFailed(sys::errno(&error)),
        }
    }

    /// Bytes came: the source is not dry any more.
    fn wet(&mut self, key: Key) {
        if let Some(timer) = self.relays.get_mut(key).and_then(|relay| relay.dry.take()) {
            self.wheel.cancel(timer);
        }
    }

    /// Takes a relay apart: pipe, alarm, and both sockets' part in it.
    fn take_relay(&mut self, key: Key) -> Option<Relay> {
        let mut relay = self.relays.remove(key)?;
        if let Some(pipe) = relay.pipe.take() {
            self.pipes.give(pipe);
        }
        if let Some(timer) = relay.dry.take() {
            self.wheel.cancel(timer);
        }
        if let Some(from) = self.sockets.get_mut(relay.source) {
            from.source_of = None;
        }
        if let Some(to) = self.sockets.get_mut(relay.destination) {
            to.destination_of = None;
        }
        // A FIN or bytes may have waited behind the relay.
        self.mark_dirty(relay.destination);
        Some(relay)
    }
}
