//! Heads and bodies into the ring's buffers.

use ring::driver::Driver;
use ring::{Buf, BufMut, Pool};
use wire::h1::{self, CHUNK_END, LAST_CHUNK, Sink};
use wire::head::{Framing, Head};

use crate::transport::{Fault, Transport};

/// A piece of a body.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Some bytes.
    Data(Buf),
    /// There is no more.
    End,
}

/// Room for a head: a usual one, or the largest there can be.
const ROOMS: [usize; 2] = [4 * 1024, 64 * 1024];

/// Chunks up to this size are written in one piece with their framing.
pub(crate) const SMALL_CHUNK: usize = 2 * 1024;

struct Room(BufMut);

impl Sink for Room {
    fn put(&mut self, bytes: &[u8]) -> bool {
        self.0.remaining() >= bytes.len() && self.0.extend(bytes) == bytes.len()
    }
}

/// A request's head. `None`: no memory, or larger than any buffer.
pub(crate) fn request(pool: &Pool, head: &Head, framing: Framing) -> Option<Buf> {
    into_room(pool, |room| h1::encode_request(head, framing, room))
}

/// A response's head.
pub(crate) fn response(pool: &Pool, head: &Head, framing: Framing) -> Option<Buf> {
    into_room(pool, |room| h1::encode_response(head, None, framing, room))
}

fn into_room(pool: &Pool, write: impl Fn(&mut Room) -> bool) -> Option<Buf> {
    ROOMS.iter().find_map(|bytes| {
        let mut room = Room(pool.take(*bytes)?);
        write(&mut room).then(|| room.0.freeze())
    })
}

/// Bytes of our own, copied into buffers.
pub(crate) fn copy(pool: &Pool, mut bytes: &[u8], mut take: impl FnMut(Buf)) -> Result<(), Fault> {
    while !bytes.is_empty() {
        let chunk = bytes.get(..64 * 1024).unwrap_or(bytes);
        let mut out = pool.take(chunk.len()).ok_or(Fault::Memory)?;
        let copied = out.extend(chunk);
        if copied == 0 {
            return Err(Fault::Memory);
        }
        bytes = bytes.get(copied..).unwrap_or_default();
        take(out.freeze());
    }
    Ok(())
}

/// Sends a piece of a body in the framing that its head has announced.
pub(crate) fn send<D: Driver>(
    io: &mut Transport,
    driver: &mut D,
    framing: Framing,
    piece: Piece,
) -> Result<(), Fault> {
    match (framing, piece) {
        (Framing::Chunked, Piece::Data(bytes)) => send_chunk(io, driver, bytes),
        (Framing::Chunked, Piece::End) => io.send(driver, Buf::from_static(LAST_CHUNK)),
        (_, Piece::Data(bytes)) => io.send(driver, bytes),
        (_, Piece::End) => Ok(()),
    }
}

fn send_chunk<D: Driver>(io: &mut Transport, driver: &mut D, bytes: Buf) -> Result<(), Fault> {
    // An empty chunk would end the body.
    if bytes.is_empty() {
        return Ok(());
    }
    let mut line = [0; 18];
    let length = h1::chunk_head(bytes.len(), &mut line);
    let line = line.get(..length).unwrap_or_default();
    let small = bytes.len() <= SMALL_CHUNK;
    let room = length + if small { bytes.len() + CHUNK_END.len() } else { 0 };
    let mut out = driver.pool().take(room).ok_or(Fault::Memory)?;
    out.extend(line);
    if small {
        out.extend(&bytes);
        out.extend(CHUNK_END);
        return io.send(driver, out.freeze());
    }
    io.send(driver, out.freeze())?;
    io.send(driver, bytes)?;
    io.send(driver, Buf::from_static(CHUNK_END))
}
