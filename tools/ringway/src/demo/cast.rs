//! Who plays: the pods of `deploy/demo/workloads.yaml`, with what runs in them.

use std::net::Ipv4Addr;

/// What runs in a pod beside its proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    /// An HTTP server that says which version it is.
    Http {
        /// Its port.
        port: u16,
    },
    /// A TCP server that sends back what it gets.
    Tcp {
        /// Its port.
        port: u16,
    },
    /// Nothing; the pod only calls others.
    None,
}

/// One pod of the cast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Role {
    /// The pod's name; the namespace is `default`.
    pub(crate) name: &'static str,
    /// Its ServiceAccount and `app` label.
    pub(crate) account: &'static str,
    /// Its `version` label.
    pub(crate) version: &'static str,
    /// Its address.
    pub(crate) ip: Ipv4Addr,
    /// Whether it has a proxy and redirect rules.
    pub(crate) sidecar: bool,
    /// What runs in it.
    pub(crate) app: App,
}

/// The control plane's pod.
pub(crate) const CONTROL: &str = "ringwayd";
/// Its address.
pub(crate) const CONTROL_IP: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 2);
/// Where a pod's own programs talk to each other.
pub(crate) const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// The namespace of all pods but the control plane.
pub(crate) const NAMESPACE: &str = "default";
/// The Service `reviews`.
pub(crate) const REVIEWS: &str = "10.96.0.20:9080";
/// The Service `tcp-echo`.
pub(crate) const TCP_ECHO: &str = "10.96.0.30:9000";
/// The header in which an app says which version it is.
pub(crate) const VERSION_HEADER: &str = "x-version";
/// The port of `reviews`, also on its pods.
pub(crate) const REVIEWS_PORT: u16 = 9080;

const HTTP: App = App::Http { port: 9080 };

/// All pods. `baseline` is in no YAML: it has no part in the mesh, which is measured against it.
pub(crate) const ROLES: [Role; 7] = [
    role("productpage", "productpage", "v1", [10, 244, 1, 10], true, HTTP),
    role("reviews-v1", "reviews", "v1", [10, 244, 2, 11], true, HTTP),
    role("reviews-v2", "reviews", "v2", [10, 244, 2, 12], true, HTTP),
    role("tcp-echo", "tcp-echo", "v1", [10, 244, 3, 13], true, App::Tcp { port: 9000 }),
    role("ratings", "ratings", "v1", [10, 244, 4, 14], true, App::None),
    role("legacy", "legacy", "v1", [10, 244, 5, 15], false, App::None),
    role("baseline", "baseline", "v1", [10, 244, 5, 16], false, HTTP),
];

const fn role(
    name: &'static str,
    account: &'static str,
    version: &'static str,
    [a, b, c, d]: [u8; 4],
    sidecar: bool,
    app: App,
) -> Role {
    Role { name, account, version, ip: Ipv4Addr::new(a, b, c, d), sidecar, app }
}

/// The pod of this name.
pub(crate) fn find(name: &str) -> Option<&'static Role> {
    ROLES.iter().find(|role| role.name == name)
}
