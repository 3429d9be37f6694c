//! Finds the folder that cargo has unpacked `envoy-types` into.
//!
//! Cargo is asked offline and about that one package alone: asking about the whole workspace would
//! need packages (of other platforms, of other members' tests) that nobody has downloaded yet.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "envoy-types";

/// The folder of the package, in the version that the workspace is locked to.
pub(crate) fn envoy_types() -> Result<PathBuf, Box<dyn Error>> {
    let home = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let lock = home
        .ancestors()
        .map(|folder| folder.join("Cargo.lock"))
        .find(|file| file.is_file())
        .ok_or("there is no Cargo.lock above this crate")?;
    println!("cargo::rerun-if-changed={}", lock.display());
    let alone = asked_alone(&home, &lock);
    alone.or_else(|first| {
        metadata(&home, &home.join("Cargo.toml")).map_err(|second| {
            format!("{PACKAGE} was not found: alone: {first}; in the workspace: {second}").into()
        })
    })
}

/// A package of nothing but the dependency, beside a copy of the lock file.
fn asked_alone(home: &Path, lock: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let locked = std::fs::read_to_string(lock)?;
    let version = version(&locked).ok_or("Cargo.lock does not have it")?;
    let probe = PathBuf::from(variable("OUT_DIR")?).join("locate");
    std::fs::create_dir_all(&probe)?;
    let manifest = probe.join("Cargo.toml");
    let text = format!(
        "[package]\nname = \"locate\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
         [lib]\npath = \"lib.rs\"\n[dependencies]\n{PACKAGE} = \"={version}\"\n[workspace]\n"
    );
    std::fs::write(&manifest, text)?;
    std::fs::write(probe.join("lib.rs"), "")?;
    std::fs::write(probe.join("Cargo.lock"), &locked)?;
    metadata(home, &manifest)
}

fn version(lock: &str) -> Option<&str> {
    let entry = lock
        .split("[[package]]")
        .find(|entry| entry.lines().any(|line| line == format!("name = \"{PACKAGE}\"")))?;
    let line = entry.lines().find_map(|line| line.strip_prefix("version = \""))?;
    line.strip_suffix('"')
}

fn metadata(home: &Path, manifest: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let answer = Command::new(variable("CARGO")?)
        .args(["metadata", "--offline", "--format-version=1"])
        .args(["--filter-platform", &variable("TARGET")?])
        .arg("--manifest-path")
        .arg(manifest)
        // Cargo looks for its configuration (vendored sources) from the current folder upwards.
        .current_dir(home)
        .output()?;
    if !answer.status.success() {
        return Err(String::from_utf8_lossy(&answer.stderr).trim().into());
    }
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout)?;
    let packages = answer["packages"].as_array().ok_or("no packages in cargo's answer")?;
    let found = packages.iter().find(|package| package["name"] == PACKAGE);
    let manifest = found.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.map(Path::new).and_then(Path::parent);
    Ok(folder.ok_or("cargo's answer does not have it")?.to_owned())
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    std::env::var(name).map_err(|error| format!("{name}: {error}").into())
}
