//! Why a message is refused: one stable code for each reason, with Envoy's answer beside it.

/// A refused message. The connection that it came on must be closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason, shared by log, metric and tap, such as `http1.conflicting_framing`.
    pub code: &'static str,
    /// What the client is answered: for a request 400, 426, 431 or 501; for a response 502.
    pub status: u16,
    /// Envoy's response code details, such as `http1.codec_error`.
    pub details: &'static str,
}

impl Refusal {
    /// 400 for what Envoy's parser would not read.
    pub(super) const fn codec(code: &'static str) -> Self {
        Self { code, status: 400, details: "http1.codec_error" }
    }

    /// 400 with details of its own.
    pub(super) const fn bad(code: &'static str, details: &'static str) -> Self {
        Self { code, status: 400, details }
    }

    /// The same reason where a server's response has it: the client gets 502.
    pub(super) const fn of_response(self) -> Self {
        let details = "upstream_reset_before_response_started{protocol_error}";
        Self { code: self.code, status: 502, details }
    }
}

pub(super) const AUTHORITY: Refusal =
    Refusal::bad("http1.invalid_authority", "http.invalid_authority");
pub(super) const BODY_TO_CONNECT: Refusal =
    Refusal::bad("http1.body_disallowed", "http1.body_disallowed");
pub(super) const BODY_TO_STATUS: Refusal = Refusal::codec("http1.body_disallowed_by_status");
pub(super) const CHARACTERS: Refusal =
    Refusal::bad("http1.invalid_characters", "http1.invalid_characters");
pub(super) const CHUNK_END: Refusal = Refusal::codec("http1.invalid_chunk_end");
pub(super) const CHUNK_EXTENSION: Refusal = Refusal::codec("http1.invalid_chunk_extension");
pub(super) const CHUNK_LINE_TOO_LONG: Refusal = Refusal::codec("http1.chunk_line_too_long");
pub(super) const CHUNK_SIZE: Refusal = Refusal::codec("http1.invalid_chunk_size");
pub(super) const CONNECTION_FIELD: Refusal =
    Refusal::bad("http1.connection_header_rejected", "http1.connection_header_rejected");
pub(super) const CONTENT_LENGTH: Refusal = Refusal::codec("http1.invalid_content_length");
pub(super) const CONTENT_LENGTH_TWICE: Refusal = Refusal::codec("http1.duplicate_content_length");
pub(super) const FIELD: Refusal = Refusal::codec("http1.invalid_header");
pub(super) const FRAGMENT: Refusal =
    Refusal::bad("http1.fragment_in_path", "path_normalization_failed");
pub(super) const FRAMING: Refusal =
    Refusal::bad("http1.conflicting_framing", "http1.content_length_and_chunked_not_allowed");
pub(super) const HOST_MISSING: Refusal = Refusal::bad("http1.missing_host", "missing_host_header");
pub(super) const HOST_TWICE: Refusal = Refusal::codec("http1.duplicate_host");
pub(super) const INCOMPLETE: Refusal = Refusal::codec("http1.incomplete_message");
pub(super) const LINE_END: Refusal = Refusal::codec("http1.bare_cr_or_lf");
pub(super) const METHOD: Refusal = Refusal::codec("http1.invalid_method");
pub(super) const SCHEME: Refusal = Refusal::bad("http1.invalid_scheme", "http1.invalid_scheme");
pub(super) const START_LINE: Refusal = Refusal::codec("http1.invalid_start_line");
pub(super) const STATUS: Refusal = Refusal::codec("http1.invalid_status");
pub(super) const SWITCH_UNASKED: Refusal = Refusal::codec("http1.unasked_upgrade");
pub(super) const TARGET: Refusal = Refusal::bad("http1.invalid_url", "http1.invalid_url");
pub(super) const TOO_LARGE: Refusal =
    Refusal { code: "http1.headers_too_large", status: 431, details: "http1.headers_too_large" };
pub(super) const TOO_MANY: Refusal =
    Refusal { code: "http1.too_many_headers", status: 431, details: "http1.too_many_headers" };
pub(super) const TRAILER: Refusal = Refusal::codec("http1.invalid_trailer");
pub(super) const TRANSFER_ENCODING: Refusal = Refusal {
    code: "http1.unsupported_transfer_encoding",
    status: 501,
    details: "http1.invalid_transfer_encoding",
};
pub(super) const TRANSFER_ENCODING_IN_10: Refusal =
    Refusal::codec("http1.transfer_encoding_in_http_10");
pub(super) const UPGRADE_TWICE: Refusal = Refusal::codec("http1.duplicate_upgrade");
pub(super) const VERSION: Refusal =
    Refusal { code: "http1.unsupported_version", status: 426, details: "low_version" };
