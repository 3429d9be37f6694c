//! The programs that are measured, and how they get here.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::Outcome;

/// What is built before a run: the proxies, the control plane and the rungs of the ladder.
const BUILDS: [&[&str]; 3] = [
    &["build", "--release", "--quiet"],
    &["build", "--release", "--quiet", "--package", "ringway-ladder", "--bins"],
    &["build", "--release", "--quiet", "--package", "ringway-ring", "--example", "bare"],
];

/// What brings so much with it that it is no part of the workspace; a run goes on without it.
const APART: &[&str] =
    &["build", "--release", "--quiet", "--manifest-path", "benches/pingora/Cargo.toml"];

/// Paths of all programs. Those of others may be missing: a run then says so and goes on.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) ringway_proxy: PathBuf,
    pub(crate) ringway: PathBuf,
    /// Whether the kernel lets our proxy have its bypass of the local hop.
    pub(crate) has_bypass: bool,
    /// The byte proxy on the bare ring, and the one that splices by hand.
    pub(crate) bare: Option<PathBuf>,
    pub(crate) splice: Option<PathBuf>,
    pub(crate) envoy: Option<PathBuf>,
    pub(crate) haproxy: Option<PathBuf>,
    pub(crate) nginx: Option<PathBuf>,
    /// A proxy of a few lines on the library.
    pub(crate) pingora: Option<PathBuf>,
}

impl Programs {
    /// A program of the ladder, beside ours.
    pub(crate) fn rung(&self, name: &str) -> PathBuf {
        self.ringway_proxy.with_file_name(name)
    }

    /// Builds ours, unless told not to, and finds all.
    pub(crate) fn find(no_build: bool) -> Outcome<Self> {
        let me = env::current_exe().map_err(|error| error.to_string())?;
        let beside = me.parent().map(Path::to_owned).unwrap_or_default();
        let target = beside.parent().map(Path::to_owned).unwrap_or_default();
        if !no_build {
            BUILDS.iter().try_for_each(|words| cargo(words, &target))?;
            if let Err(why) = cargo(APART, &target) {
                eprintln!("{why}");
            }
        }
        let ours = |name: &str| {
            let path = beside.join(name);
            match path.is_file() {
                true => Ok(path),
                false => Err(format!("{} is not there; run without --no-build", path.display())),
            }
        };
        Ok(Self {
            ringway_proxy: ours("ringway-proxy")?,
            ringway: ours("ringway")?,
            has_bypass: bypass::Bypass::start(&bypass::Options::default()).is_ok(),
            bare: ours("examples/bare").ok(),
            splice: ours("ladder-splice").ok(),
            envoy: kit::around::envoy(&target),
            haproxy: on_path("haproxy"),
            nginx: on_path("nginx"),
            pingora: ours("peer-pingora").ok(),
        })
    }
}

/// The first line that a program prints of its version.
pub(crate) fn version(program: &Path, flag: &str) -> String {
    let output = Command::new(program).arg(flag).stdin(Stdio::null()).output();
    let Ok(output) = output else { return "not to be had".into() };
    // nginx says it on standard error.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    // Envoy begins with its path, which is nobody's business but this machine's.
    let folder = program.parent().map(|folder| format!("{}/", folder.display()));
    line.replace(&folder.unwrap_or_default(), "")
}

fn cargo(words: &[&str], target: &Path) -> Outcome<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(words).arg("--target-dir").arg(target);
    let status = command.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    status.success().then_some(()).ok_or_else(|| format!("cargo {} failed", words.join(" ")))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let folders = env::split_paths(&path).chain(usual);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}
