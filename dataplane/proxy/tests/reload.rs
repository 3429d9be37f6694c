//! Routes are changed a thousand times by ADS while requests run on connections that are kept: none
//! fails, and each is answered by one route as a whole.

#[path = "reload/ads.rs"]
mod ads;
mod common;
#[path = "reload/load.rs"]
mod load;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::free_address;
use common::running::{self, Running};

/// How often the routes change.
const CHANGES: u32 = 1_000;
/// How many requests are asked at least, half of them by HTTP/2.
const REQUESTS: usize = 10_000;

/// The proxy, its routes from a control plane at that address; it listens once it has them.
fn start(upstream: SocketAddr, control: SocketAddr) -> (Running, SocketAddr) {
    let address = free_address();
    let text = include_str!("reload/bootstrap.yaml")
        .replace("@LISTEN@", &address.port().to_string())
        .replace("@UPSTREAM@", &upstream.port().to_string())
        .replace("@CONTROL@", &control.port().to_string());
    let folder = running::fresh_folder("reload");
    let file = folder.join("bootstrap.yaml");
    std::fs::write(&file, text).expect("the bootstrap");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway-proxy"));
    command.args(["--concurrency", "2", "-l", "warning", "-c"]).arg(&file).stdin(Stdio::null());
    (running::start(&mut command, &[address], &folder.join("said.log")), address)
}

/// Answers each request with the generation that stands in its head, as the body.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4_096]);
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..length]);
        while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            bytes.drain(..end + 4);
            let told = head.lines().find_map(|line| line.strip_prefix("x-generation: "));
            let body = told.unwrap_or("none");
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

#[test]
fn a_thousand_changes_of_routes_lose_no_request() {
    let control = ads::Control::start(CHANGES);
    let (_proxy, address) = start(upstream(), control.address);
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let done = Arc::clone(&done);
            thread::spawn(move || match client % 2 {
                0 => load::by_http_1(address, REQUESTS / 4, &done),
                _ => load::by_http_2(address, REQUESTS / 4, &done),
            })
        })
        .collect();
    control.change_all();
    done.store(true, Ordering::Relaxed);
    let (mut requests, mut generations) = (0, std::collections::BTreeSet::new());
    for client in clients {
        let seen = client.join().expect("no request fails");
        assert!(seen.len() >= REQUESTS / 4);
        requests += seen.len();
        generations.extend(seen);
    }
    println!("{requests} requests during {CHANGES} changes saw {} of them", generations.len());
    // A client that looks at every change would wait for it; one that sees a few tells nothing.
    assert!(generations.len() > CHANGES as usize / 20, "{}", generations.len());
    assert_eq!(generations.last(), Some(&CHANGES), "the last one is in force");
}
