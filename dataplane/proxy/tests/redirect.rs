//! The sidecar behind real redirect rules, in pods of this machine.
//!
//! Goal: what an app sends to another pod, and what is sent to the app, passes through the proxy
//! and arrives where it was going; the proxy hands a connection to the listener of its original
//! destination (exact address, then wildcard, then the listener's own chain).
//! Method: a pod with an app, a proxy as user 1337 and Istio's rules; a pod beside it without;
//! servers that say what they were asked and by whom. Both address families, both drivers.

mod common;

use kit::net::{Privilege, privilege};

use common::pods::{Family, PROXY, Stage, V4, V6, inbound, outbound, serve_all};
use common::skip;

#[test]
fn redirected_connections_arrive_over_ipv4_on_io_uring() {
    check("redirected_connections_arrive_over_ipv4_on_io_uring", &V4, "uring");
}

#[test]
fn redirected_connections_arrive_over_ipv4_on_epoll() {
    check("redirected_connections_arrive_over_ipv4_on_epoll", &V4, "epoll");
}

#[test]
fn redirected_connections_arrive_over_ipv6_on_io_uring() {
    check("redirected_connections_arrive_over_ipv6_on_io_uring", &V6, "uring");
}

#[test]
fn redirected_connections_arrive_over_ipv6_on_epoll() {
    check("redirected_connections_arrive_over_ipv6_on_epoll", &V6, "epoll");
}

fn check(test: &str, family: &Family, driver: &str) {
    if privilege() != Privilege::Root {
        return skip(test, "needs root");
    }
    if driver == "uring"
        && let Err(why) = ring::start::probe()
    {
        return skip(test, &why);
    }
    let stage = Stage::new(test, family, (PROXY, PROXY), &["--driver", driver]);
    let Some((own, peer)) = stage.own.zip(stage.peer) else {
        return skip(test, "this kernel has no IPv6");
    };
    serve_all(&stage, own, peer);
    stage.await_proxy(own);
    outbound(&stage, family, own, peer);
    inbound(&stage, family, own);
}
