//! What machine this was, and what else it did.

use std::{fs, path::Path};

use crate::{place::Place, programs::version};

/// The facts that a reader needs to judge figures, as name and value.
pub(crate) fn facts(place: &Place) -> Vec<(String, String)> {
    let programs = &place.programs;
    let other = |program: &Option<std::path::PathBuf>, flag: &str| {
        program.as_deref().map_or_else(|| "absent".to_owned(), |path| version(path, flag))
    };
    let sysctl = |name: &str| read(&format!("/proc/sys/{}", name.replace('.', "/")));
    let mut facts = vec![
        ("processor".to_owned(), field("/proc/cpuinfo", "model name")),
        ("memory".to_owned(), field("/proc/meminfo", "MemTotal")),
        ("kernel".to_owned(), read("/proc/sys/kernel/osrelease")),
        ("load before the run".to_owned(), read("/proc/loadavg")),
        (
            "cores".to_owned(),
            format!("load and origin on {}, proxies on {}", place.cores.ours, place.cores.theirs),
        ),
        ("network".to_owned(), place.network.clone()),
        ("ringway".to_owned(), version(&programs.ringway_proxy, "--version")),
        ("envoy".to_owned(), other(&programs.envoy, "--version")),
        ("haproxy".to_owned(), other(&programs.haproxy, "-v")),
        ("nginx".to_owned(), other(&programs.nginx, "-v")),
        ("pingora".to_owned(), pingora(programs.pingora.is_some())),
    ];
    let name = "net.ipv4.tcp_congestion_control";
    facts.push((name.to_owned(), sysctl(name)));
    facts
}

/// The library's version, as the lock file of its proxy has it.
fn pingora(is_there: bool) -> String {
    if !is_there {
        return "absent".to_owned();
    }
    let lock = include_str!("../../benches/pingora/Cargo.lock");
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"pingora-proxy\"");
    let version = lines.nth(1).and_then(|line| line.split('"').nth(1));
    format!("pingora-proxy {}", version.unwrap_or_default())
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(path)).unwrap_or_default().trim().to_owned()
}

fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}
