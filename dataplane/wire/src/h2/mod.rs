//! HTTP/2 (RFC 9113) with header compression (RFC 7541), sans-io, for both sides of a proxy.
//!
//! A [`Connection`] takes the bytes of a socket as they come and says, step by step, what they
//! mean. Heads are unpacked into a [`Head`](crate::head::Head) of the caller's. Bodies are not
//! copied: a step names the bytes of its input that belong to one, and [`Connection::send_data`]
//! writes only the frame's head in front of what the caller sends. What is to be sent gathers in
//! [`Connection::output`].
//!
//! Nothing here asks for the time: how long a peer may take is the caller's to bound.
//!
//! Every limit stands in [`Config`] or in [`limits`]; a peer that passes one meets a [`Refusal`].

mod code;
mod connection;
mod flow;
mod frame;
mod guard;
mod hpack;
mod message;
mod refusal;
mod settings;
mod streams;
mod write;

pub use code::ErrorCode;
pub use connection::{Connection, Event, Handle, Role, Sent, Step, Unsent};
pub use frame::{FRAME_BYTES_MAX, FRAME_HEAD_BYTES, PREFACE};
pub use guard::{Floods, limits};
pub use refusal::{Refusal, Scope};
pub use settings::PeerSettings;

/// What a connection accepts, and how much it lets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The size of a head or of trailers: names and values, and 32 bytes for each field
    /// (`SETTINGS_MAX_HEADER_LIST_SIZE`; Envoy: `max_request_headers_kb`).
    pub head_bytes_max: usize,
    /// The number of fields without the pseudo ones, each cookie crumb counted
    /// (`max_headers_count`).
    pub fields_max: usize,
    /// How many streams of the peer may be open at once (`max_concurrent_streams`).
    pub streams_max: u32,
    /// What a peer may send on one stream before it is consumed (`initial_stream_window_size`).
    /// It bounds what a slow reader makes us hold.
    pub stream_window_bytes: u32,
    /// The same for the whole connection (`initial_connection_window_size`), at least 65,535.
    pub connection_window_bytes: u32,
    /// The size of the table that the peer's header blocks may use (`hpack_table_size`).
    pub header_table_bytes: u32,
    /// CONNECT with `:protocol` is accepted (RFC 8441; Envoy: `allow_connect` and upgrades).
    pub extended_connect: bool,
    /// A malformed message ends its stream alone, as RFC 9113, 8.1.1 asks for (Envoy:
    /// `override_stream_error_on_invalid_http_message`); otherwise its connection.
    pub malformed_ends_stream: bool,
    /// Limits against floods.
    pub floods: Floods,
    /// Settings that are sent besides ours, each an identifier and a value; identifier 0: none.
    pub extra_settings: [(u16, u32); EXTRA_SETTINGS],
}

/// How many settings may be sent besides ours.
pub const EXTRA_SETTINGS: usize = 8;

impl Default for Config {
    fn default() -> Self {
        Self {
            head_bytes_max: 60 * 1024,
            fields_max: 100,
            streams_max: 100,
            stream_window_bytes: 128 * 1024,
            connection_window_bytes: 1024 * 1024,
            header_table_bytes: 4096,
            extended_connect: false,
            malformed_ends_stream: true,
            floods: Floods::default(),
            extra_settings: [(0, 0); EXTRA_SETTINGS],
        }
    }
}

#[cfg(test)]
mod tests;
