//! Rules as a script for `nft -f`, in a table of our own for each family.

use std::fmt::Write;

use super::rules::{Chain, Family, Match, OWN_CHAINS, Rule, Rules, Verdict};

/// The table that holds all our chains in nftables.
pub(super) const TABLE: &str = "ringway";

impl Rules {
    /// One script that replaces our tables whole.
    pub fn to_nft(&self) -> String {
        let mut text = removal();
        for family in self.families() {
            let _ = writeln!(text, "table {} {TABLE} {{", family_word(family));
            for chain in OWN_CHAINS {
                self.push_chain(&mut text, family, chain, "");
            }
            for chain in [Chain::Prerouting, Chain::Output] {
                self.push_chain(&mut text, family, chain, hook(chain));
            }
            text.push_str("}\n");
        }
        text
    }

    fn push_chain(&self, text: &mut String, family: Family, chain: Chain, hook: &str) {
        let _ = writeln!(text, "\tchain {} {{", chain.name());
        if !hook.is_empty() {
            let _ = writeln!(text, "\t\t{hook}");
        }
        for rule in self.chain(family, chain) {
            let _ = writeln!(text, "\t\t{}", line(family, rule));
        }
        text.push_str("\t}\n");
    }
}

/// A script that takes our tables away, whether or not they are there: "add" makes the "delete"
/// after it safe, and both are one transaction.
pub(super) fn removal() -> String {
    [Family::V4, Family::V6]
        .map(family_word)
        .map(|family| format!("add table {family} {TABLE}\ndelete table {family} {TABLE}\n"))
        .concat()
}

fn family_word(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

fn hook(chain: Chain) -> &'static str {
    match chain {
        Chain::Prerouting => "type nat hook prerouting priority -100; policy accept;",
        Chain::Output => "type nat hook output priority -100; policy accept;",
        _ => "",
    }
}

fn line(family: Family, rule: &Rule) -> String {
    let mut text = String::new();
    let mut protocol = "tcp";
    let has_port = rule.matches.iter().any(|one| matches!(one, Match::Port { .. }));
    for condition in &rule.matches {
        match condition {
            Match::Tcp | Match::Udp => {
                protocol = if *condition == Match::Tcp { "tcp" } else { "udp" };
                // `tcp dport` says the protocol itself.
                if !has_port {
                    let _ = write!(text, "meta l4proto {protocol} ");
                }
            }
            other => {
                let _ = write!(text, "{} ", words(family, protocol, other));
            }
        }
    }
    let _ = match rule.verdict {
        Verdict::Return => write!(text, "return"),
        Verdict::Jump(chain) => write!(text, "jump {}", chain.name()),
        Verdict::Redirect(port) => write!(text, "redirect to :{port}"),
    };
    text
}

fn words(family: Family, protocol: &str, condition: &Match) -> String {
    let negation = |not: &bool| if *not { "!= " } else { "" };
    let ip = family_word(family);
    match condition {
        Match::InInterface(name) => format!("iifname \"{name}\""),
        Match::OutInterface(name) => format!("oifname \"{name}\""),
        Match::Source(net) => format!("{ip} saddr {net}"),
        Match::Destination { net, not } => format!("{ip} daddr {}{net}", negation(not)),
        Match::Tcp | Match::Udp => format!("meta l4proto {protocol}"),
        Match::Port { port, not } => format!("{protocol} dport {}{port}", negation(not)),
        Match::Uid { id, not } => format!("meta skuid {}{id}", negation(not)),
        Match::Gid { id, not } => format!("meta skgid {}{id}", negation(not)),
    }
}
