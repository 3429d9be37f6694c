//! The PROXY protocol, versions 1 and 2: what a proxy in front tells of the client before the
//! client's first byte (HAProxy's `proxy-protocol.txt`).
//!
//! It is read as Envoy reads it. TLVs are passed over.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How version 1 begins.
const V1: &[u8] = b"PROXY ";
/// How version 2 begins.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its CRLF, as Envoy takes it.
const LINE_MAX: usize = 108;
/// What of version 2 is before the addresses.
const FIXED: usize = 16;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// The versions that are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Version 1.
    pub v1: bool,
    /// Version 2.
    pub v2: bool,
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It cannot be said yet.
    More,
    /// No such header, or one of a version that is not looked for.
    Absent,
    /// A header.
    Header(Header),
    /// One that is none, and why.
    Malformed(&'static str),
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its length in bytes: what follows is the client's.
    pub length: usize,
    /// Where the client is, and where it meant to go. `None`: the proxy speaks for itself, or does
    /// not know.
    pub ends: Option<(SocketAddr, SocketAddr)>,
}

/// Looks at the first bytes of a connection.
pub fn read(bytes: &[u8], allowed: Allowed) -> Heard {
    match (begins(bytes, V1, allowed.v1), begins(bytes, V2, allowed.v2)) {
        (Some(true), _) => line(bytes),
        (_, Some(true)) => binary(bytes),
        (None, None) => Heard::Absent,
        (Some(false), _) | (_, Some(false)) => Heard::More,
    }
}

/// Whether these begin like that: yes, perhaps (too short), or no.
fn begins(bytes: &[u8], signature: &[u8], is_allowed: bool) -> Option<bool> {
    let common = bytes.len().min(signature.len());
    let is_alike = is_allowed && bytes.get(..common) == signature.get(..common);
    is_alike.then_some(common == signature.len())
}

fn line(bytes: &[u8]) -> Heard {
    let looked_at = bytes.get(..LINE_MAX).unwrap_or(bytes);
    let Some(end) = looked_at.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() >= LINE_MAX {
            malformed("its line has no end")
        } else {
            Heard::More
        };
    };
    let Some(line) = looked_at.get(..end).and_then(|line| line.strip_suffix(b"\r")) else {
        return malformed("its line does not end in CRLF");
    };
    let Ok(line) = std::str::from_utf8(line) else { return malformed("it is no text") };
    let mut words = line.split(' ').skip(1);
    let kind = words.next();
    if kind == Some("UNKNOWN") {
        return Heard::Header(Header { length: end + 1, ends: None });
    }
    let mut next = || words.next().unwrap_or_default();
    let (source, destination, from, to) = (next(), next(), next(), next());
    let ends = match kind {
        _ if words.next().is_some() => None,
        Some("TCP4") => both::<Ipv4Addr>(source, destination, from, to),
        Some("TCP6") => both::<Ipv6Addr>(source, destination, from, to),
        _ => None,
    };
    match ends {
        Some(ends) => checked(end + 1, ends),
        None => malformed("its line is not understood"),
    }
}

fn both<A: std::str::FromStr + Into<IpAddr>>(
    source: &str,
    destination: &str,
    from: &str,
    to: &str,
) -> Option<(SocketAddr, SocketAddr)> {
    let end = |address: &str, port: &str| {
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_number)?;
        Some(SocketAddr::new(address.parse::<A>().ok()?.into(), port))
    };
    Some((end(source, from)?, end(destination, to)?))
}

fn binary(bytes: &[u8]) -> Heard {
    let Some(&[command, kind, high, low]) =
        bytes.get(V2.len()..FIXED).and_then(<[u8]>::first_chunk)
    else {
        return Heard::More;
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return malformed("its version or command is not known"),
    };
    let Some(told) = bytes.get(FIXED..length) else { return Heard::More };
    if is_local {
        return Heard::Header(Header { length, ends: None });
    }
    let ends = match kind {
        0x11 | 0x12 => told.first_chunk().map(|told: &[u8; 12]| {
            let [a, b, c, d, e, f, g, h, ports @ ..] = *told;
            with_ports([a, b, c, d].into(), [e, f, g, h].into(), ports)
        }),
        0x21 | 0x22 => told.first_chunk().and_then(|told: &[u8; 36]| {
            let (source, rest) = told.split_first_chunk::<16>()?;
            let (destination, ports) = rest.split_first_chunk::<16>()?;
            let ports = *ports.first_chunk::<4>()?;
            Some(with_ports((*source).into(), (*destination).into(), ports))
        }),
        _ => return malformed("its address family or transport is not supported"),
    };
    match ends {
        Some(ends) => checked(length, ends),
        None => malformed("its addresses are cut short"),
    }
}

fn with_ports(source: IpAddr, destination: IpAddr, ports: [u8; 4]) -> (SocketAddr, SocketAddr) {
    let [a, b, c, d] = ports;
    let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    (SocketAddr::new(source, from), SocketAddr::new(destination, to))
}

/// Both ends of a connection by TCP are somebody's own.
fn checked(length: usize, ends: (SocketAddr, SocketAddr)) -> Heard {
    let is_own = |end: SocketAddr| match end.ip() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_broadcast() && !ip.is_multicast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    match is_own(ends.0) && is_own(ends.1) {
        true => Heard::Header(Header { length, ends: Some(ends) }),
        false => malformed("an address is nobody's own"),
    }
}

fn malformed(why: &'static str) -> Heard {
    Heard::Malformed(why)
}

/// Appends a header. `ends`: where the client is and where it meant to go; `None`: nothing is told.
pub fn write(version: Version, ends: Option<(SocketAddr, SocketAddr)>, out: &mut Vec<u8>) {
    match version {
        // Writing to memory cannot fail.
        Version::V1 => match ends {
            Some((SocketAddr::V4(source), SocketAddr::V4(destination))) => {
                let (from, to) = (source.ip(), destination.ip());
                let ports = (source.port(), destination.port());
                let _ = write!(out, "PROXY TCP4 {from} {to} {} {}\r\n", ports.0, ports.1);
            }
            Some((source, destination)) => {
                let (from, to) = (wide(source), wide(destination));
                let ports = (source.port(), destination.port());
                let _ = write!(out, "PROXY TCP6 {from} {to} {} {}\r\n", ports.0, ports.1);
            }
            None => out.extend_from_slice(b"PROXY UNKNOWN\r\n"),
        },
        Version::V2 => {
            out.extend_from_slice(V2);
            match ends {
                Some((SocketAddr::V4(source), SocketAddr::V4(destination))) => {
                    out.extend_from_slice(&[0x21, 0x11, 0, 12]);
                    out.extend_from_slice(&source.ip().octets());
                    out.extend_from_slice(&destination.ip().octets());
                }
                Some((source, destination)) => {
                    out.extend_from_slice(&[0x21, 0x21, 0, 36]);
                    out.extend_from_slice(&wide(source).octets());
                    out.extend_from_slice(&wide(destination).octets());
                }
                None => out.extend_from_slice(&[0x20, 0, 0, 0]),
            }
            for end in ends.into_iter().flat_map(|(source, destination)| [source, destination]) {
                out.extend_from_slice(&end.port().to_be_bytes());
            }
        }
    }
}

fn wide(end: SocketAddr) -> Ipv6Addr {
    match end.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests;
