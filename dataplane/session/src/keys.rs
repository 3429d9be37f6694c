//! Who a socket belongs to, packed into the ring's tag.

use ring::Key;
use ring::driver::Tag;

/// A key that no table gives out.
pub(crate) const NOBODY: Key = Key { slot: SLOT_MASK, generation: u32::MAX };

/// The owner of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A listening socket, by its place in the accept table.
    Listener(Key),
    /// A connection from a client.
    Down(Key),
    /// A connection to an upstream.
    Up(Key),
}

/// What a timer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// A connection from a client.
    Down(Key),
    /// A connection to an upstream.
    Up(Key),
    /// A request.
    Stream(Key),
    /// The once-a-second work.
    Second,
}

// The tables' limits leave the top bits of a slot free: the kind stands there.
const KIND_SHIFT: u32 = 30;
const SLOT_MASK: u32 = (1 << KIND_SHIFT) - 1;

impl Owner {
    pub(crate) fn tag(self) -> Tag {
        let (kind, key) = match self {
            Self::Listener(key) => (0, key),
            Self::Down(key) => (1, key),
            Self::Up(key) => (2, key),
        };
        let slot = (key.slot & SLOT_MASK) | (kind << KIND_SHIFT);
        Tag(Key { slot, ..key }.pack())
    }

    pub(crate) fn of(tag: Tag) -> Option<Self> {
        let packed = Key::unpack(tag.0);
        let key = Key { slot: packed.slot & SLOT_MASK, ..packed };
        match packed.slot >> KIND_SHIFT {
            0 => Some(Self::Listener(key)),
            1 => Some(Self::Down(key)),
            2 => Some(Self::Up(key)),
            _ => None,
        }
    }
}
