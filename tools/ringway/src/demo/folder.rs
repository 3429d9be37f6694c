//! Where the demo's files are: `target/demo/`, and the YAML copied into it.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use kit::net::Record;

use crate::failure::{Context, Failure};

/// The user and group of proxies, as in Istio.
pub(crate) const PROXY_ID: u32 = 1337;

/// The demo's folder and those in it.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    run: PathBuf,
}

impl Folder {
    /// Cleans up after a former run and makes the folders new.
    pub(crate) fn prepare(config: Option<&Path>) -> Result<Self, Failure> {
        let root = target().join("demo");
        fs::create_dir_all(&root).context(|| format!("cannot make {}", root.display()))?;
        sweep(&root)?;
        // New keys for every run as well: nothing of a former mesh is trusted in this one.
        for name in ["config", "logs", "run", "ca"] {
            let path = root.join(name);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).context(|| format!("cannot make {}", path.display()))?;
        }
        let run = run_folder(&root)?;
        let folder = Self { root, run };
        copy_yaml(&yaml_folder(config)?, &folder.config())?;
        Ok(folder)
    }

    /// What `ringwayd` watches.
    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("config")
    }

    /// The control plane's keys.
    pub(crate) fn ca(&self) -> PathBuf {
        self.root.join("ca")
    }

    /// What the processes say.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// What the proxies read; user 1337 can get there.
    pub(crate) fn run(&self) -> &Path {
        &self.run
    }

    /// Where a result is written.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The record of what runs.
    pub(crate) fn record(&self) -> PathBuf {
        record_path()
    }
}

/// The record of a running demo, for the other commands.
pub(crate) fn record_path() -> PathBuf {
    target().join("demo/state.json")
}

/// The folder `target` that this program was built into, else one in the current folder.
pub(crate) fn target() -> PathBuf {
    let built_into = env::current_exe().ok().and_then(|program| {
        let target = program.parent()?.parent()?.to_owned();
        target.join("CACHEDIR.TAG").is_file().then_some(target)
    });
    built_into.unwrap_or_else(|| PathBuf::from("target"))
}

/// The top of the source tree, found upwards from this program and from the current folder.
pub(crate) fn source_tree() -> Option<PathBuf> {
    let starts = [env::current_exe().ok(), env::current_dir().ok()];
    let mut upwards = starts.iter().flatten().flat_map(|start| start.ancestors());
    upwards.find(|path| path.join("deploy/demo").is_dir()).map(Path::to_owned)
}

/// Makes a file readable for the proxies and nobody else.
pub(crate) fn give_to_proxy(path: &Path) -> Result<(), Failure> {
    chown(path, Some(PROXY_ID), Some(PROXY_ID))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
        .context(|| format!("cannot give {} to user {PROXY_ID}", path.display()))
}

/// Refuses beside a running demo; kills what a dead one left.
fn sweep(root: &Path) -> Result<(), Failure> {
    let path = root.join("state.json");
    let record = Record::load(&path).unwrap_or_default();
    if let Some(owner) = record.owner.as_ref().filter(|owner| owner.is_alive()) {
        return Err(Failure::new(format!("a demo is running already, as process {}", owner.pid))
            .hint(format!("press Ctrl-C there, or kill {}", owner.pid)));
    }
    record.sweep();
    if let Some(run) = &record.scratch {
        let _ = fs::remove_dir_all(run);
    }
    let _ = fs::remove_file(path);
    Ok(())
}

/// `run` in the demo's folder if user 1337 can get there, else a folder for temporary files: a
/// clone below `/root` is closed to everybody else.
fn run_folder(root: &Path) -> Result<PathBuf, Failure> {
    let inside = root.join("run");
    let absolute = fs::canonicalize(&inside).context(|| inside.display().to_string())?;
    let open = absolute.ancestors().all(|folder| {
        fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o001 == 1)
    });
    if open {
        return Ok(absolute);
    }
    let outside = env::temp_dir().join(format!("ringway-demo-{}", std::process::id()));
    fs::create_dir_all(&outside)
        .and_then(|()| fs::set_permissions(&outside, fs::Permissions::from_mode(0o755)))
        .context(|| format!("cannot make {}", outside.display()))?;
    Ok(outside)
}

fn yaml_folder(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(asked) = asked {
        return Ok(asked.to_owned());
    }
    source_tree().map(|tree| tree.join("deploy/demo")).ok_or_else(|| {
        Failure::new("the demo's YAML (deploy/demo) was not found above this program")
            .hint("run it in the source tree, or give --config-dir DIR")
    })
}

fn copy_yaml(from: &Path, to: &Path) -> Result<(), Failure> {
    let place = || format!("cannot copy the YAML of {}", from.display());
    let mut copied = 0;
    for entry in fs::read_dir(from).context(place)? {
        let path = entry.context(place)?.path();
        let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if let (true, Some(name)) = (is_yaml, path.file_name()) {
            fs::copy(&path, to.join(name)).context(place)?;
            copied += 1;
        }
    }
    match copied {
        0 => Err(Failure::new(format!("there is no YAML in {}", from.display()))
            .hint("give --config-dir a folder like deploy/demo")),
        _ => Ok(()),
    }
}
