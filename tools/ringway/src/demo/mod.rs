//! `ringway demo`: a whole mesh on this machine, real traffic through it, and what was seen.
//!
//! Everything runs in network namespaces that only this process holds, and every process in them
//! dies with it, so there is nothing that an error, Ctrl-C or SIGKILL could leave behind.

mod bootstrap;
mod build;
mod cast;
mod enter;
mod folder;
mod http;
mod ledger;
mod mesh;
mod progress;
mod report;
mod scene;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Subcommand;
use kit::net::{Privilege, privilege};

use self::{
    build::Programs, folder::Folder, ledger::Ledger, mesh::Mesh, progress::Progress, report::Report,
};
use crate::failure::{Context, Failure};

/// Shows a whole mesh at work on this machine.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    json: bool,
    /// Leave the mesh running when the show is over, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Take the mesh's YAML from this folder.
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Let this program (the real Envoy, for instance) be the proxy of that pod; may be repeated.
    #[arg(long, value_name = "POD=PROGRAM")]
    sidecar: Vec<build::Sidecar>,
    /// Use ringwayd and ringway-proxy as they are; do not build them.
    #[arg(long)]
    no_build: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Runs a command inside a pod of a running demo.
    Enter(enter::Arguments),
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    if let Some(Action::Enter(enter)) = arguments.action {
        return enter::run(&enter);
    }
    if privilege() == Privilege::UserNamespace {
        return inside_user_namespace();
    }
    let folder = Folder::prepare(arguments.config_dir.as_deref())?;
    let ledger = Ledger::new(&folder);
    ledger::clean_up_on_signal(&ledger)?;
    let done = show(&arguments, &folder, &ledger);
    ledger.clean_up();
    done.map_err(|failure| {
        match folder.logs().read_dir().is_ok_and(|mut dir| dir.next().is_some()) {
            true => failure.logs(&folder.logs()),
            false => failure,
        }
    })
}

fn show(arguments: &Arguments, folder: &Folder, ledger: &Ledger) -> Result<ExitCode, Failure> {
    let progress = Progress::new(arguments.json);
    let programs = Programs::find(arguments.no_build, &arguments.sidecar, &progress)?;
    let mesh = Mesh::start(folder, &programs, ledger, &progress)?;
    let report = scene::play(&mesh, folder, &progress)?;
    progress.finish();
    // That nobody reads on (`| head`) is no reason to fail.
    let _ = match arguments.json {
        true => writeln!(io::stdout(), "{}", report.to_json()),
        false => write!(io::stdout(), "{report}"),
    };
    if arguments.keep {
        keep(&mesh, arguments.json)?;
    }
    Ok(exit_code(&report))
}

/// What was seen must be what was asked for; anything else is a failed demo.
fn exit_code(report: &Report) -> ExitCode {
    let wrong = report.wrong();
    if wrong.is_empty() {
        return ExitCode::SUCCESS;
    }
    Failure::new(format!("not everything is as asked: {}", wrong.join("; "))).report()
}

fn keep(mesh: &Mesh, json: bool) -> Result<(), Failure> {
    let text = enter::instructions(mesh);
    let _ = match json {
        true => write!(io::stderr(), "{text}"),
        false => write!(io::stdout(), "{text}"),
    };
    // The signal's own thread ends the process.
    loop {
        std::thread::park();
    }
}

/// Not root: the same program again, as root of a user namespace.
fn inside_user_namespace() -> Result<ExitCode, Failure> {
    let program = std::env::current_exe().context(|| "cannot find this program".into())?;
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let status = kit::net::enter_user_namespace(&program.into_os_string(), &words);
    let status = status.map_err(|error| {
        Failure::new(format!("the demo needs network namespaces: {error}")).hint(
            "run it as root; or install uidmap, and give this user ids in /etc/subuid and subgid",
        )
    })?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
