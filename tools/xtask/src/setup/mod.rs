//! Installs what tests need and this machine lacks.

mod clients;
mod debian;
mod envoy;
mod python;

use std::fs;
use std::path::PathBuf;

use crate::run;

/// What tests are told of.
pub(crate) struct Ready {
    /// The target directory.
    pub(crate) target: PathBuf,
    /// The real Envoy.
    pub(crate) envoy: PathBuf,
    /// Istio's own test data; tests that compare with it skip by name where it is not there.
    pub(crate) istio: PathBuf,
}

/// Everything, quick where it is there already. `envoy` is one that is to be used as it is.
pub(crate) fn all(envoy: Option<PathBuf>) -> Result<Ready, String> {
    let target = run::target()?;
    fs::create_dir_all(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    debian::install();
    clients::install(&target);
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
    Ok(Ready { target, envoy, istio: istio()? })
}

/// Istio's test data: what the environment names, else a folder beside the checkout.
fn istio() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("RINGWAY_ISTIO_DATA") {
        return Ok(named.into());
    }
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    Ok(here.join("../shared/data/istio"))
}
