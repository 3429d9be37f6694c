//! Debounce and the measure of convergence.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::ads::{Catalogue, Kind, Names, ProxyNode, Resource};

const MS: Duration = Duration::from_millis(1);

struct Empty;

impl Catalogue for Empty {
    fn resources(&self, _: Kind, _: &Names) -> Vec<Arc<Resource>> {
        Vec::new()
    }
}

impl World for Empty {
    fn catalogue(&self, _: &Arc<ProxyNode>) -> Box<dyn Catalogue> {
        Box::new(Self)
    }
}

#[test]
fn debounce_waits_for_quiet_but_not_for_ever() {
    let start = Instant::now();
    let mut debounce = Debounce::new(100 * MS, 1000 * MS);
    assert_eq!((debounce.due(), debounce.take()), (None, None));
    debounce.note(start);
    assert_eq!(debounce.due(), Some(start + 100 * MS));
    debounce.note(start + 60 * MS);
    assert_eq!(debounce.due(), Some(start + 160 * MS));
    for tick in 1..20 {
        debounce.note(start + tick * 60 * MS);
    }
    assert_eq!(debounce.due(), Some(start + 1000 * MS));
    assert_eq!(debounce.take(), Some(start), "the wait counts from the first change");
    assert_eq!(debounce.due(), None);
}

fn info(node: &str) -> StreamInfo {
    StreamInfo {
        node: node.into(),
        service: "ads",
        protocol: "delta",
        address: None,
        identity: None,
    }
}

#[tokio::test]
async fn a_change_has_converged_when_the_last_stream_has_answered() {
    let start = Instant::now();
    let hub = Hub::new(Arc::new(Empty), start);
    let join = |node: &str| hub.board.register(info(node), hub.generation(), SystemTime::now());
    let (a, b) = (join("a"), join("b"));
    hub.publish(Arc::new(Empty), start);
    assert_eq!(hub.board.convergence(), None);
    a.update(Vec::new(), Some(2), start + 5 * MS);
    assert_eq!(hub.board.convergence(), None);
    b.update(Vec::new(), None, start + 6 * MS);
    assert_eq!(hub.board.convergence(), None);
    b.update(Vec::new(), Some(2), start + 20 * MS);
    let reached = hub.board.convergence().unwrap();
    assert_eq!((reached.generation, reached.streams, reached.convergence_ms), (2, 2, 20.0));
    assert_eq!(hub.counters.convergence.read().0, 1);
}

#[tokio::test]
async fn a_stream_that_goes_away_or_comes_later_is_not_waited_for() {
    let start = Instant::now();
    let hub = Hub::new(Arc::new(Empty), start);
    let slow = hub.board.register(info("slow"), hub.generation(), SystemTime::now());
    hub.publish(Arc::new(Empty), start);
    let _late = hub.board.register(info("late"), hub.generation(), SystemTime::now());
    assert_eq!(hub.board.convergence(), None);
    drop(slow);
    assert_eq!(hub.board.convergence().map(|c| c.generation), Some(2));
    assert_eq!(hub.board.rows().len(), 1);
    // Without any stream at all a change has arrived at once.
    drop(_late);
    hub.publish(Arc::new(Empty), start);
    assert_eq!(hub.board.convergence().map(|c| c.generation), Some(3));
}
