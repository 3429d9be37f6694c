//! What the tests of the program share.

// Each test program takes what it needs.
#![allow(dead_code)]

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};

/// Says by name that a test is skipped, and tells whoever collects the names.
pub(crate) fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
    if let Some(path) = std::env::var_os("RINGWAY_SKIPS") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        writeln!(file.expect("the file of skips"), "{test}: {why}").expect("written");
    }
}

/// An address on loopback that nobody listens on at this moment.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port")
}
