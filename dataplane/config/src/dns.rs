//! Names that clusters are found by: what has to be asked, of whom, and how often.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One name that has to be looked up for as long as a cluster needs it. Clusters that ask for the
/// same name in the same way share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The name, as it stands in the endpoint.
    pub name: Arc<str>,
    /// How it is looked up.
    pub lookup: Arc<Lookup>,
}

/// How names are looked up, and when again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// The first address is the only host (`LOGICAL_DNS`); else each is one (`STRICT_DNS`).
    pub logical: bool,
    /// Which addresses (`dns_lookup_family`).
    pub family: Family,
    /// From one answer to the next question (`dns_refresh_rate`, Envoy: 5 s).
    pub refresh: Duration,
    /// The first and the longest wait after failures (`dns_failure_refresh_rate`); `None`:
    /// `refresh`.
    pub failure_refresh: Option<(Duration, Duration)>,
    /// The answer's time to live, where it has one, is the wait (`respect_dns_ttl`).
    pub respect_ttl: bool,
    /// The shortest such wait (`dns_min_refresh_rate`).
    pub ttl_least: Duration,
    /// A random time below it is added to the wait after an answer (`dns_jitter`).
    pub jitter: Duration,
    /// Who is asked.
    pub resolver: Arc<Resolver>,
}

/// `DnsLookupFamily`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv6; IPv4 where there is no such address.
    #[default]
    Auto,
    /// IPv4 alone.
    V4Only,
    /// IPv6 alone.
    V6Only,
    /// IPv4; IPv6 where there is no such address.
    V4Preferred,
    /// Both.
    All,
}

/// `CaresDnsResolverConfig`: name servers, and how they are asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resolver {
    /// Name servers; none: those of the system (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
    /// `servers` are for where the system has none (`use_resolvers_as_fallback`).
    pub as_fallback: bool,
    /// By TCP alone (`use_tcp_for_dns_lookups`).
    pub tcp: bool,
    /// Names are taken as they are, without the system's search list
    /// (`no_default_search_domain`).
    pub no_search: bool,
    /// Each question begins with another server (`rotate_nameservers`).
    pub rotate: bool,
    /// How long one server may take (Envoy: 5 s).
    pub timeout: Duration,
    /// How often the list of servers is gone through (Envoy: 4).
    pub tries: u32,
    /// Bytes of an answer by UDP (`edns0_max_payload_size`, c-ares: 1232).
    pub udp_payload: u16,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            as_fallback: false,
            tcp: false,
            no_search: false,
            rotate: false,
            timeout: Duration::from_secs(5),
            tries: 4,
            udp_payload: 1232,
        }
    }
}
