//! `Http2ProtocolOptions`, the same for both sides.

use api::envoy::core::Http2ProtocolOptions;

use super::at::{At, Fault, decide};
use super::value;
use crate::snapshot::Http2;

/// What a window may be (RFC 9113, 6.9.2; Envoy's lower bound).
const WINDOW_BYTES: std::ops::RangeInclusive<u32> = 65_535..=0x7fff_ffff;
/// The largest table that is kept for a peer's header blocks.
const TABLE_BYTES_MAX: u32 = 64 * 1024;

pub(crate) fn compile(at: &At<'_>, given: Option<&Http2ProtocolOptions>) -> Result<Http2, Fault> {
    let ours = Http2::default();
    let Some(given) = given else { return Ok(ours) };
    decide!(at, given => Http2ProtocolOptions {
        used: hpack_table_size, max_concurrent_streams, initial_stream_window_size,
            initial_connection_window_size, stream_error_on_invalid_http_messaging,
            override_stream_error_on_invalid_http_message;
        // Limits against floods are Envoy's defaults, and fixed.
        refused: allow_connect, allow_metadata, max_outbound_frames, max_outbound_control_frames,
            max_consecutive_inbound_frames_with_empty_payload,
            max_inbound_priority_frames_per_stream,
            max_inbound_window_update_frames_per_data_frame_sent, custom_settings_parameters,
            connection_keepalive, max_header_field_size_kb, disallow_obs_text, stream_reset_burst,
            stream_reset_rate;
        without_effect: use_oghttp2_codec, max_metadata_size, enable_huffman_encoding;
    });
    let streams = at.field("max_concurrent_streams");
    let streams_max = value::u32_or(max_concurrent_streams, ours.streams_max);
    if !(1..=0x7fff_ffff).contains(&streams_max) {
        return Err(streams.invalid("between 1 and 2147483647"));
    }
    let window = |name: &str, given: &Option<_>, most: u32| match value::u32_or(given, most) {
        // A window is a promise of memory: it is not made larger than it can be kept.
        bytes if WINDOW_BYTES.contains(&bytes) => Ok(bytes.min(most)),
        _ => Err(at.field(name).invalid("between 65535 and 2147483647")),
    };
    let (stream, connection) = (ours.stream_window_bytes, ours.connection_window_bytes);
    let of_stream = *stream_error_on_invalid_http_messaging;
    Ok(Http2 {
        streams_max,
        stream_window_bytes: window(
            "initial_stream_window_size",
            initial_stream_window_size,
            stream,
        )?,
        connection_window_bytes: window(
            "initial_connection_window_size",
            initial_connection_window_size,
            connection,
        )?,
        header_table_bytes: value::u32_or(hpack_table_size, ours.header_table_bytes)
            .min(TABLE_BYTES_MAX),
        malformed_ends_stream: value::bool_or(
            override_stream_error_on_invalid_http_message,
            of_stream,
        ),
    })
}
