//! The command `ringway`: one small module a verb.

mod demo;
mod failure;
mod verb;

use std::{env, ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

use failure::Failure;

/// Ringway, a service mesh: see it work, look into it, and test with it.
#[derive(Parser)]
#[command(name = "ringway", version, disable_version_flag = true)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Shows a whole mesh at work on this machine, in network namespaces.
    Demo(demo::Arguments),
    /// Installs, shows or removes the rules that send a pod's connections through its proxy.
    Capture(verb::capture::Arguments),
    /// Serves HTTP and TCP that say what they were sent.
    Echo(verb::echo::Arguments),
    /// Makes load and measures it without coordinated omission.
    Load(Box<verb::load::Arguments>),
    /// Shows, adds up, compares and draws latencies from HDR logs.
    Hist(verb::hist::Arguments),
    /// Prints the version.
    Version(verb::version::Arguments),
}

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().collect();
    if let Some(code) = inner_half(&words) {
        return code;
    }
    let done = match Command::parse().verb {
        Verb::Demo(arguments) => demo::run(arguments),
        Verb::Capture(arguments) => verb::capture::run(&arguments),
        Verb::Echo(arguments) => verb::echo::run(&arguments),
        Verb::Load(arguments) => verb::load::run(&arguments),
        Verb::Hist(arguments) => verb::hist::run(&arguments),
        Verb::Version(arguments) => verb::version::run(&arguments),
    };
    done.unwrap_or_else(|failure| failure.report())
}

/// Words that this program uses to start itself again; they must be seen before any thread starts.
fn inner_half(words: &[OsString]) -> Option<ExitCode> {
    let (word, rest) = words.get(1..)?.split_first()?;
    let error = match word.to_str()? {
        "__child" => kit::net::become_child(rest),
        "__userns" => kit::net::finish_user_namespace(words.first()?, rest),
        _ => return None,
    };
    Some(Failure::new(format!("cannot become {}: {error}", last_program(rest))).report())
}

fn last_program(rest: &[OsString]) -> String {
    rest.get(3).map_or_else(|| "root of a user namespace".into(), |word| word.display().to_string())
}
