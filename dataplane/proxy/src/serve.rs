//! The wiring: bootstrap, sockets, workers, agent.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use agent::admin::Report;
use agent::{AgentConfig, AgentError, Applier, Outbox, Parts, Surroundings};
use config::snapshot::Bound;
use config::{Bootstrap, Compiler, ListenerOptions, Update};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ring::{Bind, Which, machine};
use session::Counters;
use tokio::sync::watch;

use crate::access_log::Writer;
use crate::args::Args;
use crate::crew::{Crew, Kernel, Wakers, report};
use crate::failure::Failure;
use crate::kernel_tls;
use crate::local::Local;
use crate::signals::{EndsProcess, Signals};

/// `--mode validate`
pub(crate) fn validate(args: &Args) -> Result<(), Failure> {
    let mut bootstrap = read(args)?;
    let summary = config::validate::bootstrap(&mut bootstrap).map_err(Failure::Refused)?;
    settings(&bootstrap)?;
    println!(
        "{}: good, {} listeners and {} clusters",
        args.config.display(),
        summary.listeners,
        summary.clusters
    );
    for (kind, name) in summary.waiting {
        println!("  {kind} \"{name}\" will wait for what the control plane has to send");
    }
    Ok(())
}

/// `--mode serve`
pub(crate) fn serve(args: &Args) -> Result<(), Failure> {
    let signals = Signals::block()?;
    raise_open_files();
    let mut bootstrap = read(args)?;
    let settings = settings(&bootstrap)?;
    let which = driver(args.driver)?;
    let workers = machine::workers(args.concurrency);
    // Before anything listens: what began before takes no part.
    let local = Local::start(args.local_bypass.as_deref());
    let features =
        vec![("local_bypass", local.state()), ("kernel_tls", kernel_tls::state(args.kernel_tls))];
    let wakers = Wakers::default();
    let resources = bootstrap.take_resources();
    let applier = load(resources, workers, &wakers, settings.control.is_some())?;
    let counters: Vec<_> = (0..workers).map(|_| Arc::new(Counters::default())).collect();
    let (queues, drain) = session::log_queues(workers);
    let outbox = Outbox::default();
    let writer = Writer::start(drain, outbox.clone())?;
    let logs = writer.shared();
    let kernel = Kernel { which, limits: local.limits() };
    let crew = Crew::start(kernel, &applier, wakers, &counters, queues)?;
    let (quit, _) = watch::channel(false);
    let (seen, sent) = (writer.shared(), outbox.clone());
    let logged = move || seen.report() + &sent.report();
    let stats: Report = Arc::new(move || report(&counters) + &local.report() + &logged());
    let agent = start_agent(settings, applier, features, stats, (outbox, quit.clone()))?;
    tracing::info!(workers, driver = ?which, "serving");
    // What start-up has used is given back before the first connection comes.
    machine::trim();
    signals.wait(|| logs.reopen());
    let lost = crew.has_lost_one();
    tracing::info!(patience_s = args.drain_time_s, "ending: connections may finish");
    let drained = crew.drain(Duration::from_secs(if lost { 0 } else { args.drain_time_s }));
    writer.finish();
    quit.send_replace(true);
    let agent = agent.join().map_err(|_| Failure::Broken("the agent has panicked".into()))?;
    drained?;
    match agent {
        Ok(()) if lost => Err(Failure::Broken("a worker has ended by itself".into())),
        Ok(()) => Ok(()),
        Err(error) => Err(Failure::start("the agent", error, "see the log above")),
    }
}

fn read(args: &Args) -> Result<Bootstrap, Failure> {
    Bootstrap::read(&args.config).map_err(|refused| Failure::Refused(vec![refused]))
}

fn settings(bootstrap: &Bootstrap) -> Result<AgentConfig, Failure> {
    // The way to the control plane needs no secret of the file, so that any compiler will do.
    let plane = bootstrap.control_plane(&mut Compiler::new());
    let plane = plane.map_err(|refused| Failure::Refused(vec![refused]))?;
    let exists = |path: &str| std::path::Path::new(path).exists();
    let around = Surroundings::read(|name| std::env::var(name).ok(), exists);
    let hint = "docs/config-support.md says what the bootstrap and the environment may hold";
    around
        .and_then(|around| AgentConfig::new(bootstrap, plane, &around))
        .map_err(|error| Failure::start("the agent's settings", error, hint))
}

fn driver(asked: Which) -> Result<Which, Failure> {
    let hint = "use --driver epoll, or allow io_uring (kernel.io_uring_disabled, seccomp profile)";
    let (which, warning) =
        asked.resolve().map_err(|why| Failure::start("io_uring cannot be used", why, hint))?;
    if let Some(why) = warning {
        tracing::warn!(%why, "io_uring cannot be used here, serving on epoll");
    }
    Ok(which)
}

/// Puts the file's own resources into force, or says what is wrong with them.
fn load(
    resources: Update,
    workers: usize,
    wakers: &Wakers,
    controlled: bool,
) -> Result<Applier, Failure> {
    let wakers = wakers.clone();
    let bind = move |address, options: &ListenerOptions| bind(address, options, workers);
    let mut applier = Applier::new(Box::new(bind), Box::new(move || wakers.wake()), controlled);
    let refused = applier.load_file(resources);
    if refused.is_empty() { Ok(applier) } else { Err(Failure::Refused(refused)) }
}

/// A socket for each worker on one address; the kernel spreads the connections.
fn bind(
    address: std::net::SocketAddr,
    options: &ListenerOptions,
    workers: usize,
) -> io::Result<Arc<Bound>> {
    let bind = Bind {
        reuse_port: true,
        transparent: options.transparent,
        freebind: options.freebind,
        v6_only: true,
        backlog: i32::try_from(options.backlog).unwrap_or(i32::MAX),
    };
    let mut sockets = Vec::with_capacity(workers);
    let mut address = address;
    for _ in 0..workers {
        let socket = ring::listener(address, bind)?;
        // Port 0: the first socket's choice holds for all.
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(Arc::new(Bound { sockets }))
}

fn start_agent(
    settings: AgentConfig,
    mut applier: Applier,
    features: Vec<(&'static str, String)>,
    stats: Report,
    (outbox, quit): (Outbox, watch::Sender<bool>),
) -> Result<JoinHandle<Result<(), AgentError>>, Failure> {
    let parts = Parts {
        secrets: applier.secrets(),
        live: applier.live(),
        features,
        stats,
        clusters: applier.clusters_report(),
        outbox,
        apply: applier,
        quit,
        version: env!("CARGO_PKG_VERSION"),
    };
    let body = move || {
        let _ends = EndsProcess;
        agent::run(settings, parts)
    };
    let hint = "check the limit of threads";
    let thread = thread::Builder::new().name("agent".into()).spawn(body);
    thread.map_err(|error| Failure::start("the agent's thread", error, hint))
}

/// As many open files as the process may ask for: each connection is one.
fn raise_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(soft, hard, %error, "the limit of open files stays");
    }
}
