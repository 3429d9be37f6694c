//! Rates, phases and the end of a run.

use std::{io, thread};

use tokio::time::Instant;

use super::{super::run, *};

on_both!(
    a_rate_is_kept,
    waiting_for_a_free_connection_counts,
    a_server_that_stalls_once_shows,
    idle_connections_take_turns,
    what_was_never_sent_is_a_failure,
    phases_are_counted_apart_and_a_run_can_be_stopped,
    a_run_that_nobody_waits_for_ends,
);

async fn a_rate_is_kept(driver: Which) {
    let echo = echo().await;
    let mut spec = http(driver, echo.http, "/?size=1");
    spec.rate = Some(500.0);
    spec.duration = Some(Duration::from_millis(600));
    spec.connections = 8;
    spec.threads = 2;
    let report = all_right(&spec).await;
    assert_eq!(report.total().requests(), 300);
    let elapsed = report.elapsed.as_secs_f64();
    assert!((0.55..5.0).contains(&elapsed), "{elapsed} s for 0.6 s of load");
}

async fn waiting_for_a_free_connection_counts(driver: Which) {
    let echo = echo().await;
    // Ten requests due at once, 20 ms each, one connection: the last one took 200 ms.
    let mut spec = http(driver, echo.http, "/?size=1&delay_ms=20");
    spec.rate = Some(10_000.0);
    spec.requests = Some(10);
    let open = measure(&spec).await.total().histogram;
    spec.rate = None;
    let closed = measure(&spec).await.total().histogram;
    assert!(open.max() >= 190_000_000, "the tenth waited for nine: {} ns", open.max());
    assert!(open.value_at_percentile(50.0) >= 80_000_000);
    let (slow, fast) = (open.value_at_percentile(50.0), closed.value_at_percentile(50.0));
    assert!(fast * 2 < slow, "nobody waits in a closed loop: {fast} ns against {slow} ns");
}

/// A server on one thread that answers each line of 64 bytes, and once sleeps.
fn stalling(after: usize, stall: Duration) -> io::Result<SocketAddr> {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind(ANY)?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut bytes = [0; 64];
        for trip in 0.. {
            stream.read_exact(&mut bytes)?;
            if trip == after {
                thread::sleep(stall);
            }
            stream.write_all(&bytes)?;
        }
        Ok::<_, io::Error>(())
    });
    Ok(address)
}

/// Coordinated omission: of 1,000 requests some 300 were due while the server slept. Whoever
/// counts from when a request was sent sees one slow answer and calls it an outlier.
async fn a_server_that_stalls_once_shows(driver: Which) {
    let stall = Duration::from_millis(300);
    let mut spec = tcp(driver, stalling(200, stall).expect("served"));
    spec.rate = Some(1000.0);
    spec.duration = Some(Duration::from_secs(1));
    let open = all_right(&spec).await.total().histogram;
    let p99 = open.value_at_percentile(99.0);
    assert!((250_000_000..600_000_000).contains(&p99), "p99 of {p99} ns");
    assert!(open.value_at_percentile(85.0) > 50_000_000, "hundreds waited");
    let mut spec = tcp(driver, stalling(200, stall).expect("served"));
    spec.requests = Some(1000);
    let closed = all_right(&spec).await.total().histogram;
    assert!(closed.max() >= 300_000_000);
    assert!(closed.value_at_percentile(99.0) < 100_000_000, "one of a thousand");
}

/// Each of four connections carries every fourth request, so each gets the same number.
async fn idle_connections_take_turns(driver: Which) {
    let listener = TcpListener::bind(ANY).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let served = tokio::spawn(async move {
        let mut served = Vec::new();
        for _ in 0..4 {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            served.push(tokio::spawn(async move {
                let (mut count, mut bytes) = (0, [0; 64]);
                while stream.read_exact(&mut bytes).await.is_ok() {
                    count += 1;
                    stream.write_all(&bytes).await.expect("taken");
                }
                count
            }));
        }
        let mut counts = Vec::new();
        for one in served {
            counts.push(one.await.expect("served"));
        }
        counts
    });
    let mut spec = tcp(driver, address);
    (spec.connections, spec.rate, spec.requests) = (4, Some(400.0), Some(40));
    all_right(&spec).await;
    let counts = served.await.expect("served");
    // One may be passed over if it is still busy on a machine that is.
    assert!(counts.iter().all(|count| (6..=14).contains(count)), "{counts:?}");
}

async fn what_was_never_sent_is_a_failure(driver: Which) {
    let address = canned(b"", 99).await;
    let mut spec = http(driver, address, "/");
    spec.rate = Some(100.0);
    spec.duration = Some(Duration::from_millis(200));
    spec.timeout = Duration::from_millis(150);
    let total = measure(&spec).await.total();
    assert_eq!((total.requests(), total.failed()), (20, 20));
    let unsent = total.errors.iter().filter(|(error, _)| error.starts_with("not sent"));
    let unsent: u64 = unsent.map(|(_, count)| count).sum();
    assert!((10..20).contains(&unsent), "{:?}", total.errors);
    assert!(total.errors.contains_key("no whole answer in time"), "{:?}", total.errors);
}

async fn phases_are_counted_apart_and_a_run_can_be_stopped(driver: Which) {
    let echo = echo().await;
    let mut spec = http(driver, echo.http, "/?size=1&delay_ms=1");
    spec.connections = 2;
    spec.rate = Some(400.0);
    let (control, begun) = (Control::new(), Instant::now());
    let reins = control.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!((reins.phase(), reins.next_phase(), reins.phase()), (0, 1, 1));
        tokio::time::sleep(Duration::from_millis(200)).await;
        reins.stop();
    });
    let report = run(&spec, &control, |_| {}).await.expect("a fine load");
    let elapsed = begun.elapsed();
    assert!(elapsed < Duration::from_secs(60), "it has no end of its own");
    let counts: Vec<u64> = report.phases.iter().map(Counts::requests).collect();
    assert_eq!(counts.len(), 2);
    // On a busy machine fewer are sent than become due, but never more.
    let due = (400.0 * elapsed.as_secs_f64()).ceil() as u64;
    assert!(counts.iter().all(|count| (1..=due).contains(count)), "{counts:?}");
    assert_eq!(report.total().failed(), 0);
    assert_eq!(report.total().requests(), counts.iter().sum::<u64>());

    let text = serde_json::to_string(&report).expect("JSON");
    let read: LoadReport = serde_json::from_str(&text).expect("comes back");
    assert_eq!(read.phases[1].histogram, report.phases[1].histogram);
    assert_eq!(read.phases[0].statuses, report.phases[0].statuses);
}

async fn a_run_that_nobody_waits_for_ends(driver: Which) {
    let listener = TcpListener::bind(ANY).await.expect("a port");
    let spec = tcp(driver, listener.local_addr().expect("bound"));
    let control = Control::new();
    let endless = run(&spec, &control, |_| {});
    let (mut stream, waited) = tokio::join!(
        async { listener.accept().await.expect("accepted").0 },
        tokio::time::timeout(Duration::from_millis(200), endless),
    );
    assert!(waited.is_err(), "nobody answers, so it goes on");
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "its connection is still open");
}
