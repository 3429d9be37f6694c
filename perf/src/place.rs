//! Where everything happens: cores, programs, a folder for configuration, and the origin.

use std::{net::Ipv4Addr, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    Outcome,
    cores::{self, Cores},
    network,
    origin::Origin,
    peer::Make,
    programs::Programs,
};

/// What all scenarios share.
pub(crate) struct Place {
    pub(crate) cores: Cores,
    pub(crate) programs: Programs,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) origin: Origin,
    pub(crate) bar: ProgressBar,
    /// What the traffic passes through, in words.
    pub(crate) network: String,
    /// Beginnings of the names of those that are wanted; none: all.
    wanted: Vec<String>,
}

impl Place {
    pub(crate) fn new(no_build: bool, wanted: &[String]) -> Outcome<Self> {
        let programs = Programs::find(no_build)?;
        let network = network::prepare();
        cores::raise_descriptors();
        let cores = Cores::take()?;
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {prefix} {wide_msg} {elapsed}");
        bar.set_style(style.map_err(|error| error.to_string())?);
        bar.enable_steady_tick(Duration::from_millis(250));
        Ok(Self {
            cores,
            programs,
            folder: tempfile::tempdir().map_err(|error| error.to_string())?,
            origin: Origin::start(Ipv4Addr::LOCALHOST)?,
            bar,
            network,
            wanted: wanted.to_vec(),
        })
    }

    /// Those of these makes that are asked for and can be had. What cannot be had is named.
    pub(crate) fn present(&self, makes: &[Make]) -> Vec<Make> {
        let asked = |make: &Make| {
            self.wanted.is_empty() || self.wanted.iter().any(|w| make.name().starts_with(w))
        };
        let (present, missing): (Vec<Make>, Vec<Make>) =
            makes.iter().copied().filter(asked).partition(|make| make.is_there(&self.programs));
        for make in missing {
            self.bar.println(format!("{} is not on this machine and is left out", make.name()));
        }
        present
    }

    /// Shows what is being done.
    pub(crate) fn say(&self, scenario: &str, what: String) {
        self.bar.set_prefix(scenario.to_owned());
        self.bar.set_message(what);
    }
}
