//! Clients and servers that are not ours and are no Debian packages. Without them tests go on and
//! say what they skip.

use std::path::Path;
use std::process::Command;

use super::python;
use crate::run::{output, quietly};

/// Real clients and servers of gRPC and HTTP/2 for Python.
const PYTHON: [&str; 2] = ["grpcio==1.85.3", "h2==4.4.1"];

/// The conformance tests of HTTP/2, a Go program.
const H2SPEC: &str = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible";

/// Installs what is missing below `clients` in the target directory.
pub(crate) fn install(target: &Path) {
    let folder = target.join("clients");
    for (what, done) in [
        ("clients and servers for Python", python::environment(&folder, &PYTHON)),
        ("h2spec", h2spec(&folder)),
    ] {
        if let Err(why) = done {
            println!("{what}: not installed: {why}\ntests that need them will be skipped, by name");
        }
    }
}

fn h2spec(folder: &Path) -> Result<(), String> {
    let bin = folder.join("bin");
    if output(&bin.join("h2spec"), &["--version"]).is_some() {
        return Ok(());
    }
    println!("installing {H2SPEC} into {}", bin.display());
    let mut go = Command::new("go");
    quietly(go.args(["install", H2SPEC]).env("GOBIN", &bin))
        .map_err(|why| format!("{why}\nit takes Go 1.21 or later (golang-go)"))
}
