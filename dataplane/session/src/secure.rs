//! TLS over a socket: records in, plaintext out, and the way back.

use std::collections::VecDeque;
use std::ops::Range;

use ring::driver::{Driver, Socket};
use ring::{Buf, BufMut, Pool};
use tls::session::{Opened, Peer, Sealed, Session, TlsError};

use crate::limits::{TLS_OVERHEAD, TLS_PIECES, TLS_PLAIN_MAX, TLS_RECORD_MAX};
use crate::queue::Queue;
use crate::share;
use crate::transport::Fault;

/// TLS over the socket.
pub(crate) struct Secure {
    pub(crate) side: Side,
    /// The beginning of a record of which the rest has not come yet.
    partial: Option<BufMut>,
    /// The peer has said good-bye.
    pub(crate) closed: bool,
    /// Our own SPIFFE id on this connection, where a header is to tell it.
    pub(crate) local_uri: Box<str>,
    /// Plaintext that is to be sealed when what was sealed before it has left: unsealed it stands
    /// in the buffers that it came in, of which nobody needs a new one to be answered.
    waiting: VecDeque<Buf>,
    waiting_bytes: usize,
    /// The last byte has been given: good-bye is said behind what waits.
    pub(crate) is_finishing: bool,
    /// More is about to be pushed: sealing waits for it.
    pub(crate) is_held: bool,
}

/// How much of what waits is to be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// As much as the connection's share of memory allows.
    Share,
    /// All of it.
    All,
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

impl Secure {
    pub(crate) fn new(side: Side) -> Self {
        Self {
            side,
            partial: None,
            closed: false,
            local_uri: Box::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            is_finishing: false,
            is_held: false,
        }
    }

    /// Bytes that are not sealed yet.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Takes plaintext in, for [`Secure::seal`].
    pub(crate) fn push(&mut self, plain: Buf) {
        self.waiting_bytes += plain.len();
        self.waiting.push_back(plain);
    }

    /// Opens records: first the one that began earlier, then what lies in these bytes as a whole.
    pub(crate) fn open(
        &mut self,
        pool: &Pool,
        scratch: &mut Scratch,
        mut bytes: Buf,
        plain: &mut Vec<Buf>,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() && !self.closed {
            let Some(partial) = self.partial.take() else {
                return self.open_whole(pool, scratch, bytes, plain);
            };
            let missing = missing_of(&partial)?.min(bytes.len());
            let mut partial = with_room(pool, partial, missing)?;
            partial.extend(bytes.get(..missing).unwrap_or_default());
            bytes.advance(missing);
            if missing_of(&partial)? > 0 {
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
        let mut partial = pool.take(rest.len()).ok_or(Fault::Memory)?;
        partial.extend(rest);
        self.partial = Some(partial);
        Ok(())
    }

    /// Sends what TLS itself has to say.
    pub(crate) fn flush<D: Driver>(
        &mut self,
        driver: &mut D,
        socket: Socket,
        queue: &mut Queue,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        scratch.output.clear();
        self.side.output(&mut scratch.output);
        for piece in scratch.output.chunks(TLS_PLAIN_MAX) {
            let mut out = driver.pool().take(piece.len()).ok_or(Fault::Memory)?;
            out.extend(piece);
            queue.push(driver, socket, out.freeze())?;
        }
        Ok(())
    }

    /// Seals what waits. Where some of it has to go on waiting the socket has bytes to send: to be
    /// called again when they have left.
    pub(crate) fn seal<D: Driver>(
        &mut self,
        driver: &mut D,
        socket: Socket,
        queue: &mut Queue,
        extent: Extent,
    ) -> Result<(), Fault> {
        while !self.waiting.is_empty() {
            let unsent = driver.unsent(socket) + queue.kept();
            let may_wait = extent == Extent::Share && unsent > 0;
            if may_wait && unsent >= share::unsent_max(driver.pool()) {
                return Ok(());
            }
            let (pieces, length) = gather(&self.waiting);
            let mut out = match driver.pool().take(length + TLS_OVERHEAD) {
                Some(out) => out,
                None if may_wait => return Ok(()),
                None => return Err(Fault::Memory),
            };
            let Sealed { read, written } = self.side.seal(&pieces, out.spare_mut())?;
            if read == 0 {
                return Err(Fault::Memory);
            }
            out.advance(written);
            queue.push(driver, socket, out.freeze())?;
            self.consume(read);
        }
        Ok(())
    }

    /// So many bytes of what waited are sealed.
    fn consume(&mut self, mut count: usize) {
        self.waiting_bytes = self.waiting_bytes.saturating_sub(count);
        while let Some(front) = self.waiting.front_mut() {
            let taken = count.min(front.len());
            front.advance(taken);
            count -= taken;
            if !front.is_empty() {
                return;
            }
            self.waiting.pop_front();
        }
    }
}

/// The plaintext of the next record, and how long it is.
fn gather(waiting: &VecDeque<Buf>) -> ([&[u8]; TLS_PIECES], usize) {
    let mut pieces = [&[][..]; TLS_PIECES];
    let mut length = 0;
    for (to, bytes) in pieces.iter_mut().zip(waiting) {
        *to = bytes.get(..TLS_PLAIN_MAX - length).unwrap_or(bytes);
        length += to.len();
    }
    (pieces, length)
}

/// Bytes that a record lacks: of its header first, then of its body.
fn missing_of(partial: &[u8]) -> Result<usize, Fault> {
    match partial {
        [_, _, _, high, low, body @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if length + 5 > TLS_RECORD_MAX {
                let detail = format!("a record of {length} bytes");
                return Err(Fault::Tls(TlsError { code: "tls.record_too_large", detail }));
            }
            Ok(length.saturating_sub(body.len()))
        }
        short => Ok(5 - short.len().min(4)),
    }
}

/// The same bytes with room for more. A record's buffer grows with what has come of it, not with
/// what its header promises: a promise costs a peer nothing.
fn with_room(pool: &Pool, partial: BufMut, more: usize) -> Result<BufMut, Fault> {
    if partial.remaining() >= more {
        return Ok(partial);
    }
    let mut larger = pool.take(partial.len() + more).ok_or(Fault::Memory)?;
    larger.extend(&partial);
    Ok(larger)
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

    fn seal(&mut self, plain: &[&[u8]], out: &mut [u8]) -> Result<Sealed, TlsError> {
        self.session().seal_pieces(plain, out)
    }

    fn output(&mut self, out: &mut Vec<u8>) {
        self.session().output(out);
    }

    pub(crate) fn close(&mut self) {
        self.session().close();
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Self::Server(server) => server.is_handshaking(),
            Self::Client(client) => client.is_handshaking(),
        }
    }

    pub(crate) fn peer(&self) -> &Peer {
        match self {
            Self::Server(server) => server.peer(),
            Self::Client(client) => client.peer(),
        }
    }
}

#[cfg(test)]
mod tests;
