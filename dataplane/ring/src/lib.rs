//! The kernel, seen as one trait: sockets, buffers, timers and bulk transfer for one worker.
//!
//! In: what a session asks of a socket (`recv`, `send`, `relay`, `close`). Out: [`Event`]s, one
//! batch a turn. [`Driver`] has two real implementations, chosen once at start: [`uring::Uring`]
//! and [`epoll::Epoll`], where io_uring is forbidden; a simulated one fits behind the same trait.
//!
//! Invariants: this is the only crate with `unsafe`; a socket's slot is freed only when nothing of
//! it is in flight; after `close` nothing more is heard of a socket; memory that the kernel may
//! write to is owned by a buffer group, never by a caller; every table and group has a limit.
