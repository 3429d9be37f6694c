//! Errors as people read them: what went wrong, where and why, and one line on what to try.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// An error on its way to the terminal.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
    logs: Option<PathBuf>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, logs: None }
    }

    /// What the reader can do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Where the processes' own words are.
    pub(crate) fn logs(mut self, folder: &Path) -> Self {
        self.logs = Some(folder.to_owned());
        self
    }

    /// Prints it to standard error; the exit code is 1.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("ringway: {}", self.what);
        if let Some(hint) = &self.hint {
            eprintln!("    try: {hint}");
        }
        if let Some(logs) = &self.logs {
            eprintln!("    logs: {}", logs.display());
        }
        ExitCode::FAILURE
    }
}

impl From<kit::net::NetError> for Failure {
    fn from(error: kit::net::NetError) -> Self {
        Self::new(error.to_string())
    }
}

/// Puts the place in front of an error that only knows the reason.
pub(crate) trait Context<T> {
    fn context(self, place: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context(self, place: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("{}: {error}", place())))
    }
}
