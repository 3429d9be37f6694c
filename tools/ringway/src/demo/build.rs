//! The programs that the demo starts: found beside this one, and built where they can be.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    str::FromStr,
};

use kit::net::child_arguments;

use super::{cast, folder, progress::Progress};
use crate::failure::{Context, Failure};

/// Paths of the programs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// This one.
    pub(crate) ringway: PathBuf,
    /// The control plane.
    pub(crate) ringwayd: PathBuf,
    /// The sidecar.
    pub(crate) proxy: PathBuf,
    /// Proxies of other makes, for single pods.
    pub(crate) others: Vec<Sidecar>,
}

/// A proxy of another make for one pod, written `POD=PROGRAM`.
#[derive(Clone, Debug)]
pub(crate) struct Sidecar {
    pod: String,
    program: PathBuf,
}

impl FromStr for Sidecar {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pod, program) = text.split_once('=').ok_or("write POD=PROGRAM")?;
        let program = fs::canonicalize(program).map_err(|error| format!("{program}: {error}"))?;
        match cast::find(pod).is_some_and(|role| role.sidecar) {
            true => Ok(Self { pod: pod.to_owned(), program }),
            false => Err(format!("the demo has no pod {pod} with a proxy")),
        }
    }
}

impl Programs {
    /// Builds what is missing or old, and finds all of it.
    pub(crate) fn find(
        no_build: bool,
        others: &[Sidecar],
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let ringway = env::current_exe().context(|| "cannot find this program".into())?;
        let beside = ringway.parent().map(Path::to_owned).unwrap_or_default();
        if let (false, Some(tree)) = (no_build, folder::source_tree()) {
            progress.step("building ringwayd and ringway-proxy");
            progress.aside(|| build(&ringway, &tree, &beside))?;
        }
        let found = |name: &str| {
            let path = beside.join(name);
            match path.is_file() {
                true => Ok(path),
                false => Err(Failure::new(format!("{} is not there", path.display()))
                    .hint("cargo build --release, then run this command again")),
            }
        };
        let (ringwayd, proxy) = (found("ringwayd")?, found("ringway-proxy")?);
        Ok(Self { ringway, ringwayd, proxy, others: others.to_vec() })
    }

    /// The proxy of another make for this pod, if there is to be one.
    pub(crate) fn other(&self, pod: &str) -> Option<&Path> {
        let found = self.others.iter().find(|sidecar| sidecar.pod == pod);
        found.map(|sidecar| sidecar.program.as_path())
    }
}

/// Lets cargo decide what is old; it takes a moment when nothing is. Without cargo, what is there
/// is used.
fn build(ringway: &Path, tree: &Path, beside: &Path) -> Result<(), Failure> {
    let Some(target) = beside.parent().filter(|target| target.join("CACHEDIR.TAG").is_file())
    else {
        return Ok(());
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    if Command::new(&cargo).arg("--version").output().is_err() {
        return Ok(());
    }
    // Through the supervisor, so that Ctrl-C ends cargo as well.
    let mut build = Command::new(ringway);
    build.args(child_arguments(None)).arg(cargo);
    build.args(["build", "--quiet", "--bin", "ringway-proxy", "--bin", "ringwayd"]);
    if beside.ends_with("release") {
        build.arg("--release");
    }
    build.arg("--target-dir").arg(target).current_dir(tree).stdout(Stdio::null());
    let status = build.status().context(|| "cannot run cargo".into())?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new("cargo could not build ringwayd and ringway-proxy")
            .hint("read the compiler's message above; or --no-build to use what is there")),
    }
}
