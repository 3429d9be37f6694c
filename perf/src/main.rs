//! `perf/run [SCENARIO…]`: Ringway beside its peers, interleaved on one machine.
//!
//! The proxy that is measured has one core for itself; load and origin have another. What counts
//! first is the proxy's CPU time a request, taken from the kernel's own account of its threads, as
//! a ratio between peers of one run; figures of different runs or machines are not compared.

mod bootstrap;
mod certificates;
mod churn;
mod cores;
mod facts;
mod figures;
mod hold;
mod network;
mod origin;
mod peer;
mod place;
mod programs;
mod report;
mod scenario;
mod start;
mod target;
mod traffic;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

use crate::{figures::Results, place::Place, scenario::Scenario};

/// What can go wrong ends the run with one sentence.
type Outcome<T> = Result<T, String>;

/// Measures Ringway beside Envoy, HAProxy and nginx, and beside the bare ring.
#[derive(Debug, Parser)]
#[command(name = "perf/run", after_help = scenario::list())]
struct Arguments {
    /// Scenarios; all of them when left out
    scenario: Vec<String>,
    /// Measured runs of each proxy, interleaved
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds of each run
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only these proxies (by name or its beginning)
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    peers: Vec<String>,
    /// Everything once and briefly: does it work, are the answers right? Its figures mean nothing
    #[arg(long)]
    smoke: bool,
    /// Where the results go, instead of perf/results/DATE
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Do not build the programs first
    #[arg(long)]
    no_build: bool,
}

impl Arguments {
    fn scenarios(&self) -> Outcome<Vec<&'static Scenario>> {
        if self.scenario.is_empty() {
            return Ok(scenario::ALL.iter().collect());
        }
        self.scenario.iter().map(|name| scenario::find(name)).collect()
    }

    fn effort(&self) -> scenario::Effort {
        match self.smoke {
            true => scenario::Effort::smoke(),
            false => scenario::Effort::full(self.runs, self.seconds),
        }
    }
}

fn main() -> ExitCode {
    let words: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    if let Some((first, rest)) = words.split_first()
        && first == kit::net::CHILD
    {
        eprintln!("{}", kit::net::become_child(rest));
        return ExitCode::FAILURE;
    }
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("perf/run: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let scenarios = arguments.scenarios()?;
    let effort = arguments.effort();
    let place = Place::new(arguments.no_build, &arguments.peers)?;
    let facts = facts::facts(&place);
    let mut results = Results::default();
    let is_kept = !arguments.smoke || arguments.out.is_some();
    let mut folder = None;
    for scenario in scenarios {
        // One that breaks does not take the others' figures with it.
        if let Err(why) = scenario.run(&place, &effort, &mut results) {
            results.give_up(why);
        }
        if is_kept {
            folder = Some(report::write(&results, &facts, &effort, arguments.out.as_deref())?);
        }
    }
    place.bar.finish_and_clear();
    report::print(&results);
    if let Some(folder) = folder {
        println!("\n{}", folder.display());
    }
    match results.given_up() {
        [] => Ok(()),
        broken => Err(broken.join("; ")),
    }
}
