//! While requests succeed nothing is allocated.

use std::{sync::Arc, thread};

use ring::{Driver, Epoll, Uring};

use super::{
    super::{clock::now, engine::Engine, plan::Plan},
    *,
};

/// Servers of HTTP, TCP and gRPC in the background, for as long as the test runs.
fn served() -> (SocketAddr, SocketAddr, SocketAddr) {
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let echo = echo().await;
            let calls = http2::serve(http2::Manner::default(), grpc::answer_ok).await;
            let (http, tcp) = (echo.http.expect("served"), echo.tcp.expect("served"));
            tell.send((http, tcp, calls)).expect("heard");
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("started")
}

fn allocations<D: Driver>(driver: impl Fn(&ring::Limits) -> D, spec: &LoadSpec) {
    let plan = Arc::new(Plan::new(spec, &Control::new()).expect("a fine load"));
    let mut engine = Engine::new(driver(&plan.limits(0)), &plan, 0).expect("an engine");
    engine.warm().expect("warm");
    engine.start(now());
    let done =
        |at_least: u64| plan.boards[0].done.load(std::sync::atomic::Ordering::Relaxed) < at_least;
    while done(2_000) {
        assert!(engine.turn().expect("a turn"));
    }
    // Tables grow to the size of the busiest turn, which may come late; then no more.
    let mut target = 2_000;
    let costs: Vec<u64> = (0..5)
        .map(|_| {
            target += 2_000;
            let round = || {
                while done(target) {
                    assert!(engine.turn().expect("a turn"));
                }
            };
            allocation_counter::measure(round).count_total
        })
        .take_while(|cost| *cost > 0)
        .collect();
    assert!(costs.len() < 5, "allocations in each 2,000 requests: {costs:?}");
    assert!(costs.iter().all(|cost| *cost < 20), "{costs:?}");
    assert_eq!(engine.finish().phases[0].failed(), 0);
}

#[test]
fn no_allocation_per_request_after_warm_up() {
    let (http, tcp, grpc) = served();
    let mut closed = LoadSpec::http(http, "a", "/?size=1024");
    closed.connections = 16;
    closed.expected_body = Some(crate::echo::pattern(1024));
    closed.tally = vec!["x-version".into()];
    let open = LoadSpec { rate: Some(20_000.0), ..closed.clone() };
    let mut trips = LoadSpec::tcp(tcp);
    trips.connections = 16;
    let connects = LoadSpec { keep_alive: false, reset: true, ..trips.clone() };
    let streams = |spec: &LoadSpec| LoadSpec {
        protocol: Protocol::Http2,
        connections: 2,
        streams: 16,
        ..spec.clone()
    };
    let (streams_closed, streams_open) = (streams(&closed), streams(&open));
    let streams_post =
        LoadSpec { body: vec![7; 20_000], method: "POST".into(), ..streams(&closed) };
    let calls = LoadSpec {
        connections: 2,
        streams: 16,
        body: vec![7; 64],
        ..LoadSpec::grpc(grpc, "a", "/pkg.Service/Method")
    };
    for spec in [closed, open, trips, connects, streams_closed, streams_open, streams_post, calls] {
        allocations(|limits| Epoll::new(limits).expect("epoll"), &spec);
        if has_uring("no_allocation_per_request_after_warm_up") {
            allocations(|limits| Uring::new(limits).expect("io_uring"), &spec);
        }
    }
}
