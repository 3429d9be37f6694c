//! Nothing in the repository comes from elsewhere or names a machine.

use super::Finding;
use super::source::Tree;

/// Protobuf files that are our own work.
const OWN_PROTOS: [&str; 0] = [];

/// Registries are reached through their clients, whose configuration is the machine's.
const HOSTS: [&str; 6] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("registry.npm", "js.org"),
    concat!("deb.deb", "ian.org"),
    concat!("proxy.gol", "ang.org"),
];

/// Beginnings of paths that exist on one machine only.
const MACHINES: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

/// Third-party .proto files, registry hosts, paths of a machine.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for text in &tree.texts {
        if text.path.ends_with(".proto") && !OWN_PROTOS.contains(&text.path.as_str()) {
            findings.push(Finding {
                place: format!("{}:1", text.path),
                what: "a .proto file that is not listed as ours".to_owned(),
                why: "third-party definitions come with their packages and licences, not as copies",
                remedy: "read it from the package that has it, or list our own in OWN_PROTOS",
            });
        }
        for (number, line) in (1..).zip(text.text.lines()) {
            findings.extend(in_line(line).map(|(what, why)| Finding {
                place: format!("{}:{number}", text.path),
                what,
                why,
                remedy: "name the package, or a path from the repository's top",
            }));
        }
    }
    Ok(findings)
}

fn in_line(line: &str) -> Option<(String, &'static str)> {
    if let Some(host) = HOSTS.iter().find(|host| line.contains(**host)) {
        let why = "which registry or mirror is used is the machine's business";
        return Some((format!("the registry host {host}"), why));
    }
    // A path begins where a word begins.
    let path = MACHINES.iter().find(|start| {
        line.match_indices(**start).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !c.is_alphanumeric() && !"/._-~}".contains(c))
        })
    })?;
    Some((format!("a path of one machine ({path}…)"), "it exists nowhere else"))
}
