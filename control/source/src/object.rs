//! Objects: what they are called, what they hold and where they were written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::kinds::core::{EndpointSlice, Namespace, Pod, Service, ServiceAccount};
use crate::kinds::networking::{DestinationRule, VirtualService};
use crate::kinds::security::{AuthorizationPolicy, PeerAuthentication};
use crate::kinds::value::Unread;
use crate::read::Node;

/// The kinds that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    Namespace,
    ServiceAccount,
    Service,
    EndpointSlice,
    Pod,
    VirtualService,
    DestinationRule,
    PeerAuthentication,
    AuthorizationPolicy,
}

impl Kind {
    /// As it is written in YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::ServiceAccount => "ServiceAccount",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
            Self::VirtualService => "VirtualService",
            Self::DestinationRule => "DestinationRule",
            Self::PeerAuthentication => "PeerAuthentication",
            Self::AuthorizationPolicy => "AuthorizationPolicy",
        }
    }

    /// The kind that `apiVersion` and `kind` name; `None` if it is none of ours.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        const NETWORKING: [&str; 3] = [
            "networking.istio.io/v1",
            "networking.istio.io/v1beta1",
            "networking.istio.io/v1alpha3",
        ];
        const SECURITY: [&str; 2] = ["security.istio.io/v1", "security.istio.io/v1beta1"];
        match kind {
            "Namespace" if api_version == "v1" => Some(Self::Namespace),
            "ServiceAccount" if api_version == "v1" => Some(Self::ServiceAccount),
            "Service" if api_version == "v1" => Some(Self::Service),
            "Pod" if api_version == "v1" => Some(Self::Pod),
            "EndpointSlice" if api_version == "discovery.k8s.io/v1" => Some(Self::EndpointSlice),
            "VirtualService" if NETWORKING.contains(&api_version) => Some(Self::VirtualService),
            "DestinationRule" if NETWORKING.contains(&api_version) => Some(Self::DestinationRule),
            "PeerAuthentication" if SECURITY.contains(&api_version) => {
                Some(Self::PeerAuthentication)
            }
            "AuthorizationPolicy" if SECURITY.contains(&api_version) => {
                Some(Self::AuthorizationPolicy)
            }
            _ => None,
        }
    }

    /// It belongs to no namespace.
    pub fn is_cluster_wide(self) -> bool {
        self == Self::Namespace
    }
}

/// What an object is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for cluster-wide kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        match namespace.as_str() {
            "" => write!(f, "{} {name}", kind.name()),
            namespace => write!(f, "{} {namespace}/{name}", kind.name()),
        }
    }
}

/// `ObjectMeta`, as far as a mesh reads it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Metadata {
    pub name: String,
    /// `default` where nothing is written.
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339, in UTC, as Kubernetes writes it.
    pub creation_timestamp: Option<String>,
    pub deletion_timestamp: Option<String>,
    uid: Unread,
    resource_version: Unread,
    generation: Unread,
    generate_name: Unread,
    managed_fields: Unread,
    owner_references: Unread,
    finalizers: Unread,
    deletion_grace_period_seconds: Unread,
    self_link: Unread,
}

/// Where an object was written.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The file, relative to the folder.
    pub file: Arc<str>,
    /// The line of its first field, from 1; 0 where there are no lines.
    pub line: u32,
    /// Where its fields stand.
    pub(crate) tree: Option<Arc<Node>>,
}

impl Origin {
    /// The line of a field such as `spec.http[0].match[1].uri`, or of the nearest one around it.
    pub fn line_of(&self, path: &str) -> u32 {
        self.tree.as_ref().map_or(self.line, |tree| tree.line_of(path))
    }
}

/// An object of one of our kinds.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its name, namespace and labels. The namespace is filled in.
    pub meta: Metadata,
    /// What it asks for.
    pub spec: Spec,
    /// Where it was written.
    pub origin: Origin,
}

/// What an object asks for.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Spec {
    Namespace(Namespace),
    ServiceAccount(ServiceAccount),
    Service(Service),
    EndpointSlice(EndpointSlice),
    Pod(Pod),
    VirtualService(VirtualService),
    DestinationRule(DestinationRule),
    PeerAuthentication(PeerAuthentication),
    AuthorizationPolicy(AuthorizationPolicy),
}

impl Object {
    /// What it is called.
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            kind: self.kind(),
            namespace: self.meta.namespace.clone(),
            name: self.meta.name.clone(),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self.spec {
            Spec::Namespace(_) => Kind::Namespace,
            Spec::ServiceAccount(_) => Kind::ServiceAccount,
            Spec::Service(_) => Kind::Service,
            Spec::EndpointSlice(_) => Kind::EndpointSlice,
            Spec::Pod(_) => Kind::Pod,
            Spec::VirtualService(_) => Kind::VirtualService,
            Spec::DestinationRule(_) => Kind::DestinationRule,
            Spec::PeerAuthentication(_) => Kind::PeerAuthentication,
            Spec::AuthorizationPolicy(_) => Kind::AuthorizationPolicy,
        }
    }

    /// The same in what it says; where it is written does not matter.
    pub fn same(&self, other: &Self) -> bool {
        self.meta == other.meta && self.spec == other.spec
    }
}
