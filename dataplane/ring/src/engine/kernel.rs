//! What differs between the two drivers.

use std::io;
use std::os::fd::OwnedFd;

use super::Core;
use crate::buf::Buf;
use crate::driver::{Size, Socket};

/// The part of a driver that speaks to the kernel. Each operation may be done at once or answered
/// later by [`News`]; asking for what is already outstanding does nothing.
pub(crate) trait Kernel {
    /// A socket has entered the table.
    fn attach(&mut self, core: &mut Core, socket: Socket) -> io::Result<()>;

    /// A socket is about to leave the table; nothing of it is outstanding.
    fn detach(&mut self, core: &mut Core, socket: Socket);

    /// Goes on accepting.
    fn accept(&mut self, core: &mut Core, socket: Socket) -> Step<OwnedFd>;

    /// Goes on receiving as the slot's `armed` says.
    fn recv(&mut self, core: &mut Core, socket: Socket) -> Step<Received>;

    /// Sends from the slot's queue, at once where `now` says so and nothing sent before is still
    /// outstanding; done with the number of bytes taken.
    fn send(&mut self, core: &mut Core, socket: Socket, now: bool) -> Step<usize>;

    /// A direct call has met a socket that was not ready: [`News::Ready`] shall come when it is.
    fn watch(&mut self, core: &mut Core, socket: Socket, side: Side);

    /// Ends what is outstanding of the receiving side, or all. Whatever it was still gets its
    /// answer.
    fn cancel(&mut self, core: &mut Core, socket: Socket, what: Cancel);

    /// How many receive buffers of a size could be used now.
    fn buffers(&self, core: &Core, size: Size) -> usize;

    /// There will be news as soon as what was asked for is handed over: nobody need wait for it.
    fn expects_news(&self) -> bool {
        false
    }

    /// Hands over what was asked for, waits for `patience`, and appends the news.
    fn wait(
        &mut self,
        core: &mut Core,
        patience: Patience,
        news: &mut Vec<(Socket, News)>,
    ) -> io::Result<()>;

    /// The driver ends: takes everything back from the kernel.
    fn shut_down(&mut self, core: &mut Core);
}

/// The answer to an operation.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// It is done.
    Done(T),
    /// It is outstanding, or waits for the socket to become ready: news will come.
    Pending,
    /// It has failed with this error number.
    Failed(i32),
}

/// What a receive ended with.
#[derive(Debug)]
pub(crate) enum Received {
    /// Bytes; more may follow at once.
    Data(Buf),
    /// The peer has closed its sending side.
    Eof,
    /// There was no buffer to receive into.
    NoBuffers,
}

/// What the kernel has to tell.
#[derive(Debug)]
pub(crate) enum News {
    /// A connection was accepted.
    Accepted(OwnedFd),
    /// Accepting has ended, with an error number or for no reason (0).
    AcceptEnded(i32),
    /// A receive has brought this.
    Received(Received),
    /// A receive has ended: its budget is used up, or it just has to be asked for again.
    ReceiveEnded,
    /// A receive has failed with this error number.
    ReceiveFailed(i32),
    /// A send has ended.
    Sent(Result<usize, i32>),
    /// The socket can be read from.
    Readable,
    /// The socket can be written to.
    Writable,
    /// The waker was used. The socket means nothing.
    Woken,
    /// Something was cancelled or otherwise came to an end of which nobody needs to know more.
    Over,
}

/// A direction of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Reading.
    Read,
    /// Writing.
    Write,
}

/// What to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// Receiving.
    Receive,
    /// Everything.
    All,
}

/// How long to wait for news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// At most so many nanoseconds.
    Ns(u64),
    /// For ever.
    Endless,
}
