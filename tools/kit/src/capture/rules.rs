//! From options to rules, in Istio's order. No I/O.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::options::{Options, Ports, Ranges};

/// Where a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chain {
    /// Built in: what arrives from outside.
    Prerouting,
    /// Built in: what this pod's own processes send.
    Output,
    /// Decides about inbound connections.
    IstioInbound,
    /// Sends to the outbound port.
    IstioRedirect,
    /// Sends to the inbound port.
    IstioInRedirect,
    /// Decides about outbound connections.
    IstioOutput,
}

/// The chains of our own, in the order in which they are declared.
pub(super) const OWN_CHAINS: [Chain; 4] =
    [Chain::IstioInbound, Chain::IstioRedirect, Chain::IstioInRedirect, Chain::IstioOutput];

/// An address family; each has its own table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// One condition of a rule; all must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// It arrives by this link.
    InInterface(String),
    /// It leaves by this link.
    OutInterface(String),
    /// It comes from this range.
    Source(IpNet),
    /// It goes to this range, or (`not`) to any other.
    Destination {
        /// The range.
        net: IpNet,
        /// Turns the condition round.
        not: bool,
    },
    /// It is TCP.
    Tcp,
    /// It is UDP.
    Udp,
    /// It goes to this port, or (`not`) to any other; only after [`Match::Tcp`] or `Udp`.
    Port {
        /// The port.
        port: u16,
        /// Turns the condition round.
        not: bool,
    },
    /// A process of this user sent it, or (`not`) of any other.
    Uid {
        /// The user's number.
        id: u32,
        /// Turns the condition round.
        not: bool,
    },
    /// A process of this group sent it, or (`not`) of any other.
    Gid {
        /// The group's number.
        id: u32,
        /// Turns the condition round.
        not: bool,
    },
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Back to the chain that jumped here; from a built-in chain, on its way untouched.
    Return,
    /// On to that chain.
    Jump(Chain),
    /// To this port of this pod.
    Redirect(u16),
}

/// Conditions and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All must hold.
    pub matches: Vec<Match>,
    /// What then happens.
    pub verdict: Verdict,
}

/// A rule in a chain; `first` puts it before all that stand there (iptables' `-I CHAIN 1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The chain.
    pub chain: Chain,
    /// Whether it goes to the front.
    pub first: bool,
    /// The rule.
    pub rule: Rule,
}

/// The rules of both families, in the order in which they are placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    v4: Vec<Placed>,
    v6: Option<Vec<Placed>>,
}

impl Rules {
    /// The rules for these options.
    pub fn new(options: &Options) -> Self {
        Self {
            v4: Builder::build(options, Family::V4),
            v6: options.ipv6.then(|| Builder::build(options, Family::V6)),
        }
    }

    /// No rules in either family.
    pub(super) fn none() -> Self {
        Self { v4: Vec::new(), v6: None }
    }

    /// The families that have rules.
    pub fn families(&self) -> impl Iterator<Item = Family> {
        [Some(Family::V4), self.v6.as_ref().map(|_| Family::V6)].into_iter().flatten()
    }

    /// The rules of one family; empty when it is off.
    pub fn of(&self, family: Family) -> &[Placed] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => self.v6.as_deref().unwrap_or_default(),
        }
    }

    /// The rules of one chain as they end up standing in it.
    pub(super) fn chain(&self, family: Family, chain: Chain) -> Vec<&Rule> {
        let mut rules = Vec::new();
        for placed in self.of(family).iter().filter(|placed| placed.chain == chain) {
            let at = if placed.first { 0 } else { rules.len() };
            rules.insert(at, &placed.rule);
        }
        rules
    }
}

impl Chain {
    /// Its name in the kernel.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Output => "OUTPUT",
            Self::IstioInbound => "ISTIO_INBOUND",
            Self::IstioRedirect => "ISTIO_REDIRECT",
            Self::IstioInRedirect => "ISTIO_IN_REDIRECT",
            Self::IstioOutput => "ISTIO_OUTPUT",
        }
    }
}

impl Family {
    /// The one source from which a proxy dials its own app.
    fn passthrough(self) -> IpNet {
        match self {
            Self::V4 => IpNet::new_assert(Ipv4Addr::new(127, 0, 0, 6).into(), 32),
            Self::V6 => IpNet::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6).into(), 128),
        }
    }

    fn loopback(self) -> IpNet {
        match self {
            Self::V4 => IpNet::new_assert(Ipv4Addr::LOCALHOST.into(), 32),
            Self::V6 => IpNet::new_assert(Ipv6Addr::LOCALHOST.into(), 128),
        }
    }

    fn owns(self, net: &IpNet) -> bool {
        matches!((self, net), (Self::V4, IpNet::V4(_)) | (Self::V6, IpNet::V6(_)))
    }
}

struct Builder<'a> {
    options: &'a Options,
    family: Family,
    rules: Vec<Placed>,
}

impl<'a> Builder<'a> {
    fn build(options: &'a Options, family: Family) -> Vec<Placed> {
        let mut builder = Self { options, family, rules: Vec::new() };
        builder.interfaces();
        builder.inbound();
        builder.outbound_ports_excluded();
        builder.proxy_itself();
        builder.outbound();
        builder.rules
    }

    fn interfaces(&mut self) {
        use Chain::{Output, Prerouting};
        for name in &self.options.exclude_interfaces {
            self.add(Prerouting, [Match::InInterface(name.clone())], Verdict::Return);
            self.add(Output, [Match::OutInterface(name.clone())], Verdict::Return);
        }
        for name in &self.options.virtual_interfaces {
            self.add_first(Prerouting, [Match::InInterface(name.clone())], Verdict::Return);
        }
    }

    fn inbound(&mut self) {
        use Chain::{IstioInRedirect, IstioInbound, IstioRedirect, Prerouting};
        let options = self.options;
        self.add(IstioInbound, to_port(options.tunnel_port), Verdict::Return);
        self.add(IstioRedirect, [Match::Tcp], Verdict::Redirect(options.outbound_port));
        self.add(IstioInRedirect, [Match::Tcp], Verdict::Redirect(options.inbound_port));
        match &options.inbound_include {
            Ports::All => {
                self.add(Prerouting, [Match::Tcp], Verdict::Jump(IstioInbound));
                for port in &options.inbound_exclude {
                    self.add(IstioInbound, to_port(*port), Verdict::Return);
                }
                self.add(IstioInbound, [Match::Tcp], Verdict::Jump(IstioInRedirect));
            }
            Ports::These(ports) if ports.is_empty() => {}
            Ports::These(ports) => {
                self.add(Prerouting, [Match::Tcp], Verdict::Jump(IstioInbound));
                for port in ports {
                    self.add(IstioInbound, to_port(*port), Verdict::Jump(IstioInRedirect));
                }
            }
        }
    }

    fn outbound_ports_excluded(&mut self) {
        self.add(Chain::Output, [], Verdict::Jump(Chain::IstioOutput));
        for &port in &self.options.outbound_ports_exclude {
            for protocol in [Match::Tcp, Match::Udp] {
                let matches = [protocol, Match::Port { port, not: false }];
                self.add(Chain::IstioOutput, matches, Verdict::Return);
            }
        }
    }

    /// The proxy's own connections: to its app directly, to itself through the inbound side, to
    /// others untouched. And an app talking to itself over loopback is left alone.
    fn proxy_itself(&mut self) {
        let dialled = [lo(), Match::Source(self.family.passthrough())];
        self.add(Chain::IstioOutput, dialled, Verdict::Return);
        for &id in &self.options.uids {
            self.proxy_owner(Match::Uid { id, not: false }, Match::Uid { id, not: true });
        }
        for &id in &self.options.gids {
            self.proxy_owner(Match::Gid { id, not: false }, Match::Gid { id, not: true });
        }
        let local = Match::Destination { net: self.family.loopback(), not: false };
        self.add(Chain::IstioOutput, [local], Verdict::Return);
    }

    fn proxy_owner(&mut self, is: Match, is_not: Match) {
        let elsewhere = Match::Destination { net: self.family.loopback(), not: true };
        let tunnel = Match::Port { port: self.options.tunnel_port, not: true };
        self.add(
            Chain::IstioOutput,
            [lo(), elsewhere, Match::Tcp, tunnel, is.clone()],
            Verdict::Jump(Chain::IstioInRedirect),
        );
        self.add(Chain::IstioOutput, [lo(), is_not], Verdict::Return);
        self.add(Chain::IstioOutput, [is], Verdict::Return);
    }

    fn outbound(&mut self) {
        use Chain::{IstioOutput, IstioRedirect, Prerouting};
        let (options, family) = (self.options, self.family);
        for net in options.outbound_exclude.iter().filter(|net| family.owns(net)) {
            self.add(IstioOutput, [to(*net)], Verdict::Return);
        }
        for &port in &options.outbound_ports_include {
            self.add(IstioOutput, to_port(port), Verdict::Jump(IstioRedirect));
        }
        match &options.outbound_include {
            Ranges::All => {
                for name in &options.virtual_interfaces {
                    let from = Match::InInterface(name.clone());
                    self.add_first(Prerouting, [from], Verdict::Jump(IstioRedirect));
                }
                self.add(IstioOutput, [], Verdict::Jump(IstioRedirect));
            }
            Ranges::These(ranges) => {
                for net in ranges.iter().filter(|net| family.owns(net)) {
                    for name in &options.virtual_interfaces {
                        let from = [Match::InInterface(name.clone()), to(*net)];
                        self.add_first(Prerouting, from, Verdict::Jump(IstioRedirect));
                    }
                    self.add(IstioOutput, [to(*net)], Verdict::Jump(IstioRedirect));
                }
            }
        }
    }

    fn add<const N: usize>(&mut self, chain: Chain, matches: [Match; N], verdict: Verdict) {
        let rule = Rule { matches: matches.into(), verdict };
        self.rules.push(Placed { chain, first: false, rule });
    }

    fn add_first<const N: usize>(&mut self, chain: Chain, matches: [Match; N], verdict: Verdict) {
        let rule = Rule { matches: matches.into(), verdict };
        self.rules.push(Placed { chain, first: true, rule });
    }
}

fn lo() -> Match {
    Match::OutInterface("lo".into())
}

fn to(net: IpNet) -> Match {
    Match::Destination { net, not: false }
}

fn to_port(port: u16) -> [Match; 2] {
    [Match::Tcp, Match::Port { port, not: false }]
}
