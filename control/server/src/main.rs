//! The `ringwayd` program: arguments, log, signals.

mod args;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use model::Mesh;
use source::Folder;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

use args::{Cli, ServeArgs, TokenArgs, ValidateArgs, Verb};
use ringwayd::auth::{Claims, TokenError};
use ringwayd::ca::{Authority, LEAF_TTL_MAX, Material, open_token_signer};
use ringwayd::feed::{Feed, Timing, Verdict};
use ringwayd::monitoring::ConfigHealth;
use ringwayd::push::Hub;
use ringwayd::serve::{Addresses, Services};

/// What went wrong, for people; printed once.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.verb {
        Some(Verb::Token(token)) => mint(&token),
        Some(Verb::Validate(validate)) => return judge(&validate),
        Some(Verb::Version) => {
            println!("ringwayd {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        None => serve(&cli.serve),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("ringwayd: {error}");
    ExitCode::FAILURE
}

fn mint(args: &TokenArgs) -> Result<(), Failure> {
    let claims =
        Claims { namespace: args.namespace.clone(), service_account: args.service_account.clone() };
    let signer = open_token_signer(&args.dir)?;
    let token =
        signer.mint(&claims, SystemTime::now(), args.ttl).map_err(|error| why_not(args, error))?;
    println!("{token}");
    Ok(())
}

fn why_not(args: &TokenArgs, error: TokenError) -> String {
    let TokenArgs { namespace, service_account, .. } = args;
    match error {
        TokenError::Subject => format!(
            "`{namespace}` and `{service_account}` cannot be a namespace and a service account; \
             try: names of lower-case letters, digits, `-` and `.`"
        ),
        TokenError::Lifetime => format!("--ttl: {error}"),
        other => format!("no token was minted: {other}"),
    }
}

fn judge(args: &ValidateArgs) -> ExitCode {
    let batch = match Folder::new(&args.config_dir).read() {
        Ok(batch) => batch,
        Err(error) => return fail(&error),
    };
    let verdict = Verdict::of(&batch, Mesh::default());
    verdict.errors.iter().for_each(|text| println!("error: {text}"));
    verdict.warnings.iter().for_each(|text| println!("warning: {text}"));
    let (errors, warnings) = (verdict.errors.len(), verdict.warnings.len());
    println!("{} objects in force, {errors} errors, {warnings} warnings", verdict.objects);
    if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&args.log_level)
        .map_err(|error| format!("--log-level `{}`: {error}; try: info", args.log_level))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(args))
}

async fn run(args: &ServeArgs) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (services, addresses, feed) = prepare(args, begun).await?;
    let hub = Arc::clone(&services.hub);
    let running = services.start(addresses).await?;
    let at = running.addresses;
    info!(
        xds = %at.xds,
        secure = %at.secure,
        monitoring = %at.monitoring,
        duration_ms = begun.elapsed().as_millis(),
        "ringwayd serves"
    );
    let timing = Timing {
        quiet: Duration::from_millis(args.debounce_ms),
        max: Duration::from_millis(args.debounce_max_ms.max(args.debounce_ms)),
    };
    let feeding = tokio::spawn(feed.run(hub, timing));
    tokio::select! {
        _ = interrupt.recv() => info!("SIGINT: stopping"),
        _ = terminate.recv() => info!("SIGTERM: stopping"),
    }
    feeding.abort();
    running.stop().await;
    Ok(())
}

/// Reads keys and folder; nothing listens yet, so a mistake is told before any client sees it.
async fn prepare(args: &ServeArgs, begun: Instant) -> Result<(Services, Addresses, Feed), Failure> {
    let folder = args.config_dir.as_ref().ok_or(
        "no --config-dir: nothing says what the mesh is; try: ringwayd --config-dir DIR with a \
         folder of YAML",
    )?;
    if args.workload_ttl > LEAF_TTL_MAX || args.workload_ttl.is_zero() {
        return Err("--workload-ttl must be more than nothing and at most 90d".into());
    }
    let material = Material::open_or_create(&args.ca_dir, &args.trust_domain, SystemTime::now())?;
    let authority = Authority::new(&args.trust_domain, &material).map_err(|error| {
        format!("--ca-dir {}: {error}; try: move the folder away", args.ca_dir.display())
    })?;
    let tokens = open_token_signer(&args.ca_dir)?.verifier();
    let health = Arc::new(ConfigHealth::default());
    let mesh = Mesh {
        trust_domain: args.trust_domain.clone(),
        cluster_domain: args.cluster_domain.clone(),
        ..Mesh::default()
    };
    let source = Box::new(Folder::new(folder));
    let (feed, world) = Feed::start(source, mesh, Arc::clone(&health))
        .await
        .map_err(|error| format!("--config-dir: {error}"))?;
    let services = Services {
        hub: Hub::new(Arc::new(world), begun),
        health,
        authority,
        tokens,
        names: args::server_names(&args.san, args.secure_address.ip()),
        workload_ttl: args.workload_ttl,
    };
    let addresses = Addresses {
        xds: args.xds_address,
        secure: args.secure_address,
        monitoring: args.monitoring_address,
    };
    Ok((services, addresses, feed))
}
