//! Every limit of a worker, with its reason. Sizes are in bytes unless the name says otherwise.

use std::time::Duration;

/// Connections from clients that a worker keeps at once.
pub const DOWNSTREAM_MAX: usize = 64 * 1024;
/// Connections to upstreams that a worker keeps at once.
pub const UPSTREAM_MAX: usize = 64 * 1024;
/// Requests that a worker has under way at once.
pub const STREAMS_MAX: usize = 64 * 1024;
/// Copies of requests that a worker has under way at once; beyond, nothing is copied.
pub const COPIES_MAX: usize = 4096;
/// Listening sockets of a worker.
pub const LISTENERS_MAX: usize = 1024;

/// What one arming of a receive may bring with small buffers: a few requests, pipelined.
pub const RECV_SMALL: usize = 16 * 1024;
/// What it may bring with large buffers: one of them, so that a full one is noticed.
pub const RECV_LARGE: usize = 64 * 1024;

/// With so many bytes unsent on one side the other side is not read from; with fewer where memory
/// is scarce, see [`SHARE_PARTS`].
pub const UNSENT_HIGH: usize = 256 * 1024;
/// A connection may have one part in so many of the free buffers waiting to be sent. What is taken
/// makes the shares of all smaller: peers that do not read, however many, leave something free for
/// those that do (the dynamic threshold of shared-memory switches).
pub const SHARE_PARTS: usize = 64;
/// With one part in so many of the large buffers free no more of them are asked for: what is left
/// is for receives that are under way.
pub const LARGE_KEPT_PARTS: usize = 8;
/// With so few bytes unsent it is read from again.
pub const UNSENT_LOW: usize = 64 * 1024;

/// Full large reads in a row after which a plain direction is moved by the kernel alone.
pub const FULL_READS_TO_RELAY: u8 = 2;

/// A body of which less than this is to come is not worth a pipe.
pub const RELAY_BODY_MIN: u64 = 256 * 1024;

/// What inspectors look at before they give up: the largest ClientHello that is accepted.
pub const INSPECT_MAX: usize = 16 * 1024;

/// What a client that speaks first has to say comes with its connection. One that has said nothing
/// for so long may wait for its server, see `ahead`.
pub const HEAD_START: Duration = Duration::from_millis(10);

/// What one address of a host has before the next is tried beside it (Envoy's, and RFC 8305's upper
/// bound is 2 s).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(300);

/// A request body that waits for its upstream connection may be so large.
pub const BODY_WAITING_MAX: usize = 64 * 1024;

/// A filter keeps a request's body back in buffers of this size, or of one that fits.
pub const GATHER_BYTES: usize = 64 * 1024;
/// With one part in so many of the buffers free none are taken for that: what is left is for those
/// who pass on what they get.
pub const GATHER_KEPT_PARTS: usize = 4;

/// What the compressors of a worker may take together. An answer beyond is sent as it is.
pub const SQUEEZING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// So much of an answer may wait for the window of its stream by HTTP/2 before the upstream is not
/// read from.
pub const ANSWER_WAITING_MAX: usize = 64 * 1024;
/// DATA frames that a stream by HTTP/2 sends before the next one has its turn.
pub const TURN_FRAMES: usize = 4;
/// What is kept of ended streams by HTTP/2 for the next ones: as many as are busy at once on a
/// loaded worker.
pub const SPARE_RETURNING_MAX: usize = 1024;
/// The same of what filters remember of requests.
pub const SPARE_FILTERING_MAX: usize = 256;
/// How long the rest of a request by HTTP/2 is taken in and dropped that was answered already.
pub const REST_OF_REQUEST: Duration = Duration::from_millis(500);
/// Between the announcement that a connection by HTTP/2 takes no more requests and its end: a round
/// trip, generously.
pub const DRAIN_NOTICE: Duration = Duration::from_secs(1);

/// Requests that were given up on a connection by HTTP/2 to an upstream, beyond those that were
/// answered, before it gets no more: a fifth of what an upstream of ours bears.
pub const GIVEN_UP_MAX: i32 = 100;
/// A connection by HTTP/2 to an upstream is not read from for so long for want of memory before it
/// is given up with all that it serves.
pub const HELD_BACK_MAX: Duration = Duration::from_secs(30);

/// How long a TLS handshake may take where the configuration sets no limit, in milliseconds.
pub const HANDSHAKE_MS_MAX: u64 = 15_000;

/// Pieces of a socket's send queue before short ones are copied together.
pub const QUEUE_PIECES: usize = 32;
/// The same while memory is scarce.
pub const QUEUE_PIECES_SCARCE: usize = 4;
/// Received pieces that are held as they are before short ones are copied together.
pub const HELD_PIECES: usize = 4;
/// A piece is short up to this size: half of the smallest buffer.
pub const PIECE_SHORT: usize = 2 * 1024;
/// A piece behind others wastes memory where its buffer is so many times as large: it is copied
/// into one that fits.
pub const PIECE_WASTE: usize = 4;

/// Lines of access logs are handed over in blocks of so many bytes; no line is longer.
pub const LOG_BLOCK_BYTES: usize = 64 * 1024;
/// A line usually is not longer than this: so much more a block has room for.
pub const LOG_LINE_ROOM: usize = 8 * 1024;
/// Blocks of each worker: what is with the writer, and the one that is filled.
pub const LOG_BLOCKS: usize = 4;
/// Targets for which lines that were dropped are told apart.
pub const LOG_TARGETS_MAX: usize = 64;
/// Records of requests that are kept for the next ones.
pub const SPARE_RECORDS_MAX: usize = 256;

/// A head that came in pieces leaves no larger buffer than this behind.
pub const PARTIAL_KEPT: usize = 4 * 1024;

/// The longest that a retry waits, whatever the configuration says, in milliseconds: a day. Later
/// than any client waits, and early enough for the clock.
pub const RETRY_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Memory that goes back to the kernel in a second, of what a peak has left behind: a third of a
/// millisecond's work.
pub const TRIM_BYTES: usize = 2 * 1024 * 1024;

/// The largest plaintext of one TLS record (RFC 8446, 5.1).
pub const TLS_PLAIN_MAX: usize = 16 * 1024;
/// Pieces of plaintext that go into one record: a head and a body, or a chunk and its frame, and
/// what small receive buffers bring of a body.
pub const TLS_PIECES: usize = 8;
/// What a sealed record is longer than its plaintext: header, type, tag, and TLS 1.2's nonce.
pub const TLS_OVERHEAD: usize = 64;
/// The largest sealed record (RFC 8446, 5.2) with its header.
pub const TLS_RECORD_MAX: usize = 5 + 16 * 1024 + 256;

/// Server names that requests have chosen, kept by a worker so that they are not made anew. Those
/// beyond are used all the same.
pub const SERVER_NAMES_MAX: usize = 4096;
