//! The contract between a worker and the kernel.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::buf::{Buf, Pool};
use crate::wake::Waker;

/// Nanoseconds of the monotonic clock. The driver is the only clock of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The time so much later; the end of time where that is later still.
    #[must_use]
    pub fn after(self, passed: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// What the worker calls a socket; comes back with each of its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tag(pub u64);

/// A socket of one driver: a slot and the slot's generation, so that a stale handle names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Socket {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Something that happened to a socket since the last turn.
#[derive(Debug)]
pub struct Event {
    /// The tag that the socket was given.
    pub tag: Tag,
    /// The socket itself.
    pub socket: Socket,
    /// What happened.
    pub what: What,
}

/// The kinds of event. A closed set: a worker's `match` over it is its whole life.
#[derive(Debug)]
pub enum What {
    /// A listener has accepted this connection. It is not armed for receiving yet and carries the
    /// listener's tag until [`Driver::retag`].
    Accepted(Socket),
    /// A `connect` succeeded.
    Connected,
    /// Bytes arrived.
    Data(Buf),
    /// The budget of the last `recv` is used up: nothing is received until it is armed again.
    Paused,
    /// The peer has closed its sending side. Nothing more is received.
    Eof,
    /// So many queued bytes are now in the kernel's hands.
    Sent(usize),
    /// A `relay` from this socket ended.
    Relayed(Relayed),
    /// The socket is broken. Only `close` makes sense now.
    Failed(Failure),
    /// Somebody used a [`Waker`] of this driver. The socket and the tag mean nothing here.
    Woken,
}

/// How a `relay` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Bytes moved since `relay` was called (or since the last report).
    pub bytes: u64,
    /// Why this report comes.
    pub end: RelayEnd,
}

/// Why a relay reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayEnd {
    /// The source has run dry for now: the pipe is empty and back in its pool, the relay is over,
    /// the source is not armed.
    Drained,
    /// The source's peer has closed its sending side, all bytes are delivered.
    Eof,
    /// All that was asked for is delivered: what the source says next is another matter.
    Whole,
}

/// What failed, and how. For the destination of a relay the event names the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The operation.
    pub op: Op,
    /// The error number of the kernel, or `ETIMEDOUT` for a connect that met its deadline.
    pub errno: i32,
}

/// The operations that can fail asynchronously.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Accepting on a listener. The driver has already paused it and will try again by itself.
    Accept,
    /// Connecting.
    Connect,
    /// Receiving.
    Recv,
    /// Sending.
    Send,
    /// Moving bytes in bulk.
    Relay,
}

/// How large the buffers are that a `recv` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 4 KiB: requests, idle connections.
    Small,
    /// 64 KiB: streams that have filled small ones.
    Large,
}

/// Where and how to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The peer.
    pub to: SocketAddr,
    /// The local address to bind to first, if any (no port: the kernel chooses at connect).
    pub from: Option<IpAddr>,
    /// When to give up.
    pub deadline: Nanos,
    /// Whether and how TCP probes a peer that is silent; `None` for the kernel's default (off).
    pub keepalive: Option<Keepalive>,
}

/// How TCP probes a peer that is silent; what is not said is the kernel's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Seconds of silence before the first probe.
    pub idle_s: Option<u32>,
    /// Seconds from one probe to the next.
    pub interval_s: Option<u32>,
    /// So many without an answer end the connection.
    pub probes: Option<u32>,
}

/// One worker's kernel. All calls are made from the worker's own thread.
///
/// Calls on a handle that is closed are ignored (`debug_assert` in debug builds where it can only
/// be a mistake), so a session may act on both ends of a pair without asking which is still there.
pub trait Driver: Sized {
    /// The time at the start of this turn.
    fn now(&self) -> Nanos;

    /// The buffers that this driver sends from and receives into.
    fn pool(&self) -> &Pool;

    /// A handle by which another thread wakes this driver up (an [`What::Woken`] event).
    fn waker(&self) -> Waker;

    /// Accepts on a bound and listening socket for ever. The descriptor is duplicated.
    fn listen(&mut self, fd: BorrowedFd<'_>, tag: Tag) -> io::Result<Socket>;

    /// Starts connecting: [`What::Connected`] or [`What::Failed`] follows, unless closed before.
    fn connect(&mut self, connect: &Connect, tag: Tag) -> io::Result<Socket>;

    /// Gives a socket another tag; events already fetched keep the old one.
    fn retag(&mut self, socket: Socket, tag: Tag);

    /// Arms receiving: at most about `budget` bytes (a buffer's size more at the most) arrive as
    /// [`What::Data`], then [`What::Paused`]. Arming what is armed adds to nothing: the new budget
    /// replaces the old one when the old one is used up.
    fn recv(&mut self, socket: Socket, budget: usize, size: Size);

    /// Queues bytes for sending. What is queued in one turn leaves in as few system calls as
    /// possible at its end; from [`SEND_NOW_BYTES`] on it is sent at once, while it is in cache.
    fn send(&mut self, socket: Socket, bytes: Buf);

    /// Bytes queued on a socket and not yet taken by the kernel.
    fn unsent(&self, socket: Socket) -> usize;

    /// Moves bytes from one socket to another inside the kernel, at most so many, until the source
    /// runs dry, ends or either side fails. Neither may have receives (source) or sends
    /// (destination) outstanding: relay when `Paused` was seen and `unsent` is 0.
    fn relay(&mut self, from: Socket, to: Socket, most: u64) -> io::Result<()>;

    /// Bytes that the running relay from this socket has moved so far: how an idle timer tells a
    /// slow stream from a dead one.
    fn relayed(&self, from: Socket) -> u64;

    /// Closes the sending side once all that is queued has left (FIN).
    fn finish(&mut self, socket: Socket);

    /// Lets what is queued leave (the kernel lingers in the background), then closes. Nothing more
    /// is heard of the socket. Where bytes may still arrive from the peer, receiving goes on into
    /// the void for at most [`LINGER_MS_MAX`] so that the peer reads our last words, not a reset.
    fn close(&mut self, socket: Socket);

    /// As [`Driver::close`], for a peer that has said that it will send nothing more: nothing
    /// lingers, and what it sends all the same is answered with a reset.
    fn leave(&mut self, socket: Socket) {
        self.close(socket);
    }

    /// Closes at once with a reset; what is queued is lost.
    fn reset(&mut self, socket: Socket);

    /// The local address.
    fn local(&self, socket: Socket) -> io::Result<SocketAddr>;

    /// The peer's address.
    fn peer(&self, socket: Socket) -> io::Result<SocketAddr>;

    /// Where the client wanted to go before a redirect rule took the connection here
    /// (`SO_ORIGINAL_DST`, `IP6T_SO_ORIGINAL_DST`); the local address where there was no rule.
    fn original(&self, socket: Socket) -> io::Result<SocketAddr>;

    /// How many sockets are open, listeners included.
    fn open(&self) -> usize;

    /// One turn: submits what is queued, waits for events until `deadline` (spinning first for a
    /// while if there was activity lately), and appends what happened to `events`.
    fn turn(&mut self, deadline: Option<Nanos>, events: &mut Vec<Event>) -> io::Result<()>;
}

/// From so many bytes on `send` does not wait for the end of the turn.
pub const SEND_NOW_BYTES: usize = 64 * 1024;

/// How long a closed socket may linger for the peer to read its last bytes.
pub const LINGER_MS_MAX: u64 = 1_000;
