//! `ringway echo`: a server to test with.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use kit::echo::{Echo, EchoSpec};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Context, Failure};

/// How long a stop waits for answers that are under way.
const GRACE: Duration = Duration::from_secs(5);

/// Answers HTTP/1.1, and HTTP/2 by prior knowledge, with what it was asked, and TCP with what it
/// got.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where to serve HTTP/1.1 and HTTP/2, such as 0.0.0.0:8080.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "tcp")]
    http: Option<SocketAddr>,
    /// Where to serve TCP.
    #[arg(long, value_name = "ADDRESS")]
    tcp: Option<SocketAddr>,
    /// The version in answers, in the body and in the header x-version.
    #[arg(long, default_value = "v1")]
    label: String,
    /// The status of answers; a request's query may ask for another (?status=503).
    #[arg(long, default_value_t = 200)]
    status: u16,
    /// Milliseconds to wait before each answer (or ?delay_ms=10 in a request).
    #[arg(long, default_value_t = 0, value_name = "MS")]
    delay_ms: u64,
    /// Bytes of each answer's body, in place of JSON (or ?size=1000 in a request).
    #[arg(long, value_name = "BYTES")]
    body_bytes: Option<usize>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let spec = EchoSpec {
        http: arguments.http,
        tcp: arguments.tcp,
        version: arguments.label.clone(),
        status: arguments.status,
        delay: Duration::from_millis(arguments.delay_ms),
        body_bytes: arguments.body_bytes,
    };
    super::runtime()?.block_on(serve(spec))
}

async fn serve(spec: EchoSpec) -> Result<ExitCode, Failure> {
    let place = || "cannot wait for signals".to_owned();
    let mut interrupt = signal(SignalKind::interrupt()).context(place)?;
    let mut terminate = signal(SignalKind::terminate()).context(place)?;
    let echo = Echo::start(spec).await.map_err(|error| Failure::new(error.to_string()))?;
    for (name, address) in [("http", echo.http), ("tcp", echo.tcp)] {
        if let Some(address) = address {
            println!("{name} {address}");
        }
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    echo.stop(GRACE).await;
    Ok(ExitCode::SUCCESS)
}
