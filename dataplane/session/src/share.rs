//! A connection's share of the worker's buffers.
//!
//! What a peer does not read waits in buffers that all connections use. Each may hold a part of
//! what is free, not of what there is: the more is held, the less may anybody add, and the last
//! free buffers are never reached by those who only hold. Whoever reads holds nothing and is
//! always served. (Choudhury and Hahne, dynamic queue length thresholds, 1998.)

use ring::buf::SMALL_BYTES;
use ring::driver::Size;
use ring::{Buf, Pool};

use crate::limits::{
    GATHER_KEPT_PARTS, LARGE_KEPT_PARTS, PIECE_SHORT, PIECE_WASTE, QUEUE_PIECES,
    QUEUE_PIECES_SCARCE, RECV_LARGE, RECV_SMALL, SHARE_PARTS, UNSENT_HIGH,
};

/// How many bytes may wait to be sent on one connection now. Large buffers play no part: without
/// them small ones are received into.
pub(crate) fn unsent_max(pool: &Pool) -> usize {
    let free = pool.received(Size::Small).free_bytes().min(pool.scratch().free_bytes());
    (free / SHARE_PARTS).min(UNSENT_HIGH)
}

/// Memory is scarce, and whoever has not passed on so many bytes holds more than its share. Windows
/// bound it otherwise.
pub(crate) fn is_too_much(pool: &Pool, owed: usize) -> bool {
    let most = unsent_max(pool);
    most < UNSENT_HIGH && owed > most
}

/// What to arm a receive with that asks for buffers of this size: a budget in bytes, and the size
/// that can be afforded.
pub(crate) fn receive(pool: &Pool, asked: Size) -> (usize, Size) {
    let large = pool.received(Size::Large);
    let budget_max = unsent_max(pool).max(SMALL_BYTES);
    match asked {
        Size::Large if large.free_bytes() > large.limit_bytes / LARGE_KEPT_PARTS => {
            (RECV_LARGE.min(budget_max), Size::Large)
        }
        Size::Large | Size::Small => (RECV_SMALL.min(budget_max), Size::Small),
    }
}

/// A body may be kept back in another buffer.
pub(crate) fn may_gather(pool: &Pool) -> bool {
    let scratch = pool.scratch();
    scratch.free_bytes() > scratch.limit_bytes / GATHER_KEPT_PARTS
}

/// How many pieces a send queue may have before short ones are copied together.
pub(crate) fn queue_pieces(pool: &Pool) -> usize {
    if unsent_max(pool) < UNSENT_HIGH { QUEUE_PIECES_SCARCE } else { QUEUE_PIECES }
}

/// These bytes, in a buffer that fits them if theirs is much too large. To be called for what has
/// to wait behind other pieces.
pub(crate) fn fitted(pool: &Pool, bytes: Buf) -> Buf {
    // Short ones are copied together by the caller.
    if bytes.len() <= PIECE_SHORT || bytes.held_bytes() < PIECE_WASTE * bytes.len() {
        return bytes;
    }
    match pool.take(bytes.len()) {
        Some(mut fitting) if fitting.capacity() < bytes.held_bytes() => {
            fitting.extend(&bytes);
            fitting.freeze()
        }
        // Without memory for it the bytes wait where they are.
        Some(_) | None => bytes,
    }
}
