//! The command line. Flags that Envoy has too are named as Envoy names them.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use ring::Which;
use tracing::level_filters::LevelFilter;

/// The sidecar of the Ringway mesh: reads an Envoy v3 bootstrap and serves it on io_uring.
#[derive(Debug, Parser)]
#[command(name = "ringway-proxy", version)]
pub(crate) struct Args {
    /// The bootstrap file, YAML or JSON (envoy.config.bootstrap.v3.Bootstrap)
    #[arg(short = 'c', long = "config-path", value_name = "FILE")]
    pub(crate) config: PathBuf,

    /// Worker threads; by default as many as there are CPUs that the process may use and its
    /// control group pays for
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<usize>,

    /// What to do with the bootstrap
    #[arg(long, value_enum, default_value = "serve")]
    pub(crate) mode: Mode,

    /// How much to say on standard error
    #[arg(short = 'l', long, value_enum, default_value = "info", value_name = "LEVEL")]
    log_level: Level,

    /// How to speak to the kernel: auto takes io_uring where it works
    #[arg(long, env = "RINGWAY_DRIVER", default_value = "auto", value_name = "auto|uring|epoll")]
    pub(crate) driver: Which,

    /// Lets bytes between the application and this sidecar pass by the loopback's TCP where
    /// kernel and rights allow it, see docs/local-bypass.md. CGROUP is the folder of the control
    /// group in which both run; by default the root of those that are mounted here
    #[arg(
        long,
        value_name = "CGROUP",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "auto"
    )]
    pub(crate) local_bypass: Option<PathBuf>,

    /// Lets the kernel seal and open TLS records of TLS 1.3 where it can. Not built beyond asking
    /// the kernel: TLS stays in this process, and a line of the log says why
    #[arg(long)]
    pub(crate) kernel_tls: bool,

    /// Seconds that connections have to end in after SIGTERM
    #[arg(long, default_value = "5", value_name = "SECONDS")]
    pub(crate) drain_time_s: u64,
}

/// What to do with the bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Serve it.
    Serve,
    /// Read and compile all of it, say what is wrong, and end.
    Validate,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Trace,
    Debug,
    Info,
    #[value(alias = "warn")]
    Warning,
    #[value(alias = "critical")]
    Error,
    Off,
}

impl Args {
    pub(crate) fn start_logging(&self) {
        let level = match self.log_level {
            Level::Trace => LevelFilter::TRACE,
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warning => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
            Level::Off => LevelFilter::OFF,
        };
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let log = tracing_subscriber::fmt().with_max_level(level).with_ansi(terminal);
        log.with_writer(std::io::stderr).init();
    }
}
