//! Kubernetes' own kinds, as far as a mesh reads them.
//!
//! `status` and the inside of containers are read without asking about other fields: no user of a
//! mesh writes there for the mesh, and newer clusters add to them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::value::{PortRef, Unread};

/// `Namespace`: only its labels matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Namespace;

/// `ServiceAccount`: only its name matters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceAccount;

/// `Service.spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Service {
    pub ports: Vec<ServicePort>,
    pub selector: BTreeMap<String, String>,
    /// An address, `None`, or empty.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    #[serde(rename = "type")]
    pub kind: String,
    pub external_name: String,
    pub publish_not_ready_addresses: bool,
    #[serde(rename = "externalIPs")]
    external_ips: Unread,
    session_affinity: Unread,
    session_affinity_config: Unread,
    #[serde(rename = "loadBalancerIP")]
    load_balancer_ip: Unread,
    load_balancer_source_ranges: Unread,
    load_balancer_class: Unread,
    allocate_load_balancer_node_ports: Unread,
    external_traffic_policy: Unread,
    internal_traffic_policy: Unread,
    health_check_node_port: Unread,
    ip_families: Unread,
    ip_family_policy: Unread,
    traffic_distribution: Unread,
}

/// `Service.spec.ports`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ServicePort {
    #[serde(default)]
    pub name: String,
    pub port: u16,
    #[serde(default)]
    pub target_port: Option<PortRef>,
    #[serde(default)]
    pub protocol: L4,
    #[serde(default)]
    pub app_protocol: Option<String>,
    #[serde(default)]
    #[allow(dead_code)]
    node_port: Unread,
}

/// `protocol` of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)]
pub enum L4 {
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(rename = "UDP")]
    Udp,
    #[serde(rename = "SCTP")]
    Sctp,
}

/// `discovery.k8s.io/v1 EndpointSlice`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct EndpointSlice {
    api_version: Unread,
    kind: Unread,
    metadata: Unread,
    pub address_type: String,
    pub endpoints: Vec<SliceEndpoint>,
    pub ports: Vec<SlicePort>,
}

/// `EndpointSlice.endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SliceEndpoint {
    pub addresses: Vec<String>,
    pub conditions: Conditions,
    pub target_ref: Option<TargetRef>,
    hostname: Unread,
    node_name: Unread,
    zone: Unread,
    hints: Unread,
    deprecated_topology: Unread,
}

/// `EndpointSlice.endpoints.conditions`. What is not written counts as `true`, but for
/// `terminating`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Conditions {
    pub ready: Option<bool>,
    pub serving: Option<bool>,
    pub terminating: Option<bool>,
}

/// `EndpointSlice.endpoints.targetRef`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct TargetRef {
    pub kind: String,
    pub name: String,
    pub namespace: String,
    api_version: Unread,
    uid: Unread,
    resource_version: Unread,
    field_path: Unread,
}

/// `EndpointSlice.ports`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SlicePort {
    pub name: String,
    pub port: u16,
    pub protocol: L4,
    app_protocol: Unread,
}

/// `Pod`: `spec` and `status`.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Pod {
    pub spec: PodSpec,
    pub status: PodStatus,
}

/// `Pod.status`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct PodStatus {
    #[serde(rename = "podIP")]
    pub pod_ip: Option<IpAddr>,
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
    pub phase: String,
    pub conditions: Vec<PodCondition>,
}

/// `Pod.status.podIPs`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[allow(missing_docs)]
pub struct PodIp {
    pub ip: IpAddr,
}

/// `Pod.status.conditions`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PodCondition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
}

/// A container: only its ports matter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Container {
    pub name: String,
    pub ports: Vec<ContainerPort>,
}

/// `Pod.spec.containers.ports`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct ContainerPort {
    #[serde(default)]
    pub name: String,
    pub container_port: u16,
}

/// `Pod.spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct PodSpec {
    pub service_account_name: String,
    /// The older name of `serviceAccountName`.
    pub service_account: String,
    pub host_network: bool,
    pub containers: Vec<Container>,
    active_deadline_seconds: Unread,
    affinity: Unread,
    automount_service_account_token: Unread,
    dns_config: Unread,
    dns_policy: Unread,
    enable_service_links: Unread,
    ephemeral_containers: Unread,
    host_aliases: Unread,
    #[serde(rename = "hostIPC")]
    host_ipc: Unread,
    #[serde(rename = "hostPID")]
    host_pid: Unread,
    host_users: Unread,
    hostname: Unread,
    hostname_override: Unread,
    image_pull_secrets: Unread,
    init_containers: Unread,
    node_name: Unread,
    node_selector: Unread,
    os: Unread,
    overhead: Unread,
    preemption_policy: Unread,
    priority: Unread,
    priority_class_name: Unread,
    readiness_gates: Unread,
    resource_claims: Unread,
    resources: Unread,
    restart_policy: Unread,
    runtime_class_name: Unread,
    scheduler_name: Unread,
    scheduling_gates: Unread,
    security_context: Unread,
    #[serde(rename = "setHostnameAsFQDN")]
    set_hostname_as_fqdn: Unread,
    share_process_namespace: Unread,
    subdomain: Unread,
    termination_grace_period_seconds: Unread,
    tolerations: Unread,
    topology_spread_constraints: Unread,
    volumes: Unread,
}
