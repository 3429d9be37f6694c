//! What both drivers do alike: the life of sockets, from opening to burial.
//!
//! The [`Kernel`] of a driver says what happened ([`News`]); the engine changes the socket's state
//! and tells the caller ([`Event`]). A turn first hands over what was asked for since the last one
//! (sends, then whatever can go on), then waits, then works off the news and the alarms.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::buf::{Buf, Pool};
use crate::driver::{Connect, Event, Nanos, Size, Socket, Tag, What};
use crate::slab::Slab;
use crate::sockets::{Life, Sockets};
use crate::start::Limits;
use crate::sys;
use crate::wake::Waker;
use crate::wheel::Wheel;

mod close;
mod flow;
mod kernel;
mod open;
mod relay;
mod spin;

pub(crate) use kernel::{Cancel, Kernel, News, Patience, Received, Side, Step};
use relay::Relay;
use spin::Spin;

/// The socket of events that belong to none.
pub(crate) const NOBODY: Socket = Socket { slot: u32::MAX, generation: u32::MAX };

/// What an alarm is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// A connect has met its deadline.
    Connect(Socket),
    /// A listener's pause is over.
    Accept(Socket),
    /// A closed socket has had its time.
    Close(Socket),
    /// A relay's source has been dry for long enough.
    Dry(Socket),
}

/// The state that the engine and the kernel side share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) sockets: Sockets,
    pub(crate) pool: Pool,
    pub(crate) waker: Waker,
    now: Nanos,
    wheel: Wheel<Alarm>,
    relays: Slab<Relay>,
    pipes: crate::pipe::Pipes,
    /// What the caller has not been told yet.
    untold: Vec<(Socket, What)>,
    /// Sockets with bytes to send, or a FIN.
    dirty: Vec<Socket>,
    /// Sockets that can go on without news.
    scheduled: Vec<Socket>,
    /// Sockets whose receives wait for a small or a large buffer.
    parked: [VecDeque<Socket>; 2],
    /// Sockets that linger or flush after having been closed.
    lingering: usize,
}

/// What the lists of one turn have room for from the start: a turn that is busier than all before
/// it must not allocate in the middle of traffic, unless it is a very busy one.
pub(crate) const TURN_READY: usize = 256;

impl Core {
    fn new(limits: &Limits) -> io::Result<Self> {
        Ok(Self {
            sockets: Sockets::new(limits.sockets),
            pool: Pool::new(limits)?,
            waker: Waker::new()?,
            now: sys::now(),
            wheel: Wheel::new(),
            relays: Slab::new(limits.sockets),
            pipes: crate::pipe::Pipes::new(limits.pipes),
            untold: Vec::with_capacity(TURN_READY),
            dirty: Vec::with_capacity(TURN_READY),
            scheduled: Vec::with_capacity(TURN_READY),
            parked: [VecDeque::new(), VecDeque::new()],
            lingering: 0,
        })
    }

    fn tell(&mut self, socket: Socket, what: What) {
        self.untold.push((socket, what));
    }

    /// Has [`Engine::go_on`] called for the socket in the next turn, before it waits.
    fn schedule(&mut self, socket: Socket) {
        if let Some(slot) = self.sockets.get_mut(socket)
            && !slot.scheduled
        {
            slot.scheduled = true;
            self.scheduled.push(socket);
        }
    }

    /// Has the socket's queue sent in the next turn, before it waits.
    fn mark_dirty(&mut self, socket: Socket) {
        if let Some(slot) = self.sockets.get_mut(socket)
            && !slot.dirty
        {
            slot.dirty = true;
            self.dirty.push(socket);
        }
    }

    fn set_alarm(&mut self, socket: Socket, at: Nanos, alarm: Alarm) {
        self.clear_alarm(socket);
        if let Some(slot) = self.sockets.get_mut(socket) {
            slot.alarm = Some(self.wheel.arm(at, alarm));
        }
    }

    fn clear_alarm(&mut self, socket: Socket) {
        if let Some(timer) = self.sockets.get_mut(socket).and_then(|slot| slot.alarm.take()) {
            self.wheel.cancel(timer);
        }
    }

    /// Has receiving go on when there is a buffer again.
    fn park(&mut self, socket: Socket, size: Size) {
        // A socket is here once, but stays when it is closed. Where half of them must be closed
        // ones they are thrown out, so that the list is bounded however long buffers are lacking.
        if self.parked(size).len() >= 2 * self.sockets.limit() {
            let [small, large] = &mut self.parked;
            for list in [small, large] {
                list.retain(|socket| self.sockets.get(*socket).is_some_and(|slot| slot.parked));
            }
        }
        self.parked(size).push_back(socket);
    }

    fn parked(&mut self, size: Size) -> &mut VecDeque<Socket> {
        let [small, large] = &mut self.parked;
        match size {
            Size::Small => small,
            Size::Large => large,
        }
    }
}

/// A driver: what both have in common, and its kernel.
#[derive(Debug)]
pub(crate) struct Engine<K: Kernel> {
    pub(crate) core: Core,
    kernel: K,
    spin: Spin,
    news: Vec<(Socket, News)>,
    alarms: Vec<Alarm>,
    /// Lists being worked off, kept for their memory.
    spare: Vec<Socket>,
}

impl<K: Kernel> Engine<K> {
    /// An engine on the kernel that `start` makes.
    pub(crate) fn new(
        limits: &Limits,
        start: impl FnOnce(&Core) -> io::Result<K>,
    ) -> io::Result<Self> {
        sys::ignore_sigpipe();
        let core = Core::new(limits)?;
        let kernel = start(&core)?;
        let (news, alarms) = (Vec::with_capacity(TURN_READY), Vec::new());
        let spare = Vec::with_capacity(TURN_READY);
        let spin = Spin::new(limits.spin);
        Ok(Self { core, kernel, spin, news, alarms, spare })
    }

    /// The time at the start of this turn.
    pub(crate) fn now(&self) -> Nanos {
        self.core.now
    }

    /// One turn; see [`crate::Driver::turn`].
    pub(crate) fn turn(
        &mut self,
        deadline: Option<Nanos>,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        self.send_dirty();
        self.work_off(|core| &mut core.scheduled, Self::go_on);
        self.unpark(Size::Small);
        self.unpark(Size::Large);
        self.wait(deadline)?;
        self.core.now = sys::now();
        self.hear();
        self.ring_alarms();
        self.hand_over(events);
        Ok(())
    }

    /// See [`crate::Driver::retag`].
    pub(crate) fn retag(&mut self, socket: Socket, tag: Tag) {
        if let Some(slot) = self.core.sockets.heard_mut(socket) {
            slot.tag = tag;
        }
    }

    /// Whatever of this socket can go on without news from the kernel.
    fn go_on(&mut self, socket: Socket) {
        let Some(slot) = self.core.sockets.get_mut(socket) else { return };
        slot.scheduled = false;
        match slot.life {
            Life::Listener => self.accept(socket),
            Life::Stream | Life::Flushing if slot.source_of.is_some() => self.pump(socket),
            Life::Stream => self.receive(socket),
            Life::Lingering => self.drain(socket),
            Life::Connecting | Life::Flushing | Life::Dying => {}
        }
    }

    /// Calls `work` for every socket in a list as it stands now; what it adds waits.
    fn work_off(
        &mut self,
        list: impl Fn(&mut Core) -> &mut Vec<Socket>,
        mut work: impl FnMut(&mut Self, Socket),
    ) {
        let mut batch = std::mem::take(&mut self.spare);
        std::mem::swap(list(&mut self.core), &mut batch);
        for socket in batch.drain(..) {
            work(self, socket);
        }
        self.spare = batch;
    }

    /// Arms as many of the parked receives again as there are buffers.
    fn unpark(&mut self, size: Size) {
        if self.core.parked(size).is_empty() {
            return;
        }
        let mut buffers = self.kernel.buffers(&self.core, size);
        if buffers == 0 && size == Size::Large {
            // Those that wait for large ones go on with small ones, see `Engine::received`.
            buffers = self.kernel.buffers(&self.core, Size::Small);
        }
        for _ in 0..buffers {
            let Some(socket) = self.core.parked(size).pop_front() else { return };
            if let Some(slot) = self.core.sockets.get_mut(socket) {
                slot.parked = false;
                self.content_itself(socket);
                self.receive(socket);
            }
        }
    }

    /// Waits for news: not at all where there is something to do, else spinning for a short while
    /// if that has paid off lately, then asleep until the deadline or the next alarm.
    fn wait(&mut self, deadline: Option<Nanos>) -> io::Result<()> {
        let has_work = !self.core.untold.is_empty() || !self.core.scheduled.is_empty();
        if has_work || self.kernel.expects_news() {
            return self.kernel.wait(&mut self.core, Patience::None, &mut self.news);
        }
        let until = [deadline, self.core.wheel.next()].into_iter().flatten().min();
        let start = sys::now();
        let patience_ns = until.map(|until| until.0.saturating_sub(start.0));
        let spin_ns = self.spin.budget_ns().min(patience_ns.unwrap_or(u64::MAX));
        let mut now = start;
        while now.0 - start.0 < spin_ns {
            self.kernel.wait(&mut self.core, Patience::None, &mut self.news)?;
            now = sys::now();
            if !self.news.is_empty() {
                self.spin.hit(now.0 - start.0);
                return Ok(());
            }
        }
        let patience = match patience_ns {
            None => Patience::Endless,
            Some(ns) if ns <= now.0 - start.0 => Patience::None,
            Some(ns) => Patience::Ns(ns - (now.0 - start.0)),
        };
        self.kernel.wait(&mut self.core, patience, &mut self.news)?;
        self.spin.slept(spin_ns > 0, sys::now().0 - start.0);
        Ok(())
    }

    /// Works off the news.
    fn hear(&mut self) {
        let mut news = std::mem::take(&mut self.news);
        for (socket, item) in news.drain(..) {
            self.hear_one(socket, item);
            self.bury(socket);
        }
        self.news = news;
    }

    fn hear_one(&mut self, socket: Socket, news: News) {
        match news {
            News::Accepted(fd) => self.accepted(socket, fd),
            News::AcceptEnded(errno) => self.accept_ended(socket, errno),
            News::Received(received) => self.received(socket, received),
            News::ReceiveEnded => self.receive_ended(socket),
            News::ReceiveFailed(errno) => self.receive_failed(socket, errno),
            News::Sent(outcome) => self.sent(socket, outcome),
            News::Readable => self.readable(socket),
            News::Writable => self.writable(socket),
            News::Woken => self.core.tell(NOBODY, What::Woken),
            News::Over => {}
        }
    }

    fn readable(&mut self, socket: Socket) {
        self.go_on(socket);
    }

    fn writable(&mut self, socket: Socket) {
        let Some(slot) = self.core.sockets.get(socket) else { return };
        if slot.life == Life::Connecting {
            return self.connected(socket);
        }
        if slot.unsent > 0 {
            self.core.mark_dirty(socket);
        }
        self.pump_towards(socket);
    }

    fn ring_alarms(&mut self) {
        if self.core.wheel.next().is_none_or(|next| next > self.core.now) {
            return;
        }
        let mut alarms = std::mem::take(&mut self.alarms);
        self.core.wheel.expire(self.core.now, &mut alarms);
        for alarm in alarms.drain(..) {
            match alarm {
                Alarm::Connect(socket) => self.connect_failed(socket, libc::ETIMEDOUT),
                Alarm::Accept(socket) => self.resume(socket),
                Alarm::Close(socket) => self.lose_patience(socket),
                Alarm::Dry(socket) => self.ran_dry(socket),
            }
        }
        self.alarms = alarms;
    }

    /// Tells the caller what happened, except of sockets that it has closed meanwhile.
    fn hand_over(&mut self, events: &mut Vec<Event>) {
        let mut untold = std::mem::take(&mut self.core.untold);
        for (socket, what) in untold.drain(..) {
            if matches!(what, What::Woken) {
                events.push(Event { tag: Tag::default(), socket, what });
            } else if let Some(slot) = self.core.sockets.heard(socket) {
                events.push(Event { tag: slot.tag, socket, what });
            } else if let What::Accepted(late) = what {
                self.reset(late);
            }
        }
        self.core.untold = untold;
    }
}

impl<K: Kernel> Drop for Engine<K> {
    fn drop(&mut self) {
        self.kernel.shut_down(&mut self.core);
    }
}

/// Makes a driver of a type with an engine: each call of the contract is the engine's own.
macro_rules! driver_by_engine {
    ($driver:ty) => {
        impl $crate::driver::Driver for $driver {
            fn now(&self) -> Nanos {
                self.engine.now()
            }
            fn pool(&self) -> &Pool {
                &self.engine.core.pool
            }
            fn waker(&self) -> Waker {
                self.engine.core.waker.clone()
            }
            fn listen(&mut self, fd: BorrowedFd<'_>, tag: Tag) -> io::Result<Socket> {
                self.engine.listen(fd, tag)
            }
            fn connect(&mut self, connect: &Connect, tag: Tag) -> io::Result<Socket> {
                self.engine.connect(connect, tag)
            }
            fn retag(&mut self, socket: Socket, tag: Tag) {
                self.engine.retag(socket, tag);
            }
            fn recv(&mut self, socket: Socket, budget: usize, size: Size) {
                self.engine.recv(socket, budget, size);
            }
            fn send(&mut self, socket: Socket, bytes: Buf) {
                self.engine.send(socket, bytes);
            }
            fn unsent(&self, socket: Socket) -> usize {
                self.engine.unsent(socket)
            }
            fn relay(&mut self, from: Socket, to: Socket, most: u64) -> io::Result<()> {
                self.engine.relay(from, to, most)
            }
            fn relayed(&self, from: Socket) -> u64 {
                self.engine.relayed(from)
            }
            fn finish(&mut self, socket: Socket) {
                self.engine.finish(socket);
            }
            fn close(&mut self, socket: Socket) {
                self.engine.close(socket);
            }
            fn leave(&mut self, socket: Socket) {
                self.engine.leave(socket);
            }
            fn reset(&mut self, socket: Socket) {
                self.engine.reset(socket);
            }
            fn local(&self, socket: Socket) -> io::Result<SocketAddr> {
                self.engine.local(socket)
            }
            fn peer(&self, socket: Socket) -> io::Result<SocketAddr> {
                self.engine.peer(socket)
            }
            fn original(&self, socket: Socket) -> io::Result<SocketAddr> {
                self.engine.original(socket)
            }
            fn open(&self) -> usize {
                self.engine.core.sockets.len()
            }
            fn turn(&mut self, deadline: Option<Nanos>, events: &mut Vec<Event>) -> io::Result<()> {
                self.engine.turn(deadline, events)
            }
        }
    };
}

driver_by_engine!(crate::uring::Uring);
driver_by_engine!(crate::epoll::Epoll);

#[cfg(test)]
mod tests;
