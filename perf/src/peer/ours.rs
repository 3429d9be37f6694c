//! Ringway and Envoy: two programs, one file.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Front, Make, Peer, free_address, pods, text, write};
use crate::{Outcome, bootstrap, certificates, place::Place};

/// Services of the scenario with many routes, and routes of each.
const SERVICES: usize = 2_000;
const ROUTES: usize = 5;
/// What a client asks for there: the last route of a service in the middle.
pub(crate) const ASKED_HOST: &str = "service-1000.perf.svc.cluster.local";

pub(super) fn start(peer: &mut Peer, front: Front, place: &Place) -> Outcome<()> {
    let (at, http, tcp) = (peer.target, place.origin.http, place.origin.tcp);
    match front {
        Front::Http => {
            let listener = bootstrap::http_listener(at, bootstrap::any_host("origin"), &[]);
            one(peer, place, listener, vec![bootstrap::cluster("origin", http)])
        }
        Front::Http2 => {
            let listener = bootstrap::http_listener(at, bootstrap::any_host("origin"), &[]);
            one(peer, place, listener, vec![bootstrap::http2_cluster("origin", http)])
        }
        Front::Tcp => {
            let listener = bootstrap::tcp_listener(at, "origin");
            one(peer, place, listener, vec![bootstrap::cluster("origin", tcp)])
        }
        Front::Bulk => {
            let listener = bootstrap::tcp_listener(at, "origin");
            one(peer, place, listener, vec![bootstrap::cluster("origin", http)])
        }
        Front::Routes => {
            let listener = bootstrap::http_listener(at, many_hosts(), &[]);
            let clusters = (0..SERVICES).map(|n| bootstrap::cluster(&service(n), http)).collect();
            one(peer, place, listener, clusters)
        }
        Front::Pair => pair(peer, place),
        Front::Redirected => pods::start(peer, place),
    }
}

/// The server's side first: the client's side is what readiness is asked of.
fn pair(peer: &mut Peer, place: &Place) -> Outcome<()> {
    let [client, server] = certificates::pair()?;
    let between: SocketAddr = free_address()?;
    let any = || bootstrap::any_host("origin");
    let inbound = bootstrap::http_listener(between, any(), &[bootstrap::allow_client()]);
    let inbound = bootstrap::with_tls(inbound, &server);
    one(peer, place, inbound, vec![bootstrap::cluster("origin", place.origin.http)])?;
    let outbound = bootstrap::http_listener(peer.target, any(), &[]);
    one(peer, place, outbound, vec![bootstrap::tls_cluster("origin", between, &client)])
}

fn one(peer: &mut Peer, place: &Place, listener: Value, clusters: Vec<Value>) -> Outcome<()> {
    let file = bootstrap::file(&[listener], &clusters);
    let name = format!("{}-{}.json", peer.make.name(), peer.processes.len());
    let path = write(place, &name, &file.to_string())?;
    peer.spawn(place, words(peer.make, place, &path))
}

/// The command line of a program of this make with one worker.
pub(super) fn words(make: Make, place: &Place, path: &str) -> Vec<String> {
    let ringway = || text(&place.programs.ringway_proxy);
    let mut words = match make {
        Make::Envoy => {
            let program = place.programs.envoy.as_deref().map(text).unwrap_or_default();
            vec![program, "--disable-hot-restart".to_owned()]
        }
        Make::RingwayEpoll => vec![ringway(), "--driver".to_owned(), "epoll".to_owned()],
        Make::RingwayBypass => vec![ringway(), "--local-bypass".to_owned()],
        _ => vec![ringway()],
    };
    words.extend(["-c", path, "--concurrency", "1", "-l", "error"].map(str::to_owned));
    words
}

fn many_hosts() -> Value {
    let hosts = (0..SERVICES).map(|n| {
        let name = service(n);
        let other = |at: usize| json!({ "prefix": format!("/other/{at}/") });
        let routes = (1..ROUTES).map(|at| bootstrap::route(other(at), &name));
        let last = bootstrap::route(json!({ "prefix": "/" }), &name);
        bootstrap::host(&name, &[&name], routes.chain([last]).collect())
    });
    hosts.collect()
}

fn service(number: usize) -> String {
    format!("service-{number}.perf.svc.cluster.local")
}
