//! Times of the four ways; `cargo bench -p bench-host`.
use bench_host::WAYS;
use criterion::Criterion;
use std::hint::black_box;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, way) in WAYS {
        criterion.bench_function(name, |bencher| bencher.iter(|| way(black_box([7; 8]))));
    }
    criterion.final_summary();
}
