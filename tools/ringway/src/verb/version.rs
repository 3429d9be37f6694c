//! `ringway version`.

use std::process::ExitCode;

use crate::failure::Failure;

/// Prints the version.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if arguments.json {
        println!("{}", serde_json::json!({ "version": version }));
    } else {
        println!("ringway {version}");
    }
    Ok(ExitCode::SUCCESS)
}
