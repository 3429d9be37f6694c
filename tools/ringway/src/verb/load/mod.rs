//! `ringway load`: load that does not hide what it waits for.

mod live;
mod output;
mod target;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use kit::load::{self, Control, Progress, Which};

use super::value;
use crate::failure::Failure;
use live::Live;

/// What a name is made of if `--plot` has none and there is no `--out`.
const PLOT: &str = "load.svg";

const EXAMPLES: &str = "\
Examples:
  ringway load http://localhost:8080/                        as fast as answers come, for 10 s
  ringway load http://reviews:9080/ -r 5000 -c 64 -d 1m      open loop: waiting is counted
  ringway load http://reviews:9080/ -c 64 --out a.hdr --plot with an HDR log and a plot beside it
  ringway load https://reviews:9443/ --cacert ca.pem --cert me.pem --key me.key
  ringway load https://10.0.0.1:15006/ --cacert ca.pem --server-name spiffe://td/ns/a/sa/b
  ringway load http://reviews:9080/ --http2 -c 4 --streams 16   64 requests at once
  ringway load http://reviews:9080/pkg.Service/Method --grpc --body-file request.bin
  ringway load tcp://localhost:9000 --bytes 16M -c 4         bulk, to a server that echoes
  ringway load http://localhost/ -c 16 --no-keep-alive --reset   a new connection per request
  ringway load http://localhost/ -c 1000 -n 1000 --hold 1m   a request on each, then idle

Exit code: 0 if every request had a right answer, of gRPC with the status OK; 1 if one had not.";

/// Makes load and shows latencies without coordinated omission.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// http:// or https:// HOST[:PORT]/PATH; grpc:// or grpcs:// for the same with --grpc; or
    /// tcp:// or tls:// HOST:PORT of a server that sends back what it gets.
    url: String,
    /// Requests a second over all connections, due at fixed times; without it each connection,
    /// or stream, sends its next one after the answer to the last.
    #[arg(short, long)]
    rate: Option<f64>,
    /// Connections.
    #[arg(short, long, default_value_t = 1)]
    connections: usize,
    /// How long requests become due: 10s, 500ms, 2m, or seconds.
    #[arg(short, long, default_value = "10s", value_parser = value::duration)]
    duration: Duration,
    /// Stop after so many requests.
    #[arg(short = 'n', long)]
    requests: Option<u64>,
    /// Threads that make the load, each with its share.
    #[arg(short, long, default_value_t = 1)]
    threads: usize,
    /// CPUs that the threads are pinned to, as in 0,2.
    #[arg(long, value_name = "CPU", value_delimiter = ',')]
    cpus: Vec<usize>,
    /// HTTP/2: by prior knowledge to http://, by ALPN to https://.
    #[arg(long)]
    http2: bool,
    /// Unary calls of gRPC over HTTP/2, with the body as their message; the path is that of the
    /// method. Statuses are counted by name.
    #[arg(long)]
    grpc: bool,
    /// Requests on their way at once over each connection of HTTP/2 or gRPC.
    #[arg(long, value_name = "N", default_value_t = 1)]
    streams: usize,
    /// The method; GET if nothing is said, and POST for gRPC.
    #[arg(short = 'X', long)]
    method: Option<String>,
    /// A header, as "name: value"; may be repeated. "host: NAME" replaces the one from the URL.
    #[arg(short = 'H', long, value_name = "HEADER")]
    header: Vec<String>,
    /// The body of each request, the message of each call, or what each TCP round trip carries.
    #[arg(long, alias = "data", default_value = "")]
    body: String,
    /// The same out of a file, as bytes.
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    body_file: Option<PathBuf>,
    /// The bytes of each TCP round trip: 64, 16k, 16M; the body again and again, or a pattern.
    #[arg(long, value_parser = value::bytes)]
    bytes: Option<u64>,
    /// A header of the answers whose values are counted; may be repeated.
    #[arg(long, value_name = "NAME")]
    tally: Vec<String>,
    /// A new connection for each request.
    #[arg(long)]
    no_keep_alive: bool,
    /// Close connections by a reset, which leaves no port waiting.
    #[arg(long)]
    reset: bool,
    /// Hold the connections open for so long after the last answer.
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    hold: Option<Duration>,
    /// How long to wait for a connection and for each answer.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = value::duration)]
    timeout: Duration,
    /// io_uring, epoll, or auto for the first that works.
    #[arg(long, default_value = "auto")]
    driver: Which,
    /// Write the latencies as an HDR log (V2), which `ringway hist` and others read.
    #[arg(short, long, alias = "hdr", value_name = "FILE.hdr")]
    out: Option<PathBuf>,
    /// Draw the latencies, as .png or .svg; without a name beside --out. To stand after the URL.
    #[arg(long, alias = "png", value_name = "FILE")]
    plot: Option<Option<PathBuf>>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tls: target::Tls,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let spec = target::spec(arguments)?;
    let mut live = Live::new(&spec, arguments.json);
    let control = Control::new();
    let report = super::runtime()?.block_on(async {
        // What is under way when the user has seen enough is still waited for and counted.
        let stop = control.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.stop();
            }
        });
        load::run(&spec, &control, |progress: &Progress| live.show(progress)).await
    });
    live.finish();
    let report = report.map_err(|error| Failure::new(error.to_string()))?;
    let total = report.total();
    output::write_files(arguments, &report, &total)?;
    if arguments.json {
        println!("{:#}", output::to_json(&report, &total));
    } else {
        output::print(&report, &total);
    }
    let is_fine = total.failed() == 0 && total.not_ok() == 0;
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
