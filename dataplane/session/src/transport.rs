//! A socket with or without TLS: buffers in, buffers out.

use std::ops::Range;

use ring::driver::{Driver, Size, Socket};
use ring::{Buf, BufMut, Pool};
use tls::session::{Opened, Peer, Sealed, Session, TlsError};

use crate::limits::{
    RECV_LARGE, RECV_SMALL, TLS_OVERHEAD, TLS_PLAIN_MAX, TLS_RECORD_MAX, UNSENT_HIGH, UNSENT_LOW,
};

/// A socket, what protects it, and how it is being received from.
pub(crate) struct Transport {
    pub(crate) socket: Socket,
    secure: Option<Box<Secure>>,
    receiving: Receiving,
    size: Size,
    /// Full buffers in a row, to know when larger ones pay.
    full: u8,
}

/// Where receiving stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    /// Nothing was asked for, or the budget is used up.
    Paused,
    /// Bytes may come.
    Armed,
    /// The kernel moves them on by itself.
    Relaying,
    /// The peer has closed its side.
    Ended,
}

/// TLS over the socket.
pub(crate) struct Secure {
    side: Side,
    /// The beginning of a record of which the rest has not come yet.
    partial: Option<BufMut>,
    /// The peer has said good-bye.
    closed: bool,
}

/// The two roles of TLS.
pub(crate) enum Side {
    Server(tls::Server),
    Client(tls::Client),
}

/// Memory that opening and sealing use, one set a worker.
#[derive(Default)]
pub(crate) struct Scratch {
    ranges: Vec<Range<usize>>,
    output: Vec<u8>,
}

/// Why a transport is at its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// TLS refuses to go on.
    Tls(TlsError),
    /// The worker's buffers are used up.
    Memory,
}

impl From<TlsError> for Fault {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl Transport {
    pub(crate) fn plain(socket: Socket) -> Self {
        let (receiving, size) = (Receiving::Paused, Size::Small);
        Self { socket, secure: None, receiving, size, full: 0 }
    }

    /// From here on the socket speaks TLS.
    pub(crate) fn secure(&mut self, side: Side) {
        self.secure = Some(Box::new(Secure { side, partial: None, closed: false }));
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.secure.is_some()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.secure.as_ref().is_some_and(|secure| secure.side.is_handshaking())
    }

    /// What the handshake has shown of the peer.
    pub(crate) fn peer(&self) -> Option<&Peer> {
        self.secure.as_ref().map(|secure| secure.side.peer())
    }

    pub(crate) fn receiving(&self) -> Receiving {
        self.receiving
    }

    /// The budget is used up.
    pub(crate) fn paused(&mut self) {
        if self.receiving == Receiving::Armed {
            self.receiving = Receiving::Paused;
        }
    }

    /// The peer has closed its side.
    pub(crate) fn ended(&mut self) {
        self.receiving = Receiving::Ended;
    }

    /// Asks for more bytes unless that is already so.
    pub(crate) fn arm<D: Driver>(&mut self, driver: &mut D) {
        if self.receiving != Receiving::Paused {
            return;
        }
        let budget = if self.size == Size::Large { RECV_LARGE } else { RECV_SMALL };
        self.receiving = Receiving::Armed;
        driver.recv(self.socket, budget, self.size);
    }

    /// The kernel moves the bytes on by itself from here.
    pub(crate) fn relaying(&mut self) {
        self.receiving = Receiving::Relaying;
    }

    /// Receiving starts again after a relay: nothing is known of the stream's pace.
    pub(crate) fn begin_anew(&mut self) {
        (self.receiving, self.full) = (Receiving::Paused, 0);
    }

    /// Full large buffers came in a row: so many.
    pub(crate) fn full_large_reads(&self) -> u8 {
        if self.size == Size::Large { self.full } else { 0 }
    }

    /// Takes what the ring has received and appends the plaintext in it.
    pub(crate) fn receive<D: Driver>(
        &mut self,
        driver: &mut D,
        scratch: &mut Scratch,
        bytes: Buf,
        plain: &mut Vec<Buf>,
    ) -> Result<(), Fault> {
        self.adapt(bytes.len());
        let Some(secure) = &mut self.secure else {
            plain.push(bytes);
            return Ok(());
        };
        let opened = secure.open(driver.pool(), scratch, bytes, plain);
        let flushed = secure.flush(driver, self.socket, scratch);
        opened.and(flushed)
    }

    /// The peer has said good-bye within TLS: nothing follows.
    pub(crate) fn is_closed_by_peer(&self) -> bool {
        self.secure.as_ref().is_some_and(|secure| secure.closed)
    }

    /// Sends what TLS wants to say first (a ClientHello).
    pub(crate) fn hello<D: Driver>(
        &mut self,
        driver: &mut D,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        match &mut self.secure {
            Some(secure) => secure.flush(driver, self.socket, scratch),
            None => Ok(()),
        }
    }

    /// Sends plaintext, sealed where the socket is protected.
    pub(crate) fn send<D: Driver>(&mut self, driver: &mut D, bytes: Buf) -> Result<(), Fault> {
        match &mut self.secure {
            _ if bytes.is_empty() => Ok(()),
            Some(secure) => secure.seal(driver, self.socket, &bytes),
            None => {
                driver.send(self.socket, bytes);
                Ok(())
            }
        }
    }

    /// Closes the sending side once all has left.
    pub(crate) fn finish<D: Driver>(&mut self, driver: &mut D, scratch: &mut Scratch) {
        self.say_goodbye(driver, scratch);
        driver.finish(self.socket);
    }

    /// Closes once all has left.
    pub(crate) fn close<D: Driver>(&mut self, driver: &mut D, scratch: &mut Scratch) {
        self.say_goodbye(driver, scratch);
        driver.close(self.socket);
    }

    fn say_goodbye<D: Driver>(&mut self, driver: &mut D, scratch: &mut Scratch) {
        if let Some(secure) = &mut self.secure {
            secure.side.close();
            // Without memory for the alert the peer sees the close of the socket alone.
            let _ = secure.flush(driver, self.socket, scratch);
        }
    }

    /// Too much is waiting to leave: whoever feeds this socket should stop for a while.
    pub(crate) fn is_congested<D: Driver>(&self, driver: &D) -> bool {
        driver.unsent(self.socket) > UNSENT_HIGH
    }

    /// Little is waiting to leave: feeding may go on.
    pub(crate) fn is_clear<D: Driver>(&self, driver: &D) -> bool {
        driver.unsent(self.socket) <= UNSENT_LOW
    }

    /// Two full small buffers in a row ask for large ones; two poor large ones for small ones.
    fn adapt(&mut self, received: usize) {
        let small = 4 * 1024;
        match self.size {
            Size::Small if received >= small => {
                self.full += 1;
                if self.full >= 2 {
                    (self.size, self.full) = (Size::Large, 0);
                }
            }
            Size::Large if received >= RECV_LARGE => self.full = self.full.saturating_add(1),
            Size::Large if received < small => (self.size, self.full) = (Size::Small, 0),
            Size::Small | Size::Large => self.full = 0,
        }
    }
}

impl Secure {
    /// Opens records: first the one that began earlier, then what lies in these bytes as a whole.
    fn open(
        &mut self,
        pool: &Pool,
        scratch: &mut Scratch,
        mut bytes: Buf,
        plain: &mut Vec<Buf>,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() && !self.closed {
            let Some(mut partial) = self.partial.take() else {
                return self.open_whole(pool, scratch, bytes, plain);
            };
            let missing = missing_of(&partial).min(bytes.len());
            if partial.extend(bytes.get(..missing).unwrap_or_default()) < missing {
                return Err(Fault::Memory);
            }
            bytes.advance(missing);
            if missing_of(&partial) > 0 {
                self.partial = Some(partial);
                continue;
            }
            let opened = self.side.open(&mut partial, reset(&mut scratch.ranges))?;
            self.closed |= opened.closed;
            push_ranges(&partial.freeze(), &scratch.ranges, plain);
        }
        Ok(())
    }

    /// Opens in place what these bytes hold and keeps the beginning of the last record.
    fn open_whole(
        &mut self,
        pool: &Pool,
        scratch: &mut Scratch,
        mut bytes: Buf,
        plain: &mut Vec<Buf>,
    ) -> Result<(), Fault> {
        let input = bytes.get_mut().ok_or(Fault::Memory)?;
        let Opened { consumed, closed } = self.side.open(input, reset(&mut scratch.ranges))?;
        self.closed |= closed;
        push_ranges(&bytes, &scratch.ranges, plain);
        let rest = bytes.get(consumed..).unwrap_or_default();
        if rest.is_empty() || closed {
            return Ok(());
        }
        let mut partial = pool.take(TLS_RECORD_MAX.max(rest.len())).ok_or(Fault::Memory)?;
        partial.extend(rest);
        self.partial = Some(partial);
        Ok(())
    }

    /// Sends what TLS itself has to say.
    fn flush<D: Driver>(
        &mut self,
        driver: &mut D,
        socket: Socket,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        scratch.output.clear();
        self.side.output(&mut scratch.output);
        for piece in scratch.output.chunks(TLS_PLAIN_MAX) {
            let mut out = driver.pool().take(piece.len()).ok_or(Fault::Memory)?;
            out.extend(piece);
            driver.send(socket, out.freeze());
        }
        Ok(())
    }

    fn seal<D: Driver>(
        &mut self,
        driver: &mut D,
        socket: Socket,
        mut plain: &[u8],
    ) -> Result<(), Fault> {
        while !plain.is_empty() {
            let chunk = plain.get(..TLS_PLAIN_MAX).unwrap_or(plain);
            let mut out = driver.pool().take(chunk.len() + TLS_OVERHEAD).ok_or(Fault::Memory)?;
            let Sealed { read, written } = self.side.seal(chunk, out.spare_mut())?;
            if read == 0 {
                return Err(Fault::Memory);
            }
            out.advance(written);
            driver.send(socket, out.freeze());
            plain = plain.get(read..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Bytes that a record lacks: of its header first, then of its body.
fn missing_of(partial: &[u8]) -> usize {
    match partial {
        [_, _, _, high, low, body @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            length.saturating_sub(body.len())
        }
        short => 5 - short.len().min(4),
    }
}

fn reset(ranges: &mut Vec<Range<usize>>) -> &mut Vec<Range<usize>> {
    ranges.clear();
    ranges
}

fn push_ranges(bytes: &Buf, ranges: &[Range<usize>], plain: &mut Vec<Buf>) {
    plain.extend(ranges.iter().filter(|range| !range.is_empty()).map(|r| bytes.slice(r.clone())));
}

impl Side {
    fn session(&mut self) -> &mut dyn Session {
        match self {
            Self::Server(server) => server,
            Self::Client(client) => client,
        }
    }

    fn open(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<Range<usize>>,
    ) -> Result<Opened, TlsError> {
        self.session().open(input, plain)
    }

    fn seal(&mut self, plain: &[u8], out: &mut [u8]) -> Result<Sealed, TlsError> {
        self.session().seal(plain, out)
    }

    fn output(&mut self, out: &mut Vec<u8>) {
        self.session().output(out);
    }

    fn close(&mut self) {
        self.session().close();
    }

    fn is_handshaking(&self) -> bool {
        match self {
            Self::Server(server) => server.is_handshaking(),
            Self::Client(client) => client.is_handshaking(),
        }
    }

    fn peer(&self) -> &Peer {
        match self {
            Self::Server(server) => server.peer(),
            Self::Client(client) => client.peer(),
        }
    }
}
