//! What the tests stand on.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

pub(crate) use kit::around::pattern;
use kit::around::skip;
use kit::net::{Privilege, leave_for_own_namespace, privilege};
use ringway_bypass::{Bypass, Options, Unavailable};

/// Longer than anything may take that is not broken, on a busy machine as well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace, an application's listener in it, and a bypass. The calling thread is in it.
pub(crate) struct Stage {
    pub(crate) bypass: Bypass,
    pub(crate) application: TcpListener,
}

impl Stage {
    /// `None` after saying why not.
    pub(crate) fn new(test: &str, options: &Options) -> Option<Self> {
        if privilege() != Privilege::Root {
            skip(test, "needs root");
            return None;
        }
        leave_for_own_namespace().expect("a namespace");
        // It listens before the bypass is there, which does not take it for the sidecar's.
        let application = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        match Bypass::start(options) {
            Ok(bypass) => Some(Self { bypass, application }),
            // Ours to get right where all else is given.
            Err(why @ Unavailable::Trial(_)) => panic!("{why}"),
            Err(why @ Unavailable::Refused { .. }) if is_recent() => panic!("{why}"),
            Err(why) => {
                skip(test, &why.to_string());
                None
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.application.local_addr().expect("an address")
    }

    /// A connection of the sidecar's to the application: the sidecar's end first.
    pub(crate) fn pair(&self) -> (TcpStream, TcpStream) {
        let ours = TcpStream::connect(self.address()).expect("connected");
        let (theirs, _) = self.application.accept().expect("accepted");
        for end in [&ours, &theirs] {
            end.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            end.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        }
        (ours, theirs)
    }
}

/// Whether the kernel has all that is needed, which is so from 6.13 on.
fn is_recent() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|word| word.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 13) && fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false)
}

/// Bytes that the loopback of this thread's namespace has carried.
pub(crate) fn carried() -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/dev").expect("the interfaces");
    let line = table.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
    let first = line.and_then(|line| line.split_ascii_whitespace().next());
    first.and_then(|word| word.parse().ok()).expect("a count")
}

/// A reader that asks again when told "not now": the kernel may wake those that block too early, as
/// docs/local-bypass.md says. Whoever waits for longer than [`PATIENCE`] is told so.
pub(crate) struct Asks<'a>(pub(crate) &'a mut TcpStream);

impl Read for Asks<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        loop {
            match self.0.read(into) {
                Err(why) if why.kind() == ErrorKind::WouldBlock && begun.elapsed() < PATIENCE => {}
                outcome => return outcome,
            }
        }
    }
}

/// Reads so many and looks at each.
pub(crate) fn expect(stream: &mut TcpStream, from: usize, len: usize) {
    let mut read = vec![0; len];
    Asks(stream).read_exact(&mut read).expect("so many bytes");
    assert!(read == pattern(from, len), "bytes {from} to {} are others", from + len);
}

/// Reads to the end and looks at each.
pub(crate) fn expect_all(stream: &mut TcpStream, len: usize) {
    let mut read = Vec::new();
    Asks(stream).read_to_end(&mut read).expect("to the end");
    assert_eq!(read.len(), len);
    assert!(read == pattern(0, len), "bytes have changed places");
}

/// Sends in pieces, as much as the kernel takes without waiting.
pub(crate) fn fill(stream: &mut TcpStream, piece: usize, most: usize) -> usize {
    stream.set_nonblocking(true).expect("non-blocking");
    let mut sent = 0;
    while sent < most {
        match stream.write(&pattern(sent, piece.min(most - sent))) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("after {sent} bytes: {error}"),
        }
    }
    stream.set_nonblocking(false).expect("blocking");
    sent
}
