//! TLS of one connection, between the driver's buffers and the codec.

use std::ops::Range;

use ring::{Buf, Driver, Pool, Socket};
use tls::{Client, ClientContext, SEAL_OVERHEAD, Session};

use super::error::Failure;

/// Plaintext of one record at the most (RFC 8446 section 5.1).
const RECORD_PLAIN_MAX: usize = 16 * 1024;
/// The head of a record: type, version, length.
const HEAD_BYTES: usize = 5;

/// A session and the beginning of a record whose end has not come.
pub(super) struct Secure {
    client: Client,
    partial: Vec<u8>,
}

/// Memory of a thread for opening and sealing.
#[derive(Default)]
pub(super) struct Scratch {
    ranges: Vec<Range<usize>>,
    output: Vec<u8>,
}

impl Secure {
    /// Begins a handshake; what it has to say is flushed by the caller.
    pub(super) fn new(context: &ClientContext) -> Result<Self, Failure> {
        Ok(Self { client: context.connect(None, None)?, partial: Vec::new() })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.client.is_handshaking()
    }

    /// Whether the peer has agreed to HTTP/2; it is known after the handshake.
    pub(super) fn speaks_http2(&self) -> bool {
        self.client.peer().alpn == b"h2"
    }

    /// Opens records, the plaintext of each in its place, and has them read. Says whether the peer
    /// has said good-bye.
    pub(super) fn open(
        &mut self,
        scratch: &mut Scratch,
        bytes: &mut Buf,
        mut read: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let mut is_over = false;
        while !self.partial.is_empty() && !bytes.is_empty() {
            let missing = missing_of(&self.partial).min(bytes.len());
            self.partial.extend_from_slice(bytes.get(..missing).unwrap_or_default());
            bytes.advance(missing);
            if missing_of(&self.partial) == 0 {
                let mut record = std::mem::take(&mut self.partial);
                let opened = self.open_whole(scratch, &mut record, &mut read)?;
                is_over |= opened.1;
                record.clear();
                self.partial = record;
            }
        }
        if bytes.is_empty() || is_over {
            return Ok(is_over);
        }
        // Nobody else has a view of what was just received.
        let Some(input) = bytes.get_mut() else { return Err(Failure::Buffers) };
        let (consumed, closed) = self.open_whole(scratch, input, &mut read)?;
        self.partial.extend_from_slice(input.get(consumed..).unwrap_or_default());
        Ok(closed)
    }

    fn open_whole(
        &mut self,
        scratch: &mut Scratch,
        input: &mut [u8],
        read: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(usize, bool), Failure> {
        scratch.ranges.clear();
        let opened = self.client.open(input, &mut scratch.ranges)?;
        for range in scratch.ranges.drain(..) {
            let plain = input.get(range).unwrap_or_default();
            if !plain.is_empty() {
                read(plain)?;
            }
        }
        Ok((opened.consumed, opened.closed))
    }

    /// Sends what TLS itself has to say.
    pub(super) fn flush<D: Driver>(
        &mut self,
        scratch: &mut Scratch,
        driver: &mut D,
        socket: Socket,
    ) -> Result<(), Failure> {
        scratch.output.clear();
        self.client.output(&mut scratch.output);
        for piece in scratch.output.chunks(RECORD_PLAIN_MAX) {
            let mut out = take(driver.pool(), piece.len())?;
            out.extend(piece);
            driver.send(socket, out.freeze());
        }
        Ok(())
    }

    /// Seals and sends.
    pub(super) fn seal<D: Driver>(
        &mut self,
        driver: &mut D,
        socket: Socket,
        mut plain: &[u8],
    ) -> Result<(), Failure> {
        while !plain.is_empty() {
            let chunk = plain.get(..RECORD_PLAIN_MAX).unwrap_or(plain);
            let mut out = take(driver.pool(), chunk.len() + 2 * SEAL_OVERHEAD)?;
            let sealed = self.client.seal(chunk, out.spare_mut())?;
            if sealed.read == 0 {
                return Err(Failure::Buffers);
            }
            out.advance(sealed.written);
            driver.send(socket, out.freeze());
            plain = plain.get(sealed.read..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says good-bye; to be flushed.
    pub(super) fn close(&mut self) {
        self.client.close();
    }
}

fn take(pool: &Pool, bytes: usize) -> Result<ring::BufMut, Failure> {
    pool.take(bytes).ok_or(Failure::Buffers)
}

/// Bytes that the record at the front lacks: of its head first, then of its body.
fn missing_of(partial: &[u8]) -> usize {
    match partial {
        [_, _, _, high, low, body @ ..] => {
            usize::from(u16::from_be_bytes([*high, *low])).saturating_sub(body.len())
        }
        short => HEAD_BYTES - short.len(),
    }
}
