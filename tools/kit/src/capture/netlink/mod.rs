//! Rules put into the kernel by nf_tables netlink messages of our own: no program, no library.
//!
//! All messages of one change travel in one batch, which the kernel applies whole or not at all.

mod expression;
mod message;

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use self::{
    expression::rule_expressions,
    message::{Attributes, Batch, Kind, replies},
};
use super::{
    nft::TABLE,
    rules::{Chain, Family, OWN_CHAINS, Rules},
};

/// linux/netfilter/nf_tables.h, `enum nft_table_attributes`.
const NFTA_TABLE_NAME: u16 = 1;
/// `enum nft_chain_attributes`.
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
/// `enum nft_hook_attributes`.
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
/// `enum nft_rule_attributes`.
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
/// linux/netfilter.h: hooks, the nat priority, and the verdict of an empty chain.
const NF_INET_PRE_ROUTING: u32 = 0;
const NF_INET_LOCAL_OUT: u32 = 3;
const NAT_PRIORITY: i32 = -100;
const NF_ACCEPT: u32 = 1;

/// Replaces our tables by these rules.
pub(super) fn apply(rules: &Rules) -> io::Result<()> {
    let mut batch = Batch::new();
    push_removal(&mut batch);
    for family in rules.families() {
        batch.push(Kind::NewTable, family, &table());
        for chain in OWN_CHAINS {
            batch.push(Kind::NewChain, family, &chain_attributes(chain));
        }
        for chain in [Chain::Prerouting, Chain::Output] {
            batch.push(Kind::NewChain, family, &hooked(chain));
        }
        for chain in OWN_CHAINS.into_iter().chain([Chain::Prerouting, Chain::Output]) {
            for rule in rules.chain(family, chain) {
                let mut attributes = Attributes::default();
                attributes.text(NFTA_RULE_TABLE, TABLE);
                attributes.text(NFTA_RULE_CHAIN, chain.name());
                attributes.nested(NFTA_RULE_EXPRESSIONS, &rule_expressions(family, rule));
                batch.push(Kind::NewRule, family, &attributes);
            }
        }
    }
    send(batch)
}

/// Takes our tables away; nothing there is no error.
pub(super) fn remove() -> io::Result<()> {
    let mut batch = Batch::new();
    push_removal(&mut batch);
    send(batch)
}

/// How many rules stand in our tables of both families.
pub(super) fn count_rules() -> io::Result<usize> {
    let mut attributes = Attributes::default();
    attributes.text(NFTA_RULE_TABLE, TABLE);
    let mut found = 0;
    for family in [Family::V4, Family::V6] {
        let socket = open()?;
        socket.send(&message::dump(Kind::GetRule, family, &attributes), 0)?;
        let mut done = false;
        while !done {
            let (bytes, _) = socket.recv_from_full()?;
            for reply in replies(&bytes) {
                done |= reply.is_end();
                reply.error()?;
                found += usize::from(reply.is(Kind::NewRule));
            }
        }
    }
    Ok(found)
}

/// "Add" before "delete" makes the pair safe when there is nothing to delete.
fn push_removal(batch: &mut Batch) {
    for family in [Family::V4, Family::V6] {
        batch.push(Kind::NewTable, family, &table());
        batch.push(Kind::DelTable, family, &table());
    }
}

fn table() -> Attributes {
    let mut attributes = Attributes::default();
    attributes.text(NFTA_TABLE_NAME, TABLE);
    attributes
}

fn chain_attributes(chain: Chain) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.text(NFTA_CHAIN_TABLE, TABLE);
    attributes.text(NFTA_CHAIN_NAME, chain.name());
    attributes
}

fn hooked(chain: Chain) -> Attributes {
    let number = if chain == Chain::Prerouting { NF_INET_PRE_ROUTING } else { NF_INET_LOCAL_OUT };
    let mut hook = Attributes::default();
    hook.number(NFTA_HOOK_HOOKNUM, number);
    hook.number(NFTA_HOOK_PRIORITY, NAT_PRIORITY.cast_unsigned());
    let mut attributes = chain_attributes(chain);
    attributes.nested(NFTA_CHAIN_HOOK, &hook);
    attributes.number(NFTA_CHAIN_POLICY, NF_ACCEPT);
    attributes.text(NFTA_CHAIN_TYPE, "nat");
    attributes
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// The kernel works on the batch inside the send, so all answers are there when it returns.
fn send(batch: Batch) -> io::Result<()> {
    let (bytes, expected) = batch.finish();
    let socket = open()?;
    socket.set_non_blocking(true)?;
    socket.send(&bytes, 0)?;
    let mut acknowledged = 0;
    while acknowledged < expected {
        let (bytes, _) = socket.recv_from_full().map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => io::Error::other("nf_tables did not confirm every rule"),
            _ => e,
        })?;
        for reply in replies(&bytes) {
            reply.error()?;
            acknowledged += 1;
        }
    }
    Ok(())
}
