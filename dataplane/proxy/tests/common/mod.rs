//! What the tests of the program share.

// Each test program takes what it needs.
#![allow(dead_code, unused_imports)]

pub(crate) mod pods;

use std::net::{SocketAddr, TcpListener};

pub(crate) use kit::around::skip;

/// An address on loopback that nobody listens on at this moment.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port")
}
