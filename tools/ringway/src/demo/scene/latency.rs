//! The same load without and with the mesh: open-loop, so that waiting is counted.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use kit::{
    hist::{self, Interval, Series},
    load::{self, Control, Counts, LoadSpec},
};

use super::{
    super::{
        cast::{self, REVIEWS, REVIEWS_PORT},
        folder::Folder,
        mesh::Mesh,
        progress::Progress,
        report::{Latencies, Latency, Report},
    },
    traffic::ALLOWED,
};
use crate::failure::{Context, Failure};

/// Requests a second: far below what two cores can do, so latency and not load is measured.
const RATE: f64 = 500.0;
const CONNECTIONS: usize = 8;
const DURATION: Duration = Duration::from_secs(4);
/// Connections, pools and caches are filled before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);
/// Columns of the text histogram, so that it fits beside the names on a narrow terminal.
const WIDTH: usize = 68;

pub(super) fn play(
    mesh: &Mesh,
    folder: &Folder,
    progress: &Progress,
    report: &mut Report,
) -> Result<(), Failure> {
    let baseline = cast::find("baseline").ok_or_else(|| Failure::new("there is no baseline"))?;
    progress.step("latency without the mesh");
    let started = SystemTime::now();
    let direct = measure(mesh, "legacy", SocketAddr::new(baseline.ip.into(), REVIEWS_PORT))?;
    progress.step("latency with the mesh");
    let service = REVIEWS.parse().context(|| REVIEWS.into())?;
    let through = measure(mesh, "productpage", service)?;
    report.latency_us = Latencies { direct: latency(&direct), mesh: latency(&through) };
    report.page.load = format!("{RATE:.0} requests a second, open-loop");
    let series = [Series::new("direct", direct.histogram), Series::new("mesh", through.histogram)];
    report.page.histogram = hist::plot(&series, WIDTH);
    write(folder, started, &series, report)
}

fn measure(mesh: &Mesh, from: &str, to: SocketAddr) -> Result<Counts, Failure> {
    let spec = LoadSpec {
        rate: Some(RATE),
        connections: CONNECTIONS,
        ..LoadSpec::http(to, ALLOWED.host, ALLOWED.path)
    };
    let done = mesh.namespace(from)?.drive(move || async move {
        let warm_up = LoadSpec { duration: Some(WARM_UP), ..spec.clone() };
        load::run(&warm_up, &Control::new(), |_| {}).await?;
        let measured = LoadSpec { duration: Some(DURATION), ..spec };
        load::run(&measured, &Control::new(), |_| {}).await
    })?;
    let counts = done.context(|| format!("no load from {from} to {to}"))?.total();
    match counts.errors.iter().next() {
        None if counts.unexpected(200..=200) == 0 => Ok(counts),
        None => Err(Failure::new(format!("{from} to {to} under load: not every status is 200"))),
        Some((error, count)) => Err(Failure::new(format!(
            "{from} to {to} under load: {count} of {} requests: {error}",
            counts.requests()
        ))),
    }
}

fn latency(counts: &Counts) -> Latency {
    let us = |quantile| counts.histogram.value_at_quantile(quantile) / 1_000;
    Latency { p50: us(0.5), p90: us(0.9), p99: us(0.99) }
}

/// The HDR log of both, and the same as a picture.
fn write(
    folder: &Folder,
    started: SystemTime,
    series: &[Series],
    report: &mut Report,
) -> Result<(), Failure> {
    let (log, picture) = (folder.file("latency.hdr"), folder.file("latency.png"));
    let intervals: Vec<Interval> = (0_u32..)
        .zip(series)
        .map(|(place, series)| Interval {
            tag: series.name.clone(),
            start: (WARM_UP + DURATION) * place + WARM_UP,
            len: DURATION,
            histogram: series.histogram.clone(),
        })
        .collect();
    let title = format!("productpage to reviews, {RATE:.0} requests a second");
    hist::write_log(&log, started, &intervals)
        .and_then(|()| hist::draw_png(&picture, &title, series))
        .map_err(|error| Failure::new(error.to_string()))?;
    report.files.extend([log, picture]);
    Ok(())
}
