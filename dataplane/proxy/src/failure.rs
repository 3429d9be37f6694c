//! Why the program ends, said to people: what, where, why, and what to try.

use std::fmt;
use std::process::ExitCode;

use config::Refused;

/// Why the program cannot go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration is refused.
    Refused(Vec<Refused>),
    /// The surroundings do not serve: what was tried, why it failed, what to try.
    Start { what: String, why: String, hint: &'static str },
    /// Something ended that must not end.
    Broken(String),
}

impl Failure {
    pub(crate) fn start(what: impl Into<String>, why: impl ToString, hint: &'static str) -> Self {
        Self::Start { what: what.into(), why: why.to_string(), hint }
    }

    /// The codes of sysexits(3): whoever supervises can tell a bad file from a bad machine.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused(_) => 78,
            Self::Start { .. } => 71,
            Self::Broken(_) => 70,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => {
                writeln!(f, "the configuration is refused, nothing of it is in force:")?;
                refused.iter().try_for_each(|one| writeln!(f, "  {one}"))?;
                write!(f, "try: docs/config-support.md lists every field that is understood")
            }
            Self::Start { what, why, hint } => write!(f, "{what}: {why}\ntry: {hint}"),
            Self::Broken(what) => write!(f, "{what}; this is a defect, please report it"),
        }
    }
}
