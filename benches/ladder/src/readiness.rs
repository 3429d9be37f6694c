//! A proxy on edge-triggered epoll by hand; how bytes are carried is left open.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Socket, Type};

use crate::command::{self, Command};

/// What an event of the listener carries.
const LISTENER: u64 = u64::MAX;
/// Events taken at once.
const EVENTS: usize = 256;

/// How bytes get from one socket to the other.
pub trait Carrier {
    /// What is kept of a direction between two calls.
    type Kept: Default;

    /// Moves what can be moved, or a fair share of it, and notes in `way` what it has learned.
    ///
    /// # Errors
    /// Either socket is broken.
    fn carry(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        way: &mut Way<Self::Kept>,
    ) -> io::Result<Outcome>;
}

/// How a call of [`Carrier::carry`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It cannot go on before one of the sockets has news.
    Waits,
    /// It could, but it is the others' turn.
    Yields,
    /// The source has ended and all is delivered.
    Delivered,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Way<K> {
    /// The source may have bytes.
    pub readable: bool,
    /// The destination may have room.
    pub writable: bool,
    /// The source's peer has finished: the end comes behind the bytes that are left.
    pub hangs_up: bool,
    /// Nothing more comes from the source.
    pub ended: bool,
    /// The carrier's own.
    pub kept: K,
    finished: bool,
}

struct Pair<K> {
    /// The client's side and the upstream's.
    streams: [TcpStream; 2],
    /// From the client, and from the upstream.
    ways: [Way<K>; 2],
}

struct Proxy<C: Carrier> {
    epoll: Epoll,
    listener: TcpListener,
    upstream: SocketAddr,
    carrier: C,
    pairs: Vec<Option<Pair<C::Kept>>>,
    free: Vec<usize>,
    /// Pairs that yielded.
    again: Vec<usize>,
}

/// Serves for ever.
///
/// # Errors
/// There is nothing to listen or to wait on.
pub fn serve<C: Carrier>(command: &Command, carrier: C) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let listener = command.listener()?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let (pairs, free, again) = (Vec::new(), Vec::new(), Vec::new());
    let upstream = command.upstream;
    let mut proxy = Proxy { epoll, listener, upstream, carrier, pairs, free, again };
    command::ready()?;
    let mut events = [EpollEvent::empty(); EVENTS];
    loop {
        proxy.turn(&mut events)?;
    }
}

impl<C: Carrier> Proxy<C> {
    fn turn(&mut self, events: &mut [EpollEvent]) -> io::Result<()> {
        let rest = self.again.is_empty();
        let patience = if rest { EpollTimeout::NONE } else { EpollTimeout::ZERO };
        let count = match self.epoll.wait(events, patience) {
            Err(Errno::EINTR) => 0,
            count => count?,
        };
        for at in std::mem::take(&mut self.again) {
            self.go_on(at);
        }
        for event in &events[..count] {
            match event.data() {
                LISTENER => self.accept(),
                data => self.hear(data as usize / 2, data as usize % 2, event.events()),
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        while let Ok((down, _)) = self.listener.accept() {
            if let Err(error) = self.open(down) {
                eprintln!("no connection to {}: {error}", self.upstream);
            }
        }
    }

    fn open(&mut self, down: TcpStream) -> io::Result<()> {
        down.set_nonblocking(true)?;
        let up = Socket::new(Domain::for_address(self.upstream), Type::STREAM, None)?;
        up.set_nonblocking(true)?;
        up.set_tcp_nodelay(true)?;
        match up.connect(&self.upstream.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => {
                return Err(error);
            }
            _ => {}
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        let streams = [down, up.into()];
        for (side, stream) in streams.iter().enumerate() {
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP;
            let event = EpollEvent::new(flags | EpollFlags::EPOLLET, (at * 2 + side) as u64);
            self.epoll.add(stream.as_fd(), event)?;
        }
        self.pairs[at] = Some(Pair { streams, ways: [Way::default(), Way::default()] });
        Ok(())
    }

    fn hear(&mut self, at: usize, side: usize, flags: EpollFlags) {
        let Some(pair) = &mut self.pairs[at] else { return };
        if flags.contains(EpollFlags::EPOLLERR) {
            return self.close(at);
        }
        if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP) {
            let ends = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP;
            pair.ways[side].readable = true;
            pair.ways[side].hangs_up |= flags.intersects(ends);
        }
        if flags.contains(EpollFlags::EPOLLOUT) {
            pair.ways[1 - side].writable = true;
        }
        self.go_on(at);
    }

    fn go_on(&mut self, at: usize) {
        let Some(Pair { streams: [down, up], ways: [upward, downward] }) = &mut self.pairs[at]
        else {
            return;
        };
        let outcomes = [(&*down, &*up, upward), (&*up, &*down, downward)].map(|(from, to, way)| {
            if way.finished {
                return Ok(Outcome::Delivered);
            }
            let outcome = self.carrier.carry(from, to, way)?;
            if outcome == Outcome::Delivered {
                way.finished = true;
                to.shutdown(Shutdown::Write)?;
            }
            Ok::<_, io::Error>(outcome)
        });
        match outcomes {
            [Err(_), _] | [_, Err(_)] => self.close(at),
            [Ok(Outcome::Delivered), Ok(Outcome::Delivered)] => self.close(at),
            [Ok(Outcome::Yields), _] | [_, Ok(Outcome::Yields)] => self.again.push(at),
            _ => {}
        }
    }

    /// Closing takes the sockets out of epoll as well. Events of theirs that were fetched already
    /// may reach the next pair of that number: they only make it look in vain.
    fn close(&mut self, at: usize) {
        self.pairs[at] = None;
        self.free.push(at);
    }
}
