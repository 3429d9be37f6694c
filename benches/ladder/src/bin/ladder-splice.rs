//! The limit for bulk: the kernel moves the bytes through pipes of 1 MiB, by splice(2).

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use ringway_ladder::command::Command;
use ringway_ladder::readiness::{Carrier, Outcome, Way, serve};

/// What a pipe holds, and what is moved at once.
const PIPE: usize = 1 << 20;
/// Moves of one direction before it is the others' turn.
const SHARE: usize = 8;

/// A pipe, and what is in it.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

/// Pipes that hold nothing; the one used last is the next.
struct Splice(Vec<Pipe>);

fn main() -> io::Result<()> {
    serve(&Command::from_args(), Splice(Vec::new()))
}

impl Splice {
    fn pipe(&mut self) -> io::Result<Pipe> {
        if let Some(pipe) = self.0.pop() {
            return Ok(pipe);
        }
        let (read, write) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
        // Without the right to so large a pipe it works with a small one.
        let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(PIPE as i32));
        Ok(Pipe { read, write, held: 0 })
    }
}

impl Carrier for Splice {
    /// The pipe, for as long as it holds something.
    type Kept = Option<Pipe>;

    fn carry(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        way: &mut Way<Self::Kept>,
    ) -> io::Result<Outcome> {
        let mut pipe = way.kept.take().map_or_else(|| self.pipe(), Ok)?;
        let outcome = carry(from, to, &mut pipe, way);
        match pipe.held {
            0 => self.0.push(pipe),
            _ => way.kept = Some(pipe),
        }
        outcome
    }
}

fn carry(
    from: &TcpStream,
    to: &TcpStream,
    pipe: &mut Pipe,
    way: &mut Way<Option<Pipe>>,
) -> io::Result<Outcome> {
    for _ in 0..SHARE {
        if !way.writable {
            return Ok(Outcome::Waits);
        }
        if way.readable && !way.ended {
            match moved(from, &pipe.write)? {
                Some(0) => way.ended = true,
                Some(count) => pipe.held += count,
                // With bytes in the pipe this may mean that the pipe is full.
                None if pipe.held == 0 => way.readable = false,
                None => {}
            }
        }
        if pipe.held > 0 {
            match moved(&pipe.read, to)? {
                Some(count) => pipe.held -= count,
                None => way.writable = false,
            }
        } else if way.ended {
            return Ok(Outcome::Delivered);
        } else if !way.readable {
            return Ok(Outcome::Waits);
        }
    }
    Ok(Outcome::Yields)
}

/// Moves bytes without waiting; `None` where it would have had to.
fn moved(from: impl AsFd, to: impl AsFd) -> io::Result<Option<usize>> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    match splice(from, None, to, None, PIPE, flags) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
