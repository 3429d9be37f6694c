//! What a request costs in time, step by step. Compare figures within one run only.

use criterion::{Criterion, criterion_group, criterion_main};
use ringway_benches::STEPS;
use std::time::Instant;

fn steps(bench: &mut Criterion) {
    for step in STEPS {
        let mut run = None;
        bench.bench_function(step.name, |b| {
            // Made only if it is asked for: the largest table takes its time.
            let run = run.get_or_insert_with(step.prepare);
            b.iter_custom(|times| {
                let start = Instant::now();
                run(times);
                start.elapsed()
            });
        });
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
