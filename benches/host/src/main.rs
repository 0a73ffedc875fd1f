//! Runs one way so often, for callgrind: `bench-host WAY COUNT`. It prints nanoseconds and allocations per call.
use bench_host::WAYS;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// The system's allocator, counted.
struct Counted;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator as it comes.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let way = arguments.first().and_then(|name| WAYS.iter().find(|(known, _)| known == name));
    let count = arguments.get(1).and_then(|count| count.parse::<u64>().ok());
    let (Some((_, way)), Some(count @ 1..)) = (way, count) else {
        let ways: Vec<&str> = WAYS.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: bench-host {} COUNT", ways.join("|"));
        return ExitCode::FAILURE;
    };
    let mut words = [7; 8];
    let allocations = ALLOCATIONS.load(Relaxed);
    let start = Instant::now();
    for _ in 0..count {
        words = way(black_box(words));
    }
    let nanoseconds = start.elapsed().as_nanos() as f64 / count as f64;
    let allocations = ALLOCATIONS.load(Relaxed) - allocations;
    println!("{nanoseconds:.2} {allocations}");
    if black_box(words) == [7; 8] { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
