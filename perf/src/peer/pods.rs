//! Two pods with a sidecar each and real redirect rules: nobody in them is told of a proxy.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
};

use kit::{
    capture::{self, Options, Rules, Via},
    net::{Namespace, Network, Plan, Pod},
};
use serde_json::{Value, json};

use super::{Peer, Process, ours, write};
use crate::{
    Outcome, bootstrap, certificates, network::pin_congestion_control, origin::Origin, place::Place,
};

/// Where Istio's rules lead connections to.
const OUTBOUND: u16 = 15001;
const INBOUND: u16 = 15006;
/// Who the rules let through: the proxy.
const PROXY_ID: u32 = 1337;
const CLIENT_IP: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 10);
const SERVER_IP: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 20);
const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
/// From where an inbound proxy connects to its application, so that it is not redirected again.
const INSIDE: &str = "127.0.0.6";

/// The two pods, for as long as their proxies are measured.
pub(crate) struct Pods {
    /// Where the load is made.
    pub(crate) client: Namespace,
    _origin: Origin,
    _network: Network,
}

/// Starts two pods, two proxies and an origin, and makes the origin's address the target.
pub(super) fn start(peer: &mut Peer, place: &Place) -> Outcome<()> {
    let failed = |error: kit::net::NetError| error.to_string();
    // The proxies run as another user and must find their files.
    let folder = place.folder.path();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
    let mut network = Network::create(Plan::default()).map_err(failed)?;
    let client = network.add_pod("client", CLIENT_IP).map_err(failed)?.clone();
    let server = network.add_pod("server", SERVER_IP).map_err(failed)?.clone();
    for pod in [&client, &server] {
        pod.namespace.run(pin_congestion_control).map_err(failed)?.map_err(failed)?;
    }
    let origin = server.namespace.run(|| Origin::start(ANY)).map_err(failed)??;
    let target = SocketAddr::new(SERVER_IP.into(), origin.http.port());
    let [ours, theirs] = certificates::pair()?;
    sidecar(peer, place, &server, inbound(target.port(), &theirs))?;
    sidecar(peer, place, &client, outbound(target, &ours))?;
    peer.target = target;
    peer.pods = Some(Pods { client: client.namespace, _origin: origin, _network: network });
    Ok(())
}

fn sidecar(peer: &mut Peer, place: &Place, pod: &Pod, file: Value) -> Outcome<()> {
    let name = format!("{}-{}", peer.make.name(), pod.namespace.name());
    let path = write(place, &format!("{name}.json"), &file.to_string())?;
    let words = ours::words(peer.make, place, &path);
    let log = place.folder.path().join(format!("{name}.log"));
    let process = Process::start_in(&pod.namespace, &name, words, &log, place.cores, PROXY_ID)?;
    peer.processes.push(process);
    let applied = pod.namespace.run(|| {
        let rules = Rules::new(&Options::default());
        capture::apply(&rules, Via::Auto).or_else(|_| capture::apply(&rules, Via::Netlink))
    });
    applied.map_err(|e| e.to_string())?.map(drop).map_err(|e| e.to_string())
}

/// What Istio configures for a service of HTTP that the mesh knows.
fn outbound(service: SocketAddr, ours: &certificates::Certificates) -> Value {
    let at = |port| SocketAddr::new(ANY.into(), port);
    let mut all = bootstrap::tcp_listener(at(OUTBOUND), "PassthroughCluster");
    all["name"] = json!("virtualOutbound");
    all["use_original_dst"] = json!(true);
    let mut http =
        bootstrap::http_listener(at(service.port()), bootstrap::any_host("service"), &[]);
    http["name"] = json!(format!("0.0.0.0_{}", service.port()));
    http["bind_to_port"] = json!(false);
    let clusters = [
        bootstrap::tls_cluster("service", service, ours),
        bootstrap::original_cluster("PassthroughCluster", None),
    ];
    bootstrap::file(&[all, http], &clusters)
}

/// What it configures for the application's port: mutual TLS, then the application itself.
fn inbound(port: u16, ours: &certificates::Certificates) -> Value {
    let at = SocketAddr::new(ANY.into(), INBOUND);
    let cluster = "inbound||";
    let hosts = bootstrap::any_host(cluster);
    let mut listener = bootstrap::http_listener(at, hosts, &[bootstrap::allow_client()]);
    listener = bootstrap::with_tls(listener, ours);
    listener["name"] = json!("virtualInbound");
    listener["listener_filters"] = bootstrap::inspectors();
    listener["filter_chains"][0]["filter_chain_match"] =
        json!({ "destination_port": port, "transport_protocol": "tls" });
    let clusters = [bootstrap::original_cluster(cluster, Some(INSIDE))];
    bootstrap::file(&[listener], &clusters)
}
