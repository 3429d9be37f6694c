//! The xDS client: what is subscribed to, what is acknowledged, and the stream that carries it.

mod driver;
mod names;
mod protocol;

use std::collections::BTreeSet;
use std::fmt;

pub use api::envoy::discovery::Resource;

pub use driver::{XdsClient, XdsOptions};
pub use protocol::{Protocol, Request, Response};

/// Which of the two forms of the protocol is spoken (`ApiConfigSource.api_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `GRPC`: each response is the state of the world.
    StateOfTheWorld,
    /// `DELTA_GRPC`: each response says what has changed.
    Delta,
}

/// The kinds of resources, in the order in which they are asked for and applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// CDS
    Cluster,
    /// EDS
    Endpoints,
    /// LDS
    Listener,
    /// RDS
    Routes,
    /// SDS
    Secret,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::Cluster, Self::Endpoints, Self::Listener, Self::Routes, Self::Secret];

    /// The type URL that stands for it on the stream.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => api::any::CLUSTER,
            Self::Endpoints => api::any::ENDPOINTS,
            Self::Listener => api::any::LISTENER,
            Self::Routes => api::any::ROUTES,
            Self::Secret => api::any::SECRET,
        }
    }

    /// The kind of a type URL.
    pub fn of(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }

    /// Subscribed to as a whole, not by names; absent from a state of the world means removed.
    pub fn is_wildcard(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Endpoints => "endpoints",
            Self::Listener => "listener",
            Self::Routes => "route configuration",
            Self::Secret => "secret",
        })
    }
}

/// What one response asks to be changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// What kind of resources these are.
    pub kind: Kind,
    /// Added or changed, each with a name and a body.
    pub set: Vec<Resource>,
    /// No longer there.
    pub removed: Vec<String>,
    /// `set` is all there is of this kind: what is not in it is gone.
    pub complete: bool,
    /// The version of the whole.
    pub version: String,
    /// To be answered with.
    pub nonce: String,
    /// What could not even be named.
    pub broken: Vec<Rejection>,
}

/// A resource that is not applied, and why. The last good version of it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The name of the resource.
    pub name: String,
    /// Where in it, e.g. `filter_chains[0].filters[1]`; empty: as a whole.
    pub field: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, field, reason } = self;
        match field.is_empty() {
            true => write!(f, "\"{name}\": {reason}"),
            false => write!(f, "\"{name}\": {field}: {reason}"),
        }
    }
}

/// What the resources in force refer to, and hence what is subscribed to by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// EDS names of the clusters.
    pub endpoints: BTreeSet<String>,
    /// RDS names of the listeners.
    pub routes: BTreeSet<String>,
    /// SDS names that come over this stream.
    pub secrets: BTreeSet<String>,
}

impl Wants {
    pub(crate) fn of(&self, kind: Kind) -> Option<&BTreeSet<String>> {
        match kind {
            Kind::Endpoints => Some(&self.endpoints),
            Kind::Routes => Some(&self.routes),
            Kind::Secret => Some(&self.secrets),
            Kind::Cluster | Kind::Listener => None,
        }
    }
}

/// What came of a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Resources that were not applied; the others were.
    pub rejected: Vec<Rejection>,
    /// What is to be subscribed to from now on.
    pub wants: Wants,
}

/// Takes resources into force.
pub trait Apply {
    /// Applies what can be applied of `push`, and says what could not.
    fn apply(&mut self, push: &Push) -> Applied;

    /// The control plane is reachable, or is not any more. What is in force stays so.
    fn connected(&mut self, connected: bool) {
        let _ = connected;
    }
}
