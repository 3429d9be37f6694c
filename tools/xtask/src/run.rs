//! Running other programs, visibly.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    // Asked when it runs: the program may have been built for another clone of it.
    let here = std::env::var_os("CARGO_MANIFEST_DIR");
    let here = here.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.ancestors().nth(2).unwrap_or(&here).to_owned()
}

/// One step with cargo, its output for all to see.
pub(crate) fn cargo(name: &str, words: &[&str], set: &[(&str, &Path)]) -> Result<(), String> {
    println!("\n== {name}: cargo {}", words.join(" "));
    let mut command = Command::new(cargo_path());
    command.current_dir(root()).args(words).envs(set.iter().copied());
    let status = command.status().map_err(|error| format!("cargo does not start: {error}"))?;
    let line = words.join(" ");
    let words_of = || format!("step \"{name}\" failed ({status}); again alone: cargo {line}");
    if status.success() { Ok(()) } else { Err(words_of()) }
}

/// What a program prints, if it runs and succeeds.
pub(crate) fn output(program: &Path, words: &[&str]) -> Option<String> {
    let done = Command::new(program)
        .current_dir(root())
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Runs a program with its output shown only if it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let done = command.stdin(Stdio::null()).output();
    let done = done.map_err(|error| format!("{shown} does not start: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(format!("{shown} failed ({})\n{}{}", done.status, text(&done.stdout), text(&done.stderr)))
}

/// What `cargo metadata --no-deps` says of the workspace.
pub(crate) fn metadata() -> Result<serde_json::Value, String> {
    let words = ["metadata", "--no-deps", "--format-version", "1"];
    let text = output(&cargo_path(), &words).ok_or("cargo metadata failed")?;
    serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
}

/// The target directory, whatever sets it: the environment, cargo's configuration, or nothing.
pub(crate) fn target() -> Result<PathBuf, String> {
    let metadata = metadata()?;
    let found = metadata.get("target_directory").and_then(|path| path.as_str());
    found.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target_directory".to_owned())
}

fn cargo_path() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}
