//! Reads a client's `Node` as Istio's sidecars fill it.
//!
//! `node.id` is `<type>~<ip>~<pod>.<namespace>~<domain>`; the rest is in `node.metadata`, whose
//! keys are upper case. What cannot be read is refused: it decides which configuration and which
//! secrets the client gets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::protobuf::value::Kind as ValueKind;
use envoy_types::pb::google::protobuf::{Struct, Value};

/// The most bytes of `node.id`, `node.cluster` and of each metadata text that is read.
pub const NODE_TEXT_MAX: usize = 2_048;
/// The most labels that are read.
pub const NODE_LABELS_MAX: usize = 256;
/// The most addresses of one client.
pub const NODE_ADDRESSES_MAX: usize = 64;

/// One client of the control plane: a workload's proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProxyNode {
    /// The whole `node.id`, by which operators name it.
    pub id: String,
    /// Sidecar or router.
    pub role: Role,
    /// The workload's own addresses, `INSTANCE_IPS` if present, else that of `node.id`; never
    /// empty.
    pub addresses: Vec<IpAddr>,
    /// The pod's name, without its namespace.
    pub pod: String,
    /// Metadata `NAMESPACE`, else the first label of the DNS domain.
    pub namespace: String,
    /// Metadata `SERVICE_ACCOUNT`, if present.
    pub service_account: Option<String>,
    /// Metadata `LABELS`.
    pub labels: BTreeMap<String, String>,
    /// The DNS domain, such as `default.svc.cluster.local`.
    pub domain: String,
    /// `node.cluster`.
    pub cluster: String,
    /// Metadata `ISTIO_VERSION`, if present.
    pub istio_version: Option<String>,
    /// Metadata `INTERCEPTION_MODE`, if present: `REDIRECT`, `TPROXY` or `NONE`.
    pub interception_mode: Option<String>,
}

/// What a proxy stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Beside one workload.
    Sidecar,
    /// A gateway.
    Router,
}

/// Why a node was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The first message of a stream had no node or no id.
    #[error("the first request of a stream must carry node.id")]
    Missing,
    /// A text is longer than [`NODE_TEXT_MAX`].
    #[error("{0} is longer than {NODE_TEXT_MAX} bytes")]
    TooLong(&'static str),
    /// Not four parts, or a part that cannot be read.
    #[error("node.id `{id}`: {why}; expected `<type>~<ip>~<pod>.<namespace>~<domain>`")]
    Id {
        /// The id as it came, printable.
        id: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A type that ringwayd does not serve.
    #[error("node type `{0}` is not served: ringwayd serves sidecar and router")]
    Role(String),
    /// `INSTANCE_IPS` holds something else than addresses.
    #[error("metadata INSTANCE_IPS: `{0}` is not a list of at most {NODE_ADDRESSES_MAX} addresses")]
    Addresses(String),
    /// Too many labels.
    #[error("metadata LABELS holds more than {NODE_LABELS_MAX} labels")]
    Labels,
}

impl ProxyNode {
    /// Reads the node of a stream's first request.
    pub fn read(node: Option<&Node>) -> Result<Self, NodeError> {
        let node = node.filter(|node| !node.id.is_empty()).ok_or(NodeError::Missing)?;
        if node.id.len().max(node.cluster.len()) > NODE_TEXT_MAX {
            return Err(NodeError::TooLong("node.id or node.cluster"));
        }
        let (role, ip, pod, domain) = split_id(&node.id)?;
        let metadata = Metadata(node.metadata.as_ref());
        let from_domain = || domain.split('.').next().unwrap_or_default().to_owned();
        let namespace = metadata.text("NAMESPACE")?.unwrap_or_else(from_domain);
        let pod_name = pod.strip_suffix(&format!(".{namespace}")).unwrap_or(pod);
        Ok(Self {
            role,
            addresses: metadata.addresses(&node.id, ip)?,
            pod: pod_name.to_owned(),
            service_account: metadata.text("SERVICE_ACCOUNT")?,
            labels: metadata.labels()?,
            istio_version: metadata.text("ISTIO_VERSION")?,
            interception_mode: metadata.text("INTERCEPTION_MODE")?,
            namespace,
            domain: domain.to_owned(),
            cluster: node.cluster.clone(),
            id: node.id.clone(),
        })
    }
}

fn split_id(id: &str) -> Result<(Role, &str, &str, &str), NodeError> {
    let refuse = |why| NodeError::Id { id: id.escape_debug().to_string(), why };
    let mut parts = id.split('~');
    let (Some(role), Some(ip), Some(pod), Some(domain), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(refuse("it does not have four parts"));
    };
    let role = match role {
        "sidecar" => Role::Sidecar,
        "router" => Role::Router,
        other => return Err(NodeError::Role(other.escape_debug().to_string())),
    };
    if pod.is_empty() || domain.is_empty() {
        return Err(refuse("a part is empty"));
    }
    Ok((role, ip, pod, domain))
}

struct Metadata<'a>(Option<&'a Struct>);

impl Metadata<'_> {
    fn get(&self, key: &str) -> Option<&ValueKind> {
        self.0?.fields.get(key)?.kind.as_ref()
    }

    /// A text; an empty one counts as absent.
    fn text(&self, key: &'static str) -> Result<Option<String>, NodeError> {
        match self.get(key) {
            Some(ValueKind::StringValue(text)) if text.len() > NODE_TEXT_MAX => {
                Err(NodeError::TooLong(key))
            }
            Some(ValueKind::StringValue(text)) if !text.is_empty() => Ok(Some(text.clone())),
            _ => Ok(None),
        }
    }

    fn addresses(&self, id: &str, ip: &str) -> Result<Vec<IpAddr>, NodeError> {
        let Some(list) = self.text("INSTANCE_IPS")? else {
            let why = "its second part is not an address and INSTANCE_IPS is absent";
            let refuse = |_| NodeError::Id { id: id.escape_debug().to_string(), why };
            return Ok(vec![ip.parse().map_err(refuse)?]);
        };
        let read: Result<Vec<IpAddr>, _> = list.split(',').map(|ip| ip.trim().parse()).collect();
        match read {
            Ok(addresses) if addresses.len() <= NODE_ADDRESSES_MAX => Ok(addresses),
            _ => Err(NodeError::Addresses(list.escape_debug().to_string())),
        }
    }

    fn labels(&self) -> Result<BTreeMap<String, String>, NodeError> {
        let Some(ValueKind::StructValue(labels)) = self.get("LABELS") else {
            return Ok(BTreeMap::new());
        };
        if labels.fields.len() > NODE_LABELS_MAX {
            return Err(NodeError::Labels);
        }
        let too_long = |text: &str| text.len() > NODE_TEXT_MAX;
        if labels.fields.iter().any(|(k, v)| too_long(k) || label_text(v).is_some_and(too_long)) {
            return Err(NodeError::TooLong("a label"));
        }
        let pair =
            |(key, value): (&String, &Value)| Some((key.clone(), label_text(value)?.to_owned()));
        Ok(labels.fields.iter().filter_map(pair).collect())
    }
}

fn label_text(value: &Value) -> Option<&str> {
    match &value.kind {
        Some(ValueKind::StringValue(text)) => Some(text),
        _ => None,
    }
}
