//! Epoll by hand: receive into one aligned buffer, send while the bytes are in cache.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use ringway_ladder::command::Command;
use ringway_ladder::readiness::{Carrier, Outcome, Way, serve};

/// Bytes received at once.
const BUFFER: usize = 64 * 1024;
/// Buffers of one direction before it is the others' turn.
const SHARE: usize = 8;

/// A misaligned buffer costs up to twice the time of the kernel's copies.
#[repr(align(64))]
struct Aligned([u8; BUFFER]);

struct Copy(Box<Aligned>);

fn main() -> io::Result<()> {
    serve(&Command::from_args(), Copy(Box::new(Aligned([0; BUFFER]))))
}

impl Carrier for Copy {
    /// What the destination has not taken yet.
    type Kept = Vec<u8>;

    fn carry(
        &mut self,
        mut from: &TcpStream,
        to: &TcpStream,
        way: &mut Way<Self::Kept>,
    ) -> io::Result<Outcome> {
        for _ in 0..SHARE {
            if !way.kept.is_empty() {
                let sent = send(to, &way.kept, &mut way.writable)?;
                way.kept.drain(..sent);
            }
            if !way.kept.is_empty() || !way.writable {
                return Ok(Outcome::Waits);
            }
            if way.ended {
                return Ok(Outcome::Delivered);
            }
            if !way.readable {
                return Ok(Outcome::Waits);
            }
            match from.read(&mut self.0.0) {
                Ok(0) => way.ended = true,
                Ok(count) => {
                    let bytes = &self.0.0[..count];
                    let sent = send(to, bytes, &mut way.writable)?;
                    way.kept.extend_from_slice(&bytes[sent..]);
                    // A short read has emptied the socket, but an end behind it has been told of
                    // already (epoll(7), question 9).
                    way.readable = count == BUFFER || way.hangs_up;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => way.readable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(Outcome::Yields)
    }
}

/// Sends what the socket takes and says how much that was.
fn send(mut to: &TcpStream, bytes: &[u8], writable: &mut bool) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() && *writable {
        match to.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => *writable = false,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
