//! Shared by the tests of this crate.

use std::ffi::OsStr;
use std::io::Write;

/// Says by name that a test was not run on io_uring; it does not count as passed.
pub(crate) fn without_uring(test: &str, reason: &str) {
    skip(&format!("{test} on io_uring"), reason);
}

/// Says by name that a test, or a part of it, was not run. Whoever collects the names says where,
/// by `RINGWAY_SKIPS`.
pub(crate) fn skip(test: &str, reason: &str) {
    skip_to(std::env::var_os("RINGWAY_SKIPS").as_deref(), test, reason);
}

/// The same with the file that the names are collected in.
pub(crate) fn skip_to(file: Option<&OsStr>, test: &str, reason: &str) {
    eprintln!("SKIPPED {test}: {reason}");
    let Some(path) = file else { return };
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    writeln!(file, "{test}: {reason}").unwrap();
}
