//! One Ethernet frame as one TCP segment (IEEE 802.3, RFC 791, RFC 8200, RFC 9293).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const ETHERNET_HEADER: usize = 14;
const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86DD;
const PROTOCOL_TCP: u8 = 6;
const IPV6_HEADER: usize = 40;
const FLAG_SYN: u8 = 0x02;

/// What one frame carried of a TCP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// Who is to get it.
    pub to: SocketAddr,
    /// Number of its first byte.
    pub sequence: u32,
    /// Whether it opens the connection; its first byte then has the next number.
    pub syn: bool,
    /// The bytes.
    pub payload: &'a [u8],
}

/// Reads a frame; anything that is not TCP over IP, or is cut short, is `None`.
pub fn parse_frame(frame: &[u8]) -> Option<Segment<'_>> {
    let kind = u16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
    let packet = frame.get(ETHERNET_HEADER..)?;
    match kind {
        TYPE_IPV4 => parse_v4(packet),
        TYPE_IPV6 => parse_v6(packet),
        _ => None,
    }
}

fn parse_v4(packet: &[u8]) -> Option<Segment<'_>> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes(*packet.get(2..)?.first_chunk()?));
    let protocol = *packet.get(9)?;
    let from: [u8; 4] = *packet.get(12..)?.first_chunk()?;
    let to: [u8; 4] = *packet.get(16..)?.first_chunk()?;
    // A packet joined by offload may say zero; then the frame's own length counts.
    let body = if total == 0 { packet.get(header..)? } else { packet.get(header..total)? };
    parse_tcp(protocol, Ipv4Addr::from(from).into(), Ipv4Addr::from(to).into(), body)
}

fn parse_v6(packet: &[u8]) -> Option<Segment<'_>> {
    let length = usize::from(u16::from_be_bytes(*packet.get(4..)?.first_chunk()?));
    let protocol = *packet.get(6)?;
    let from: [u8; 16] = *packet.get(8..)?.first_chunk()?;
    let to: [u8; 16] = *packet.get(24..)?.first_chunk()?;
    let body = packet.get(IPV6_HEADER..)?;
    let body = if length == 0 { body } else { body.get(..length)? };
    parse_tcp(protocol, Ipv6Addr::from(from).into(), Ipv6Addr::from(to).into(), body)
}

fn parse_tcp(protocol: u8, from: IpAddr, to: IpAddr, segment: &[u8]) -> Option<Segment<'_>> {
    if protocol != PROTOCOL_TCP {
        return None;
    }
    let source = u16::from_be_bytes(*segment.first_chunk()?);
    let target = u16::from_be_bytes(*segment.get(2..)?.first_chunk()?);
    let sequence = u32::from_be_bytes(*segment.get(4..)?.first_chunk()?);
    let header = usize::from(segment.get(12)? >> 4) * 4;
    Some(Segment {
        from: SocketAddr::new(from, source),
        to: SocketAddr::new(to, target),
        sequence,
        syn: segment.get(13)? & FLAG_SYN != 0,
        payload: segment.get(header..)?,
    })
}
