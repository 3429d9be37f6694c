//! Bytes sent and answers taken apart, without any of the code under test.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A message as it is compared: its start line, its fields by name, its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) start: String,
    pub(crate) fields: BTreeMap<String, Vec<String>>,
    /// The names of the fields as they were written.
    pub(crate) names: BTreeSet<String>,
    pub(crate) body: String,
}

impl Message {
    fn says_close(&self) -> bool {
        self.fields.get("connection").is_some_and(|values| values.iter().any(|v| v == "close"))
    }
}

/// Fields whose values are different each time: only their presence is compared.
const CHANGING: [&str; 3] = ["date", "x-request-id", "x-envoy-upstream-service-time"];

/// Takes one message off the front of the bytes. `bodiless`: whatever its head says.
pub(crate) fn take(bytes: &mut Vec<u8>, bodiless: bool, at_end: bool) -> Option<Message> {
    let end = find(bytes, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
    let start = lines.next()?.to_owned();
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        names.insert(name.to_owned());
        let name = name.to_ascii_lowercase();
        let value = if CHANGING.contains(&&*name) { "…" } else { value.trim() };
        fields.entry(name).or_default().push(value.to_owned());
    }
    let first = |name: &str| fields.get(name).and_then(|values| values.first()).cloned();
    let status: u16 = start.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let is_response = start.starts_with("HTTP/");
    let empty = bodiless || (is_response && (status < 200 || status == 204 || status == 304));
    let body = if empty {
        (end, Vec::new())
    } else if first("transfer-encoding").is_some_and(|value| value == "chunked") {
        chunks(&bytes[end..]).map(|(used, body)| (end + used, body))?
    } else if let Some(length) = first("content-length") {
        let length: usize = length.parse().ok()?;
        (bytes.len() >= end + length).then(|| (end + length, bytes[end..end + length].to_vec()))?
    } else if is_response {
        at_end.then(|| (bytes.len(), bytes[end..].to_vec()))?
    } else {
        (end, Vec::new())
    };
    bytes.drain(..body.0);
    let body = decoded(first("content-encoding").as_deref(), body.1);
    Some(Message { start, fields, names, body: String::from_utf8_lossy(&body).into_owned() })
}

/// A compressed body as it was: no two compressors write the same.
fn decoded(coding: Option<&str>, body: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    let read = match coding {
        Some("gzip") => flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut out),
        Some("br") => brotli::Decompressor::new(&body[..], 4096).read_to_end(&mut out),
        Some("zstd") => zstd::stream::read::Decoder::new(&body[..])
            .and_then(|mut decoder| decoder.read_to_end(&mut out)),
        _ => return body,
    };
    match read {
        Ok(_) => out,
        Err(error) => format!("no {coding:?}: {error}").into_bytes(),
    }
}

fn chunks(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let text = String::from_utf8_lossy(&bytes[at..at + line]).into_owned();
        let length = usize::from_str_radix(text.split(';').next()?.trim(), 16).ok()?;
        at += line + 2;
        if bytes.len() < at + length + 2 {
            return None;
        }
        body.extend_from_slice(&bytes[at..at + length]);
        at += length + 2;
        if length == 0 {
            return Some((at, body));
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// What one connection was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) responses: Vec<Message>,
    /// Bytes that are no whole message.
    pub(crate) rest: String,
    pub(crate) closed: bool,
}

/// Sends the bytes over a new connection and reads what comes until it is quiet or closed. Gives
/// the port that it was sent from, too.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> (Answer, u16) {
    let mut stream = TcpStream::connect(address).expect("the proxy accepts");
    let port = stream.local_addr().expect("an address").port();
    // The peer may have closed before it has read everything: then it is its answer that counts.
    let _ = stream.write_all(request);
    let bodiless = request.starts_with(b"HEAD ");
    let expected = requests_in(request);
    let (mut bytes, mut responses, mut closed) = (Vec::new(), Vec::new(), false);
    let mut chunk = [0; 16 * 1024];
    loop {
        while let Some(message) = take(&mut bytes, bodiless, closed) {
            responses.push(message);
        }
        let finals = responses.iter().filter(|m| !m.start.contains(" 100 ")).count();
        // Envoy says that it closes, waits a second for the client to do so, and closes then.
        let closes = responses.last().is_some_and(Message::says_close);
        let patience = if finals >= expected && !closes { 120 } else { 3_000 };
        stream.set_read_timeout(Some(Duration::from_millis(patience))).expect("a time-out");
        match stream.read(&mut chunk) {
            _ if closed => break,
            Ok(0) => closed = true,
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => closed = true,
            Err(_) => break,
        }
    }
    let rest = String::from_utf8_lossy(&bytes).into_owned();
    // Fields stand in any order.
    let mut lines: Vec<_> = rest.split_inclusive("\r\n").map(masked).collect();
    lines.sort();
    let rest = lines.concat();
    (Answer { responses, rest, closed }, port)
}

/// A line as it is, but for the value of a field that changes from answer to answer.
pub(crate) fn masked(line: &str) -> String {
    match line.split_once(": ") {
        Some((name, _)) if CHANGING.contains(&name) => format!("{name}: …\r\n"),
        _ => line.to_owned(),
    }
}

/// How many answers to wait for: heads in the bytes, as far as that can be told.
fn requests_in(bytes: &[u8]) -> usize {
    let starts = [&b"GET "[..], b"POST ", b"HEAD ", b"PUT ", b"OPTIONS "];
    let count = |start: &&[u8]| bytes.windows(start.len()).filter(|window| window == start).count();
    starts.iter().map(count).sum::<usize>().max(1)
}
