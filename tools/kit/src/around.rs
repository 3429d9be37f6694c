//! What a test or a measurement finds around it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// Says by name that a test, or a part of it, is not run, and tells whoever collects the names
/// (`RINGWAY_SKIPS`); it does not count as passed.
pub fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
    let Some(path) = std::env::var_os("RINGWAY_SKIPS") else { return };
    let file = File::options().create(true).append(true).open(&path);
    if let Err(error) = file.and_then(|mut file| writeln!(file, "{test}: {why}")) {
        // Nobody would miss a skip that is not listed: better to fail.
        panic!("{}: {error}", path.display());
    }
}

/// Bytes of which each says where it belongs: their period is no power of two.
pub fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|at| (at % 251) as u8).collect()
}

/// Copies a program for running the copy, by a process of its own. What is open for writing here
/// may be inherited by a process that another thread starts at this moment, and a program that is
/// open for writing somewhere cannot be run.
pub fn copy_program(from: &Path, to: &Path) -> io::Result<()> {
    let copied = Command::new("cp").arg(from).arg(to).status()?;
    let failed = || io::Error::other(format!("cp {} {}: {copied}", from.display(), to.display()));
    copied.success().then_some(()).ok_or_else(failed)
}

/// The real Envoy: what `RINGWAY_ENVOY` names, else what `cargo xtask setup` has installed into
/// the target directory. The program itself: what pip puts in `bin` may be a script in front of
/// it, which another user cannot run and whose memory is not Envoy's.
pub fn envoy(target: &Path) -> Option<PathBuf> {
    let named = std::env::var_os("RINGWAY_ENVOY").map(PathBuf::from);
    let found = named.unwrap_or_else(|| target.join("venv/bin/envoy"));
    let is_program = |path: &Path| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
    if is_program(&found) {
        return Some(found);
    }
    let library = found.parent()?.parent()?.join("lib");
    let pythons = fs::read_dir(library).ok()?.flatten();
    let mut inside = pythons.map(|entry| entry.path().join("site-packages/envoy/_bin/envoy"));
    inside.find(|path| is_program(path))
}
