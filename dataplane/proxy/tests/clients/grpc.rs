//! gRPC: grpcio and tonic in either role, every pair of them, clear and over TLS on both sides.

use std::path::Path;
use std::process::Command;

use crate::place::{Proxy, Running, Upstream, papers, python, run, script, start};
use crate::{tonic_client, tonic_server};

/// An upstream that nobody serves.
fn dead() -> Upstream {
    Upstream::new("dead", true, false)
}

/// The servers by grpcio, one clear and one by TLS.
fn grpcio(python: &Path) -> ([Upstream; 2], Vec<Running>) {
    let upstreams = [Upstream::new("grpcio", true, false), Upstream::new("grpcio-tls", true, true)];
    let started = upstreams.iter().map(|upstream| {
        let mut command = Command::new(python);
        command.arg(script("grpc_interop.py")).arg("serve");
        command.arg(upstream.address.port().to_string()).args(upstream.files());
        start(upstream.name, &mut command, &[upstream.address])
    });
    let started = started.collect();
    (upstreams, started)
}

fn tonic() -> ([Upstream; 2], [tonic_server::Server; 2]) {
    let upstreams = [Upstream::new("tonic", true, false), Upstream::new("tonic-tls", true, true)];
    (
        upstreams,
        upstreams.map(|upstream| tonic_server::Server::start(upstream.address, upstream.tls)),
    )
}

#[test]
fn grpcs_cases_pass_from_grpcio() {
    let test = "grpcs_cases_pass_from_grpcio";
    let Some(python) = python(test) else { return };
    let (by_grpcio, _grpcio) = grpcio(&python);
    let (by_tonic, _tonic) = tonic();
    let upstreams = [&by_grpcio[..], &by_tonic, &[dead()]].concat();
    let proxy = Proxy::start("from-grpcio", &upstreams);
    let names = "grpcio,grpcio-tls,tonic,tonic-tls";
    for tls in [false, true] {
        let port = proxy.address(tls).port().to_string();
        let (script, authority) =
            (script("grpc_interop.py"), papers().authority.display().to_string());
        let mut words = vec![&*script, "ask", &port, names];
        words.extend(tls.then_some(&*authority));
        let output = run(180, &python, &words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(said.ends_with("done\n") && !said.contains("FAILED"), "{said}{errors}");
        let passed = said.lines().filter(|line| line.starts_with("ok ")).count();
        assert_eq!(passed, 4 * 19, "{said}");
    }
}

#[test]
fn grpcs_cases_pass_from_tonic() {
    let test = "grpcs_cases_pass_from_tonic";
    let (by_tonic, _tonic) = tonic();
    let (by_grpcio, _grpcio) = match python(test) {
        Some(python) => grpcio(&python),
        // It has said so: the part with grpcio as the server is left out.
        None => (by_tonic, Vec::new()),
    };
    let mut upstreams = by_tonic.to_vec();
    upstreams.extend(by_grpcio.iter().filter(|upstream| upstream.name.starts_with("grpcio")));
    upstreams.push(dead());
    let proxy = Proxy::start("from-tonic", &upstreams);
    for tls in [false, true] {
        for upstream in upstreams.iter().filter(|upstream| upstream.name != "dead") {
            tonic_client::check(proxy.address(tls), tls, upstream.name);
        }
    }
}
