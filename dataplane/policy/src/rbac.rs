//! Who may: `envoy.filters.http.rbac` and `envoy.filters.network.rbac`.
//!
//! We differ from Envoy in one point, on the strict side: `authenticated` asks for a verified
//! certificate. Envoy is content with any TLS connection where no name is asked for, and compares
//! the empty subject where one is.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use config::snapshot::{Action, Permission, Policy, Principal, Rules, StringMatch};
use tls::session::Peer;

use crate::facts::RequestFacts;
use crate::matcher;

/// What the rules say of a request or a connection.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'r> {
    /// It may pass.
    pub allowed: bool,
    /// The first policy that matched, in the order of names.
    pub policy: Option<&'r Arc<str>>,
}

impl<'r> Verdict<'r> {
    /// Envoy's response code details of a refusal: `rbac_access_denied_matched_policy[name]`.
    pub fn details(&self) -> Details<'r> {
        Details(self.policy.map_or("none", |name| name))
    }
}

/// The details of a refusal, to be written where they are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Details<'r>(&'r str);

impl fmt::Display for Details<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("rbac_access_denied_matched_policy[")?;
        // As in Envoy: log lines are cut at white space.
        for (at, part) in self.0.split(|c: char| c.is_ascii_whitespace()).enumerate() {
            if at > 0 {
                out.write_str("_")?;
            }
            out.write_str(part)?;
        }
        out.write_str("]")
    }
}

/// Judges a request. `facts.head` must be there: without one no path and no header matches.
pub fn http<'r>(rules: &'r Rules, facts: &RequestFacts<'_>) -> Verdict<'r> {
    judge(rules, facts)
}

/// Judges a connection by what is known without a request.
pub fn network<'r>(rules: &'r Rules, facts: &RequestFacts<'_>) -> Verdict<'r> {
    judge(rules, &RequestFacts { head: None, ..*facts })
}

fn judge<'r>(rules: &'r Rules, facts: &RequestFacts<'_>) -> Verdict<'r> {
    let policy = rules.policies.iter().find(|policy| applies(policy, facts));
    let allowed = match rules.action {
        Action::Allow => policy.is_some(),
        Action::Deny => policy.is_none(),
        Action::Log => true,
    };
    Verdict { allowed, policy: policy.map(|policy| &policy.name) }
}

fn applies(policy: &Policy, facts: &RequestFacts<'_>) -> bool {
    policy.permissions.iter().any(|asked| permits(asked, facts))
        && policy.principals.iter().any(|asked| is(asked, facts))
}

// The nesting of both is bounded where the configuration is read: protobuf's own depth limit.
fn permits(asked: &Permission, facts: &RequestFacts<'_>) -> bool {
    let destination = facts.connection.destination;
    match asked {
        Permission::Any => true,
        Permission::And(all) => all.iter().all(|asked| permits(asked, facts)),
        Permission::Or(some) => some.iter().any(|asked| permits(asked, facts)),
        Permission::Not(asked) => !permits(asked, facts),
        Permission::Header(asked) => facts.head.is_some_and(|head| matcher::header(asked, head)),
        Permission::Path(asked) => path(asked, facts),
        Permission::DestinationIp(net) => net.contains(&destination.ip().to_canonical()),
        Permission::DestinationPort(port) => destination.port() == *port,
        Permission::DestinationPorts(start, end) => {
            (*start..*end).contains(&u32::from(destination.port()))
        }
        Permission::ServerName(asked) => matcher::string(asked, facts.connection.sni.as_bytes()),
    }
}

fn is(asked: &Principal, facts: &RequestFacts<'_>) -> bool {
    let within = |net: &ipnet::IpNet, address: IpAddr| net.contains(&address.to_canonical());
    match asked {
        Principal::Any => true,
        Principal::And(all) => all.iter().all(|asked| is(asked, facts)),
        Principal::Or(some) => some.iter().any(|asked| is(asked, facts)),
        Principal::Not(asked) => !is(asked, facts),
        Principal::Authenticated(name) => authenticated(name.as_ref(), facts.peer),
        Principal::DirectRemoteIp(net) => within(net, facts.connection.direct_peer().ip()),
        Principal::RemoteIp(net) => within(net, facts.remote),
        Principal::Header(asked) => facts.head.is_some_and(|head| matcher::header(asked, head)),
        Principal::Path(asked) => path(asked, facts),
    }
}

fn path(asked: &StringMatch, facts: &RequestFacts<'_>) -> bool {
    let path = facts.head.map(|head| matcher::bare(head.path())).filter(|path| !path.is_empty());
    path.is_some_and(|path| matcher::string(asked, path))
}

/// Any URI SAN, any DNS SAN or the subject may be the name, as in Envoy.
fn authenticated(name: Option<&StringMatch>, peer: Option<&Peer>) -> bool {
    let Some(peer) = peer.filter(|peer| peer.verified) else { return false };
    let Some(name) = name else { return true };
    let mut sans = peer.uris.iter().chain(&peer.dns);
    sans.any(|san| matcher::string(name, san.as_bytes()))
        || matcher::string(name, peer.subject.as_bytes())
}

#[cfg(test)]
mod tests;
