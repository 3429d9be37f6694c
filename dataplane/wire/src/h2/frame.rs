//! Frames: their heads read, and the small ones written (RFC 9113, 4.1 and 6).

use super::ErrorCode;

/// The length of a frame's head.
pub const FRAME_HEAD_BYTES: usize = 9;

/// The largest payload that is read: what we announce by leaving `SETTINGS_MAX_FRAME_SIZE` alone.
/// Larger frames would only make one stream hold up the others for longer.
pub const FRAME_BYTES_MAX: usize = 16_384;

/// The highest stream identifier, and the highest flow-control window.
pub(super) const U31_MAX: u32 = (1 << 31) - 1;

/// What a client sends first (RFC 9113, 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// A frame's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// One that is ignored (RFC 9113, 4.1).
    Unknown,
}

impl Kind {
    fn of(number: u8) -> Self {
        match number {
            0x0 => Self::Data,
            0x1 => Self::Headers,
            0x2 => Self::Priority,
            0x3 => Self::RstStream,
            0x4 => Self::Settings,
            0x5 => Self::PushPromise,
            0x6 => Self::Ping,
            0x7 => Self::GoAway,
            0x8 => Self::WindowUpdate,
            0x9 => Self::Continuation,
            _ => Self::Unknown,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Data => 0x0,
            Self::Headers => 0x1,
            Self::Priority => 0x2,
            Self::RstStream => 0x3,
            Self::Settings => 0x4,
            Self::PushPromise => 0x5,
            Self::Ping => 0x6,
            Self::GoAway => 0x7,
            Self::WindowUpdate => 0x8,
            Self::Continuation => 0x9,
            Self::Unknown => 0xff,
        }
    }
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// The payload's.
    pub(super) len: usize,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// 0: the connection.
    pub(super) stream: u32,
}

impl FrameHead {
    pub(super) fn read(bytes: &[u8; FRAME_HEAD_BYTES]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        Self {
            len: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind: Kind::of(kind),
            flags,
            // The reserved bit is ignored (RFC 9113, 4.1).
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & U31_MAX,
        }
    }

    pub(super) fn bytes(self) -> [u8; FRAME_HEAD_BYTES] {
        let [_, l0, l1, l2] = (self.len as u32).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind.number(), self.flags, s0, s1, s2, s3]
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a frame.
pub(super) fn put(kind: Kind, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&FrameHead { len: payload.len(), kind, flags, stream }.bytes());
    out.extend_from_slice(payload);
}

/// Appends RST_STREAM (RFC 9113, 6.4).
pub(super) fn put_reset(stream: u32, error: ErrorCode, out: &mut Vec<u8>) {
    put(Kind::RstStream, 0, stream, &error.number().to_be_bytes(), out);
}

/// Appends GOAWAY without debug data (RFC 9113, 6.8).
pub(super) fn put_go_away(last: u32, error: ErrorCode, out: &mut Vec<u8>) {
    let [a, b, c, d] = last.to_be_bytes();
    let [e, f, g, h] = error.number().to_be_bytes();
    put(Kind::GoAway, 0, 0, &[a, b, c, d, e, f, g, h], out);
}

/// Appends WINDOW_UPDATE (RFC 9113, 6.9).
pub(super) fn put_window_update(stream: u32, increment: u32, out: &mut Vec<u8>) {
    put(Kind::WindowUpdate, 0, stream, &increment.to_be_bytes(), out);
}

/// The first four bytes as a number, without its upper bit.
pub(super) fn u31(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) & U31_MAX)
}
