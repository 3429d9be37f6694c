//! `outbound|9080|v1|reviews.default.svc.cluster.local` and its kin.

use std::fmt;
use std::str::FromStr;

/// Which way the traffic of a cluster goes, seen from the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// To the workload's own application.
    Inbound,
    /// To another service.
    Outbound,
}

/// The name of a cluster that stands for a service port. Names of other clusters
/// (`PassthroughCluster`) do not have this form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName {
    /// Which way.
    pub direction: Direction,
    /// The service port (outbound) or the application's port (inbound).
    pub port: u16,
    /// A subset of a DestinationRule; empty for the whole service.
    pub subset: String,
    /// The service's full host name; empty for inbound.
    pub host: String,
}

/// The text is not a cluster name of the four-part form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not of the form direction|port|subset|host")]
pub struct ClusterNameError(pub String);

impl ClusterName {
    /// `outbound|port|subset|host`
    pub fn outbound(port: u16, subset: &str, host: &str) -> Self {
        Self {
            direction: Direction::Outbound,
            port,
            subset: subset.to_owned(),
            host: host.to_owned(),
        }
    }

    /// `inbound|port||`
    pub fn inbound(port: u16) -> Self {
        Self { direction: Direction::Inbound, port, subset: String::new(), host: String::new() }
    }

    /// The server name that a sidecar sends for this cluster: `outbound_.9080_.v1_.reviews…`, with
    /// every `|` written as `_.`.
    pub fn sni(&self) -> String {
        self.to_string().replace('|', "_.")
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|{}|{}", self.direction, self.port, self.subset, self.host)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        })
    }
}

impl FromStr for ClusterName {
    type Err = ClusterNameError;

    fn from_str(text: &str) -> Result<Self, ClusterNameError> {
        parse(text).ok_or_else(|| ClusterNameError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<ClusterName> {
    let mut parts = text.split('|');
    let direction = match parts.next()? {
        "inbound" => Direction::Inbound,
        "outbound" => Direction::Outbound,
        _ => return None,
    };
    let port = parts.next()?.parse().ok()?;
    let (subset, host) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let whole = parts.next().is_none();
    whole.then_some(ClusterName { direction, port, subset, host })
}
