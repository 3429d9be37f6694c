//! `envoy.filters.{http,network}.rbac`, compiled.

use std::sync::Arc;

use ipnet::IpNet;

use super::{HeaderMatch, StringMatch};

/// The HTTP filter.
#[derive(Debug)]
pub struct HttpRbac {
    /// The filter's name in its chain.
    pub name: Arc<str>,
    /// What is enforced; `None`: everything passes.
    pub rules: Option<Rules>,
}

/// The network filter.
#[derive(Debug)]
pub struct NetworkRbac {
    /// For statistics.
    pub stat_prefix: Arc<str>,
    /// What is enforced; `None`: everything passes.
    pub rules: Option<Rules>,
}

/// `RBAC`: an action and the policies, ordered by name as Envoy's map is.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What a match means.
    pub action: Action,
    /// The policies.
    pub policies: Vec<Policy>,
}

/// `RBAC.Action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A match lets pass, no match refuses.
    Allow,
    /// A match refuses.
    Deny,
    /// Always lets pass.
    Log,
}

/// `Policy`: passes if one permission and one principal match.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name, which becomes part of the reason.
    pub name: Arc<str>,
    /// What is asked for.
    pub permissions: Vec<Permission>,
    /// Who asks.
    pub principals: Vec<Principal>,
}

/// `Permission`. A closed set: what is not here is refused when the configuration is read.
#[derive(Clone, Debug)]
pub enum Permission {
    /// `any: true`
    Any,
    /// All of them.
    And(Vec<Self>),
    /// One of them.
    Or(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// A header, `:method` among them.
    Header(HeaderMatch),
    /// The path without its query and fragment.
    Path(StringMatch),
    /// The destination address.
    DestinationIp(IpNet),
    /// The destination port.
    DestinationPort(u16),
    /// The destination port in `[start, end)`.
    DestinationPorts(u32, u32),
    /// The SNI.
    ServerName(StringMatch),
}

/// `Principal`. A closed set like [`Permission`].
#[derive(Clone, Debug)]
pub enum Principal {
    /// `any: true`
    Any,
    /// All of them.
    And(Vec<Self>),
    /// One of them.
    Or(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// The peer has a verified certificate and, if asked, one of its URI SANs (else DNS SANs, else
    /// its subject) matches.
    Authenticated(Option<StringMatch>),
    /// The peer's address, as the socket has it.
    DirectRemoteIp(IpNet),
    /// The client's address, as `x-forwarded-for` may have told it.
    RemoteIp(IpNet),
    /// A header.
    Header(HeaderMatch),
    /// The path without its query and fragment.
    Path(StringMatch),
}
