//! The tests that were skipped, each by its name.
//!
//! A test that cannot run where it is prints `SKIPPED name: why` and appends `name: why` as one
//! line to the file that `RINGWAY_SKIPS` names. It must not count as passed: the list is printed
//! at the very end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The file of one run.
pub(crate) struct Skips(PathBuf);

impl Skips {
    /// An empty list.
    pub(crate) fn begin(target: &Path) -> Result<Self, String> {
        let path = target.join("skipped-tests.txt");
        fs::write(&path, "").map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// For the environment of the tests.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Prints the list, each test once.
    pub(crate) fn print(&self) {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let lines: BTreeSet<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        println!("\n== skipped: {}", lines.len());
        for line in lines {
            println!("SKIPPED {line}");
        }
    }
}
