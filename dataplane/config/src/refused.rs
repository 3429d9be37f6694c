//! What is said of a resource that is not taken: which, where in it, and why.

use std::fmt;

/// The kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The bootstrap file itself.
    Bootstrap,
    /// `envoy.config.cluster.v3.Cluster`
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`
    Endpoints,
    /// `envoy.config.listener.v3.Listener`
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration`
    Routes,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret`
    Secret,
    /// A resource type that was not asked for.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bootstrap => "bootstrap",
            Self::Cluster => "cluster",
            Self::Endpoints => "endpoints",
            Self::Listener => "listener",
            Self::Routes => "route configuration",
            Self::Secret => "secret",
            Self::Other => "resource",
        })
    }
}

/// Stable codes for the reasons, the same in logs, metrics and NACKs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The socket could not be bound.
    Bind,
    /// It cannot be decoded.
    Malformed,
    /// A value that is out of range or contradicts another.
    Invalid,
    /// More than a limit in [`crate::limits`].
    Limit,
    /// Something that has to be there is not.
    Missing,
    /// A certificate, key or other data cannot be read.
    Secret,
    /// It names something that does not exist.
    Unknown,
    /// Envoy has it, this proxy has not.
    Unsupported,
}

impl Code {
    /// The code as text.
    pub fn text(self) -> &'static str {
        match self {
            Self::Bind => "config.bind",
            Self::Malformed => "config.malformed",
            Self::Invalid => "config.invalid",
            Self::Limit => "config.limit",
            Self::Missing => "config.missing",
            Self::Secret => "config.secret",
            Self::Unknown => "config.unknown",
            Self::Unsupported => "config.unsupported",
        }
    }
}

/// A resource that was not taken. The version before it, if any, stays in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What kind it is.
    pub kind: Kind,
    /// Its name; for one that cannot be decoded, its place in the response.
    pub name: String,
    /// The field, such as `filter_chains[0].filters[1].typed_config.stat_prefix`.
    pub field: String,
    /// Why, for machines.
    pub code: Code,
    /// Why, for people.
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if !self.name.is_empty() {
            write!(f, " `{}`", self.name)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {} ({})", self.reason, self.code.text())
    }
}

impl std::error::Error for Refused {}
