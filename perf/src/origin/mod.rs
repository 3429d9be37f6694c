//! What stands behind the proxies: a server that costs little more than the ring itself, because
//! it shares a core with the load.
//!
//! `GET /N` is answered with a body of N bytes that a client can check, by HTTP/1.1 or to whoever
//! begins with its preface by HTTP/2, gRPC included; the TCP port gives back what it gets. Answers
//! up to one buffer are made once and sent again and again.

mod http2;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener},
    os::fd::AsFd,
    thread::{self, JoinHandle},
};

use kit::echo::pattern;
use ring::{
    Bind, Buf, Driver, Epoll, Event, Key, Limits, Pool, Size, Slab, Socket, Tag, Uring, Waker, What,
};
use wire::{
    h1::{self, Parsed},
    head::Head,
};

use crate::Outcome;
use http2::{Http2, Parts};

/// The biggest body.
const BODY_BYTES_MAX: usize = 64 << 20;
/// A piece of a big body: the pattern's length times a number, so that pieces join.
const PIECE_BYTES: usize = 26 * 2_520;
/// How much of a big body is on its way at once.
const AHEAD_BYTES: usize = 512 * 1024;
/// How much a client may send before it is looked at again.
const BUDGET: usize = 1 << 20;
const CONNECTIONS_MAX: usize = 40_000;
/// A request head that is longer is nobody's of ours.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Tags of the two listeners; connections count from 0 and have no such generation.
const HTTP: Tag = Tag(u64::MAX);
const TCP: Tag = Tag(u64::MAX - 1);

/// A running origin; dropping it stops it.
pub(crate) struct Origin {
    pub(crate) http: SocketAddr,
    pub(crate) tcp: SocketAddr,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// Serves on the CPU and in the network namespace of the calling thread.
    pub(crate) fn start(ip: Ipv4Addr) -> Outcome<Self> {
        let listen = || {
            let any = SocketAddr::V4(SocketAddrV4::new(ip, 0));
            let bound = ring::listener(any, Bind { backlog: 4096, ..Bind::default() });
            bound.map_err(|error| format!("the origin cannot listen on {ip}: {error}"))
        };
        let listeners = [listen()?, listen()?];
        let address = |listener: &TcpListener| listener.local_addr().map_err(|e| e.to_string());
        let (http, tcp) = (address(&listeners[0])?, address(&listeners[1])?);
        let (told, hear) = std::sync::mpsc::channel();
        let thread = thread::Builder::new().name("origin".into()).spawn(move || {
            // The load has the same CPU.
            let spin = false;
            let limits = Limits { sockets: CONNECTIONS_MAX, spin, ..Limits::default() };
            let ended = match Uring::new(&limits) {
                Ok(driver) => Server::new(driver).run(&listeners, &told),
                Err(_) => Epoll::new(&limits)
                    .map_err(|error| error.to_string())
                    .and_then(|driver| Server::new(driver).run(&listeners, &told)),
            };
            if let Err(why) = ended {
                eprintln!("origin: {why}");
            }
        });
        let thread = thread.map_err(|error| error.to_string())?;
        let waker = hear.recv().map_err(|_| "the origin did not start".to_owned())?;
        Ok(Self { http, tcp, waker, thread: Some(thread) })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One client's connection.
struct Connection {
    socket: Socket,
    speech: Speech,
}

/// What is spoken on a connection, and what is known of its requests.
enum Speech {
    /// Bytes are given back.
    Echo,
    Http(Http),
    Http2(Box<Http2>),
}

struct Http {
    /// Nothing has come yet.
    is_new: bool,
    /// A head that has not come whole.
    gathered: Vec<u8>,
    /// What is left to send of a big body.
    left: usize,
    closes: bool,
}

struct Server<D: Driver> {
    driver: D,
    connections: Slab<Connection>,
    answers: Answers,
    head: Head,
    parts: Parts,
    /// What is to be sent on the connection at hand.
    out: Vec<u8>,
}

impl<D: Driver> Server<D> {
    fn new(driver: D) -> Self {
        let answers = Answers { pool: driver.pool().clone(), made: HashMap::new(), piece: None };
        let connections = Slab::new(CONNECTIONS_MAX);
        let (head, parts, out) = (Head::default(), Parts::new(), Vec::new());
        Self { driver, connections, answers, head, parts, out }
    }

    fn run(
        mut self,
        listeners: &[TcpListener; 2],
        told: &std::sync::mpsc::Sender<Waker>,
    ) -> Outcome<()> {
        for (listener, tag) in listeners.iter().zip([HTTP, TCP]) {
            self.driver.listen(listener.as_fd(), tag).map_err(|error| error.to_string())?;
        }
        let _ = told.send(self.driver.waker());
        let mut events = Vec::new();
        loop {
            self.driver.turn(None, &mut events).map_err(|error| error.to_string())?;
            for event in events.drain(..) {
                if matches!(event.what, What::Woken) {
                    return Ok(());
                }
                self.on_event(event);
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        let key = Key::unpack(event.tag.0);
        match event.what {
            What::Accepted(socket) => self.accept(socket, event.tag == TCP),
            What::Data(bytes) => self.on_data(key, bytes),
            What::Paused | What::Sent(_) => self.go_on(key),
            What::Eof | What::Failed(_) => self.close(key),
            What::Connected | What::Relayed(_) | What::Woken => {}
        }
    }

    fn accept(&mut self, socket: Socket, echoes: bool) {
        let speech = if echoes { Speech::Echo } else { Speech::Http(Http::default()) };
        match self.connections.insert(Connection { socket, speech }) {
            Some(key) => {
                self.driver.retag(socket, Tag(key.pack()));
                self.driver.recv(socket, BUDGET, Size::Small);
            }
            None => self.driver.reset(socket),
        }
    }

    fn on_data(&mut self, key: Key, bytes: Buf) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let socket = connection.socket;
        if let Speech::Http(http) = &connection.speech
            && http.is_new
            && Http2::begins(&bytes)
        {
            connection.speech = Speech::Http2(Box::new(Http2::new()));
        }
        let fine = match &mut connection.speech {
            Speech::Echo => return self.driver.send(socket, bytes),
            Speech::Http(http) => http.read(&bytes, &mut self.head, |size| {
                self.answers.send(&mut self.driver, socket, size)
            }),
            Speech::Http2(http) => http.read(&bytes, &mut self.head),
        };
        match fine {
            true => self.go_on(key),
            false => self.close(key),
        }
    }

    /// Sends what a connection still owes, and reads on.
    fn go_on(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let socket = connection.socket;
        let mut is_over = false;
        match &mut connection.speech {
            Speech::Echo => {}
            Speech::Http(http) => {
                while http.left > 0 && self.driver.unsent(socket) < AHEAD_BYTES {
                    let Some(piece) = self.answers.piece(http.left) else { break };
                    http.left -= piece.len();
                    self.driver.send(socket, piece);
                }
                is_over = http.closes && http.left == 0;
            }
            Speech::Http2(http) => {
                let room = AHEAD_BYTES.saturating_sub(self.driver.unsent(socket));
                http.answer(&mut self.parts, room, &mut self.out);
                for piece in self.out.chunks(PIECE_BYTES) {
                    let Some(piece) = self.answers.made(piece) else { break };
                    self.driver.send(socket, piece);
                }
                self.out.clear();
            }
        }
        match is_over {
            true => self.close(key),
            false => self.driver.recv(socket, BUDGET, Size::Small),
        }
    }

    fn close(&mut self, key: Key) {
        if let Some(connection) = self.connections.remove(key) {
            self.driver.close(connection.socket);
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { is_new: true, gathered: Vec::new(), left: 0, closes: false }
    }
}

impl Http {
    /// Reads requests and has each answered; `answer` says what it leaves to be sent. `false`: this
    /// is no request of ours.
    fn read(
        &mut self,
        bytes: &[u8],
        head: &mut Head,
        mut answer: impl FnMut(usize) -> usize,
    ) -> bool {
        self.is_new = false;
        let mut gathered = std::mem::take(&mut self.gathered);
        let mut rest = match gathered.is_empty() {
            true => bytes,
            false => {
                gathered.extend_from_slice(bytes);
                &gathered
            }
        };
        while !rest.is_empty() {
            match h1::parse_request(rest, &h1::Limits::default(), head) {
                Ok(Parsed::Complete { consumed }) => {
                    rest = rest.get(consumed..).unwrap_or_default()
                }
                Ok(Parsed::Partial) => break,
                Err(_) => return false,
            }
            let Some(size) = size_of(head.path()) else { return false };
            self.closes |= !head.keep_alive;
            self.left += answer(size);
        }
        self.gathered.extend_from_slice(rest);
        self.gathered.len() <= HEAD_BYTES_MAX
    }
}

/// The N of `/N`.
fn size_of(path: &[u8]) -> Option<usize> {
    let number = std::str::from_utf8(path.strip_prefix(b"/")?).ok()?;
    number.parse().ok().filter(|size| *size <= BODY_BYTES_MAX)
}

/// Answers that were made before.
struct Answers {
    pool: Pool,
    made: HashMap<usize, Buf>,
    piece: Option<Buf>,
}

impl Answers {
    /// Sends an answer with a body of so many bytes, or its head alone if it is big, and says how
    /// much of the body is left.
    fn send<D: Driver>(&mut self, driver: &mut D, socket: Socket, size: usize) -> usize {
        if let Some(made) = self.made.get(&size) {
            driver.send(socket, made.clone());
            return if made.len() > size { 0 } else { size };
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
        let whole = [head.as_bytes(), &pattern(size)].concat();
        let made = self.made(&whole).map(|made| (made, 0));
        if let Some((made, left)) = made.or_else(|| self.made(head.as_bytes()).map(|b| (b, size))) {
            self.made.insert(size, made.clone());
            driver.send(socket, made);
            return left;
        }
        0
    }

    /// The next piece of a big body.
    fn piece(&mut self, left: usize) -> Option<Buf> {
        if self.piece.is_none() {
            self.piece = self.made(&pattern(PIECE_BYTES));
        }
        let mut piece = self.piece.clone()?;
        piece.truncate(left);
        Some(piece)
    }

    fn made(&self, bytes: &[u8]) -> Option<Buf> {
        let mut out = self.pool.take(bytes.len())?;
        out.extend(bytes);
        Some(out.freeze())
    }
}
