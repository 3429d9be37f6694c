//! What is to be captured, in the terms of `istio-iptables`' flags.

use std::{fmt, str::FromStr};

use ipnet::IpNet;

/// A set of ports, or all of them. Written `*`, empty, or `80,443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Every port.
    All,
    /// These, in the order in which rules are made.
    These(Vec<u16>),
}

/// A set of address ranges, or all of them. Written `*`, empty, or `10.0.0.0/8,2001:db8::/32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// Every address.
    All,
    /// These, in the order in which rules are made; each makes a rule in its own family.
    These(Vec<IpNet>),
}

/// Inputs of the rules. [`Options::default`] is what Istio's injector asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where outbound connections go (`-p`).
    pub outbound_port: u16,
    /// Where inbound connections go (`-z`).
    pub inbound_port: u16,
    /// The port of HBONE tunnels, never captured (`-e`).
    pub tunnel_port: u16,
    /// Users whose own connections are the proxy's (`-u`).
    pub uids: Vec<u32>,
    /// Groups whose own connections are the proxy's (`-g`).
    pub gids: Vec<u32>,
    /// Inbound ports to capture (`-b`).
    pub inbound_include: Ports,
    /// Inbound ports to leave alone when all are captured (`-d`).
    pub inbound_exclude: Vec<u16>,
    /// Outbound destinations to capture (`-i`).
    pub outbound_include: Ranges,
    /// Outbound destinations to leave alone (`-x`).
    pub outbound_exclude: Vec<IpNet>,
    /// Outbound ports to capture whatever their address (`-q`).
    pub outbound_ports_include: Vec<u16>,
    /// Outbound ports to leave alone (`-o`).
    pub outbound_ports_exclude: Vec<u16>,
    /// Links that are not captured at all (`-c`).
    pub exclude_interfaces: Vec<String>,
    /// Links of virtual machines whose traffic counts as outbound (`-k`).
    pub virtual_interfaces: Vec<String>,
    /// Whether IPv6 gets rules as well.
    pub ipv6: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            inbound_include: Ports::All,
            inbound_exclude: vec![15090, 15021, 15020],
            outbound_include: Ranges::All,
            ipv6: true,
            ..Self::bare()
        }
    }
}

impl Options {
    /// The options with nothing included: only the proxy's own rules remain.
    pub fn bare() -> Self {
        Self {
            outbound_port: 15001,
            inbound_port: 15006,
            tunnel_port: 15008,
            uids: vec![1337],
            gids: vec![1337],
            inbound_include: Ports::These(vec![]),
            inbound_exclude: vec![],
            outbound_include: Ranges::These(vec![]),
            outbound_exclude: vec![],
            outbound_ports_include: vec![],
            outbound_ports_exclude: vec![],
            exclude_interfaces: vec![],
            virtual_interfaces: vec![],
            ipv6: false,
        }
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "*" => Ok(Self::All),
            list => words(list)
                .map(|word| word.parse().map_err(|_| format!("\"{word}\" is not a port (1-65535)")))
                .collect::<Result<_, _>>()
                .map(Self::These),
        }
    }
}

impl FromStr for Ranges {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "*" => Ok(Self::All),
            list => words(list).map(range).collect::<Result<_, _>>().map(Self::These),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::These(ports) => f.write_str(&joined(ports)),
        }
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::These(ranges) => f.write_str(&joined(ranges)),
        }
    }
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// A range, or a single address as a range of one.
fn range(word: &str) -> Result<IpNet, String> {
    let net: Result<IpNet, _> = word.parse();
    net.or_else(|_| word.parse().map(|ip: std::net::IpAddr| ip.into()))
        .map(|net| net.trunc())
        .map_err(|_| format!("\"{word}\" is not an address range such as 10.0.0.0/8"))
}
