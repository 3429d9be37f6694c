//! Settings: the peer's read, ours written (RFC 9113, 6.5).

use super::connection::Role;
use super::flow::WINDOW_BYTES_DEFAULT;
use super::frame::{FRAME_BYTES_MAX, Kind, U31_MAX, put};
use super::hpack::TABLE_BYTES_DEFAULT;
use super::refusal::{self, Refusal};
use super::{Config, EXTRA_SETTINGS};

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;

/// How many settings one frame may hold: there are 7 that we know.
pub(super) const SETTINGS_MAX: usize = 64;

/// What the peer has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// The size of the table that our header blocks may use.
    pub header_table_bytes: u32,
    /// How many streams of ours may be open at once.
    pub streams_max: u32,
    /// The window of a new stream for what we send.
    pub window_bytes: u32,
    /// The largest payload of a frame that we may send.
    pub frame_bytes_max: u32,
    /// The largest head that the peer means to take, 32 bytes counted for each field.
    pub head_bytes_max: u32,
    /// CONNECT with `:protocol` is understood (RFC 8441).
    pub extended_connect: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            header_table_bytes: TABLE_BYTES_DEFAULT as u32,
            // Until the peer says so, what RFC 9113, 6.5.2 recommends to allow at least.
            streams_max: 100,
            window_bytes: WINDOW_BYTES_DEFAULT,
            frame_bytes_max: FRAME_BYTES_MAX as u32,
            head_bytes_max: u32::MAX,
            extended_connect: false,
        }
    }
}

impl PeerSettings {
    /// Takes in the settings of a frame. `first`: it is the connection's first. Returns the
    /// smallest table on the way: a frame may name a setting more than once, each counts in its
    /// turn (RFC 9113, 6.5.3), and the smallest has to be told of (RFC 7541, 4.2).
    pub(super) fn take(&mut self, payload: &[u8], role: Role, first: bool) -> Result<u32, Refusal> {
        if payload.len() / 6 > SETTINGS_MAX {
            return Err(refusal::SETTINGS_FLOOD);
        }
        if first {
            // What is not limited by the first frame is not limited.
            self.streams_max = u32::MAX;
        }
        let mut smallest = u32::MAX;
        for setting in payload.chunks_exact(6) {
            if let [i0, i1, v0, v1, v2, v3] = *setting {
                let value = u32::from_be_bytes([v0, v1, v2, v3]);
                self.set(u16::from_be_bytes([i0, i1]), value, role)?;
                if u16::from_be_bytes([i0, i1]) == HEADER_TABLE_SIZE {
                    smallest = smallest.min(value);
                }
            }
        }
        Ok(smallest.min(self.header_table_bytes))
    }

    fn set(&mut self, setting: u16, value: u32, role: Role) -> Result<(), Refusal> {
        match setting {
            HEADER_TABLE_SIZE => self.header_table_bytes = value,
            // A server must not even allow it (RFC 9113, 6.5.2).
            ENABLE_PUSH if value > 1 || (value == 1 && role == Role::Client) => {
                return Err(refusal::SETTING);
            }
            MAX_CONCURRENT_STREAMS => self.streams_max = value,
            INITIAL_WINDOW_SIZE if value > U31_MAX => return Err(refusal::SETTING_WINDOW),
            INITIAL_WINDOW_SIZE => self.window_bytes = value,
            MAX_FRAME_SIZE if !(FRAME_BYTES_MAX as u32..=(1 << 24) - 1).contains(&value) => {
                return Err(refusal::SETTING);
            }
            MAX_FRAME_SIZE => self.frame_bytes_max = value,
            MAX_HEADER_LIST_SIZE => self.head_bytes_max = value,
            // Once allowed it stays so (RFC 8441, 3).
            ENABLE_CONNECT_PROTOCOL if value > 1 || (value == 0 && self.extended_connect) => {
                return Err(refusal::SETTING);
            }
            ENABLE_CONNECT_PROTOCOL => self.extended_connect = value == 1,
            _ => {}
        }
        Ok(())
    }
}

/// Appends our settings.
pub(super) fn put_ours(config: &Config, role: Role, out: &mut Vec<u8>) {
    let head_bytes = u32::try_from(config.head_bytes_max).unwrap_or(u32::MAX);
    let of_role = match role {
        Role::Client => (ENABLE_PUSH, 0),
        Role::Server => (MAX_CONCURRENT_STREAMS, config.streams_max),
    };
    let all = [
        Some(of_role),
        Some((INITIAL_WINDOW_SIZE, config.stream_window_bytes)),
        Some((MAX_HEADER_LIST_SIZE, head_bytes)),
        (config.header_table_bytes as usize != TABLE_BYTES_DEFAULT)
            .then_some((HEADER_TABLE_SIZE, config.header_table_bytes)),
        (role == Role::Server && config.extended_connect).then_some((ENABLE_CONNECT_PROTOCOL, 1)),
    ];
    let extra = config.extra_settings.into_iter().filter(|(setting, _)| *setting != 0);
    let (mut payload, mut len) = ([0; 6 * (5 + EXTRA_SETTINGS)], 0);
    for (setting, value) in all.into_iter().flatten().chain(extra) {
        let ([i0, i1], [v0, v1, v2, v3]) = (setting.to_be_bytes(), value.to_be_bytes());
        let place = payload.get_mut(len..).and_then(|left| left.first_chunk_mut());
        if let Some(place) = place {
            *place = [i0, i1, v0, v1, v2, v3];
            len += 6;
        }
    }
    put(Kind::Settings, 0, 0, payload.get(..len).unwrap_or_default(), out);
}
