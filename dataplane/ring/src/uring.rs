//! The driver on io_uring.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use io_uring::squeue::Entry;
use io_uring::{IoUring, cqueue, opcode, squeue, types};

use crate::driver::{Size, Socket};
use crate::engine::{
    Cancel, Core, Engine, Kernel, News, Patience, Received, Side, Step, TURN_READY,
};
use crate::start::Limits;
use crate::sys::{self, ring::Gate};
use lent::Lent;
use operation::Operation;
use silent::Silent;
use vectored::Message;

mod complete;
mod lent;
mod operation;
pub(crate) mod probe;
mod setup;
mod silent;
mod submit;
pub(crate) mod vectored;

/// The driver on io_uring: completions instead of readiness, one system call a turn.
///
/// Made and used on one thread. Dropping it cancels and awaits what is outstanding, so that no
/// memory is freed while the kernel may use it.
#[derive(Debug)]
pub struct Uring {
    pub(crate) engine: Engine<Ring>,
}

impl Uring {
    /// A driver for the calling thread. Fails where io_uring cannot be used;
    /// [`probe`](crate::start::probe) says why in words.
    pub fn new(limits: &Limits) -> io::Result<Self> {
        Engine::new(limits, Ring::new).map(|engine| Self { engine })
    }
}

/// The ring and what is lent to it. Dropped in the order of the fields: the gate before the ring,
/// the ring before the memory that is lent to it.
pub(crate) struct Ring {
    gate: Gate,
    ring: IoUring,
    small: Lent,
    large: Lent,
    /// Whether the kernel keeps to a byte budget in multishot receives.
    budgets: bool,
    /// Entries that found the submission queue full. As many as there are sockets times their
    /// operations at most.
    backlog: VecDeque<Entry>,
    /// Messages for vectored sends, to be used again.
    #[expect(clippy::vec_box, reason = "a message keeps its box from one slot to the next")]
    messages: Vec<Box<Message>>,
    /// The completions of a turn, kept for its memory.
    completions: Vec<cqueue::Entry>,
    /// Sends that only speak if they fall short.
    silent: Vec<Silent>,
    /// Operations of sockets in the kernel's hands.
    outstanding: usize,
    wake_fd: RawFd,
    /// The poll for waking up has to be armed.
    deaf: bool,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("budgets", &self.budgets)
            .field("outstanding", &self.outstanding)
            .finish_non_exhaustive()
    }
}

impl Ring {
    fn new(core: &Core) -> io::Result<Self> {
        let budgets = probe::probe().is_ok_and(|features| features.budgets);
        Self::with_budgets(core, budgets)
    }

    fn with_budgets(core: &Core, budgets: bool) -> io::Result<Self> {
        let ring = setup::ring()?;
        let small = Lent::new(&ring, Size::Small, core.pool.group(Size::Small))?;
        let large = Lent::new(&ring, Size::Large, core.pool.group(Size::Large))?;
        Ok(Self {
            gate: Gate::new(ring.as_raw_fd()),
            ring,
            small,
            large,
            budgets,
            backlog: VecDeque::new(),
            messages: Vec::new(),
            completions: Vec::with_capacity(TURN_READY),
            silent: Vec::with_capacity(TURN_READY),
            outstanding: 0,
            wake_fd: core.waker.as_fd().as_raw_fd(),
            deaf: true,
        })
    }

    fn lent(&mut self, size: Size) -> &mut Lent {
        match size {
            Size::Small => &mut self.small,
            Size::Large => &mut self.large,
        }
    }
}

impl Kernel for Ring {
    fn attach(&mut self, _core: &mut Core, _socket: Socket) -> io::Result<()> {
        Ok(())
    }

    fn detach(&mut self, _core: &mut Core, _socket: Socket) {}

    fn accept(&mut self, core: &mut Core, socket: Socket) -> Step<OwnedFd> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        self.start(core, socket, Operation::Accept, |_, fd| {
            opcode::AcceptMulti::new(fd).flags(flags).build()
        });
        Step::Pending
    }

    fn recv(&mut self, core: &mut Core, socket: Socket) -> Step<Received> {
        let Some(armed) = core.sockets.get(socket).and_then(|slot| slot.armed) else {
            return Step::Pending;
        };
        let budget = self.budgets.then_some(armed.left as usize);
        self.start(core, socket, Operation::receive(armed.size), |_, fd| {
            setup::receive(fd, lent::group_id(armed.size), budget)
        });
        Step::Pending
    }

    fn send(&mut self, core: &mut Core, socket: Socket, now: bool) -> Step<usize> {
        let Some(slot) = core.sockets.get(socket) else { return Step::Pending };
        if slot.outstanding & Operation::Send.bit() != 0 {
            return Step::Pending;
        }
        if now {
            match slot.send_directly() {
                Ok(n) => return Step::Done(n),
                Err(error) if sys::would_wait(&error) => {}
                Err(error) => return Step::Failed(sys::errno(&error)),
            }
        }
        let messages = &mut self.messages;
        let message = (slot.queue.len() > 1)
            .then(|| vectored::filled(messages.pop().unwrap_or_default(), &slot.queue));
        let (is_silent, mut bytes) = (slot.writable, 0);
        self.start(core, socket, Operation::Send, |slot, fd| {
            slot.message = message;
            let (entry, all) = vectored::send(fd, slot, is_silent);
            bytes = all;
            entry
        });
        if is_silent {
            self.fall_silent(core, socket, bytes);
        }
        Step::Pending
    }

    fn watch(&mut self, core: &mut Core, socket: Socket, side: Side) {
        let (operation, events) = match side {
            Side::Read => (Operation::PollRead, libc::POLLIN | libc::POLLRDHUP),
            Side::Write => (Operation::PollWrite, libc::POLLOUT),
        };
        self.start(core, socket, operation, |_, fd| {
            opcode::PollAdd::new(fd, events as u32).build()
        });
    }

    fn cancel(&mut self, core: &mut Core, socket: Socket, what: Cancel) {
        let Some(slot) = core.sockets.get(socket) else { return };
        let outstanding = slot.outstanding;
        let wanted = |operation: &&Operation| {
            let receives = matches!(operation, Operation::RecvSmall | Operation::RecvLarge);
            outstanding & operation.bit() != 0 && (what == Cancel::All || receives)
        };
        for operation in Operation::OF_SOCKETS.iter().filter(wanted) {
            let cancel = opcode::AsyncCancel::new(operation.user_data(socket)).build();
            let cancel = cancel.flags(squeue::Flags::SKIP_SUCCESS);
            self.queue(cancel.user_data(operation::NOTHING));
        }
    }

    fn buffers(&self, _core: &Core, size: Size) -> usize {
        match size {
            Size::Small => self.small.usable(),
            Size::Large => self.large.usable(),
        }
    }

    fn expects_news(&self) -> bool {
        !self.silent.is_empty()
    }

    fn wait(
        &mut self,
        core: &mut Core,
        patience: Patience,
        news: &mut Vec<(Socket, News)>,
    ) -> io::Result<()> {
        self.small.top_up();
        self.large.top_up();
        if std::mem::take(&mut self.deaf) {
            let poll = opcode::PollAdd::new(types::Fd(self.wake_fd), libc::POLLIN as u32);
            self.queue(poll.multi(true).build().user_data(operation::WAKE));
        }
        self.enter(patience)?;
        self.reap(core, news);
        self.land(core, news);
        Ok(())
    }

    fn shut_down(&mut self, core: &mut Core) {
        /// Waits of 20 ms in a row in which nothing was let go: a second in all, though
        /// cancelling takes microseconds.
        const WAITS_MAX: usize = 50;
        for socket in core.sockets.all() {
            self.cancel(core, socket, Cancel::All);
        }
        let mut news = Vec::new();
        let mut in_vain = 0;
        while in_vain < WAITS_MAX {
            if self.outstanding == 0 {
                return;
            }
            let before = self.outstanding;
            // Descriptors and buffers that come out are closed and returned by being dropped.
            let _ = self.enter(Patience::Ns(20_000_000));
            self.reap(core, &mut news);
            self.land(core, &mut news);
            news.clear();
            in_vain = if self.outstanding < before { 0 } else { in_vain + 1 };
        }
        tracing::error!(
            outstanding = self.outstanding,
            "io_uring did not let go; memory is leaked"
        );
        self.small.leak();
        self.large.leak();
        std::mem::forget(std::mem::replace(&mut core.sockets, crate::sockets::Sockets::new(0)));
    }
}

#[cfg(test)]
mod tests;
