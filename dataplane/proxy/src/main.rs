//! `ringway-proxy`: the sidecar. Arguments, threads, signals; the work is done in the other rooms.

mod access_log;
mod args;
mod crew;
mod failure;
mod kernel_tls;
mod local;
mod serve;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Mode};

fn main() -> ExitCode {
    let args = Args::parse();
    args.start_logging();
    let done = match args.mode {
        Mode::Validate => serve::validate(&args),
        Mode::Serve => serve::serve(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.code()
        }
    }
}
