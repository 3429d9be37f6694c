//! `cargo xtask fuzz`: libFuzzer on the targets of ringway-fuzz, one after the other.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{self, root};

/// How long a target is fed if nobody says.
const SECONDS: u64 = 600;
/// The longest input: all that is interesting stands in less, and short ones run more often.
const INPUT_BYTES_MAX: u32 = 4_096;
/// What one input may take before it counts as a finding.
const INPUT_SECONDS_MAX: u32 = 10;

/// Targets by name, all if there is none, each for so many seconds.
pub(crate) fn run(words: &[String]) -> Result<(), String> {
    let (mut named, mut seconds, mut rest) = (Vec::new(), SECONDS, words.iter());
    while let Some(word) = rest.next() {
        match &**word {
            "--seconds" => {
                let text = rest.next().ok_or("--seconds takes a number")?;
                seconds = text.parse().map_err(|_| format!("--seconds {text}: not a number"))?;
            }
            name => named.push(name.to_owned()),
        }
    }
    let folder = root().join("fuzz");
    let seeds = folder.join("seeds");
    let known = names(&seeds)?;
    if let Some(name) = named.iter().find(|name| !known.contains(name)) {
        return Err(format!("no target `{name}`: there are {}", known.join(", ")));
    }
    let target = run::target()?.join("fuzz");
    let program = build(&folder.join("engine"), &target)?;
    let named = if named.is_empty() { known } else { named };
    let failed: Vec<String> = named
        .into_iter()
        .filter(|name| !feed(&program, name, &seeds.join(name), &target, seconds))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let found = target.join("found");
    Err(format!("findings: {}; the inputs are in {}", failed.join(", "), found.display()))
}

fn names(seeds: &Path) -> Result<Vec<String>, String> {
    let files = fs::read_dir(seeds).map_err(|error| format!("{}: {error}", seeds.display()))?;
    let names = files.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}

/// Builds the engine with coverage of what is ours.
fn build(engine: &Path, target: &Path) -> Result<PathBuf, String> {
    let lock = engine.join("Cargo.lock");
    if !lock.exists() {
        // The same versions as everywhere.
        let copied = fs::copy(root().join("Cargo.lock"), &lock);
        copied.map_err(|error| format!("{}: {error}", lock.display()))?;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(engine).args(["build", "--release"]);
    command.env("CARGO_TARGET_DIR", target).env("RUSTC_WRAPPER", engine.join("rustc"));
    let status = command.status().map_err(|error| format!("cargo does not start: {error}"))?;
    if !status.success() {
        return Err(format!("the engine is not built: {status}"));
    }
    Ok(target.join("release/fuzz"))
}

/// True: nothing was found.
fn feed(program: &Path, name: &str, seeds: &Path, target: &Path, seconds: u64) -> bool {
    let (corpus, found) = (target.join("corpus").join(name), target.join("found"));
    for folder in [&corpus, &found] {
        if let Err(error) = fs::create_dir_all(folder) {
            println!("{}: {error}", folder.display());
            return false;
        }
    }
    println!("\n== {name}: {seconds} s");
    let mut command = Command::new(program);
    command.env("RINGWAY_FUZZ_TARGET", name).arg(&corpus).arg(seeds);
    command.arg(format!("-artifact_prefix={}/{name}-", found.display()));
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={INPUT_BYTES_MAX}"));
    command
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .args(["-print_final_stats=1", "-verbosity=0"]);
    command.status().is_ok_and(|status| status.success())
}
