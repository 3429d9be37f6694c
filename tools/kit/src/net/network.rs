//! A bridge with pods on it, in the address plan of a small Kubernetes cluster.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use super::{Namespace, NetError, link};

const BRIDGE: &str = "br0";
const POD_LINK: &str = "eth0";
/// Where a proxy dials its app from over IPv6; the kernel must own the address (`::6`).
const PASSTHROUGH_V6: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6);
/// A bridge that answers everything at once is enough for a demo; a limit all the same.
const PODS_MAX: usize = 200;

/// Addresses of a network: every pod gets `10.244.x.y/16` and, where asked, `fd00:10:244::x:y/64`.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The bridge's own IPv4 address and the pods' default route.
    pub gateway_v4: IpNet,
    /// The same for IPv6; `None` where the kernel has no IPv6.
    pub gateway_v6: Option<IpNet>,
}

impl Default for Plan {
    fn default() -> Self {
        let v4 = Ipv4Addr::new(10, 244, 0, 1);
        let v6 = Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 1);
        let has_v6 = std::path::Path::new("/proc/net/if_inet6").exists();
        Self {
            gateway_v4: IpNet::new_assert(v4.into(), 16),
            gateway_v6: has_v6.then(|| IpNet::new_assert(v6.into(), 64)),
        }
    }
}

/// One pod: a namespace with its addresses.
#[derive(Clone)]
pub struct Pod {
    /// Where its processes run.
    pub namespace: Namespace,
    /// Its address on the bridge.
    pub ip: Ipv4Addr,
    /// Its IPv6 address, made from the IPv4 one; `None` where the kernel has no IPv6.
    pub ip6: Option<Ipv6Addr>,
}

/// A bridge in a namespace of its own, and the pods joined to it. The host sees none of it.
pub struct Network {
    plan: Plan,
    bridge: Namespace,
    pods: BTreeMap<String, Pod>,
}

impl Network {
    /// Makes the bridge.
    pub fn create(plan: Plan) -> Result<Self, NetError> {
        let bridge = Namespace::create("bridge")?;
        let addresses: Vec<IpNet> =
            [Some(plan.gateway_v4), plan.gateway_v6].into_iter().flatten().collect();
        bridge.drive(move || make_bridge(addresses))??;
        Ok(Self { plan, bridge, pods: BTreeMap::new() })
    }

    /// Adds a pod with this address and joins it to the bridge.
    pub fn add_pod(&mut self, name: &str, ip: Ipv4Addr) -> Result<&Pod, NetError> {
        let step = format!("cannot add pod {name}");
        if self.pods.len() >= PODS_MAX {
            return Err(NetError::other(step, format!("a network holds {PODS_MAX} pods at most")));
        }
        if self.pods.values().any(|pod| pod.ip == ip) {
            return Err(NetError::other(step, format!("the address {ip} is taken")));
        }
        let namespace = Namespace::create(name)?;
        let near = format!("pod{}", self.pods.len());
        let there = namespace.fd();
        self.bridge.drive(move || async move {
            link::Links::open()?.veth(BRIDGE, &near, POD_LINK, there).await
        })??;
        let ip6 = self.plan.gateway_v6.map(|_| pod_v6(ip));
        let plan = self.plan.clone();
        namespace.drive(move || make_pod(plan, ip, ip6))??;
        let pod = Pod { namespace, ip, ip6 };
        Ok(self.pods.entry(name.to_owned()).or_insert(pod))
    }

    /// The pod of this name.
    pub fn pod(&self, name: &str) -> Option<&Pod> {
        self.pods.get(name)
    }

    /// All pods by name.
    pub fn pods(&self) -> impl Iterator<Item = (&str, &Pod)> {
        self.pods.iter().map(|(name, pod)| (name.as_str(), pod))
    }

    /// The namespace of the bridge: what crosses between pods is seen here, and only that.
    pub fn bridge(&self) -> &Namespace {
        &self.bridge
    }
}

async fn make_bridge(addresses: Vec<IpNet>) -> Result<(), NetError> {
    let links = link::Links::open()?;
    let has_v6 = addresses.iter().any(|net| net.addr().is_ipv6());
    links.up("lo").await?;
    links.bridge(BRIDGE).await?;
    for net in addresses {
        links.address(BRIDGE, net).await?;
    }
    // The bridge has no route but its own, so forwarding leads nowhere; with it on, a service
    // address that no proxy caught is answered "unreachable" at once, not by silence.
    link::sysctl("ipv4/ip_forward", "1")?;
    match has_v6 {
        true => link::sysctl("ipv6/conf/all/forwarding", "1"),
        false => Ok(()),
    }
}

async fn make_pod(plan: Plan, ip: Ipv4Addr, ip6: Option<Ipv6Addr>) -> Result<(), NetError> {
    let links = link::Links::open()?;
    links.up("lo").await?;
    links.address(POD_LINK, net(ip.into(), plan.gateway_v4.prefix_len())?).await?;
    if let (Some(ip6), Some(gateway)) = (ip6, plan.gateway_v6) {
        links.address(POD_LINK, net(ip6.into(), gateway.prefix_len())?).await?;
        links.address("lo", net(PASSTHROUGH_V6.into(), 128)?).await?;
    }
    links.up(POD_LINK).await?;
    links.default_route(plan.gateway_v4.addr()).await?;
    if let Some(gateway) = plan.gateway_v6 {
        links.default_route(gateway.addr()).await?;
    }
    // Apps of the demo may listen on port 80 without being root, as in a container.
    link::sysctl("ipv4/ip_unprivileged_port_start", "0")
}

/// `10.244.a.b` becomes `fd00:10:244::a:b`, so that a reader sees which pod it is.
fn pod_v6(ip: Ipv4Addr) -> Ipv6Addr {
    let [_, _, third, fourth] = ip.octets();
    Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, third.into(), fourth.into())
}

fn net(address: IpAddr, prefix: u8) -> Result<IpNet, NetError> {
    IpNet::new(address, prefix).map_err(|e| NetError::other(format!("{address}/{prefix}"), e))
}
