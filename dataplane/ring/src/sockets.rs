//! The table of sockets that both drivers share.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::buf::Buf;
use crate::driver::{Size, Socket, Tag};
use crate::pieces::{Pieces, Spare};
use crate::slab::Key;
use crate::sys;
use crate::uring::vectored::{Message, PIECES_MAX};
use crate::wheel::Timer;

/// Slots are named by 24 bits in what the kernel hands back.
pub(crate) const SOCKETS_MAX: usize = (1 << 24) - 1;

/// Pieces that one socket may have queued for sending; one more and the socket fails with
/// `ENOBUFS`. Their bytes are bounded by the pool.
pub(crate) const QUEUE_BUFS_MAX: usize = 8 * 1024;

/// Pieces up to this size are copied behind the one before, if there is room.
const COPY_BYTES_MAX: usize = 2 * 1024;

/// The bit of `outstanding` that stands for a send, whose bytes the kernel may still read.
pub(crate) const SENDING: u8 = 2;

/// io_uring: the bit that is set besides where the send is a silent one.
pub(crate) const SILENT: u8 = 64;

/// Where in its life a socket is. The first three are the caller's, the others are ours alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Accepting.
    Listener,
    /// Connecting, with an alarm at its deadline.
    Connecting,
    /// Connected, or broken.
    Stream,
    /// Closed by the caller; what is queued is leaving.
    Flushing,
    /// All has left and so has our FIN; what the peer still sends is thrown away for a while.
    Lingering,
    /// Only waiting for the kernel to let go of what is outstanding.
    Dying,
}

/// The closing of our sending side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fin {
    /// Not asked for.
    No,
    /// Follows the last queued byte.
    Wanted,
    /// Sent.
    Sent,
}

/// An armed receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Armed {
    /// Bytes that may still come.
    pub(crate) left: u32,
    /// The buffers to receive into.
    pub(crate) size: Size,
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) fd: OwnedFd,
    pub(crate) tag: Tag,
    pub(crate) life: Life,
    pub(crate) fin: Fin,
    /// The peer has closed its sending side, and we have told so.
    pub(crate) eof: bool,
    /// A failure was reported: nothing is sent any more.
    pub(crate) broken: bool,
    /// Bytes were sent at some time, so there may be last words to protect.
    pub(crate) spoke: bool,
    /// Closed without lingering: the peer has said that it will send nothing more.
    pub(crate) hasty: bool,
    /// Waits in the list of sockets with bytes to send.
    pub(crate) dirty: bool,
    /// Waits in the list of sockets that can go on without news from the kernel.
    pub(crate) scheduled: bool,
    /// Waits for a receive buffer to return.
    pub(crate) parked: bool,
    /// epoll: not known to be dry. io_uring: unused.
    pub(crate) readable: bool,
    /// Not known to be full. io_uring: the last send did not fall short.
    pub(crate) writable: bool,
    /// io_uring: the operations in the kernel's hands, a bit each. epoll: 0.
    pub(crate) outstanding: u8,
    /// io_uring: the message of an outstanding vectored send. epoll: unused.
    pub(crate) message: Option<Box<Message>>,
    pub(crate) armed: Option<Armed>,
    /// What to arm when `armed` is used up.
    pub(crate) next: Option<Armed>,
    pub(crate) queue: Pieces,
    /// Bytes in `queue`.
    pub(crate) unsent: usize,
    /// The relay whose source this is.
    pub(crate) source_of: Option<Key>,
    /// The relay whose destination this is.
    pub(crate) destination_of: Option<Key>,
    /// Connecting: the deadline. Listener: the end of a pause. Closed: when patience ends.
    pub(crate) alarm: Option<Timer>,
}

impl Slot {
    /// Whether the caller still hears of this socket.
    pub(crate) fn heard(&self) -> bool {
        matches!(self.life, Life::Listener | Life::Connecting | Life::Stream)
    }

    /// Whether bytes can be sent: connected, and not known to be broken.
    pub(crate) fn sendable(&self) -> bool {
        matches!(self.life, Life::Stream | Life::Flushing) && !self.broken
    }

    /// The flag for a send of so many of the queued pieces. Behind the last bytes that there will
    /// be comes a FIN at once: the kernel keeps them back for it, and one segment carries both.
    pub(crate) fn more(&self, pieces: usize) -> i32 {
        let ends = self.fin == Fin::Wanted || (self.life == Life::Flushing && self.hasty);
        if ends && pieces == self.queue.len() { libc::MSG_MORE } else { 0 }
    }

    /// Sends from the queue by one direct call, without waiting.
    pub(crate) fn send_directly(&self) -> io::Result<usize> {
        let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
        let mut count = 0;
        for (piece, bytes) in pieces.iter_mut().zip(self.queue.iter()) {
            *piece = IoSlice::new(bytes);
            count += 1;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | self.more(count);
        let pieces = pieces.get(..count).unwrap_or_default();
        sys::options(&self.fd).send_vectored_with_flags(pieces, flags)
    }

    /// Queues bytes for sending. Few bytes behind others are copied to them: one piece is sent by a
    /// cheaper operation than two.
    pub(crate) fn push(&mut self, bytes: Buf) {
        self.unsent += bytes.len();
        let may_copy = bytes.len() <= COPY_BYTES_MAX && self.outstanding & SENDING == 0;
        let copied = may_copy && self.queue.back_mut().is_some_and(|last| last.append(&bytes));
        if !copied {
            self.queue.push_back(bytes);
        }
    }

    /// Takes `n` sent bytes out of the queue.
    pub(crate) fn sent(&mut self, n: usize) {
        let mut left = n.min(self.unsent);
        self.unsent -= left;
        self.spoke |= n > 0;
        while let Some(front) = self.queue.front_mut() {
            if front.len() > left {
                front.advance(left);
                return;
            }
            left -= front.len();
            self.queue.pop_front();
        }
    }

    /// Forgets what is queued, unless the kernel may still read it: then it is forgotten when the
    /// send has ended.
    pub(crate) fn forget(&mut self) {
        if self.outstanding & SENDING == 0 {
            self.queue.clear();
            self.unsent = 0;
        }
    }
}

/// A slot's memory, which is used again by the next socket.
#[derive(Debug, Default)]
struct Place {
    generation: u32,
    slot: Option<Slot>,
    /// Memory of the last socket's queue, so that the next one need not allocate.
    spare: Spare,
}

/// What an idle connection costs in user space; its buffers cost nothing until bytes come.
const _: () = assert!(size_of::<Place>() <= 144);

/// All sockets of a driver. Handles that are stale find nothing.
#[derive(Debug)]
pub(crate) struct Sockets {
    places: Vec<Place>,
    free: Vec<u32>,
    limit: usize,
}

impl Sockets {
    pub(crate) fn new(limit: usize) -> Self {
        Self { places: Vec::new(), free: Vec::new(), limit: limit.min(SOCKETS_MAX) }
    }

    /// How many sockets there are, those closing in the background included.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// How many sockets there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether one more socket would be too many.
    pub(crate) fn full(&self) -> bool {
        self.len() >= self.limit
    }

    /// Takes a socket in; `None` (and the socket closed) where the table is full.
    pub(crate) fn insert(&mut self, fd: OwnedFd, life: Life, tag: Tag) -> Option<Socket> {
        if self.full() {
            return None;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            (self.places.len() - 1) as u32
        });
        let place = self.places.get_mut(index as usize)?;
        place.slot = Some(new_slot(fd, life, tag, std::mem::take(&mut place.spare)));
        Some(Socket { slot: index, generation: place.generation })
    }

    /// The socket, in whatever part of its life.
    pub(crate) fn get(&self, socket: Socket) -> Option<&Slot> {
        let place = self.places.get(socket.slot as usize)?;
        if place.generation != socket.generation {
            return None;
        }
        place.slot.as_ref()
    }

    /// The socket, in whatever part of its life.
    pub(crate) fn get_mut(&mut self, socket: Socket) -> Option<&mut Slot> {
        let place = self.places.get_mut(socket.slot as usize)?;
        if place.generation != socket.generation {
            return None;
        }
        place.slot.as_mut()
    }

    /// The socket, if the caller has not closed it.
    pub(crate) fn heard(&self, socket: Socket) -> Option<&Slot> {
        self.get(socket).filter(|slot| slot.heard())
    }

    /// The socket, if the caller has not closed it.
    pub(crate) fn heard_mut(&mut self, socket: Socket) -> Option<&mut Slot> {
        self.get_mut(socket).filter(|slot| slot.heard())
    }

    /// The descriptor of a socket, in whatever part of its life.
    pub(crate) fn fd(&self, socket: Socket) -> Option<BorrowedFd<'_>> {
        self.get(socket).map(|slot| slot.fd.as_fd())
    }

    /// Takes a socket out; its handle is stale from now on.
    pub(crate) fn remove(&mut self, socket: Socket) {
        let Some(place) = self.places.get_mut(socket.slot as usize) else { return };
        if place.generation != socket.generation {
            return;
        }
        if let Some(mut slot) = place.slot.take() {
            slot.forget();
            place.spare = slot.queue.into_spare();
            place.generation = place.generation.wrapping_add(1);
            self.free.push(socket.slot);
        }
    }

    /// The handles of all sockets.
    pub(crate) fn all(&self) -> Vec<Socket> {
        let sockets = self.places.iter().enumerate().filter(|(_, place)| place.slot.is_some());
        let handle = |(slot, place): (usize, &Place)| Socket {
            slot: slot as u32,
            generation: place.generation,
        };
        sockets.map(handle).collect()
    }
}

fn new_slot(fd: OwnedFd, life: Life, tag: Tag, spare: Spare) -> Slot {
    Slot {
        fd,
        tag,
        life,
        fin: Fin::No,
        eof: false,
        broken: false,
        spoke: false,
        hasty: false,
        dirty: false,
        scheduled: false,
        parked: false,
        readable: true,
        writable: true,
        outstanding: 0,
        message: None,
        armed: None,
        next: None,
        queue: Pieces::with(spare),
        unsent: 0,
        source_of: None,
        destination_of: None,
        alarm: None,
    }
}
