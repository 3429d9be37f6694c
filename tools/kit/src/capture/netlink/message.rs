//! Encoding of netlink messages: header, nfgenmsg, attributes (RFC 3549 and linux/netlink.h).

use std::io;

use super::super::rules::Family;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLA_F_NESTED: u16 = 0x8000;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const HEADER: usize = 16;

/// `enum nf_tables_msg_types`, those used here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    NewTable = 0,
    DelTable = 2,
    NewChain = 3,
    NewRule = 6,
    GetRule = 7,
}

impl Kind {
    fn number(self) -> u16 {
        NFNL_SUBSYS_NFTABLES << 8 | self as u16
    }

    fn flags(self) -> u16 {
        match self {
            Self::NewTable | Self::NewChain => NLM_F_CREATE,
            Self::NewRule => NLM_F_CREATE | NLM_F_APPEND,
            Self::DelTable | Self::GetRule => 0,
        }
    }
}

/// A list of attributes, each padded to four bytes.
#[derive(Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// A text with its end marked by a zero byte.
    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.bytes(kind, &[value.as_bytes(), b"\0"].concat());
    }

    /// nf_tables carries its numbers in network order.
    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(super) fn nested(&mut self, kind: u16, inner: &Self) {
        self.bytes(kind | NLA_F_NESTED, &inner.0);
    }
}

/// Messages that the kernel takes as one transaction.
pub(super) struct Batch {
    bytes: Vec<u8>,
    count: u32,
}

impl Batch {
    pub(super) fn new() -> Self {
        let mut bytes = Vec::new();
        edge(&mut bytes, NFNL_MSG_BATCH_BEGIN, 0);
        Self { bytes, count: 0 }
    }

    pub(super) fn push(&mut self, kind: Kind, family: Family, attributes: &Attributes) {
        self.count += 1;
        let flags = NLM_F_REQUEST | NLM_F_ACK | kind.flags();
        put(
            &mut self.bytes,
            kind.number(),
            flags,
            self.count,
            family_number(family),
            0,
            attributes,
        );
    }

    /// The bytes to send, and how many answers will come.
    pub(super) fn finish(mut self) -> (Vec<u8>, u32) {
        edge(&mut self.bytes, NFNL_MSG_BATCH_END, self.count + 1);
        (self.bytes, self.count)
    }
}

/// One request for everything of a kind.
pub(super) fn dump(kind: Kind, family: Family, attributes: &Attributes) -> Vec<u8> {
    let mut bytes = Vec::new();
    let flags = NLM_F_REQUEST | NLM_F_DUMP;
    put(&mut bytes, kind.number(), flags, 1, family_number(family), 0, attributes);
    bytes
}

/// One message that came back.
pub(super) struct Reply<'a> {
    kind: u16,
    body: &'a [u8],
}

impl Reply<'_> {
    pub(super) fn is(&self, kind: Kind) -> bool {
        self.kind == kind.number()
    }

    pub(super) fn is_end(&self) -> bool {
        matches!(self.kind, NLMSG_DONE | NLMSG_ERROR)
    }

    /// The kernel's refusal; an error message with code zero is an acknowledgement.
    pub(super) fn error(&self) -> io::Result<()> {
        let code = self.body.first_chunk().map_or(0, |word| i32::from_ne_bytes(*word));
        match self.kind {
            NLMSG_ERROR if code != 0 => Err(io::Error::from_raw_os_error(-code)),
            _ => Ok(()),
        }
    }
}

/// The messages of one datagram; a torn one ends the list.
pub(super) fn replies(mut bytes: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Reply { kind, body })
    })
}

fn edge(bytes: &mut Vec<u8>, kind: u16, sequence: u32) {
    let none = Attributes::default();
    put(bytes, kind, NLM_F_REQUEST, sequence, 0, NFNL_SUBSYS_NFTABLES, &none);
}

fn put(
    bytes: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    attributes: &Attributes,
) {
    let length = u32::try_from(HEADER + 4 + attributes.0.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    // struct nfgenmsg: family, version, resource id in network order.
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(&attributes.0);
}

fn family_number(family: Family) -> u8 {
    match family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    }
}
