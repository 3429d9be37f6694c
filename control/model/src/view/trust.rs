//! Who must prove who they are, and who may do what.

use std::collections::BTreeMap;

use source::kinds::security::{AuthorizationPolicy, PeerAuthentication, Selector};

use super::{Config, Model, MtlsMode, selects};

impl Model {
    /// The mode of one workload, on one of its application's ports or on any other: the port's
    /// setting, else the workload's, else the namespace's, else the mesh's, else `PERMISSIVE`.
    /// On each level the oldest counts. Never `UNSET`.
    pub fn mtls_mode(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        port: Option<u16>,
    ) -> MtlsMode {
        let root = self.mesh.root_namespace.as_str();
        let wide = |wanted: &str| {
            let mut all = self.peers.iter().filter(|peers| peers.namespace == wanted);
            all.find(|peers| !has_labels(peers.spec.selector.as_ref()))
        };
        let own = self.peers.iter().find(|peers| {
            let selector = peers.spec.selector.as_ref();
            peers.namespace == namespace
                && has_labels(selector)
                && selector.is_none_or(|selector| selects(&selector.match_labels, labels))
        });
        let by_port = own
            .zip(port)
            .and_then(|(own, port)| own.spec.port_level_mtls.get(&port).map(|mtls| mtls.mode));
        let mode = |peers: Option<&Config<PeerAuthentication>>| peers.map(|p| p.spec.mtls.mode);
        let levels = [by_port, mode(own), mode(wide(namespace)), mode(wide(root))];
        let set = levels.into_iter().flatten().find(|mode| *mode != MtlsMode::Unset);
        set.unwrap_or(MtlsMode::Permissive)
    }

    /// Ports for which one workload has a setting of its own.
    pub fn mtls_ports(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Vec<u16> {
        let own = self.peers.iter().find(|peers| {
            let selector = peers.spec.selector.as_ref();
            peers.namespace == namespace
                && selector.is_some_and(|selector| {
                    !selector.match_labels.is_empty() && selects(&selector.match_labels, labels)
                })
        });
        own.map(|own| own.spec.port_level_mtls.keys().copied().collect()).unwrap_or_default()
    }

    /// The access policies of one workload: the mesh's and its namespace's that select it.
    pub fn policies_for<'m>(
        &'m self,
        namespace: &'m str,
        labels: &'m BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'m Config<AuthorizationPolicy>> + 'm {
        self.policies.iter().filter(move |policy| {
            let near =
                policy.namespace == namespace || policy.namespace == self.mesh.root_namespace;
            let selector = policy.spec.selector.as_ref();
            near && selector.is_none_or(|selector| selects(&selector.match_labels, labels))
        })
    }
}

fn has_labels(selector: Option<&Selector>) -> bool {
    selector.is_some_and(|selector| !selector.match_labels.is_empty())
}
