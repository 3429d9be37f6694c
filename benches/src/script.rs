//! A driver that plays one client and its upstream, without a kernel.
//!
//! The client sends the next request when the answer to the last one has left; the upstream
//! answers what was sent to it in the next turn. What a worker does about it is all its own work,
//! so that its instructions can be counted.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use ring::driver::{Connect, Driver, Event, Nanos, Size, Socket, Tag, What};
use ring::{Buf, Epoll, Limits, Pool, Waker};

/// The time that a turn takes.
const TURN: Duration = Duration::from_micros(10);

/// What the script says and how it goes, seen from outside.
#[derive(Debug, Default)]
pub struct Script {
    /// What the client sends each time, in one piece.
    pub request: Vec<u8>,
    /// What the upstream sends back, in one piece.
    pub answer: Vec<u8>,
    /// Requests still to come. At 0 the next turn fails, which ends the worker's loop.
    pub left: Cell<u64>,
    /// What the client and the upstream have got, if anybody wants to know.
    pub got: Option<[RefCell<Vec<u8>>; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Listener,
    Client,
    Upstream,
}

#[derive(Debug)]
struct Open {
    socket: Socket,
    role: Role,
    tag: Tag,
    /// What may still arrive before a pause; `None`: not armed.
    budget: Option<usize>,
    /// Bytes sent since the last turn.
    sent: usize,
    /// Its peer has something to say: the client a request, the upstream an answer.
    speaks: bool,
    connecting: bool,
}

/// The driver.
#[derive(Debug)]
pub struct Scripted {
    script: Rc<Script>,
    /// Makes buffers and handles; its turn never comes.
    real: Epoll,
    listener: Option<OwnedFd>,
    open: Vec<Open>,
    now: Nanos,
}

impl Scripted {
    /// Plays this script.
    ///
    /// # Errors
    /// The machine has no epoll.
    pub fn new(script: Rc<Script>) -> io::Result<Self> {
        let real = Epoll::new(&Limits::default())?;
        Ok(Self { script, real, listener: None, open: Vec::new(), now: Nanos(1) })
    }

    /// A handle that no other socket has: one of the real driver, on which nothing will happen.
    fn enter(&mut self, role: Role, tag: Tag) -> io::Result<Socket> {
        let fd = self.listener.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let socket = self.real.listen(fd.as_fd(), tag)?;
        let (connecting, speaks) = (role == Role::Upstream, role == Role::Client);
        self.open.push(Open { socket, role, tag, budget: None, sent: 0, speaks, connecting });
        Ok(socket)
    }

    fn find(&mut self, socket: Socket) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.socket == socket)
    }

    /// The client comes with the first turn.
    fn accept(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        let Some(listener) = self.open.iter().find(|open| open.role == Role::Listener) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if self.open.iter().all(|open| open.role != Role::Client) {
            let (socket, tag) = (listener.socket, listener.tag);
            let client = self.enter(Role::Client, tag)?;
            events.push(Event { tag, socket, what: What::Accepted(client) });
        }
        Ok(())
    }
}

/// What happens to one socket in a turn.
fn play(open: &mut Open, script: &Script, pool: &Pool, events: &mut Vec<Event>) {
    let (tag, socket) = (open.tag, open.socket);
    let mut tell = |what| events.push(Event { tag, socket, what });
    if std::mem::take(&mut open.connecting) {
        tell(What::Connected);
    }
    if open.sent > 0 {
        tell(What::Sent(std::mem::take(&mut open.sent)));
        open.speaks = true;
        if open.role == Role::Client {
            script.left.set(script.left.get().saturating_sub(1));
        }
    }
    let is_over = open.role == Role::Client && script.left.get() == 0;
    let Some(budget) = open.budget.filter(|_| open.speaks && !is_over) else { return };
    let bytes = if open.role == Role::Client { &script.request } else { &script.answer };
    let mut buffer = pool.take(bytes.len()).expect("a buffer");
    buffer.extend(bytes);
    tell(What::Data(buffer.freeze()));
    open.speaks = false;
    open.budget = budget.checked_sub(bytes.len()).filter(|left| *left > 0);
    if open.budget.is_none() {
        tell(What::Paused);
    }
}

impl Driver for Scripted {
    fn now(&self) -> Nanos {
        self.now
    }

    fn pool(&self) -> &Pool {
        self.real.pool()
    }

    fn waker(&self) -> Waker {
        self.real.waker()
    }

    fn listen(&mut self, fd: BorrowedFd<'_>, tag: Tag) -> io::Result<Socket> {
        self.listener = Some(fd.try_clone_to_owned()?);
        self.enter(Role::Listener, tag)
    }

    fn connect(&mut self, _: &Connect, tag: Tag) -> io::Result<Socket> {
        self.enter(Role::Upstream, tag)
    }

    fn retag(&mut self, socket: Socket, tag: Tag) {
        if let Some(open) = self.find(socket) {
            open.tag = tag;
        }
    }

    fn recv(&mut self, socket: Socket, budget: usize, _: Size) {
        if let Some(open) = self.find(socket) {
            open.budget = Some(budget);
        }
    }

    fn send(&mut self, socket: Socket, bytes: Buf) {
        let script = Rc::clone(&self.script);
        let Some(open) = self.find(socket) else { return };
        open.sent += bytes.len();
        if let Some(got) = &script.got {
            got[usize::from(open.role == Role::Upstream)].borrow_mut().extend_from_slice(&bytes);
        }
    }

    fn unsent(&self, socket: Socket) -> usize {
        self.open.iter().find(|open| open.socket == socket).map_or(0, |open| open.sent)
    }

    fn relay(&mut self, _: Socket, _: Socket, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn relayed(&self, _: Socket) -> u64 {
        0
    }

    fn finish(&mut self, _: Socket) {}

    fn close(&mut self, socket: Socket) {
        self.open.retain(|open| open.socket != socket);
    }

    fn reset(&mut self, socket: Socket) {
        self.close(socket);
    }

    fn local(&self, _: Socket) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 15006)))
    }

    fn peer(&self, _: Socket) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([10, 1, 2, 3], 40_000)))
    }

    fn original(&self, socket: Socket) -> io::Result<SocketAddr> {
        self.local(socket)
    }

    fn open(&self) -> usize {
        self.open.len()
    }

    fn turn(&mut self, _: Option<Nanos>, events: &mut Vec<Event>) -> io::Result<()> {
        self.now = self.now.after(TURN);
        self.accept(events)?;
        let pool = self.real.pool();
        for open in &mut self.open {
            play(open, &self.script, pool, events);
        }
        if events.is_empty() {
            return Err(io::Error::other("nothing more will happen"));
        }
        Ok(())
    }
}
