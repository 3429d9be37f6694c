//! Scenarios of requests: closed-loop for CPU time and saturation, then open-loop for latency.

use std::time::Duration;

use kit::load::{self, Control, LoadReport, LoadSpec, Protocol};

use crate::{
    Outcome,
    figures::{Metric, Results, Table},
    peer::{Front, Make, Peer},
    place::Place,
    scenario::Effort,
};

/// What a run of load is warmed up by.
const WARM_UP: Duration = Duration::from_millis(300);
/// The share of the slowest one's saturation that an open loop asks for: below it nobody's queue
/// grows, and latency is the proxy's own.
const OPEN_SHARE: f64 = 0.5;
/// Whom a request asks, where it does not matter.
const HOST: &str = "origin.perf.svc.cluster.local";
/// A request's fields as an ingress sends them, beside host.
const FIELDS: [(&str, &str); 8] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/json;q=0.9,*/*;q=0.8"),
    ("accept-encoding", "gzip, deflate, br"),
    ("cookie", "session=5f2b9c1e7a604d0d8e13; theme=dark"),
    ("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124"),
    ("x-b3-spanid", "a2fb4a1d1a96d312"),
    ("x-b3-sampled", "0"),
    ("x-envoy-attempt-count", "1"),
];

/// A call's fields as gRPC libraries send them in a mesh, beside those that it must have.
const CALL_FIELDS: [(&str, &str); 6] = [
    ("user-agent", "grpc-go/1.76.0"),
    ("grpc-timeout", "1S"),
    ("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124"),
    ("x-b3-spanid", "a2fb4a1d1a96d312"),
    ("x-b3-sampled", "0"),
    ("x-envoy-attempt-count", "1"),
];

/// One kind of load within a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) connections: usize,
    /// Requests at once on each of them; more than one takes HTTP/2.
    pub(crate) streams: usize,
    pub(crate) kind: Kind,
    /// An open loop follows, at half of the slowest one's saturation.
    pub(crate) then_open: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// GET of so many bytes; counted by requests.
    Get { bytes: usize },
    /// The same over a new connection each.
    Connect { bytes: usize },
    /// GET of a big body; counted by bytes.
    Bulk { bytes: usize },
    /// A unary call of gRPC with messages of so many bytes.
    Call { bytes: usize },
    /// Round trips of so many bytes.
    Echo { bytes: usize },
}

/// Starts the peers and measures each load on them in turn.
pub(crate) fn run(
    scenario: &'static str,
    front: Front,
    makes: &[Make],
    loads: &[Load],
    place: &Place,
    effort: &Effort,
    results: &mut Results,
) -> Outcome<()> {
    place.say(scenario, "starting".into());
    let start = |make: Make| Peer::start(make, front, place);
    let peers = place.present(makes).into_iter().map(start).collect::<Outcome<Vec<Peer>>>()?;
    for load in loads {
        let table = Table { scenario, load: load.name.to_owned() };
        let run = Run { table, front, load, place, effort };
        run.interleaved(&peers, None, results)?;
        if let (true, Some(rate)) = (load.then_open, run.open_rate(&peers, results)) {
            let load = format!("{}, open loop at {rate:.0}/s", load.name);
            let open = Run { table: Table { scenario, load }, ..run };
            open.interleaved(&peers, Some(rate), results)?;
        }
    }
    Ok(())
}

/// One table's measurement.
struct Run<'a> {
    table: Table,
    front: Front,
    load: &'a Load,
    place: &'a Place,
    effort: &'a Effort,
}

impl Run<'_> {
    /// A B C, B C A, C A B …: what drifts, drifts for all.
    fn interleaved(&self, peers: &[Peer], rate: Option<f64>, results: &mut Results) -> Outcome<()> {
        for round in 0..self.effort.runs {
            for at in 0..peers.len() {
                let Some(peer) = peers.get((round + at) % peers.len()) else { continue };
                let name = peer.make.name();
                let all = self.effort.runs;
                let what = format!("{}: run {} of {all}, {name}", self.table.load, round + 1);
                self.place.say(self.table.scenario, what);
                self.measure(peer, rate, results)?;
            }
        }
        Ok(())
    }

    fn measure(&self, peer: &Peer, rate: Option<f64>, results: &mut Results) -> Outcome<()> {
        let spec = LoadSpec { rate, ..self.spec(peer) };
        let warm = WARM_UP.min(self.effort.duration);
        make(peer, LoadSpec { duration: Some(warm), ..spec.clone() })?;
        let before = peer.cpu_ns();
        let report = make(peer, spec)?;
        let cpu_ns = peer.cpu_ns().saturating_sub(before) as f64;
        self.count(peer.make, &report, cpu_ns, results);
        Ok(())
    }

    fn count(&self, make: Make, report: &LoadReport, cpu_ns: f64, results: &mut Results) {
        let total = report.total();
        let requests = total.histogram.len().max(1) as f64;
        let mut add = |metric, value| results.add(&self.table, make, metric, value);
        match self.load.kind {
            Kind::Bulk { bytes } => {
                add(Metric::CpuPerGb, cpu_ns / 1e6 / (requests * bytes as f64 / 1e9));
            }
            _ => add(Metric::CpuPerRequest, cpu_ns / 1e3 / requests),
        }
        add(Metric::Rate, report.throughput());
        let quantiles = [(Metric::P50, 0.5), (Metric::P99, 0.99), (Metric::P999, 0.999)];
        for (metric, quantile) in quantiles {
            add(metric, total.histogram.value_at_quantile(quantile) as f64 / 1e3);
        }
        results.add_latencies(&self.table, make, &total.histogram);
        for (what, count) in &total.errors {
            results.add_failure(&self.table, make, what, *count);
        }
        let strange = total.unexpected(200..=200);
        if strange > 0 {
            results.add_failure(&self.table, make, "a status other than 200", strange);
        }
        if total.not_ok() > 0 {
            results.add_failure(&self.table, make, "a call that was not OK", total.not_ok());
        }
    }

    fn spec(&self, peer: &Peer) -> LoadSpec {
        let spec = match self.load.kind {
            Kind::Get { bytes } | Kind::Bulk { bytes } => self.get(peer, bytes),
            Kind::Connect { bytes } => LoadSpec { keep_alive: false, ..self.get(peer, bytes) },
            Kind::Call { bytes } => LoadSpec {
                headers: owned(&CALL_FIELDS),
                body: kit::echo::pattern(bytes),
                expected_body: Some(kit::echo::pattern(bytes)),
                ..LoadSpec::grpc(peer.target, HOST, &format!("/{bytes}"))
            },
            Kind::Echo { bytes } => {
                LoadSpec { body: kit::echo::pattern(bytes), ..LoadSpec::tcp(peer.target) }
            }
        };
        let Load { connections, streams, .. } = *self.load;
        LoadSpec { connections, streams, duration: Some(self.effort.duration), ..spec }
    }

    fn get(&self, peer: &Peer, bytes: usize) -> LoadSpec {
        let host = match self.front {
            Front::Routes => crate::peer::ASKED_HOST,
            _ => HOST,
        };
        let mut spec = LoadSpec::http(peer.target, host, &format!("/{bytes}"));
        if self.front == Front::Http2 {
            spec.protocol = Protocol::Http2;
        }
        spec.headers = owned(&FIELDS);
        spec.expected_body = Some(kit::echo::pattern(bytes));
        spec
    }

    /// Half of what the slowest one can do.
    fn open_rate(&self, peers: &[Peer], results: &Results) -> Option<f64> {
        let rates = peers.iter().map(|p| results.median(&self.table, p.make, Metric::Rate));
        rates
            .flatten()
            .min_by(f64::total_cmp)
            .map(|slowest| (slowest * OPEN_SHARE).floor().max(1.0))
    }
}

fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Load from where the peer's clients are.
fn make(peer: &Peer, spec: LoadSpec) -> Outcome<LoadReport> {
    let made = peer.among_clients(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let control = Control::new();
        let run = load::run(&spec, &control, |_| ());
        runtime.block_on(run).map_err(|error| error.to_string())
    });
    made?
}
