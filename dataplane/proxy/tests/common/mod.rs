//! What the tests of the program share.

// Each test program takes what it needs.
#![allow(dead_code, unused_imports)]

pub(crate) mod pods;
pub(crate) mod running;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use kit::around::skip;

/// An address on loopback that nobody listens on. Its port is none of those that the kernel gives
/// out by itself, which somebody else might have by the time that it is used.
pub(crate) fn free_address() -> SocketAddr {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    const PORTS: std::ops::Range<u32> = 16_000..32_000;
    // Other test programs begin elsewhere.
    let from = std::process::id().wrapping_mul(251);
    let mut ports = std::iter::repeat_with(|| {
        let at = from.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        SocketAddr::from(([127, 0, 0, 1], (PORTS.start + at % (PORTS.end - PORTS.start)) as u16))
    });
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    ports.by_ref().take(1_000).find(is_free).expect("a free port")
}
