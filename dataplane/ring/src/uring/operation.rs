//! What a completion belongs to, in the 64 bits that the kernel hands back: the socket's
//! generation (32), its slot (24) and the kind of operation (8).

use crate::driver::{Size, Socket};
use crate::sockets::SENDING;

/// User data of entries whose completion means nothing.
pub(super) const NOTHING: u64 = 0;

/// User data of the poll for waking up.
pub(super) const WAKE: u64 = 0xff;

/// The operations of sockets. One of a kind can be outstanding for a socket at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Receiving into small buffers.
    RecvSmall = 1,
    /// Receiving into large buffers.
    RecvLarge = 2,
    /// Sending.
    Send = 3,
    /// Waiting until the socket can be read from.
    PollRead = 4,
    /// Waiting until the socket can be written to.
    PollWrite = 5,
    /// Accepting.
    Accept = 6,
}

impl Operation {
    pub(super) const OF_SOCKETS: [Self; 6] = [
        Self::RecvSmall,
        Self::RecvLarge,
        Self::Send,
        Self::PollRead,
        Self::PollWrite,
        Self::Accept,
    ];

    /// The receive into buffers of this size.
    pub(super) fn receive(size: Size) -> Self {
        match size {
            Size::Small => Self::RecvSmall,
            Size::Large => Self::RecvLarge,
        }
    }

    /// The operation's bit in a slot's `outstanding`.
    pub(super) fn bit(self) -> u8 {
        match self {
            Self::RecvSmall => 1,
            Self::RecvLarge => 32,
            Self::Send => SENDING,
            Self::PollRead => 4,
            Self::PollWrite => 8,
            Self::Accept => 16,
        }
    }

    /// The bits of what cannot be outstanding beside it: there is one receive at a time, of either
    /// size.
    pub(super) fn excluded(self) -> u8 {
        match self {
            Self::RecvSmall | Self::RecvLarge => Self::RecvSmall.bit() | Self::RecvLarge.bit(),
            other => other.bit(),
        }
    }

    pub(super) fn user_data(self, socket: Socket) -> u64 {
        u64::from(socket.generation) << 32 | u64::from(socket.slot) << 8 | self as u64
    }

    /// What `user_data` was made of; `None` where it was not an operation of a socket.
    pub(super) fn of(user_data: u64) -> Option<(Self, Socket)> {
        let kind = user_data & 0xff;
        let operation = Self::OF_SOCKETS.into_iter().find(|operation| *operation as u64 == kind)?;
        let slot = (user_data >> 8 & 0x00ff_ffff) as u32;
        Some((operation, Socket { slot, generation: (user_data >> 32) as u32 }))
    }
}
