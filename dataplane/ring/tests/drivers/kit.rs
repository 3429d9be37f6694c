//! A driver with one worker's loop around it, and plain sockets as its peers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use ringway_ring::{
    Bind, Connect, Driver, Epoll, Event, Limits, Nanos, Socket, Tag, Uring, What, listener, probe,
};

/// Makes two tests of each function named: `uring::NAME` and `epoll::NAME`. Where there is no
/// io_uring the first kind says that it is skipped.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod uring {
            $(#[test]
            fn $name() {
                if $crate::kit::has_uring(stringify!($name)) {
                    super::$name::<ringway_ring::Uring>();
                }
            })+
        }
        mod epoll {
            $(#[test]
            fn $name() {
                super::$name::<ringway_ring::Epoll>();
            })+
        }
    };
}
pub(crate) use on_both;

/// Whether io_uring can be tested; says so if not.
pub(crate) fn has_uring(test: &str) -> bool {
    match probe() {
        Ok(_) => true,
        Err(reason) => {
            crate::common::without_uring(test, &reason);
            false
        }
    }
}

/// A driver that can be made.
pub(crate) trait Made: Driver {
    fn made(limits: &Limits) -> io::Result<Self>;
}

impl Made for Uring {
    fn made(limits: &Limits) -> io::Result<Self> {
        Self::new(limits)
    }
}

impl Made for Epoll {
    fn made(limits: &Limits) -> io::Result<Self> {
        Self::new(limits)
    }
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const LISTENER: Tag = Tag(1);

/// A driver and what it has told.
pub(crate) struct World<D> {
    pub(crate) driver: D,
    pub(crate) events: Vec<Event>,
    pub(crate) addr: SocketAddr,
    pub(crate) listener: Socket,
}

impl<D: Made> World<D> {
    pub(crate) fn new() -> Self {
        Self::with(&Limits::default())
    }

    pub(crate) fn with(limits: &Limits) -> Self {
        let mut driver = D::made(limits).unwrap();
        let bound = listener("127.0.0.1:0".parse().unwrap(), Bind::default()).unwrap();
        let addr = bound.local_addr().unwrap();
        let listener = driver.listen(bound.as_fd(), LISTENER).unwrap();
        let mut world = Self { driver, events: Vec::new(), addr, listener };
        world.turn(0);
        world
    }

    /// One turn of at most so many milliseconds.
    pub(crate) fn turn(&mut self, ms: u64) {
        let deadline = Nanos(self.clock().0 + ms * 1_000_000);
        self.driver.turn(Some(deadline), &mut self.events).unwrap();
    }

    /// Turns for so long, whatever happens.
    pub(crate) fn turn_for(&mut self, ms: u64) {
        let end = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < end {
            self.turn(1);
        }
    }

    /// The time now, not that of the last turn.
    pub(crate) fn clock(&self) -> Nanos {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid place for the answer.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
        Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// Turns until `found` says something of the events so far, of which it may take some.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        mut found: impl FnMut(&mut D, &mut Vec<Event>) -> Option<T>,
    ) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = found(&mut self.driver, &mut self.events) {
                return answer;
            }
            assert!(Instant::now() < end, "no {what}; events: {:?}", self.events);
            self.turn(50);
        }
    }

    /// The first event that `pick` takes; it is taken out, what came before it stays.
    pub(crate) fn expect<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        self.until(what, |_, events| {
            let (at, answer) =
                events.iter().enumerate().find_map(|(at, event)| Some((at, pick(event)?)))?;
            events.remove(at);
            Some(answer)
        })
    }

    /// A connection from a plain client to the driver: both ends.
    pub(crate) fn pair(&mut self) -> (Socket, TcpStream) {
        let client = TcpStream::connect(self.addr).unwrap();
        client.set_nodelay(true).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        let socket = self.expect("accept", |event| match event.what {
            What::Accepted(socket) => Some(socket),
            _ => None,
        });
        (socket, client)
    }

    /// A connection from the driver to a plain server: both ends.
    pub(crate) fn outgoing(&mut self) -> (Socket, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = self.connect_to(server.local_addr().unwrap());
        let socket = self.driver.connect(&connect, Tag(77)).unwrap();
        let (accepted, _) = server.accept().unwrap();
        accepted.set_read_timeout(Some(PATIENCE)).unwrap();
        self.expect("connect", |event| {
            (event.socket == socket && matches!(event.what, What::Connected)).then_some(())
        });
        (socket, accepted)
    }

    pub(crate) fn connect_to(&self, to: SocketAddr) -> Connect {
        let deadline = Nanos(self.clock().0 + 5_000_000_000);
        Connect { to, from: None, deadline, keepalive: None }
    }

    /// Collects what arrives on a socket until there are so many bytes.
    pub(crate) fn bytes(&mut self, socket: Socket, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.until("bytes", |_, events| {
            events.retain(|event| match &event.what {
                What::Data(data) if event.socket == socket => {
                    bytes.extend_from_slice(data);
                    false
                }
                _ => true,
            });
            (bytes.len() >= count).then_some(())
        });
        bytes
    }

    /// Takes all events of a socket, by their names.
    pub(crate) fn told(&mut self, socket: Socket) -> Vec<String> {
        let mut told = Vec::new();
        self.events.retain(|event| {
            if event.socket == socket {
                told.push(format!("{:?}", event.what));
            }
            event.socket != socket
        });
        told
    }

    /// Turns until so many sockets are open.
    pub(crate) fn until_open(&mut self, count: usize) {
        self.until("closing", |driver, _| (driver.open() == count).then_some(()));
    }
}

/// Whether an event is this one of this socket.
pub(crate) fn is(socket: Socket, matches: impl Fn(&What) -> bool) -> impl Fn(&Event) -> Option<()> {
    move |event| (event.socket == socket && matches(&event.what)).then_some(())
}

/// Segments that a connection has received, in the kernel's count.
pub(crate) fn segments_in(stream: &TcpStream) -> u32 {
    /// Where `tcpi_segs_in` is in `struct tcp_info`.
    const AT: usize = 140;
    let mut info = [0_u8; 256];
    let mut len = info.len() as libc::socklen_t;
    let (fd, to) = (stream.as_raw_fd(), info.as_mut_ptr().cast());
    // SAFETY: the kernel writes at most `len` bytes to `info`, and how many to `len`.
    let done = unsafe { libc::getsockopt(fd, libc::SOL_TCP, libc::TCP_INFO, to, &mut len) };
    assert!(done == 0 && len as usize >= AT + 4, "the kernel does not count segments");
    u32::from_ne_bytes(info[AT..AT + 4].try_into().unwrap())
}

/// Bytes that tell where they belong.
pub(crate) fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Writes all and closes the sending side, on a thread of its own.
pub(crate) fn write_all(mut to: TcpStream, bytes: Vec<u8>) -> std::thread::JoinHandle<TcpStream> {
    std::thread::spawn(move || {
        to.write_all(&bytes).unwrap();
        to.shutdown(std::net::Shutdown::Write).unwrap();
        to
    })
}

/// Reads to the end, on a thread of its own.
pub(crate) fn read_all(mut from: TcpStream) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}
