//! No body is ever changed: random ones, by either codec on both sides, in every framing, in random
//! pieces, and with readers that are slow.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use config::snapshot::{Cluster, RouteAction, Terminal, UpstreamProtocol};
use ring::start::Which;
use wire::h2::{Config, Role};

use super::chaos::Dice;
use super::fixture::{Proxy, cluster, forward, manager, on_both, route, upstream};
use super::peer::{Message, Peer, server};

/// Exchanges of one run on one driver.
const EXCHANGES: u64 = 60;
/// Around the sizes of buffers, frames, windows and pipes.
const SIZES: [usize; 14] = [
    0, 1, 2, 1_000, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 131_072, 262_145, 700_001,
    1_500_000,
];

fn body(dice: &mut Dice) -> Vec<u8> {
    let size = SIZES[dice.below(SIZES.len())];
    let size = if dice.below(3) == 0 { dice.below(size + 1) } else { size };
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&dice.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Writes in pieces of random sizes, and waits now and then.
fn write(stream: &mut TcpStream, bytes: &[u8], dice: &mut Dice) -> std::io::Result<()> {
    let pieces = 1 + dice.below(12);
    let mut rest = bytes;
    for _ in 0..pieces {
        let (now, later) = rest.split_at(dice.below(rest.len() + 1));
        stream.write_all(now)?;
        rest = later;
        if dice.below(4) == 0 {
            thread::sleep(Duration::from_micros(dice.below(2_000) as u64));
        }
    }
    stream.write_all(rest)
}

/// A body in one of HTTP/1.1's framings: its field, and its bytes.
fn framed(body: &[u8], dice: &mut Dice) -> (String, Vec<u8>) {
    if dice.below(2) == 0 {
        return (format!("content-length: {}\r\n", body.len()), body.to_vec());
    }
    let (mut out, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let most = [3, 1_000, 16_384, 100_000][dice.below(4)];
        let (chunk, later) = rest.split_at((1 + dice.below(most)).min(rest.len()));
        let extension = ["", ";a", ";a=\"b c\""][dice.below(3)];
        out.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = later;
    }
    let trailer = ["", "x-t: 1\r\n"][dice.below(2)];
    out.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
    ("transfer-encoding: chunked\r\n".to_owned(), out)
}

/// A reader that has read ahead, and takes its time if it is told to.
struct Reader {
    stream: TcpStream,
    bytes: Vec<u8>,
    slow: bool,
}

impl Reader {
    fn more(&mut self) -> bool {
        let mut chunk = [0; 40_000];
        if self.slow {
            thread::sleep(Duration::from_micros(400));
        }
        let length = self.stream.read(&mut chunk).unwrap_or(0);
        self.bytes.extend_from_slice(&chunk[..length]);
        length > 0
    }

    fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.bytes.len() < count {
            if !self.more() {
                return None;
            }
        }
        Some(self.bytes.drain(..count).collect())
    }

    fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            let found = self.bytes.windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                let line = self.exactly(at + end.len())?;
                return Some(String::from_utf8_lossy(&line).to_ascii_lowercase());
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// Head and body of a message; one without a length goes until the end if it is a response.
    fn message(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.until(b"\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body = if head.contains("transfer-encoding: chunked") {
            let mut body = Vec::new();
            loop {
                let line = self.until(b"\r\n")?;
                let digits = line.trim_end().split(';').next()?;
                let size = usize::from_str_radix(digits, 16).ok()?;
                if size == 0 {
                    while self.until(b"\r\n")? != "\r\n" {}
                    break body;
                }
                body.extend(self.exactly(size)?);
                self.exactly(2)?;
            }
        } else if let Some(length) = length {
            self.exactly(length.trim().parse().ok()?)?
        } else if head.starts_with("http/") {
            while self.more() {}
            std::mem::take(&mut self.bytes)
        } else {
            Vec::new()
        };
        Some((head, body))
    }
}

/// Sends back each body, in a framing that has nothing to do with the one it came in.
fn echo(mut stream: TcpStream) {
    let port = stream.peer_addr().map_or(0, |peer| peer.port());
    let mut dice = Dice(u64::from(port));
    let Ok(other) = stream.try_clone() else { return };
    let mut reader = Reader { stream: other, bytes: Vec::new(), slow: dice.below(2) == 0 };
    while let Some((_, body)) = reader.message() {
        let until_close = dice.below(4) == 0;
        let (field, bytes) = match until_close {
            true => ("connection: close\r\n".to_owned(), body),
            false => framed(&body, &mut dice),
        };
        let head = format!("HTTP/1.1 200 OK\r\n{field}\r\n");
        let all = [head.as_bytes(), &bytes].concat();
        if write(&mut stream, &all, &mut dice).is_err() || until_close {
            return;
        }
    }
}

fn echo_by_2(peer: &mut Peer, id: u32, message: &Message) {
    peer.answer(id, 200, &[], &message.body, &[]);
}

fn ask_by_1(proxy: &Proxy, path: &str, body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let stream = proxy.connect();
    let mut writer = stream.try_clone().expect("a second handle");
    let mut reader = Reader { stream, bytes: Vec::new(), slow: dice.below(3) == 0 };
    let (field, bytes) = framed(body, dice);
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{field}\r\n");
    let all = [head.as_bytes(), &bytes].concat();
    let mut dice = dice.clone();
    let writes = thread::spawn(move || write(&mut writer, &all, &mut dice));
    let (head, answer) = reader.message().expect("a whole answer");
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    writes.join().expect("no panic").expect("the proxy reads all of it");
    answer
}

fn ask_by_2(proxy: &Proxy, path: &str, body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let window = [1_000, 65_535, 1 << 20][dice.below(3)];
    let config = Config { stream_window_bytes: window, ..Config::default() };
    let mut client = Peer::new(Role::Client, proxy.connect(), &config);
    let id = client.ask("POST", path, &[], Some(body));
    let answer = client.wait(id);
    assert_eq!((answer.status, answer.reset), (200, None));
    answer.body
}

fn start(which: Which) -> Proxy {
    let to = |cluster| RouteAction::Forward(forward(&[(cluster, 1)]));
    let routes = vec![route("/1", to(0)), route("/2", to(1))];
    let by_2 = cluster(1, &[upstream(server(echo_by_2))]);
    let by_2 = Cluster { protocol: UpstreamProtocol::Http2, ..by_2 };
    let terminal = Terminal::Http(Arc::new(manager(routes)));
    Proxy::start(which, terminal, vec![cluster(0, &[upstream(echo)]), by_2])
}

#[test]
fn no_body_is_ever_changed() {
    on_both(|which| {
        let proxy = start(which);
        let mut bytes = 0;
        for seed in 0..EXCHANGES {
            let dice = &mut Dice(seed);
            let (path, body) = (["/1", "/2"][dice.below(2)], body(dice));
            let ask = if dice.below(2) == 0 { ask_by_1 } else { ask_by_2 };
            let answer = ask(&proxy, path, &body, dice);
            let differs = answer.iter().zip(&body).position(|(one, other)| one != other);
            assert!(
                answer == body,
                "seed {seed}: {path}: {} of {} bytes came, the first that differs at {differs:?}",
                answer.len(),
                body.len(),
            );
            bytes += body.len();
        }
        println!("{EXCHANGES} bodies, {bytes} bytes there and back");
        proxy.settles_down(0);
    });
}
