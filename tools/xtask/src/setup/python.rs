//! Virtual environments with packages from PyPI.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run::quietly;

/// Makes the environment with exactly these packages, unless it is there already.
pub(super) fn environment(folder: &Path, packages: &[&str]) -> Result<(), String> {
    let (done, wanted) = (folder.join("ringway-installed"), packages.join("\n"));
    if fs::read_to_string(&done).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    println!("installing {} into {}", packages.join(" "), folder.display());
    if folder.exists() {
        // Half made, or of another version.
        let failed = |error| format!("cannot remove {}: {error}", folder.display());
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    let mut create = Command::new("python3");
    quietly(create.args(["-m", "venv"]).arg(folder))
        .map_err(|why| format!("{why}\ninstall Python 3 with its venv module (python3-venv)"))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    quietly(&mut pip).map_err(|why| format!("{why}\nPyPI could not be reached"))?;
    fs::write(&done, wanted).map_err(|error| format!("{}: {error}", done.display()))
}
