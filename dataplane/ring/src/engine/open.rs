//! Opening sockets: listening, accepting, connecting.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, TcpKeepalive, Type};

use super::{Alarm, Cancel, Engine, Kernel, Side, Step};
use crate::driver::{Connect, Failure, Keepalive, Nanos, Op, Socket, Tag, What};
use crate::sockets::Life;
use crate::sys;

/// How long a listener pauses when accepting has failed for want of something.
const ACCEPT_PAUSE_NS: u64 = 100_000_000;

/// Connections that one listener accepts in a turn, so that others get their turn as well.
const ACCEPTS_PER_TURN: usize = 64;

impl<K: Kernel> Engine<K> {
    /// See [`crate::Driver::listen`].
    pub(crate) fn listen(&mut self, fd: BorrowedFd<'_>, tag: Tag) -> io::Result<Socket> {
        let fd = fd.try_clone_to_owned()?;
        let options = sys::options(&fd);
        options.set_nonblocking(true)?;
        // Accepted connections inherit it, which saves a call for each. Those that came before are
        // as the listener was then: see `crate::listener`.
        options.set_tcp_nodelay(true)?;
        let socket = self.enter(fd, Life::Listener, tag)?;
        self.core.schedule(socket);
        Ok(socket)
    }

    /// See [`crate::Driver::connect`]. What the network answers comes as an event; only what this
    /// machine lacks is an error here.
    pub(crate) fn connect(&mut self, connect: &Connect, tag: Tag) -> io::Result<Socket> {
        if self.core.sockets.full() {
            return Err(full());
        }
        let kind = Type::STREAM.nonblocking();
        let socket =
            socket2::Socket::new(Domain::for_address(connect.to), kind, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(keepalive) = &connect.keepalive {
            probe(&socket, keepalive)?;
        }
        let started =
            bind_source(&socket, connect.from).and_then(|()| socket.connect(&connect.to.into()));
        let socket = self.enter(OwnedFd::from(socket), Life::Connecting, tag)?;
        match started {
            Ok(()) => self.connected(socket),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                self.core.set_alarm(socket, connect.deadline, Alarm::Connect(socket));
                self.kernel.watch(&mut self.core, socket, Side::Write);
            }
            Err(error) => self.connect_failed(socket, sys::errno(&error)),
        }
        Ok(socket)
    }

    /// Takes a descriptor into the table and shows it to the kernel.
    fn enter(&mut self, fd: OwnedFd, life: Life, tag: Tag) -> io::Result<Socket> {
        let socket = self.core.sockets.insert(fd, life, tag).ok_or_else(full)?;
        if let Err(error) = self.kernel.attach(&mut self.core, socket) {
            self.core.sockets.remove(socket);
            return Err(error);
        }
        Ok(socket)
    }

    /// Goes on accepting, unless the listener pauses.
    pub(super) fn accept(&mut self, listener: Socket) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(slot) = self.core.sockets.heard(listener) else { return };
            if slot.alarm.is_some() {
                return;
            }
            // While the table is full connections are better off in the kernel's queue.
            if self.core.sockets.full() {
                return self.pause(listener, libc::EMFILE);
            }
            match self.kernel.accept(&mut self.core, listener) {
                Step::Done(fd) => self.accepted(listener, fd),
                Step::Pending => return,
                Step::Failed(errno) => return self.accept_ended(listener, errno),
            }
        }
        self.core.schedule(listener);
    }

    /// A connection was accepted. One that comes after its listener was closed is closed too.
    pub(super) fn accepted(&mut self, listener: Socket, fd: OwnedFd) {
        let Some(slot) = self.core.sockets.heard(listener) else { return };
        match self.enter(fd, Life::Stream, slot.tag) {
            Ok(socket) => {
                if let Some(slot) = self.core.sockets.get_mut(listener) {
                    slot.broken = false;
                }
                self.core.tell(listener, What::Accepted(socket));
            }
            Err(error) => self.pause(listener, sys::errno(&error)),
        }
    }

    /// Accepting has ended: it is asked for again at once where only one connection was to blame,
    /// later where something is lacking.
    pub(super) fn accept_ended(&mut self, listener: Socket, errno: i32) {
        match errno {
            // What accept(2) says of a connection that broke before it was accepted.
            0
            | libc::EINTR
            | libc::EAGAIN
            | libc::ECONNABORTED
            | libc::EPROTO
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
            // Cancelled by a pause: its end asks again, unless it came before this answer.
            | libc::ECANCELED => self.core.schedule(listener),
            lacking => self.pause(listener, lacking),
        }
    }

    /// Stops accepting for a while. Told once, until a connection is accepted again.
    fn pause(&mut self, listener: Socket, errno: i32) {
        let at = Nanos(self.core.now.0 + ACCEPT_PAUSE_NS);
        let Some(slot) = self.core.sockets.heard_mut(listener) else { return };
        if slot.alarm.is_some() {
            return;
        }
        if !std::mem::replace(&mut slot.broken, true) {
            self.core.tell(listener, What::Failed(Failure { op: Op::Accept, errno }));
        }
        self.core.set_alarm(listener, at, Alarm::Accept(listener));
        self.kernel.cancel(&mut self.core, listener, Cancel::All);
    }

    /// A listener's pause is over.
    pub(super) fn resume(&mut self, listener: Socket) {
        self.core.clear_alarm(listener);
        self.core.schedule(listener);
    }

    /// A connecting socket has become writable: it is connected, or has failed.
    pub(super) fn connected(&mut self, socket: Socket) {
        let Some(fd) = self.core.sockets.fd(socket) else { return };
        let error = sys::options(&fd).take_error().unwrap_or_else(Some);
        if let Some(error) = error {
            return self.connect_failed(socket, sys::errno(&error));
        }
        self.core.clear_alarm(socket);
        let Some(slot) = self.core.sockets.get_mut(socket) else { return };
        slot.life = Life::Stream;
        self.core.tell(socket, What::Connected);
        self.core.mark_dirty(socket);
        self.core.schedule(socket);
    }

    /// Connecting has failed, or has met its deadline.
    pub(super) fn connect_failed(&mut self, socket: Socket, errno: i32) {
        let Some(slot) = self.core.sockets.get_mut(socket) else { return };
        if slot.life != Life::Connecting {
            return;
        }
        slot.life = Life::Stream;
        slot.broken = true;
        slot.armed = None;
        slot.next = None;
        slot.forget();
        self.core.clear_alarm(socket);
        self.core.tell(socket, What::Failed(Failure { op: Op::Connect, errno }));
        self.kernel.cancel(&mut self.core, socket, Cancel::All);
    }

    /// See [`crate::Driver::local`].
    pub(crate) fn local(&self, socket: Socket) -> io::Result<SocketAddr> {
        address(sys::options(&self.fd(socket)?).local_addr()?)
    }

    /// See [`crate::Driver::peer`].
    pub(crate) fn peer(&self, socket: Socket) -> io::Result<SocketAddr> {
        address(sys::options(&self.fd(socket)?).peer_addr()?)
    }

    /// See [`crate::Driver::original`].
    pub(crate) fn original(&self, socket: Socket) -> io::Result<SocketAddr> {
        let fd = self.fd(socket)?;
        let local = address(sys::options(&fd).local_addr()?)?;
        let before = match local {
            SocketAddr::V4(_) => sys::options(&fd).original_dst_v4(),
            SocketAddr::V6(_) => sys::options(&fd).original_dst_v6(),
        };
        match before {
            Ok(before) => address(before),
            // No connection tracking, or none of this connection: nobody has redirected it.
            Err(_) => Ok(local),
        }
    }

    fn fd(&self, socket: Socket) -> io::Result<BorrowedFd<'_>> {
        let slot = self.core.sockets.heard(socket);
        slot.map(|slot| slot.fd.as_fd()).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }
}

/// Binds the local address, but leaves the port to `connect`, which can share it between
/// connections to different peers.
fn bind_source(socket: &socket2::Socket, from: Option<IpAddr>) -> io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    // Where the kernel lacks it (before Linux 4.2) connecting works all the same.
    let _ = sys::bind_without_port(socket.as_fd());
    socket.bind(&SocketAddr::new(from, 0).into())
}

/// An address of the kernel; IPv4 that came through an IPv6 socket is IPv4.
fn address(address: socket2::SockAddr) -> io::Result<SocketAddr> {
    let not_ip = || io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
    let address = address.as_socket().ok_or_else(not_ip)?;
    Ok(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// Has the kernel look whether the peer is still there.
fn probe(socket: &socket2::Socket, keepalive: &Keepalive) -> io::Result<()> {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds.max(1)));
    let mut asked = TcpKeepalive::new();
    if let Some(idle) = keepalive.idle_s {
        asked = asked.with_time(seconds(idle));
    }
    if let Some(interval) = keepalive.interval_s {
        asked = asked.with_interval(seconds(interval));
    }
    if let Some(probes) = keepalive.probes {
        asked = asked.with_retries(probes.max(1));
    }
    // What it sets besides is that there are probes at all.
    socket.set_tcp_keepalive(&asked)
}

/// The table of sockets is full, which is reported as the process' own limit would be.
fn full() -> io::Error {
    io::Error::from_raw_os_error(libc::EMFILE)
}
