//! What the agent has to do, read from the bootstrap and from the surroundings of the process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use api::envoy::core::Node;
use api::envoy::protobuf::value;
use api::names::SpiffeId;
use config::{Bootstrap, ControlPlane};

use crate::error::AgentError;
use crate::identity::Source;
use crate::target::{Address, Target, TargetTls};
use crate::xds::Mode;

/// What the agent runs on.
#[derive(Clone, Debug, Default)]
pub struct AgentConfig {
    /// Who we are.
    pub node: Node,
    /// The admin port, if there is to be one.
    pub admin: Option<SocketAddr>,
    /// The control plane, if there is one.
    pub control: Option<Control>,
    /// Where the workload's identity comes from, if from anywhere.
    pub identity: Option<Source>,
}

/// The control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Where it is.
    pub target: Target,
    /// What is spoken to it.
    pub mode: Mode,
}

/// What is not in the bootstrap: Istio's agent takes these from its environment and from files at
/// fixed places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The token that says who we are.
    pub token_file: Option<PathBuf>,
    /// The roots that the certificate authority is verified with.
    pub root_file: Option<PathBuf>,
    /// `CA_ADDR`; the control plane's address if it is not given.
    pub ca_address: Option<String>,
    /// `TRUST_DOMAIN`
    pub trust_domain: Option<String>,
    /// `SECRET_TTL`, the lifetime to ask for.
    pub lifetime: Option<Duration>,
    /// A folder with `cert-chain.pem`, `key.pem` and `root-cert.pem` that somebody else writes.
    pub identity_dir: Option<PathBuf>,
}

/// Where Kubernetes mounts the token (audience `istio-ca`).
const TOKEN_FILE: &str = "/var/run/secrets/tokens/istio-token";
/// Where the configmap `istio-ca-root-cert` is mounted.
const ROOT_FILE: &str = "/var/run/secrets/istio/root-cert.pem";
/// Where a certificate provider other than the mesh's own writes. The folder is there in any pod,
/// so its first file decides.
const IDENTITY_DIR: &str = "/var/run/secrets/workload-spiffe-credentials";
/// The chain in that folder, the leaf first.
const CHAIN_NAME: &str = "cert-chain.pem";
/// The call metadata that says which cluster's tokens these are.
const CLUSTER_ID: &str = "ClusterID";
/// Istio's default lifetime of a workload certificate.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

impl Surroundings {
    /// Reads them: `variable` looks into the environment, `exists` into the file system.
    pub fn read(
        variable: impl Fn(&str) -> Option<String>,
        exists: impl Fn(&str) -> bool,
    ) -> Result<Self, AgentError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str, usual: &str| {
            let usual = exists(usual).then(|| usual.to_owned());
            variable(name).or(usual).map(PathBuf::from)
        };
        let provided = exists(&format!("{IDENTITY_DIR}/{CHAIN_NAME}"));
        let identity_dir = provided.then(|| IDENTITY_DIR.to_owned());
        let lifetime = match variable("SECRET_TTL") {
            None => None,
            Some(text) => Some(duration(&text).ok_or_else(|| {
                let reason = format!("\"{text}\" is not a duration such as 24h or 90m");
                AgentError::new("agent.environment", "SECRET_TTL", reason)
            })?),
        };
        Ok(Self {
            token_file: path("RINGWAY_TOKEN_FILE", TOKEN_FILE),
            root_file: path("CA_ROOT_CA", ROOT_FILE),
            ca_address: variable("CA_ADDR"),
            trust_domain: variable("TRUST_DOMAIN"),
            lifetime,
            identity_dir: variable("RINGWAY_IDENTITY_DIR").or(identity_dir).map(PathBuf::from),
        })
    }
}

impl AgentConfig {
    /// Takes what concerns the agent out of a bootstrap.
    pub fn new(
        bootstrap: &Bootstrap,
        plane: Option<ControlPlane>,
        around: &Surroundings,
    ) -> Result<Self, AgentError> {
        let Bootstrap { node, admin, .. } = bootstrap;
        let control = plane.map(|plane| control(node, plane, around));
        let identity = identity(node, control.as_ref(), around)?;
        Ok(Self { node: node.clone(), admin: *admin, control, identity })
    }
}

fn bad(place: &str, reason: impl ToString) -> AgentError {
    AgentError::new("agent.bootstrap", place, reason)
}

fn control(node: &Node, plane: ControlPlane, around: &Surroundings) -> Control {
    let ControlPlane { delta, mut metadata, targets, tls } = plane;
    let named = metadata.iter().any(|(key, _)| key.eq_ignore_ascii_case(CLUSTER_ID));
    if let Some(id) = word(node, "CLUSTER_ID")
        && !named
    {
        metadata.push((CLUSTER_ID.to_owned(), id));
    }
    let token_file = around.token_file.clone();
    let mut target = Target { address: Address::AnyOf(targets), tls, token_file, metadata };
    if target.tls.is_none() && !target.is_local() {
        // Plaintext control planes do not authenticate, and a token must not travel in the clear.
        target.token_file = None;
    }
    Control { target, mode: if delta { Mode::Delta } else { Mode::StateOfTheWorld } }
}

fn identity(
    node: &Node,
    control: Option<&Control>,
    around: &Surroundings,
) -> Result<Option<Source>, AgentError> {
    if let Some(dir) = &around.identity_dir {
        let path = |name: &str| dir.join(name);
        let (chain, key) = (path(CHAIN_NAME), path("key.pem"));
        return Ok(Some(Source::Files { chain, key, root: path("root-cert.pem") }));
    }
    let names = word(node, "NAMESPACE").zip(word(node, "SERVICE_ACCOUNT"));
    let Some((namespace, account)) = names else { return Ok(None) };
    let Some(target) = authority(control, around)? else { return Ok(None) };
    let domain = around.trust_domain.as_deref().unwrap_or("cluster.local");
    let spiffe_id = SpiffeId::new(domain, &namespace, &account)
        .map_err(|error| bad("node.metadata", error))?
        .to_string();
    Ok(Some(Source::Authority {
        target,
        spiffe_id,
        lifetime: around.lifetime.unwrap_or(LIFETIME),
        retry_first: Duration::from_millis(500),
    }))
}

/// A text of the node's metadata.
fn word(node: &Node, name: &str) -> Option<String> {
    match &node.metadata.as_ref()?.fields.get(name)?.kind {
        Some(value::Kind::StringValue(text)) => Some(text.clone()),
        _ => None,
    }
}

/// The certificate authority: `CA_ADDR` over TLS, else the control plane itself.
fn authority(
    control: Option<&Control>,
    around: &Surroundings,
) -> Result<Option<Target>, AgentError> {
    let metadata = control.map(|control| control.target.metadata.clone()).unwrap_or_default();
    let Some(text) = &around.ca_address else {
        return Ok(control.map(|control| Target {
            token_file: around.token_file.clone(),
            ..control.target.clone()
        }));
    };
    let place = "CA_ADDR";
    let address = Address::parse(text)
        .ok_or_else(|| bad(place, format!("\"{text}\" is not of the form host:port")))?;
    let Address::Tcp(host, _) = &address else { return Ok(None) };
    let server_name = host.clone();
    let root_file = around.root_file.clone().ok_or_else(|| {
        bad(place, format!("no roots to verify it with: set CA_ROOT_CA or provide {ROOT_FILE}"))
    })?;
    let tls = Some(TargetTls { server_name, root_file, identity_files: None });
    Ok(Some(Target { address, tls, token_file: around.token_file.clone(), metadata }))
}

/// A duration as Go writes it, of whole hours, minutes and seconds: `24h`, `1h30m`, `90s`.
fn duration(text: &str) -> Option<Duration> {
    let (mut total, mut number) = (0u64, None::<u64>);
    for character in text.chars() {
        match (character.to_digit(10), number) {
            (Some(digit), _) => {
                let tens = number.unwrap_or(0).checked_mul(10)?;
                number = Some(tens.checked_add(u64::from(digit))?);
            }
            (None, Some(count)) => {
                let unit = match character {
                    'h' => 3600,
                    'm' => 60,
                    's' => 1,
                    _ => return None,
                };
                total = total.checked_add(count.checked_mul(unit)?)?;
                number = None;
            }
            (None, None) => return None,
        }
    }
    (number.is_none() && total > 0).then(|| Duration::from_secs(total))
}

#[cfg(test)]
mod tests;
