//! Rules as the text that `iptables-restore --noflush` reads.

use std::fmt::Write;

use super::rules::{Chain, Family, Match, OWN_CHAINS, Placed, Rules, Verdict};

impl Rules {
    /// One family's nat table for `iptables-restore` or `ip6tables-restore`; empty when it is off.
    pub fn to_iptables_restore(&self, family: Family) -> String {
        self.restore_after(family, &[])
    }

    /// As [`Rules::to_iptables_restore`], with lines before the rules that take old ones away.
    pub(super) fn restore_after(&self, family: Family, removal: &[String]) -> String {
        let rules = self.of(family);
        if rules.is_empty() {
            return String::new();
        }
        let mut text = String::from("*nat\n");
        removal.iter().for_each(|line| push_line(&mut text, line));
        OWN_CHAINS.iter().for_each(|chain| push_line(&mut text, &format!("-N {}", chain.name())));
        rules.iter().for_each(|placed| push_line(&mut text, &line(placed)));
        push_line(&mut text, "COMMIT");
        text
    }
}

/// What takes our chains out of a table that `iptables-save` printed as `saved`; empty when none
/// of them is there.
pub(super) fn removal(saved: &str) -> Vec<String> {
    let ours = |word: &str| OWN_CHAINS.iter().any(|chain| chain.name() == word);
    let declared: Vec<_> = saved
        .lines()
        .filter_map(|line| line.strip_prefix(':')?.split_whitespace().next())
        .filter(|name| ours(name))
        .collect();
    if declared.is_empty() {
        return Vec::new();
    }
    let built_in = [Chain::Prerouting.name(), Chain::Output.name()];
    let jumps = saved.lines().filter_map(|line| {
        let rest = line.strip_prefix("-A ")?;
        let mut words = rest.split_whitespace();
        let from_built_in = words.next().is_some_and(|name| built_in.contains(&name));
        let target = rest.rsplit_once("-j ").and_then(|(_, target)| target.split(' ').next());
        (from_built_in && target.is_some_and(ours)).then(|| format!("-D {rest}"))
    });
    let mut lines: Vec<_> = jumps.collect();
    lines.extend(declared.iter().map(|name| format!("-F {name}")));
    lines.extend(declared.iter().map(|name| format!("-X {name}")));
    lines
}

fn line(placed: &Placed) -> String {
    let mut text = match placed.first {
        true => format!("-I {} 1", placed.chain.name()),
        false => format!("-A {}", placed.chain.name()),
    };
    for condition in &placed.rule.matches {
        let _ = write!(text, " {}", words(condition));
    }
    let _ = match placed.rule.verdict {
        Verdict::Return => write!(text, " -j RETURN"),
        Verdict::Jump(chain) => write!(text, " -j {}", chain.name()),
        Verdict::Redirect(port) => write!(text, " -j REDIRECT --to-ports {port}"),
    };
    text
}

fn words(condition: &Match) -> String {
    let negation = |not: &bool| if *not { "! " } else { "" };
    match condition {
        Match::InInterface(name) => format!("-i {name}"),
        Match::OutInterface(name) => format!("-o {name}"),
        Match::Source(net) => format!("-s {net}"),
        Match::Destination { net, not } => format!("{}-d {net}", negation(not)),
        Match::Tcp => "-p tcp".into(),
        Match::Udp => "-p udp".into(),
        Match::Port { port, not } => format!("{}--dport {port}", negation(not)),
        Match::Uid { id, not } => format!("-m owner {}--uid-owner {id}", negation(not)),
        Match::Gid { id, not } => format!("-m owner {}--gid-owner {id}", negation(not)),
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
