use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Bind, listener};

#[test]
fn a_connection_that_came_early_is_not_delayed() {
    let listener = listener("127.0.0.1:0".parse().unwrap(), Bind::default()).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let begun = Instant::now();
    let accepted = loop {
        match listener.accept() {
            Ok((accepted, _)) => break accepted,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(10), "{error}"),
        }
    };
    assert!(accepted.nodelay().unwrap());
}
