//! Why a stream or a connection is refused: one stable code for each reason.

use super::ErrorCode;

/// A refused message, or a connection that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason, shared by log, metric and tap, such as `http2.rapid_reset`.
    pub code: &'static str,
    /// What the peer is told.
    pub error: ErrorCode,
    /// What ends by it.
    pub scope: Scope,
}

/// What a refusal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One stream, by RST_STREAM (RFC 9113, 5.4.2).
    Stream,
    /// The connection, by GOAWAY (RFC 9113, 5.4.1).
    Connection,
}

const fn connection(code: &'static str, error: ErrorCode) -> Refusal {
    Refusal { code, error, scope: Scope::Connection }
}

const fn protocol(code: &'static str) -> Refusal {
    connection(code, ErrorCode::ProtocolError)
}

const fn compression(code: &'static str) -> Refusal {
    connection(code, ErrorCode::CompressionError)
}

const fn flood(code: &'static str) -> Refusal {
    connection(code, ErrorCode::EnhanceYourCalm)
}

const fn frame_size(code: &'static str) -> Refusal {
    connection(code, ErrorCode::FrameSizeError)
}

/// A message that breaks the rules of RFC 9113, 8.
const fn message(code: &'static str) -> Refusal {
    stream(code, ErrorCode::ProtocolError)
}

const fn stream(code: &'static str, error: ErrorCode) -> Refusal {
    Refusal { code, error, scope: Scope::Stream }
}

impl Refusal {
    /// The same reason, ending the connection.
    pub(super) const fn of_connection(self) -> Self {
        Self { scope: Scope::Connection, ..self }
    }
}

// Header compression.
pub(super) const HPACK_HUFFMAN: Refusal = compression("http2.invalid_huffman_code");
pub(super) const HPACK_INDEX: Refusal = compression("http2.invalid_header_index");
pub(super) const HPACK_INTEGER: Refusal = compression("http2.invalid_header_integer");
pub(super) const HPACK_TRUNCATED: Refusal = compression("http2.truncated_header_block");
pub(super) const HPACK_UPDATE_MISSING: Refusal = compression("http2.missing_table_size_update");
pub(super) const HPACK_UPDATE_PLACE: Refusal = compression("http2.misplaced_table_size_update");
pub(super) const HPACK_UPDATE_SIZE: Refusal = compression("http2.table_size_update_too_large");

// Frames.
pub(super) const ACK_UNASKED: Refusal = protocol("http2.unasked_settings_ack");
pub(super) const CONTINUATION_EXPECTED: Refusal = protocol("http2.continuation_expected");
pub(super) const CONTINUATION_UNEXPECTED: Refusal = protocol("http2.unexpected_continuation");
pub(super) const FRAME_SIZE: Refusal = frame_size("http2.invalid_frame_size");
pub(super) const FRAME_TOO_LARGE: Refusal = frame_size("http2.frame_too_large");
pub(super) const PADDING: Refusal = protocol("http2.invalid_padding");
pub(super) const PREFACE: Refusal = protocol("http2.invalid_preface");
pub(super) const PUSH: Refusal = protocol("http2.push_promise_refused");
pub(super) const SELF_DEPENDENCY: Refusal = protocol("http2.self_dependency");
pub(super) const SETTING: Refusal = protocol("http2.invalid_setting");
pub(super) const SETTING_WINDOW: Refusal =
    connection("http2.invalid_initial_window", ErrorCode::FlowControlError);
pub(super) const SETTINGS_FIRST: Refusal = protocol("http2.settings_expected");
pub(super) const STREAM_CLOSED: Refusal =
    connection("http2.frame_on_closed_stream", ErrorCode::StreamClosed);
pub(super) const STREAM_CLOSED_LONG_AGO: Refusal =
    stream("http2.frame_on_closed_stream", ErrorCode::StreamClosed);
pub(super) const STREAM_ID: Refusal = protocol("http2.invalid_stream_id");
pub(super) const STREAM_IDLE: Refusal = protocol("http2.frame_on_idle_stream");

// Flow control.
pub(super) const INCREMENT_ZERO: Refusal = protocol("http2.zero_window_update");
pub(super) const INCREMENT_ZERO_STREAM: Refusal = message("http2.zero_window_update");
pub(super) const WINDOW_EXCEEDED: Refusal =
    connection("http2.flow_control_window_exceeded", ErrorCode::FlowControlError);
pub(super) const WINDOW_OVERFLOW: Refusal =
    connection("http2.window_overflow", ErrorCode::FlowControlError);
pub(super) const WINDOW_OVERFLOW_STREAM: Refusal =
    stream("http2.window_overflow", ErrorCode::FlowControlError);

// Floods.
pub(super) const CONTINUATION_FLOOD: Refusal = flood("http2.continuation_flood");
pub(super) const CONTROL_FLOOD: Refusal = flood("http2.outbound_control_frames_flood");
pub(super) const EMPTY_FLOOD: Refusal = flood("http2.inbound_empty_frames_flood");
pub(super) const HEAD_FAR_TOO_LARGE: Refusal = flood("http2.header_list_far_too_large");
pub(super) const HEADER_BLOCK_TOO_LONG: Refusal = flood("http2.header_block_too_long");
pub(super) const PRIORITY_FLOOD: Refusal = flood("http2.inbound_priority_frames_flood");
pub(super) const RAPID_RESET: Refusal = flood("http2.rapid_reset");
pub(super) const SETTINGS_FLOOD: Refusal = flood("http2.inbound_settings_flood");
pub(super) const WINDOW_UPDATE_FLOOD: Refusal = flood("http2.inbound_window_update_frames_flood");

// Streams.
pub(super) const TOO_MANY_STREAMS: Refusal =
    stream("http2.too_many_streams", ErrorCode::RefusedStream);

// Messages.
pub(super) const AUTHORITY: Refusal = message("http2.invalid_authority");
pub(super) const AUTHORITY_MISSING: Refusal = message("http2.missing_authority");
pub(super) const BODY_TO_STATUS: Refusal = message("http2.body_disallowed_by_status");
pub(super) const CONNECTION_FIELD: Refusal = message("http2.connection_header_rejected");
pub(super) const CONTENT_LENGTH: Refusal = message("http2.invalid_content_length");
pub(super) const CONTENT_LENGTH_TWICE: Refusal = message("http2.duplicate_content_length");
pub(super) const CONTENT_LENGTH_DIFFERS: Refusal = message("http2.content_length_mismatch");
pub(super) const DATA_BEFORE_HEAD: Refusal = message("http2.data_before_headers");
pub(super) const FIELD_NAME: Refusal = message("http2.invalid_header_name");
pub(super) const FIELD_VALUE: Refusal = message("http2.invalid_header_value");
pub(super) const FRAGMENT: Refusal = message("http2.fragment_in_path");
pub(super) const HOST_CONFLICT: Refusal = message("http2.conflicting_host");
pub(super) const HOST_TWICE: Refusal = message("http2.duplicate_host");
pub(super) const INTERIM_ENDS: Refusal = message("http2.interim_response_ends_stream");
pub(super) const METHOD: Refusal = message("http2.invalid_method");
pub(super) const PATH: Refusal = message("http2.invalid_path");
pub(super) const PROTOCOL: Refusal = message("http2.invalid_protocol");
pub(super) const PSEUDO_AFTER_FIELD: Refusal = message("http2.pseudo_header_after_header");
pub(super) const PSEUDO_MISSING: Refusal = message("http2.missing_pseudo_header");
pub(super) const PSEUDO_TWICE: Refusal = message("http2.duplicate_pseudo_header");
pub(super) const PSEUDO_UNEXPECTED: Refusal = message("http2.unexpected_pseudo_header");
pub(super) const SCHEME: Refusal = message("http2.invalid_scheme");
pub(super) const STATUS: Refusal = message("http2.invalid_status");
pub(super) const TE: Refusal = message("http2.invalid_te");
pub(super) const TOO_LARGE: Refusal = stream("http2.headers_too_large", ErrorCode::InternalError);
pub(super) const TOO_MANY: Refusal = stream("http2.too_many_headers", ErrorCode::InternalError);
pub(super) const TRAILER_FIELD: Refusal = message("http2.invalid_trailer");
pub(super) const TRAILERS_OPEN: Refusal = message("http2.trailers_without_end");
