//! What a request costs in user space, step by step. Compare figures within one run only.

use std::hint::black_box;

use config::snapshot::Snapshot;
use config::swap::Published;
use criterion::{Criterion, criterion_group, criterion_main};
use policy::route;
use ringway_benches::{REQUEST, table};
use wire::h1::{self, Limits};
use wire::head::{Framing, Head};

fn parse(bench: &mut Criterion) {
    let (limits, mut head) = (Limits::default(), Head::default());
    bench.bench_function("parse a request head of 10 fields", |b| {
        b.iter(|| h1::parse_request(black_box(REQUEST), &limits, &mut head));
    });
    let mut out = Vec::with_capacity(1024);
    bench.bench_function("encode it", |b| {
        b.iter(|| {
            out.clear();
            h1::encode_request(black_box(&head), Framing::None, &mut out)
        });
    });
}

fn find(bench: &mut Criterion) {
    let mut head = Head::default();
    let parsed = h1::parse_request(REQUEST, &Limits::default(), &mut head);
    assert!(parsed.is_ok(), "{parsed:?}");
    for (hosts, routes) in [(1, 1), (100, 10), (2_000, 100)] {
        let table = table(hosts, routes);
        bench.bench_function(&format!("route among {hosts} hosts, {routes} routes"), |b| {
            b.iter(|| route::find(black_box(&table), &head, 7).map(|found| found.at));
        });
    }
}

fn snapshot(bench: &mut Criterion) {
    let published = Published::new(Snapshot::default());
    let reader = published.reader();
    let _ = reader.load();
    bench.bench_function("learn that no snapshot is new", |b| b.iter(|| reader.changed()));
    bench.bench_function("load a snapshot", |b| b.iter(|| reader.load().generation));
}

criterion_group!(benches, parse, find, snapshot);
criterion_main!(benches);
