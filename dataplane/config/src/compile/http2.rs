//! `Http2ProtocolOptions`, the same for both sides.

use std::time::Duration;

use api::envoy::core::http2_protocol_options::SettingsParameter;
use api::envoy::core::{Http2ProtocolOptions, KeepaliveSettings};
use api::envoy::protobuf::UInt32Value;

use super::at::{At, Fault, decide};
use super::value;
use crate::snapshot::{EXTRA_SETTINGS, Floods, Http2, Keepalive};

/// What a window may be (RFC 9113, 6.9.2; Envoy's lower bound).
const WINDOW_BYTES: std::ops::RangeInclusive<u32> = 65_535..=0x7fff_ffff;
/// The largest table that is kept for a peer's header blocks.
const TABLE_BYTES_MAX: u32 = 64 * 1024;

/// `of_manager`: what the connection manager says of malformed messages, for options that do not.
pub(crate) fn compile(
    at: &At<'_>,
    given: Option<&Http2ProtocolOptions>,
    of_manager: Option<bool>,
) -> Result<Http2, Fault> {
    let ours = Http2::default();
    let Some(given) = given else {
        return Ok(Http2 { malformed_ends_stream: of_manager.unwrap_or_default(), ..ours });
    };
    decide!(at, given => Http2ProtocolOptions {
        used: hpack_table_size, max_concurrent_streams, initial_stream_window_size,
            initial_connection_window_size, stream_error_on_invalid_http_messaging,
            override_stream_error_on_invalid_http_message, allow_connect,
            max_outbound_control_frames, max_consecutive_inbound_frames_with_empty_payload,
            max_inbound_priority_frames_per_stream,
            max_inbound_window_update_frames_per_data_frame_sent, custom_settings_parameters,
            connection_keepalive, stream_reset_burst;
        refused: allow_metadata, disallow_obs_text;
        // What waits to be sent is bounded by its bytes, a field by its head, and resets are paid
        // for by answers, not by time.
        without_effect: use_oghttp2_codec, max_metadata_size, enable_huffman_encoding,
            max_outbound_frames, max_header_field_size_kb, stream_reset_rate;
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
    let of_stream = of_manager.unwrap_or(*stream_error_on_invalid_http_messaging);
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
        extended_connect: *allow_connect,
        keepalive: keepalive(&at.field("connection_keepalive"), connection_keepalive.as_ref())?,
        floods: Floods {
            answers: bounded(max_outbound_control_frames, 1_000, 10_000),
            empty_frames: bounded(max_consecutive_inbound_frames_with_empty_payload, 1, 100),
            priorities: bounded(max_inbound_priority_frames_per_stream, 100, 1_000),
            window_updates: bounded(max_inbound_window_update_frames_per_data_frame_sent, 10, 100),
            resets: stream_reset_burst
                .map_or(500, |burst| u32::try_from(burst.value).unwrap_or(u32::MAX).min(10_000)),
        },
        extra_settings: extra(&at.field("custom_settings_parameters"), custom_settings_parameters)?,
    })
}

/// A limit as it is given, but never above ours.
fn bounded(given: &Option<UInt32Value>, default: u32, most: u32) -> u32 {
    value::u32_or(given, default).min(most)
}

fn keepalive(at: &At<'_>, given: Option<&KeepaliveSettings>) -> Result<Option<Keepalive>, Fault> {
    let Some(given) = given else { return Ok(None) };
    decide!(at, given => KeepaliveSettings {
        used: interval, timeout, interval_jitter, connection_idle_interval;
    });
    let time = |name: &str, given| -> Result<Option<Duration>, Fault> {
        let at = at.field(name);
        let time = value::duration(&at, given)?;
        match time.is_some_and(|time| time < Duration::from_millis(1)) {
            true => Err(at.invalid("at least 1ms")),
            false => Ok(time),
        }
    };
    let interval = time("interval", interval)?;
    let percent = interval_jitter.as_ref().map_or(15.0, |percent| percent.value);
    if !(0.0..=100.0).contains(&percent) {
        return Err(at.field("interval_jitter").invalid("from 0 to 100"));
    }
    Ok(Some(Keepalive {
        interval,
        jitter: interval.unwrap_or_default().mul_f64(percent / 100.0),
        timeout: time("timeout", timeout)?
            .ok_or_else(|| at.field("timeout").missing("it has to be given"))?,
        idle_interval: time("connection_idle_interval", connection_idle_interval)?,
    }))
}

/// Settings that are ours to send, or that other fields are for.
const OWN_SETTINGS: [u32; 7] = [1, 2, 3, 4, 5, 6, 8];

fn extra(at: &At<'_>, given: &[SettingsParameter]) -> Result<[(u16, u32); EXTRA_SETTINGS], Fault> {
    at.at_most(EXTRA_SETTINGS, given.len())?;
    let mut all = [(0, 0); EXTRA_SETTINGS];
    for ((index, one), place) in given.iter().enumerate().zip(&mut all) {
        let at = at.item(index);
        let SettingsParameter { identifier, value } = one;
        let number = identifier.as_ref().map_or(0, |number| number.value);
        if OWN_SETTINGS.contains(&number) {
            return Err(at.field("identifier").unsupported("this setting has a field of its own"));
        }
        let identifier = u16::try_from(number).ok().filter(|number| *number > 0);
        let identifier =
            identifier.ok_or_else(|| at.field("identifier").invalid("from 1 to 65535"))?;
        let value =
            value.as_ref().ok_or_else(|| at.field("value").missing("it has to be given"))?;
        *place = (identifier, value.value);
    }
    Ok(all)
}
