//! One rule as nf_tables expressions: load a value, compare it, and at the end a verdict.
//!
//! Numbers and layouts are those of linux/netfilter/nf_tables.h.

use ipnet::IpNet;

use super::{
    super::rules::{Chain, Family, Match, Rule, Verdict},
    message::Attributes,
};

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
const NFT_RETURN: i32 = -5;
const NFT_JUMP: i32 = -3;
const NFT_REG_VERDICT: u32 = 0;
const NFT_REG_1: u32 = 1;
const NFT_META_IIFNAME: u32 = 6;
const NFT_META_OIFNAME: u32 = 7;
const NFT_META_SKUID: u32 = 10;
const NFT_META_SKGID: u32 = 11;
const NFT_META_L4PROTO: u32 = 16;
const NFT_CMP_EQ: u32 = 0;
const NFT_CMP_NEQ: u32 = 1;
const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;
/// linux/netfilter/nf_nat.h, `NF_NAT_RANGE_PROTO_SPECIFIED`.
const NAT_RANGE_PROTO_SPECIFIED: u32 = 2;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
/// Interface names are compared in their whole field (`IFNAMSIZ`).
const INTERFACE_NAME: usize = 16;
/// TCP and UDP both have the destination port after the source port.
const PORT_OFFSET: u32 = 2;

pub(super) fn rule_expressions(family: Family, rule: &Rule) -> Attributes {
    let mut list = List::default();
    rule.matches.iter().for_each(|condition| list.condition(family, condition));
    match rule.verdict {
        Verdict::Return => list.verdict(NFT_RETURN, None),
        Verdict::Jump(chain) => list.verdict(NFT_JUMP, Some(chain)),
        Verdict::Redirect(port) => list.redirect(port),
    }
    list.0
}

#[derive(Default)]
struct List(Attributes);

impl List {
    fn condition(&mut self, family: Family, condition: &Match) {
        match condition {
            Match::InInterface(name) => self.interface(NFT_META_IIFNAME, name),
            Match::OutInterface(name) => self.interface(NFT_META_OIFNAME, name),
            Match::Source(net) => self.address(source_offset(family), net, false),
            Match::Destination { net, not } => self.address(target_offset(family), net, *not),
            Match::Tcp => self.protocol(IPPROTO_TCP),
            Match::Udp => self.protocol(IPPROTO_UDP),
            Match::Port { port, not } => {
                self.payload(NFT_PAYLOAD_TRANSPORT_HEADER, PORT_OFFSET, 2);
                self.compare(&port.to_be_bytes(), *not);
            }
            // Owner ids stand in the register in the machine's own order.
            Match::Uid { id, not } => {
                self.meta(NFT_META_SKUID);
                self.compare(&id.to_ne_bytes(), *not);
            }
            Match::Gid { id, not } => {
                self.meta(NFT_META_SKGID);
                self.compare(&id.to_ne_bytes(), *not);
            }
        }
    }

    fn interface(&mut self, key: u32, name: &str) {
        let mut field: Vec<u8> = name.bytes().take(INTERFACE_NAME - 1).collect();
        field.resize(INTERFACE_NAME, 0);
        self.meta(key);
        self.compare(&field, false);
    }

    fn protocol(&mut self, number: u8) {
        self.meta(NFT_META_L4PROTO);
        self.compare(&[number], false);
    }

    fn address(&mut self, offset: u32, net: &IpNet, not: bool) {
        let (network, mask) = match net {
            IpNet::V4(v4) => (v4.network().octets().to_vec(), v4.netmask().octets().to_vec()),
            IpNet::V6(v6) => (v6.network().octets().to_vec(), v6.netmask().octets().to_vec()),
        };
        let length = if net.max_prefix_len() == 32 { 4 } else { 16 };
        self.payload(NFT_PAYLOAD_NETWORK_HEADER, offset, length);
        if net.prefix_len() < net.max_prefix_len() {
            self.mask(length, &mask);
        }
        self.compare(&network, not);
    }

    fn meta(&mut self, key: u32) {
        let mut data = Attributes::default();
        data.number(1, NFT_REG_1); // NFTA_META_DREG
        data.number(2, key); // NFTA_META_KEY
        self.push("meta", &data);
    }

    fn payload(&mut self, base: u32, offset: u32, length: u32) {
        let mut data = Attributes::default();
        data.number(1, NFT_REG_1); // NFTA_PAYLOAD_DREG
        data.number(2, base); // NFTA_PAYLOAD_BASE
        data.number(3, offset); // NFTA_PAYLOAD_OFFSET
        data.number(4, length); // NFTA_PAYLOAD_LEN
        self.push("payload", &data);
    }

    fn mask(&mut self, length: u32, mask: &[u8]) {
        let mut data = Attributes::default();
        data.number(1, NFT_REG_1); // NFTA_BITWISE_SREG
        data.number(2, NFT_REG_1); // NFTA_BITWISE_DREG
        data.number(3, length); // NFTA_BITWISE_LEN
        data.nested(4, &value(mask)); // NFTA_BITWISE_MASK
        data.nested(5, &value(&vec![0; mask.len()])); // NFTA_BITWISE_XOR
        self.push("bitwise", &data);
    }

    fn compare(&mut self, bytes: &[u8], not: bool) {
        let mut data = Attributes::default();
        data.number(1, NFT_REG_1); // NFTA_CMP_SREG
        data.number(2, if not { NFT_CMP_NEQ } else { NFT_CMP_EQ }); // NFTA_CMP_OP
        data.nested(3, &value(bytes)); // NFTA_CMP_DATA
        self.push("cmp", &data);
    }

    fn verdict(&mut self, code: i32, chain: Option<Chain>) {
        let mut verdict = Attributes::default();
        verdict.number(NFTA_VERDICT_CODE, code.cast_unsigned());
        if let Some(chain) = chain {
            verdict.text(NFTA_VERDICT_CHAIN, chain.name());
        }
        let mut wrapped = Attributes::default();
        wrapped.nested(NFTA_DATA_VERDICT, &verdict);
        self.immediate(NFT_REG_VERDICT, &wrapped);
    }

    fn redirect(&mut self, port: u16) {
        self.immediate(NFT_REG_1, &value(&port.to_be_bytes()));
        let mut data = Attributes::default();
        data.number(1, NFT_REG_1); // NFTA_REDIR_REG_PROTO_MIN
        data.number(3, NAT_RANGE_PROTO_SPECIFIED); // NFTA_REDIR_FLAGS
        self.push("redir", &data);
    }

    fn immediate(&mut self, register: u32, content: &Attributes) {
        let mut data = Attributes::default();
        data.number(1, register); // NFTA_IMMEDIATE_DREG
        data.nested(2, content); // NFTA_IMMEDIATE_DATA
        self.push("immediate", &data);
    }

    fn push(&mut self, name: &str, data: &Attributes) {
        let mut element = Attributes::default();
        element.text(NFTA_EXPR_NAME, name);
        element.nested(NFTA_EXPR_DATA, data);
        self.0.nested(NFTA_LIST_ELEM, &element);
    }
}

fn value(bytes: &[u8]) -> Attributes {
    let mut data = Attributes::default();
    data.bytes(NFTA_DATA_VALUE, bytes);
    data
}

fn source_offset(family: Family) -> u32 {
    match family {
        Family::V4 => 12,
        Family::V6 => 8,
    }
}

fn target_offset(family: Family) -> u32 {
    match family {
        Family::V4 => 16,
        Family::V6 => 24,
    }
}
