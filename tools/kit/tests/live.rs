//! The redirect rules at work in a kernel: each way of applying them, both address families.
//!
//! Goal: a connection that must be caught arrives at the proxy's port with its original
//! destination; one that is exempt arrives where it was going; removal leaves nothing.
//! Method: two pods on a bridge, listeners that report where a connection was going, and clients
//! whose file-system user is the proxy's (1337) or an app's.

use kit::around::skip;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use kit::{
    capture::{self, Options, Rules, Via},
    net::{Network, Plan, Pod, Privilege, privilege},
};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use socket2::{Domain, SockRef, Socket, Type};

const APP: u32 = 1000;
const PROXY: u32 = 1337;
const PATIENCE: Duration = Duration::from_secs(2);

/// The port that accepted, and the original destination that the kernel remembers.
type Seen = (u16, Option<SocketAddr>);

#[test]
fn netlink_catches_and_exempts() {
    check(Via::Netlink);
}

#[test]
fn nft_catches_and_exempts() {
    check(Via::Nft);
}

#[test]
fn iptables_catches_and_exempts() {
    check(Via::Iptables);
}

#[test]
fn pods_reach_each_other_and_the_host_sees_nothing() {
    if privilege() != Privilege::Root {
        return skip("pods_reach_each_other", "needs root");
    }
    let before = std::fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    let (network, client, server) = two_pods();
    for target in addresses(&server, 7000) {
        let seen = listen(&server, target);
        assert_eq!(dial(&client, APP, None, target), Ok(()), "{target}");
        assert_eq!(seen.recv_timeout(PATIENCE), Ok((7000, None)));
    }
    let after = std::fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    assert_eq!(before, after, "links of the host changed");
    drop(network);
}

fn check(via: Via) {
    let name = format!("{via}_catches_and_exempts");
    if privilege() != Privilege::Root {
        return skip(&name, "needs root");
    }
    if !via.is_present() {
        return skip(&name, &format!("{via} is not installed"));
    }
    let (_network, client, server) = two_pods();
    let families = 1 + usize::from(server.ip6.is_some());
    for pod in [&client, &server] {
        // Twice: the second run must replace the first, not add to it.
        let first = install(pod, via);
        assert_eq!(install(pod, via), first);
        assert!(first > 15 * families, "{first} rules");
    }
    for family in 0..families {
        outbound(&client, &server, family);
        let proxy = listen(&server, unspecified(family, 15006));
        inbound(&client, &server, family, &proxy);
        proxy_to_its_own_app(&server, family, &proxy);
    }
    for pod in [&client, &server] {
        let left = pod.namespace.run(move || {
            capture::remove(via).unwrap();
            capture::remove(via).unwrap();
            capture::installed(via).unwrap()
        });
        assert_eq!(left.unwrap(), 0);
    }
    let target = addresses(&server, 9100)[0];
    let seen = listen(&server, target);
    assert_eq!(dial(&client, APP, None, target), Ok(()));
    assert_eq!(seen.recv_timeout(PATIENCE), Ok((9100, None)));
}

fn outbound(client: &Pod, server: &Pod, family: usize) {
    let proxy = listen(client, unspecified(family, 15001));
    let target = addresses(server, 9080)[family];
    // An app is caught, also on its way to a service address that nobody owns.
    let service: SocketAddr = ["10.96.7.7:80", "[fd00:10:96::7]:80"][family].parse().unwrap();
    for destination in [target, service] {
        assert_eq!(dial(client, APP, None, destination), Ok(()), "{destination}");
        assert_eq!(proxy.recv_timeout(PATIENCE), Ok((15001, Some(destination))));
    }
    // Nobody listens there and the proxy's own connections are not caught.
    assert!(dial(client, PROXY, None, service).is_err());
    // An app that talks to itself over loopback is left alone.
    let own = addresses(client, 7070)[family];
    let app = listen(client, own);
    assert_eq!(dial(client, APP, None, own), Ok(()));
    assert_eq!(app.recv_timeout(PATIENCE), Ok((7070, None)));
}

fn inbound(client: &Pod, server: &Pod, family: usize, proxy: &Receiver<Seen>) {
    let target = addresses(server, 9080)[family];
    assert_eq!(dial(client, PROXY, None, target), Ok(()));
    assert_eq!(proxy.recv_timeout(PATIENCE), Ok((15006, Some(target))));
    // Ports of health and metrics are not caught.
    let health = addresses(server, 15021)[family];
    let direct = listen(server, health);
    assert_eq!(dial(client, PROXY, None, health), Ok(()));
    assert_eq!(direct.recv_timeout(PATIENCE), Ok((15021, None)));
}

fn proxy_to_its_own_app(server: &Pod, family: usize, proxy: &Receiver<Seen>) {
    let target = addresses(server, 9081)[family];
    let app = listen(server, target);
    let passthrough: IpAddr = ["127.0.0.6", "::6"][family].parse().unwrap();
    assert_eq!(dial(server, PROXY, Some(passthrough), target), Ok(()));
    assert_eq!(app.recv_timeout(PATIENCE), Ok((9081, None)));
    // Without that source the proxy meets its own inbound side.
    assert_eq!(dial(server, PROXY, None, target), Ok(()));
    assert_eq!(proxy.recv_timeout(PATIENCE), Ok((15006, Some(target))));
}

fn two_pods() -> (Network, Pod, Pod) {
    let mut network = Network::create(Plan::default()).unwrap();
    let client = network.add_pod("client", Ipv4Addr::new(10, 244, 1, 10)).unwrap().clone();
    let server = network.add_pod("server", Ipv4Addr::new(10, 244, 2, 11)).unwrap().clone();
    (network, client, server)
}

fn install(pod: &Pod, via: Via) -> usize {
    let options = Options { ipv6: pod.ip6.is_some(), ..Options::default() };
    let count = pod.namespace.run(move || {
        assert_eq!(capture::apply(&Rules::new(&options), via).unwrap(), via);
        capture::installed(via).unwrap()
    });
    count.unwrap()
}

fn addresses(pod: &Pod, port: u16) -> Vec<SocketAddr> {
    let v6 = pod.ip6.map(|ip6| SocketAddr::new(ip6.into(), port));
    [Some(SocketAddr::new(pod.ip.into(), port)), v6].into_iter().flatten().collect()
}

fn unspecified(family: usize, port: u16) -> SocketAddr {
    [format!("0.0.0.0:{port}"), format!("[::]:{port}")][family].parse().unwrap()
}

/// Accepts inside the pod until the receiver is dropped and one more connection came.
fn listen(pod: &Pod, address: SocketAddr) -> Receiver<Seen> {
    let (sender, receiver) = channel();
    let bound = pod.namespace.run(move || bind(address)).unwrap();
    std::thread::spawn(move || {
        for stream in bound.incoming() {
            let stream = stream.unwrap();
            let socket = SockRef::from(&stream);
            let original = match address {
                SocketAddr::V4(_) => socket.original_dst_v4(),
                SocketAddr::V6(_) => socket.original_dst_v6(),
            };
            let original = original.ok().and_then(|original| original.as_socket());
            // Where nothing was translated the kernel may name the destination itself.
            let original = original.filter(|original| *original != stream.local_addr().unwrap());
            if sender.send((address.port(), original)).is_err() {
                return;
            }
        }
    });
    receiver
}

fn bind(address: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    if address.is_ipv6() {
        socket.set_only_v6(true).unwrap();
    }
    socket.bind(&address.into()).unwrap();
    socket.listen(16).unwrap();
    socket.into()
}

/// Connects from inside the pod as this user, which the kernel notes in the socket.
fn dial(pod: &Pod, user: u32, from: Option<IpAddr>, to: SocketAddr) -> Result<(), String> {
    let job = move || {
        setfsgid(Gid::from_raw(user));
        setfsuid(Uid::from_raw(user));
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        if let Some(from) = from {
            socket.bind(&SocketAddr::new(from, 0).into()).map_err(|e| format!("bind: {e}"))?;
        }
        let connected = socket.connect_timeout(&to.into(), PATIENCE);
        drop(TcpStream::from(socket));
        connected.map_err(|e| e.to_string())
    };
    pod.namespace.thread(job).unwrap().join().unwrap()
}
