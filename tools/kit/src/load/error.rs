//! What goes wrong with a run, and with one request of it.

use std::{fmt, io};

use ring::Op;
use tls::TlsError;
use wire::h2::ErrorCode;

/// Why there was no run at all. What single requests meet is counted in the report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The load cannot be made as it is described.
    #[error("{what} {reason}")]
    Spec {
        /// Which part of the description.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system lacks something that a thread of the generator needs.
    #[error("cannot start the load generator: {what}: {reason}")]
    Start {
        /// What was tried.
        what: &'static str,
        /// What the system said, or why.
        reason: String,
    },
    /// A thread of the generator died of a bug.
    #[error("a thread of the load generator died: {0}")]
    Worker(String),
}

impl Error {
    pub(super) fn spec(what: &str, reason: String) -> Self {
        Self::Spec { what: what.into(), reason }
    }

    pub(super) fn start(what: &'static str, reason: impl fmt::Display) -> Self {
        Self::Start { what, reason: reason.to_string() }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Connect(io::ErrorKind),
    Io(io::ErrorKind),
    Closed,
    Timeout,
    Refused(&'static str),
    /// The server has given the stream up.
    Reset(ErrorCode),
    /// The server has gone away before it had answered.
    GoneAway(ErrorCode),
    /// The server does not agree to HTTP/2.
    NoHttp2,
    /// The answer's content is of another kind.
    NotGrpc,
    /// The answer, with this status of HTTP, has no `grpc-status`.
    NoGrpcStatus(u16),
    /// The answer's body is not one message.
    Message,
    Tls(TlsError),
    BodyDiffers,
    BytesBehind,
    Unasked,
    Buffers,
    NotSent,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(io::ErrorKind::AddrNotAvailable) => f.write_str(
                "cannot connect: no local port is left; closed connections hold theirs for a \
                 minute, unless they are reset",
            ),
            Self::Connect(kind) => write!(f, "cannot connect: {kind}"),
            Self::Io(kind) => write!(f, "connection failed: {kind}"),
            Self::Closed => f.write_str("connection closed before the whole answer"),
            Self::Timeout => f.write_str("no whole answer in time"),
            Self::Refused(code) => {
                let version = if code.starts_with("http2") { "2" } else { "1.1" };
                write!(f, "answer is not HTTP/{version}: {code}")
            }
            Self::Reset(error) => write!(f, "stream was reset: {}", Name(*error)),
            Self::GoneAway(error) => write!(f, "server has gone away: {}", Name(*error)),
            Self::NoHttp2 => f.write_str("server does not agree to HTTP/2 (ALPN)"),
            Self::NotGrpc => f.write_str("answer is not gRPC: its content-type is another"),
            Self::NoGrpcStatus(status) => {
                write!(f, "answer is not gRPC: no grpc-status, and HTTP status {status}")
            }
            Self::Message => f.write_str("answer is not gRPC: its body is not one message"),
            Self::Tls(error) => write!(f, "no TLS: {error}"),
            Self::BodyDiffers => f.write_str("body differs from what was expected"),
            Self::BytesBehind => f.write_str("bytes behind the answer"),
            Self::Unasked => f.write_str("bytes that nobody asked for"),
            Self::Buffers => f.write_str("the generator's own buffers are used up"),
            Self::NotSent => f.write_str("not sent: all connections were busy till the end"),
        }
    }
}

/// An error code as RFC 9113, section 7 writes it.
struct Name(ErrorCode);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ErrorCode::NoError => "NO_ERROR",
            ErrorCode::ProtocolError => "PROTOCOL_ERROR",
            ErrorCode::InternalError => "INTERNAL_ERROR",
            ErrorCode::FlowControlError => "FLOW_CONTROL_ERROR",
            ErrorCode::SettingsTimeout => "SETTINGS_TIMEOUT",
            ErrorCode::StreamClosed => "STREAM_CLOSED",
            ErrorCode::FrameSizeError => "FRAME_SIZE_ERROR",
            ErrorCode::RefusedStream => "REFUSED_STREAM",
            ErrorCode::Cancel => "CANCEL",
            ErrorCode::CompressionError => "COMPRESSION_ERROR",
            ErrorCode::ConnectError => "CONNECT_ERROR",
            ErrorCode::EnhanceYourCalm => "ENHANCE_YOUR_CALM",
            ErrorCode::InadequateSecurity => "INADEQUATE_SECURITY",
            ErrorCode::Http11Required => "HTTP_1_1_REQUIRED",
            ErrorCode::Other(number) => return write!(f, "code {number}"),
        })
    }
}

impl From<ring::Failure> for Failure {
    fn from(failure: ring::Failure) -> Self {
        let kind = io::Error::from_raw_os_error(failure.errno).kind();
        match failure.op {
            Op::Connect => Self::Connect(kind),
            _ => Self::Io(kind),
        }
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}
