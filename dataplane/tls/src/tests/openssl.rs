//! A foreign implementation as the peer, in both roles and both versions: OpenSSL's own test
//! programs over loopback. Skipped by name where there is no `openssl` binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::tests::fixtures::{CLIENT_ID, Ca, SERVER_ID, Sides};
use crate::{SanMatch, ServerContext, Session, TlsError};

/// A session over a real socket.
struct Link<S> {
    stream: TcpStream,
    session: S,
    carry: Vec<u8>,
}

impl<S: Session> Link<S> {
    fn new(stream: TcpStream, session: S) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream, session, carry: Vec::new() }
    }

    fn flush(&mut self) {
        let mut out = Vec::new();
        self.session.output(&mut out);
        let _ = self.stream.write_all(&out);
    }

    /// Reads once and returns the plaintext of it; `None` at the end.
    fn read(&mut self) -> Result<Option<Vec<u8>>, TlsError> {
        self.flush();
        let mut buffer = [0; 2048];
        let count = self.stream.read(&mut buffer).unwrap();
        self.carry.extend_from_slice(&buffer[..count]);
        let mut ranges = Vec::new();
        let opened = self.session.open(&mut self.carry, &mut ranges);
        self.flush();
        let opened = opened?;
        let plain = ranges.into_iter().flat_map(|range| self.carry[range].to_vec()).collect();
        self.carry.drain(..opened.consumed);
        Ok((count > 0 && !opened.closed).then_some(plain))
    }

    fn handshake(&mut self) -> Result<(), TlsError> {
        self.flush();
        while self.session.is_handshaking() {
            if self.read()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut out = vec![0; bytes.len() + 1024];
        let sealed = self.session.seal(bytes, &mut out).unwrap();
        assert_eq!(sealed.read, bytes.len());
        self.stream.write_all(&out[..sealed.written]).unwrap();
    }

    fn read_until(&mut self, wanted: &str) -> String {
        let mut text = String::new();
        while !text.contains(wanted) {
            match self.read().unwrap() {
                Some(plain) => text.push_str(&String::from_utf8_lossy(&plain)),
                None => break,
            }
        }
        text
    }
}

/// Ends the program with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl(arguments: &[&str], directory: &Path) -> Program {
    let command = Command::new("openssl")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    Program(command.unwrap())
}

fn present(test: &str) -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        eprintln!("skipped: {test}: there is no openssl binary on this machine");
    }
    found
}

/// The root and one identity as files.
fn files(ca: &Ca, uri: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let pem = ca.pem_with(uri, |_| {});
    for (name, text) in [("root.pem", ca.pem()), ("chain.pem", pem.chain), ("key.pem", pem.key)] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn connect(port: u16) -> TcpStream {
    let start = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(10), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn our_client_speaks_with_openssl_s_server() {
    if !present("our_client_speaks_with_openssl_s_server") {
        return;
    }
    let ca = Ca::new("root");
    let directory = files(&ca, SERVER_ID);
    for (version, expected) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let port = free_port();
        let accept = port.to_string();
        let common = ["s_server", "-accept", &accept, "-cert", "chain.pem", "-key", "key.pem"];
        let asks = ["-CAfile", "root.pem", "-Verify", "2", "-verify_return_error", "-alpn"];
        let rest = ["http/1.1", "-rev", version];
        let _server = openssl(&[&common[..], &asks, &rest].concat(), directory.path());
        let (_, context) = Sides::mutual(&ca).contexts();
        let mut link = Link::new(connect(port), context.connect(None, None).unwrap());
        link.handshake().unwrap();
        let peer = link.session.peer();
        assert_eq!((peer.version, peer.alpn.as_slice()), (expected, &b"http/1.1"[..]));
        assert_eq!(peer.uris, [SERVER_ID]);
        link.write(b"abc def\n");
        assert_eq!(link.read_until("\n").trim(), "fed cba");
    }
}

#[test]
fn our_server_speaks_with_openssl_s_client() {
    if !present("our_server_speaks_with_openssl_s_client") {
        return;
    }
    let ca = Ca::new("root");
    let directory = files(&ca, CLIENT_ID);
    for (version, expected) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let mut link = accept_from(&ca, directory.path(), version, |_| {});
        link.0.handshake().unwrap();
        let peer = link.0.session.peer();
        assert_eq!((peer.version, peer.uris.as_slice()), (expected, &[CLIENT_ID.to_owned()][..]));
        assert_eq!(peer.sni, "reviews.test");
        link.1.0.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
        assert_eq!(link.0.read_until("\n"), "hello\n");
        link.0.write(b"and back\n");
        link.0.session.close();
        link.0.flush();
        let mut answer = vec![0; 9];
        link.1.0.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
        assert_eq!(answer, b"and back\n");
    }
}

#[test]
fn our_server_refuses_openssl_s_client_with_another_name() {
    if !present("our_server_refuses_openssl_s_client_with_another_name") {
        return;
    }
    let ca = Ca::new("root");
    let directory = files(&ca, CLIENT_ID);
    let strict = |sides: &mut Sides| sides.server.san = vec![SanMatch::uri(SERVER_ID)];
    let mut link = accept_from(&ca, directory.path(), "-tls1_3", strict);
    assert_eq!(link.0.handshake().unwrap_err().code, "tls.san_mismatch");
}

/// Sessions are taken up again, and records flow after it.
#[test]
fn our_client_resumes_with_openssl_s_server() {
    if !present("our_client_resumes_with_openssl_s_server") {
        return;
    }
    let ca = Ca::new("root");
    let directory = files(&ca, SERVER_ID);
    for version in ["-tls1_3", "-tls1_2"] {
        let port = free_port();
        let accept = port.to_string();
        let common = ["s_server", "-accept", &accept, "-cert", "chain.pem", "-key", "key.pem"];
        let asks = ["-CAfile", "root.pem", "-Verify", "2", "-verify_return_error"];
        let _server = openssl(&[&common[..], &asks, &["-rev", version]].concat(), directory.path());
        let mut sides = Sides::mutual(&ca);
        sides.client.parameters.resumption = true;
        let (_, context) = sides.contexts();
        for round in 0..3 {
            let mut link = Link::new(connect(port), context.connect(None, None).unwrap());
            link.handshake().unwrap();
            link.write(b"abc def\n");
            assert_eq!(link.read_until("\n").trim(), "fed cba");
            let peer = link.session.peer();
            assert_eq!((peer.is_resumed, peer.verified), (round > 0, true), "{version} {round}");
            assert_eq!(peer.uris, [SERVER_ID]);
        }
    }
}

#[test]
fn our_server_resumes_with_openssl_s_client() {
    if !present("our_server_resumes_with_openssl_s_client") {
        return;
    }
    let ca = Ca::new("root");
    let directory = files(&ca, CLIENT_ID);
    for version in ["-tls1_3", "-tls1_2"] {
        let mut sides = Sides::mutual(&ca);
        sides.server.parameters.resumption = true;
        let rotated = sides.server.trust.clone().unwrap();
        let (context, _) = sides.contexts();
        for (round, resumed) in [false, true, false].into_iter().enumerate() {
            let session: &[&str] = match round {
                0 => &["-sess_out", "session.pem"],
                _ => &["-sess_in", "session.pem"],
            };
            if round == 2 {
                rotated.set(ca.trust());
            }
            let mut link = join(&context, directory.path(), &[&[version], session].concat());
            link.0.handshake().unwrap();
            let peer = link.0.session.peer();
            assert_eq!((peer.is_resumed, peer.verified), (resumed, true), "{version} {round}");
            assert_eq!(peer.uris, [CLIENT_ID]);
            link.1.0.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
            assert_eq!(link.0.read_until("\n"), "hello\n");
            link.0.write(b"and back\n");
            let mut answer = vec![0; 9];
            link.1.0.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
            assert_eq!(answer, b"and back\n");
            link.0.session.close();
            link.0.flush();
            drop(link.0);
            // It writes the session down when it ends.
            let _ = link.1.0.wait();
        }
    }
}

/// OpenSSL's `k` and `K` change its own key, and ask for ours.
#[test]
fn keys_change_with_openssl_in_either_role() {
    if !present("keys_change_with_openssl_in_either_role") {
        return;
    }
    let ca = Ca::new("root");
    let directory = files(&ca, CLIENT_ID);
    let (context, _) = Sides::mutual(&ca).contexts();
    let mut link = join_with(&context, directory.path(), &["-tls1_3"], &[]);
    link.0.handshake().unwrap();
    let mut answers = BufReader::new(link.1.0.stdout.take().unwrap());
    for command in ["k", "K", "K", "k", "K"] {
        let stdin = link.1.0.stdin.as_mut().unwrap();
        stdin.write_all(format!("{command}\n").as_bytes()).unwrap();
        // A command is one only if it comes by itself; it brings a record without data.
        assert_eq!(link.0.read().unwrap(), Some(Vec::new()), "after {command}");
        link.1.0.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
        assert_eq!(link.0.read_until("\n"), "hello\n", "after {command}");
        link.0.write(b"and back\n");
        let mut line = String::new();
        while line.trim() != "and back" {
            line.clear();
            assert_ne!(answers.read_line(&mut line).unwrap(), 0, "after {command}");
        }
    }
}

fn accept_from(
    ca: &Ca,
    directory: &Path,
    version: &str,
    change: impl FnOnce(&mut Sides),
) -> (Link<crate::Server>, Program) {
    let mut sides = Sides::mutual(ca);
    change(&mut sides);
    let (context, _) = sides.contexts();
    join(&context, directory, &[version])
}

/// A connection from OpenSSL's client, which copies what it reads and nothing else.
fn join(
    context: &ServerContext,
    directory: &Path,
    arguments: &[&str],
) -> (Link<crate::Server>, Program) {
    join_with(context, directory, arguments, &["-quiet"])
}

fn join_with(
    context: &ServerContext,
    directory: &Path,
    arguments: &[&str],
    manner: &[&str],
) -> (Link<crate::Server>, Program) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let common = ["s_client", "-connect", &address, "-cert", "chain.pem", "-key", "key.pem"];
    let rest = ["-CAfile", "root.pem", "-servername", "reviews.test"];
    let client = openssl(&[&common[..], &rest, manner, arguments].concat(), directory);
    let (stream, _) = listener.accept().unwrap();
    (Link::new(stream, context.accept().unwrap()), client)
}
