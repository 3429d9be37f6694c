//! The canary: its share before, and after the YAML is changed under traffic.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{folder::Folder, mesh::Mesh, report::Report},
    traffic::{Sample, Traffic, ask_many, ask_until},
};
use crate::failure::{Context, Failure};

/// Requests that a share is measured over.
const REQUESTS: usize = 2_000;
/// Traffic before the change, so that the old share is seen in it.
const BEFORE: Duration = Duration::from_millis(500);
/// Traffic after the change; a change that takes longer counts as not made.
const AFTER: Duration = Duration::from_secs(3);
/// Shares of the canary before and after.
const SHARES: [f64; 2] = [0.1, 0.5];

/// 2,000 requests as the YAML stands.
pub(super) fn before(mesh: &Mesh, report: &mut Report) -> Result<(), Failure> {
    let traffic = mesh.namespace("productpage")?.drive(|| ask_many(REQUESTS))?;
    all_answered(&traffic, "before the change")?;
    report.split_before = traffic.split();
    Ok(())
}

/// The change under traffic, and 2,000 requests after it.
pub(super) fn change(mesh: &Mesh, folder: &Folder, report: &mut Report) -> Result<(), Failure> {
    let namespace = mesh.namespace("productpage")?;
    let stop = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&stop);
    let running = namespace.start(move || ask_until(until))?;
    thread::sleep(BEFORE);
    let written = edit(folder)?;
    thread::sleep(AFTER);
    stop.store(true, Ordering::Relaxed);
    let lost = || Failure::new("the traffic's thread panicked");
    let traffic = running.join().map_err(|_| lost())??;
    let turned = turning_point(&traffic.samples, written).ok_or_else(|| {
        Failure::new(format!("the new split was not seen {} s after the change", AFTER.as_secs()))
            .hint("look for a refused configuration in the log of ringwayd")
    })?;
    report.reload_ms = (turned.duration_since(written).as_secs_f64() * 10_000.0).round() / 10.0;
    let after = namespace.drive(|| ask_many(REQUESTS))?;
    report.split_after = after.split();
    report.failed_requests = traffic.failed + after.failed;
    report.page.requests_under_change =
        traffic.split().total() + after.split().total() + report.failed_requests;
    Ok(())
}

/// The moment at which the traffic went over from the old share to the new one: the most likely
/// point of change, given who answered each request. Only moments after `written` are asked.
fn turning_point(samples: &[Sample], written: Instant) -> Option<Instant> {
    let [old, new] = SHARES;
    let gain = |canary: bool| {
        if canary { (new / old).ln() } else { ((1.0 - new) / (1.0 - old)).ln() }
    };
    // Going backwards, the sum is how much better "new from here on" explains what followed.
    let mut sum = 0.0;
    let mut best = (0.0, None);
    for sample in samples.iter().rev().take_while(|sample| sample.at >= written) {
        sum += gain(sample.is_canary);
        if sum > best.0 {
            best = (sum, Some(sample.at));
        }
    }
    best.1
}

/// Writes the new weights as an editor would: a new file in the old one's place.
fn edit(folder: &Folder) -> Result<Instant, Failure> {
    let path = route_file(folder)?;
    let place = || format!("cannot edit {}", path.display());
    let text = fs::read_to_string(&path).context(place)?;
    let edited = text.replace("weight: 90", "weight: 50").replace("weight: 10", "weight: 50");
    if edited == text {
        return Err(Failure::new(format!("{} has no weights 90 and 10", path.display())));
    }
    let passing = path.with_extension("yaml.new");
    fs::write(&passing, edited).context(place)?;
    let written = Instant::now();
    fs::rename(&passing, &path).context(place)?;
    Ok(written)
}

/// The file with the canary's VirtualService.
fn route_file(folder: &Folder) -> Result<PathBuf, Failure> {
    let config = folder.config();
    let files = fs::read_dir(&config).context(|| config.display().to_string())?;
    let has_route = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.contains("kind: VirtualService") && text.contains("weight: 90")
    };
    let mut paths = files.flatten().map(|entry| entry.path());
    paths.find(has_route).ok_or_else(|| {
        Failure::new(format!("no VirtualService in {} has a weight of 90", config.display()))
            .hint("start from deploy/demo/reviews-route.yaml")
    })
}

fn all_answered(traffic: &Traffic, when: &str) -> Result<(), Failure> {
    match &traffic.first_failure {
        None => Ok(()),
        Some(why) => Err(Failure::new(format!(
            "{} of {REQUESTS} requests from productpage to reviews failed {when}: {why}",
            traffic.failed
        ))),
    }
}

#[cfg(test)]
mod tests;
