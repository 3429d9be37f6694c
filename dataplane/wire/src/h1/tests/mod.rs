//! What the codec reads, refuses and writes, by table. What Envoy 1.40 answers to each of the
//! same bytes was looked up on a running one; where we answer otherwise stands in
//! docs/differences-from-envoy.md.

mod bodies;
mod encoding;
mod hops;
mod properties;
mod refused_requests;
mod requests;
mod responses;

use super::*;
use crate::head::{Framing, Head};

/// Reads one whole request.
fn request(bytes: &[u8]) -> Result<Head, Refusal> {
    request_within(bytes, &Limits::default())
}

fn request_within(bytes: &[u8], limits: &Limits) -> Result<Head, Refusal> {
    let mut head = Head::default();
    match parse_request(bytes, limits, &mut head)? {
        Parsed::Complete { consumed } => assert_eq!(consumed, bytes.len(), "all of it is the head"),
        Parsed::Partial => panic!("partial: {}", bytes.escape_ascii()),
    }
    Ok(head)
}

/// Reads one whole response to a GET.
fn response(bytes: &[u8]) -> Result<Head, Refusal> {
    response_to(ResponseTo::default(), bytes)
}

fn response_to(to: ResponseTo, bytes: &[u8]) -> Result<Head, Refusal> {
    let mut head = Head::default();
    match parse_response(bytes, to, &Limits::default(), &mut head)? {
        Parsed::Complete { consumed } => assert_eq!(consumed, bytes.len(), "all of it is the head"),
        Parsed::Partial => panic!("partial: {}", bytes.escape_ascii()),
    }
    Ok(head)
}

/// A GET with these field lines besides `host`.
fn get(lines: &[u8]) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n"].concat()
}

/// A POST with these field lines besides `host`.
fn post(lines: &[u8]) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n"].concat()
}

/// The fields as text, one a line.
fn fields_of(head: &Head) -> String {
    head.iter().map(|(n, v)| format!("{}: {}\n", n.escape_ascii(), v.escape_ascii())).collect()
}
