//! Every limit of a worker, with its reason. Sizes are in bytes unless the name says otherwise.

/// Connections from clients that a worker keeps at once.
pub const DOWNSTREAM_MAX: usize = 64 * 1024;
/// Connections to upstreams that a worker keeps at once.
pub const UPSTREAM_MAX: usize = 64 * 1024;
/// Requests that a worker has under way at once.
pub const STREAMS_MAX: usize = 64 * 1024;
/// Listening sockets of a worker.
pub const LISTENERS_MAX: usize = 1024;

/// What one arming of a receive may bring with small buffers: a few requests, pipelined.
pub const RECV_SMALL: usize = 16 * 1024;
/// What it may bring with large buffers: one of them, so that a full one is noticed.
pub const RECV_LARGE: usize = 64 * 1024;

/// With so many bytes unsent on one side the other side is not read from.
pub const UNSENT_HIGH: usize = 256 * 1024;
/// The same while more than half of the worker's scratch memory is in use: a few dozen peers that
/// read slowly must not take what everybody's answers are made in.
pub const UNSENT_SCARCE: usize = 16 * 1024;
/// With so few bytes unsent it is read from again.
pub const UNSENT_LOW: usize = 64 * 1024;

/// Full large reads in a row after which a plain direction is moved by the kernel alone.
pub const FULL_READS_TO_RELAY: u8 = 2;

/// What inspectors look at before they give up: the largest ClientHello that is accepted.
pub const INSPECT_MAX: usize = 16 * 1024;

/// A request body that waits for its upstream connection may be so large.
pub const BODY_WAITING_MAX: usize = 64 * 1024;

/// How long a TLS handshake may take where the configuration sets no limit, in milliseconds.
pub const HANDSHAKE_MS_MAX: u64 = 15_000;

/// Pieces of a socket's send queue before short ones are copied together.
pub const QUEUE_PIECES: usize = 32;
/// Received pieces that are held as they are before short ones are copied together.
pub const HELD_PIECES: usize = 4;
/// A piece is short up to this size: half of the smallest buffer.
pub const PIECE_SHORT: usize = 2 * 1024;

/// A head that came in pieces leaves no larger buffer than this behind.
pub const PARTIAL_KEPT: usize = 4 * 1024;

/// The first retry waits a random part of this time, each later one of twice as long (Envoy's
/// `retry_back_off` by default), in milliseconds.
pub const RETRY_BASE_MS: u64 = 25;
/// The longest such time, in milliseconds.
pub const RETRY_MS_MAX: u64 = 250;

/// The largest plaintext of one TLS record (RFC 8446, 5.1).
pub const TLS_PLAIN_MAX: usize = 16 * 1024;
/// What a sealed record is longer than its plaintext: header, type, tag, and TLS 1.2's nonce.
pub const TLS_OVERHEAD: usize = 64;
/// The largest sealed record (RFC 8446, 5.2) with its header.
pub const TLS_RECORD_MAX: usize = 5 + 16 * 1024 + 256;
