//! Links, addresses and routes over rtnetlink, for the namespace that the calling thread is in.

use std::{fs, net::IpAddr, path::Path};

use ipnet::IpNet;
use nix::net::if_::if_nametoindex;
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::NetError;

/// An rtnetlink connection of the calling thread's namespace; needs a tokio runtime around it.
pub(super) struct Links {
    handle: Handle,
}

impl Links {
    pub(super) fn open() -> Result<Self, NetError> {
        let (connection, handle, _) = rtnetlink::new_connection()
            .map_err(|e| NetError::new("cannot open an rtnetlink socket", e))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    pub(super) async fn up(&self, name: &str) -> Result<(), NetError> {
        let message = LinkUnspec::new_with_index(index(name)?).up().build();
        let done = self.handle.link().set(message).execute().await;
        done.map_err(|e| failed(format!("cannot bring {name} up"), e))
    }

    pub(super) async fn bridge(&self, name: &str) -> Result<(), NetError> {
        let message = LinkBridge::new(name).up().build();
        let done = self.handle.link().add(message).execute().await;
        done.map_err(|e| failed(format!("cannot add bridge {name}"), e))
    }

    /// A veth pair whose near end joins `bridge` and whose far end becomes `far` over there.
    pub(super) async fn veth(
        &self,
        bridge: &str,
        near: &str,
        far: &str,
        there: i32,
    ) -> Result<(), NetError> {
        let step = format!("cannot join {near} to {bridge}");
        let passing = format!("{near}-p");
        let pair = LinkVeth::new(near, &passing).build();
        let link = self.handle.link();
        link.add(pair).execute().await.map_err(|e| failed(step.clone(), e))?;
        let moved =
            LinkUnspec::new_with_index(index(&passing)?).name(far).setns_by_fd(there).build();
        link.set(moved).execute().await.map_err(|e| failed(step.clone(), e))?;
        let joined =
            LinkUnspec::new_with_index(index(near)?).controller(index(bridge)?).up().build();
        link.set(joined).execute().await.map_err(|e| failed(step, e))
    }

    pub(super) async fn address(&self, link: &str, net: IpNet) -> Result<(), NetError> {
        let mut request = self.handle.address().add(index(link)?, net.addr(), net.prefix_len());
        skip_duplicate_detection(&mut request);
        let done = request.execute().await;
        done.map_err(|e| failed(format!("cannot give {link} the address {net}"), e))
    }

    pub(super) async fn default_route(&self, gateway: IpAddr) -> Result<(), NetError> {
        let route = match gateway {
            IpAddr::V4(v4) => RouteMessageBuilder::<std::net::Ipv4Addr>::new().gateway(v4).build(),
            IpAddr::V6(v6) => RouteMessageBuilder::<std::net::Ipv6Addr>::new().gateway(v6).build(),
        };
        let done = self.handle.route().add(route).execute().await;
        done.map_err(|e| failed(format!("cannot route through {gateway}"), e))
    }
}

/// Writes one `/proc/sys/net` value of the calling thread's namespace.
pub(super) fn sysctl(key: &str, value: &str) -> Result<(), NetError> {
    let path = Path::new("/proc/sys/net").join(key);
    fs::write(&path, value)
        .map_err(|e| NetError::new(format!("cannot set {} to {value}", path.display()), e))
}

fn index(name: &str) -> Result<u32, NetError> {
    if_nametoindex(name).map_err(|e| NetError::new(format!("no link is named {name}"), e))
}

/// Without this an IPv6 address is "tentative" for a second and cannot be bound.
fn skip_duplicate_detection(request: &mut rtnetlink::AddressAddRequest) {
    use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags};
    let message = request.message_mut();
    if message.header.family == rtnetlink::packet_route::AddressFamily::Inet6 {
        message.header.flags |= AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
}

fn failed(step: String, error: rtnetlink::Error) -> NetError {
    match error {
        rtnetlink::Error::NetlinkError(message) => NetError::new(step, message.to_io()),
        other => NetError::other(step, other),
    }
}
