//! Names: hosts, namespaces, and what the mesh itself is called.

/// What is the same for the whole mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// The first part of every SPIFFE id.
    pub trust_domain: String,
    /// Policies without a selector in this namespace hold for the whole mesh.
    pub root_namespace: String,
    /// The end of every service's name.
    pub cluster_domain: String,
    /// Connections to unknown addresses go on (`ALLOW_ANY`) or end (`REGISTRY_ONLY`).
    pub allow_any: bool,
}

impl Default for Mesh {
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".to_owned(),
            root_namespace: "istio-system".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            allow_any: true,
        }
    }
}

impl Mesh {
    /// `reviews` in `default` is `reviews.default.svc.cluster.local`.
    pub fn hostname(&self, name: &str, namespace: &str) -> String {
        format!("{name}.{namespace}.svc.{}", self.cluster_domain)
    }
}

/// A short name is one in the object's own namespace; a name with a dot stands for itself.
pub fn resolve_host(mesh: &Mesh, host: &str, namespace: &str) -> String {
    if host.contains('.') || host.starts_with('*') {
        return host.to_ascii_lowercase();
    }
    mesh.hostname(&host.to_ascii_lowercase(), namespace)
}

/// `*.example.com` matches `a.example.com`, `*` everything, any other pattern itself.
pub fn matches_host(pattern: &str, host: &str) -> bool {
    pattern.strip_prefix('*').map_or(pattern == host, |suffix| host.ends_with(suffix))
}

/// `exportTo`: whether `viewer` sees what `owner` exports.
pub fn is_visible(export_to: &[String], owner: &str, viewer: &str) -> bool {
    export_to.is_empty()
        || export_to.iter().any(|to| match to.as_str() {
            "*" => true,
            "." => owner == viewer,
            to => to == viewer,
        })
}
