//! Our own ring: `--driver uring` (default) or `--driver epoll`, through the one trait.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use ring::driver::{Connect, Driver, Event, RelayEnd, Size, Socket, Tag, What};
use ring::{Epoll, Key, Limits, Slab, Uring};
use ringway_ladder::command::{Command, ready};

/// Connections at once.
const PAIRS: usize = 64 * 1024;
/// The listener's tag.
const LISTENER: Tag = Tag(u64::MAX);
/// What one arming brings with small buffers, and with large ones.
const SMALL: usize = 16 * 1024;
const LARGE: usize = 64 * 1024;
/// A full small buffer asks for large ones.
const FULL_SMALL: usize = 4 * 1024;
/// So many full large ones in a row ask the kernel to move the bytes by itself.
const FULL_TO_RELAY: u8 = 2;
/// With so many bytes unsent on one side the other is not read from.
const UNSENT_MAX: usize = 256 * 1024;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

struct Side {
    socket: Socket,
    size: Size,
    /// Full buffers in a row.
    full: u8,
    /// Nothing was asked for, or the budget is used up.
    paused: bool,
    ended: bool,
}

struct Proxy<D: Driver> {
    driver: D,
    upstream: SocketAddr,
    /// The client's side and the upstream's.
    pairs: Slab<[Side; 2]>,
}

fn main() -> io::Result<()> {
    let command = Command::from_args();
    match command.driver.as_str() {
        "uring" => serve(Uring::new(&Limits::default())?, &command),
        "epoll" => serve(Epoll::new(&Limits::default())?, &command),
        other => Err(io::Error::other(format!("--driver {other} is unknown; try uring or epoll"))),
    }
}

fn serve<D: Driver>(mut driver: D, command: &Command) -> io::Result<()> {
    let listener = command.listener()?;
    driver.listen(listener.as_fd(), LISTENER)?;
    ready()?;
    let mut proxy = Proxy { driver, upstream: command.upstream, pairs: Slab::new(PAIRS) };
    let mut events = Vec::new();
    loop {
        proxy.driver.turn(None, &mut events)?;
        for event in events.drain(..) {
            proxy.hear(event);
        }
    }
}

/// A pair and a side of it as one word, and back.
fn tag(key: Key, side: usize) -> Tag {
    Tag(key.pack() << 1 | side as u64)
}

fn untag(tag: Tag) -> (Key, usize) {
    (Key::unpack(tag.0 >> 1), (tag.0 & 1) as usize)
}

impl<D: Driver> Proxy<D> {
    fn hear(&mut self, event: Event) {
        if event.tag == LISTENER {
            if let What::Accepted(down) = event.what {
                self.open(down);
            }
            return;
        }
        let (key, at) = untag(event.tag);
        let Some(pair) = self.pairs.get_mut(key) else { return };
        match event.what {
            What::Connected => {
                self.go_on(key, 0);
                self.go_on(key, 1);
            }
            What::Data(bytes) => {
                pair[at].adapt(bytes.len());
                self.driver.send(pair[1 - at].socket, bytes);
            }
            What::Paused => {
                pair[at].paused = true;
                self.go_on(key, at);
            }
            What::Sent(_) => self.go_on(key, 1 - at),
            What::Relayed(relayed) => match relayed.end {
                RelayEnd::Drained | RelayEnd::Whole => {
                    (pair[at].paused, pair[at].full) = (true, 0);
                    self.go_on(key, at);
                }
                RelayEnd::Eof => self.ended(key, at),
            },
            What::Eof => self.ended(key, at),
            What::Failed(_) => self.close(key),
            What::Accepted(_) | What::Woken => {}
        }
    }

    fn open(&mut self, down: Socket) {
        let deadline = self.driver.now().after(CONNECT);
        let connect = Connect { to: self.upstream, from: None, deadline, keepalive: None };
        let Ok(up) = self.driver.connect(&connect, LISTENER) else {
            return self.driver.reset(down);
        };
        match self.pairs.insert([Side::new(down), Side::new(up)]) {
            Some(key) => {
                self.driver.retag(down, tag(key, 0));
                self.driver.retag(up, tag(key, 1));
            }
            None => [down, up].into_iter().for_each(|socket| self.driver.reset(socket)),
        }
    }

    /// Reads on from a side, unless the other has enough to do.
    fn go_on(&mut self, key: Key, at: usize) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let (to, side) = (pair[1 - at].socket, &mut pair[at]);
        let unsent = self.driver.unsent(to);
        if !side.paused || side.ended || unsent > UNSENT_MAX {
            return;
        }
        side.paused = false;
        let relays = side.size == Size::Large && side.full >= FULL_TO_RELAY && unsent == 0;
        if relays && self.driver.relay(side.socket, to, u64::MAX).is_ok() {
            return;
        }
        let budget = if side.size == Size::Large { LARGE } else { SMALL };
        self.driver.recv(side.socket, budget, side.size);
    }

    fn ended(&mut self, key: Key, at: usize) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        pair[at].ended = true;
        self.driver.finish(pair[1 - at].socket);
        if pair[1 - at].ended {
            self.close(key);
        }
    }

    fn close(&mut self, key: Key) {
        for side in self.pairs.remove(key).into_iter().flatten() {
            self.driver.close(side.socket);
        }
    }
}

impl Side {
    fn new(socket: Socket) -> Self {
        Self { socket, size: Size::Small, full: 0, paused: true, ended: false }
    }

    /// Full buffers in a row ask for larger ones, a poor one for small ones.
    fn adapt(&mut self, received: usize) {
        let full = if self.size == Size::Small { FULL_SMALL } else { LARGE };
        self.full = if received >= full { self.full.saturating_add(1) } else { 0 };
        if self.size == Size::Small && self.full >= 2 {
            (self.size, self.full) = (Size::Large, 0);
        } else if received < FULL_SMALL {
            self.size = Size::Small;
        }
    }
}
