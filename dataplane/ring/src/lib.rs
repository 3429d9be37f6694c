//! The kernel, seen as one trait: sockets, buffers, timers and bulk transfer for one worker.
//!
//! In: what a session asks of a socket (`recv`, `send`, `relay`, `close`). Out: [`Event`]s, one
//! batch a turn. [`Driver`] has two real implementations, chosen once at start: [`uring::Uring`]
//! and [`epoll::Epoll`], where io_uring is forbidden; a simulated one fits behind the same trait.
//!
//! Invariants: this is the only crate with `unsafe`; a socket's slot is freed only when nothing of
//! it is in flight; after `close` nothing more is heard of a socket; memory that the kernel may
//! write to is owned by a buffer group, never by a caller; every table and group has a limit.

pub mod bind;
pub mod buf;
pub mod driver;
mod engine;
pub mod epoll;
pub mod kernel_tls;
pub mod machine;
pub mod pieces;
mod pipe;
pub mod slab;
mod sockets;
pub mod start;
mod sys;
pub mod uring;
pub mod wake;
pub mod wheel;

pub use bind::{Bind, listener};
pub use buf::{Buf, BufMut, Fill, Pool};
pub use driver::{
    Connect, Driver, Event, Failure, LINGER_MS_MAX, Nanos, Op, RelayEnd, Relayed, SEND_NOW_BYTES,
    Size, Socket, Tag, What,
};
pub use epoll::Epoll;
pub use pieces::Pieces;
pub use slab::{Key, Slab};
pub use start::{Features, Limits, Which, probe};
pub use uring::Uring;
pub use wake::Waker;
pub use wheel::{Timer, Wheel};
