//! The bypass of the local hop: whether it was asked for, and whether it is there.

use std::path::Path;

use bypass::{Bypass, Options};
use ring::Limits;

/// What has become of `--local-bypass`.
#[derive(Debug)]
pub(crate) enum Local {
    /// Not asked for.
    Off,
    /// In force.
    On(Box<Bypass>),
    /// Asked for and not to be had; all goes by TCP.
    Unavailable(String),
}

impl Local {
    /// Starts it where it is asked for. `auto` is the control group that is mounted here.
    pub(crate) fn start(asked: Option<&Path>) -> Self {
        let Some(asked) = asked else { return Self::Off };
        let cgroup = (asked != Path::new("auto")).then(|| asked.to_owned());
        match Bypass::start(&Options { cgroup, ..Options::default() }) {
            Ok(bypass) => {
                tracing::info!(cgroup = %bypass.cgroup().display(), "local bypass: on");
                Self::On(Box::new(bypass))
            }
            Err(why) => {
                tracing::warn!(%why, "local bypass: not available, the local hop goes by TCP");
                Self::Unavailable(why.to_string())
            }
        }
    }

    /// The workers' limits. `splice(2)` does not see what has come past TCP, so that nothing is
    /// relayed by it where something may.
    pub(crate) fn limits(&self) -> Limits {
        let usual = Limits::default();
        if matches!(self, Self::On(_)) { Limits { pipes: 0, ..usual } } else { usual }
    }

    /// In words, for the admin port.
    pub(crate) fn state(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::On(bypass) => format!("on: {}", bypass.cgroup().display()),
            Self::Unavailable(why) => format!("unavailable: {why}"),
        }
    }

    /// What it has counted, a line each.
    pub(crate) fn report(&self) -> String {
        let Self::On(bypass) = self else { return String::new() };
        let (counts, (pairs, _)) = (bypass.counts(), bypass.held());
        format!(
            "local_bypass.paired: {}\nlocal_bypass.not_paired_table_full: {}\n\
             local_bypass.ends_diverted: {}\nlocal_bypass.pairs_active: {pairs}\n",
            counts.paired, counts.full, counts.diverted
        )
    }
}
