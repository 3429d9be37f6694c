//! The driver on epoll, for where io_uring is forbidden: the same events, from readiness and
//! direct calls.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::driver::{Size, Socket};
use crate::engine::{Cancel, Core, Engine, Kernel, News, Patience, Received, Side, Step};
use crate::slab::Key;
use crate::start::Limits;
use crate::sys;

/// Readiness that one turn takes; more waits for the next.
const EVENTS_PER_TURN: usize = 256;

/// What the waker's events carry.
const WAKE: u64 = u64::MAX;

/// Edge-triggered, all at once: a socket is registered one time in its life.
const INTEREST: i32 = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;

/// The driver on epoll. Made and used on one thread.
#[derive(Debug)]
pub struct Epoll {
    pub(crate) engine: Engine<Readiness>,
}

impl Epoll {
    /// A driver for the calling thread.
    pub fn new(limits: &Limits) -> io::Result<Self> {
        Engine::new(limits, Readiness::new).map(|engine| Self { engine })
    }
}

/// The epoll instance. What is known of a socket's readiness is in its slot.
#[derive(Debug)]
pub(crate) struct Readiness {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Readiness {
    fn new(core: &Core) -> io::Result<Self> {
        let epoll = sys::epoll::create()?;
        let interest = libc::EPOLLIN | libc::EPOLLET;
        sys::epoll::add(epoll.as_fd(), core.waker.as_fd(), interest, WAKE)?;
        let none = libc::epoll_event { events: 0, u64: 0 };
        Ok(Self { epoll, events: vec![none; EVENTS_PER_TURN] })
    }
}

impl Kernel for Readiness {
    fn attach(&mut self, core: &mut Core, socket: Socket) -> io::Result<()> {
        let Some(fd) = core.sockets.fd(socket) else { return Ok(()) };
        let key = Key { slot: socket.slot, generation: socket.generation };
        sys::epoll::add(self.epoll.as_fd(), fd, INTEREST, key.pack())
    }

    fn detach(&mut self, core: &mut Core, socket: Socket) {
        // Only a duplicated descriptor outlives its closing, and only listeners are duplicates.
        if let Some(fd) = core.sockets.fd(socket) {
            sys::epoll::remove(self.epoll.as_fd(), fd);
        }
    }

    fn accept(&mut self, core: &mut Core, socket: Socket) -> Step<OwnedFd> {
        let Some(fd) = core.sockets.fd(socket) else { return Step::Pending };
        match sys::accept(fd) {
            Ok(accepted) => Step::Done(accepted),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Step::Pending,
            Err(error) => Step::Failed(sys::errno(&error)),
        }
    }

    fn recv(&mut self, core: &mut Core, socket: Socket) -> Step<Received> {
        let Some(slot) = core.sockets.get_mut(socket) else { return Step::Pending };
        let Some(armed) = slot.armed.filter(|_| slot.readable) else { return Step::Pending };
        let fd = slot.fd.as_fd();
        match core.pool.group(armed.size).fill(|spare| sys::recv(fd, spare)) {
            None => Step::Done(Received::NoBuffers),
            Some(Ok(data)) if data.is_empty() => Step::Done(Received::Eof),
            Some(Ok(data)) => Step::Done(Received::Data(data)),
            Some(Err(error)) if error.raw_os_error() == Some(libc::EAGAIN) => {
                slot.readable = false;
                Step::Pending
            }
            Some(Err(error)) => Step::Failed(sys::errno(&error)),
        }
    }

    fn send(&mut self, core: &mut Core, socket: Socket, _now: bool) -> Step<usize> {
        let Some(slot) = core.sockets.get_mut(socket) else { return Step::Pending };
        if !slot.writable {
            return Step::Pending;
        }
        match slot.send_directly() {
            Ok(n) => Step::Done(n),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                slot.writable = false;
                Step::Pending
            }
            Err(error) => Step::Failed(sys::errno(&error)),
        }
    }

    fn watch(&mut self, core: &mut Core, socket: Socket, side: Side) {
        let Some(slot) = core.sockets.get_mut(socket) else { return };
        match side {
            Side::Read => slot.readable = false,
            Side::Write => slot.writable = false,
        }
    }

    fn cancel(&mut self, _core: &mut Core, _socket: Socket, _what: Cancel) {}

    fn buffers(&self, core: &Core, size: Size) -> usize {
        core.pool.group(size).available()
    }

    fn wait(
        &mut self,
        core: &mut Core,
        patience: Patience,
        news: &mut Vec<(Socket, News)>,
    ) -> io::Result<()> {
        let timeout_ns = match patience {
            Patience::None => Some(0),
            Patience::Ns(ns) => Some(ns),
            Patience::Endless => None,
        };
        let filled = match sys::epoll::wait(self.epoll.as_fd(), &mut self.events, timeout_ns) {
            Ok(filled) => filled,
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => 0,
            Err(error) => return Err(error),
        };
        for event in self.events.iter().take(filled) {
            let (events, data) = (event.events as i32, event.u64);
            if data == WAKE {
                if core.waker.take() {
                    news.push((crate::engine::NOBODY, News::Woken));
                }
            } else {
                let key = Key::unpack(data);
                let socket = Socket { slot: key.slot, generation: key.generation };
                ready(core, socket, events, news);
            }
        }
        Ok(())
    }

    fn shut_down(&mut self, _core: &mut Core) {}
}

/// Notes what a socket is ready for now and was not before.
fn ready(core: &mut Core, socket: Socket, events: i32, news: &mut Vec<(Socket, News)>) {
    const BOTH: i32 = libc::EPOLLERR | libc::EPOLLHUP;
    let Some(slot) = core.sockets.get_mut(socket) else { return };
    if events & (libc::EPOLLIN | libc::EPOLLRDHUP | BOTH) != 0 {
        slot.readable = true;
        news.push((socket, News::Readable));
    }
    if events & (libc::EPOLLOUT | BOTH) != 0 && !std::mem::replace(&mut slot.writable, true) {
        news.push((socket, News::Writable));
    }
}
