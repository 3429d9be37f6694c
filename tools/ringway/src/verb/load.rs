//! `ringway load`: load that does not hide what it waits for.

use std::{
    io::IsTerminal,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use indicatif::ProgressBar;
use kit::{
    hist::{self, Interval, Series},
    load::{self, Control, Counts, LoadReport, LoadSpec, Progress},
};
use serde_json::{Value, json};

use crate::failure::{Context, Failure};

/// Columns of the histogram.
const WIDTH: usize = 78;

/// Makes load and shows latencies without coordinated omission.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// http://HOST[:PORT]/PATH, or tcp://HOST:PORT of a server that sends back what it gets.
    url: String,
    /// Requests a second over all connections; without it the next goes out after each answer.
    #[arg(short, long)]
    rate: Option<f64>,
    /// Connections.
    #[arg(short, long, default_value_t = 1)]
    connections: usize,
    /// Seconds that requests become due.
    #[arg(short, long, default_value_t = 10.0, value_name = "SECONDS")]
    duration: f64,
    /// Stop after so many requests.
    #[arg(short = 'n', long)]
    requests: Option<u64>,
    /// The method.
    #[arg(short = 'X', long, default_value = "GET")]
    method: String,
    /// A header, as "name: value"; may be repeated. "host: NAME" replaces the one from the URL.
    #[arg(short = 'H', long, value_name = "HEADER")]
    header: Vec<String>,
    /// The body of each request, or what each TCP round trip carries.
    #[arg(long, default_value = "")]
    body: String,
    /// A header of the answers whose values are counted; may be repeated.
    #[arg(long, value_name = "NAME")]
    tally: Vec<String>,
    /// A new connection for each request.
    #[arg(long)]
    no_keep_alive: bool,
    /// Seconds to wait for a connection and for each answer.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    timeout: f64,
    /// Write the histogram as an HDR log.
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
    /// Draw the histogram.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let spec = spec(arguments)?;
    let bar = Bar::new(arguments.json);
    let control = Control::new();
    let report = super::runtime()?.block_on(async {
        // What is under way when the user has seen enough is still waited for and counted.
        let stop = control.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.stop();
            }
        });
        load::run(&spec, &control, |progress: &Progress| bar.set(progress)).await
    });
    let report = report.map_err(|error| Failure::new(error.to_string()))?;
    bar.finish();
    let total = report.total();
    write_files(arguments, &report, &total)?;
    if arguments.json {
        println!("{:#}", to_json(&report, &total));
    } else {
        print(&report, &total);
    }
    Ok(if total.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn spec(arguments: &Arguments) -> Result<LoadSpec, Failure> {
    let (scheme, host, path) = split(&arguments.url)?;
    let target = resolve(&host)?;
    let mut spec = match scheme {
        Scheme::Http => LoadSpec::http(target, &host, &path),
        Scheme::Tcp => LoadSpec::tcp(target),
    };
    spec.method = arguments.method.clone();
    for header in &arguments.header {
        let (name, value) = header.split_once(':').ok_or_else(|| {
            Failure::new(format!("\"{header}\" is no header")).hint("-H \"name: value\"")
        })?;
        match name.eq_ignore_ascii_case("host") {
            true => spec.host = value.trim().to_owned(),
            false => spec.headers.push((name.to_owned(), value.trim().to_owned())),
        }
    }
    if !arguments.body.is_empty() {
        spec.body = arguments.body.clone().into_bytes();
    }
    spec.rate = arguments.rate;
    spec.connections = arguments.connections;
    spec.keep_alive = !arguments.no_keep_alive;
    spec.duration = Some(seconds("--duration", arguments.duration)?);
    spec.requests = arguments.requests;
    spec.timeout = seconds("--timeout", arguments.timeout)?;
    spec.tally.clone_from(&arguments.tally);
    Ok(spec)
}

#[derive(Clone, Copy)]
enum Scheme {
    Http,
    Tcp,
}

/// Scheme, host with port, and path.
fn split(url: &str) -> Result<(Scheme, String, String), Failure> {
    let (scheme, rest) = if let Some(rest) = url.strip_prefix("http://") {
        (Scheme::Http, rest)
    } else if let Some(rest) = url.strip_prefix("tcp://") {
        (Scheme::Tcp, rest)
    } else {
        return Err(Failure::new(format!("\"{url}\" is neither http:// nor tcp://")));
    };
    let at = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    let path = if path.is_empty() { "/" } else { path };
    Ok((scheme, host.to_owned(), path.to_owned()))
}

fn resolve(host: &str) -> Result<SocketAddr, Failure> {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let full = if has_port { host.to_owned() } else { format!("{host}:80") };
    let mut found = full.to_socket_addrs().context(|| format!("cannot resolve {host}"))?;
    found.next().ok_or_else(|| Failure::new(format!("{host} has no address")))
}

fn seconds(flag: &str, seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds).context(|| format!("{flag} {seconds}"))
}

fn write_files(arguments: &Arguments, report: &LoadReport, total: &Counts) -> Result<(), Failure> {
    let failed = |error: hist::Error| Failure::new(error.to_string());
    if let Some(path) = &arguments.hdr {
        let interval = Interval {
            tag: "load".into(),
            start: Duration::ZERO,
            len: report.elapsed,
            histogram: total.histogram.clone(),
        };
        hist::write_log(path, report.started, &[interval]).map_err(failed)?;
    }
    if let Some(path) = &arguments.png {
        let series = [Series::new("load", total.histogram.clone())];
        hist::draw_png(path, &arguments.url, &series).map_err(failed)?;
    }
    Ok(())
}

fn to_json(report: &LoadReport, total: &Counts) -> Value {
    let us = |quantile| total.histogram.value_at_quantile(quantile) as f64 / 1e3;
    json!({
        "requests": total.requests(),
        "failed": total.failed(),
        "seconds": report.elapsed.as_secs_f64(),
        "rate": report.throughput(),
        "latency_us": { "p50": us(0.5), "p90": us(0.9), "p99": us(0.99), "p999": us(0.999),
            "max": total.histogram.max() as f64 / 1e3 },
        "statuses": total.statuses,
        "errors": total.errors,
        "headers": total.headers,
    })
}

fn print(report: &LoadReport, total: &Counts) {
    println!(
        "{} requests in {:.2} s, {:.0} a second, {} failed",
        total.requests(),
        report.elapsed.as_secs_f64(),
        report.throughput(),
        total.failed()
    );
    total.statuses.iter().for_each(|(status, count)| println!("  status {status}: {count}"));
    total.errors.iter().for_each(|(error, count)| println!("  {error}: {count}"));
    for (name, values) in &total.headers {
        values.iter().for_each(|(value, count)| println!("  {name}: {value}: {count}"));
    }
    println!("{}", hist::summary(&total.histogram));
    print!("{}", hist::plot(&[Series::new("load", total.histogram.clone())], WIDTH));
}

/// A bar on a terminal, or nothing.
struct Bar(ProgressBar);

impl Bar {
    fn new(quiet: bool) -> Self {
        match quiet || !std::io::stderr().is_terminal() {
            true => Self(ProgressBar::hidden()),
            false => Self(ProgressBar::no_length()),
        }
    }

    fn set(&self, progress: &Progress) {
        if let Some(total) = progress.total {
            self.0.set_length(total);
        }
        self.0.set_position(progress.done + progress.failed);
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}
