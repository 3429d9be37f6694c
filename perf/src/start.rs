//! What a proxy costs before its first request: time and memory.

use std::{thread, time::Duration};

use crate::{
    Outcome,
    figures::{Metric, Results, Table},
    peer::{Front, Make, Peer},
    place::Place,
    scenario::Effort,
};

/// When memory is looked at.
const SETTLE: Duration = Duration::from_millis(700);

/// Starts each a few times.
pub(crate) fn run(
    scenario: &'static str,
    front: Front,
    makes: &[Make],
    place: &Place,
    effort: &Effort,
    results: &mut Results,
) -> Outcome<()> {
    let table = Table { scenario, load: "at start".to_owned() };
    let makes = place.present(makes);
    for round in 0..effort.runs {
        for make in &makes {
            place.say(scenario, format!("{}: start {}", make.name(), round + 1));
            let peer = Peer::start(*make, front, place)?;
            results.add(&table, *make, Metric::Ready, peer.ready.as_secs_f64() * 1e3);
            thread::sleep(SETTLE);
            let resident = peer.resident_kib() as f64 / 1024.0;
            results.add(&table, *make, Metric::Resident, resident);
        }
    }
    Ok(())
}
