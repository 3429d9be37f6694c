//! What the release build keeps in memory: little at start, and no more after a million requests.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::running::{self, Running};
use common::{free_address, skip};

/// Resident at start, all of it: code, stacks, heap, rings.
const START_KIB_MAX: u64 = 12 * 1024;
/// What a million requests may add: the noise of the allocator, not a leak of a byte a request.
const GROWTH_KIB_MAX: u64 = 512;
const REQUESTS: usize = 1_000_000;
const CONNECTIONS: usize = 16;

struct Proxy {
    running: Running,
    address: SocketAddr,
}

impl Proxy {
    fn start(test: &str) -> Option<Self> {
        let Some(program) = release_build() else {
            skip(test, "no release build: run `cargo build --release --bin ringway-proxy`");
            return None;
        };
        let upstream = upstream();
        let address = free_address();
        let text = include_str!("memory.yaml")
            .replace("@LISTEN@", &address.port().to_string())
            .replace("@UPSTREAM@", &upstream.port().to_string());
        let folder = running::fresh_folder(test);
        let file = folder.join("bootstrap.yaml");
        fs::write(&file, text).expect("the bootstrap");
        let mut command = Command::new(program);
        command.args(["--concurrency", "1", "-l", "error", "-c"]).arg(&file).stdin(Stdio::null());
        let running = running::start(&mut command, &[address], &folder.join("said.log"));
        Some(Self { running, address })
    }

    fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.running.0.id());
        let status = fs::read_to_string(path).expect("the proxy runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

#[test]
fn little_is_resident_at_start() {
    let Some(proxy) = Proxy::start("little_is_resident_at_start") else { return };
    thread::sleep(Duration::from_millis(500));
    let resident = proxy.resident_kib();
    println!("{resident} KiB resident at start");
    assert!(resident <= START_KIB_MAX, "{resident} KiB, {START_KIB_MAX} are allowed");
}

#[test]
fn a_million_requests_leave_nothing_behind() {
    let Some(proxy) = Proxy::start("a_million_requests_leave_nothing_behind") else { return };
    ask(proxy.address, REQUESTS / 10);
    let before = proxy.resident_kib();
    ask(proxy.address, REQUESTS);
    let after = proxy.resident_kib();
    println!("{before} KiB after {}, {after} KiB after {REQUESTS} more", REQUESTS / 10);
    assert!(after <= before + GROWTH_KIB_MAX, "{before} KiB grew to {after} KiB");
}

/// So many requests over kept connections; every answer is looked at.
fn ask(address: SocketAddr, requests: usize) {
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| thread::spawn(move || client(address, requests / CONNECTIONS)))
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("all are answered"));
}

fn client(address: SocketAddr, requests: usize) {
    const BATCH: usize = 50;
    let mut stream = TcpStream::connect(address).expect("the proxy accepts");
    let batch = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n".repeat(BATCH);
    let mut bytes = [0; 64 * 1024];
    for _ in 0..requests / BATCH {
        stream.write_all(&batch).expect("sent");
        let (mut answers, mut tail) = (0, Vec::new());
        while answers < BATCH {
            let length = stream.read(&mut bytes).expect("answered");
            assert!(length > 0, "the proxy has closed");
            tail.extend_from_slice(&bytes[..length]);
            answers += tail.windows(4).filter(|window| window == b"okay").count();
            // Keep what may be the beginning of the next one's end.
            tail.drain(..tail.len().saturating_sub(3));
        }
    }
}

fn release_build() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_ringway-proxy")).ancestors().nth(2)?;
    Some(target.join("release/ringway-proxy")).filter(|path| path.exists())
}

/// Answers each request head with the same few bytes.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(1..) = stream.read(&mut bytes) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nokay";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
