//! Shared by the tests of this folder.

use std::io::Write;

/// Says by name that a test, or a part of it, was not run; it does not count as passed.
pub(crate) fn skip(name: &str, reason: &str) {
    eprintln!("SKIPPED {name}: {reason}");
    let Some(path) = std::env::var_os("RINGWAY_SKIPS") else { return };
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    writeln!(file, "{name}: {reason}").unwrap();
}
