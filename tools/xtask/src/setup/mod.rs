//! Installs what tests need and this machine lacks.

mod debian;
mod envoy;

use std::fs;
use std::path::PathBuf;

use crate::run;

/// What tests are told of.
pub(crate) struct Ready {
    /// The target directory.
    pub(crate) target: PathBuf,
    /// The real Envoy.
    pub(crate) envoy: PathBuf,
}

/// Everything, quick where it is there already. `envoy` is one that is to be used as it is.
pub(crate) fn all(envoy: Option<PathBuf>) -> Result<Ready, String> {
    let target = run::target()?;
    fs::create_dir_all(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    debian::install();
    let envoy = match envoy {
        // Tests run in other folders: a relative path would lead them astray.
        Some(path) => path
            .canonicalize()
            .map_err(|error| format!("there is no Envoy at {}: {error}", path.display()))?,
        None => envoy::install(&target)?,
    };
    let version = run::output(&envoy, &["--version"])
        .ok_or_else(|| format!("{} does not run: --version failed", envoy.display()))?;
    println!("envoy: {}", version.trim());
    Ok(Ready { target, envoy })
}
