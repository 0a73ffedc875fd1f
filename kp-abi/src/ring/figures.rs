//! An enabling's counters in the kernel page, from both sides: in which order the driver begins a new enabling, and the app reads.
//!
//! The page has the number of the enabling, and its counters. A reader that finds the same number before and after it has read the
//! counters has read counters of that enabling: the driver takes the number away before it clears them, and puts the new one there
//! afterwards. Each counter has one writer, and is as it was at some moment.
use super::sync::{AtomicU64, Ordering::*};

/// The driver's side: from here on the page has enabling `generation`, whose counters are all 0. `vectors` is where their number stands.
pub fn begin<'a>(
    number: &AtomicU64,
    vectors: (&AtomicU64, u64),
    counters: impl Iterator<Item = &'a AtomicU64>,
    generation: u64,
) {
    number.store(0, Relaxed); // an app that sees one of the words that follow sees this too
    vectors.0.store(vectors.1, Release);
    for word in counters {
        word.store(0, Release);
    }
    number.store(generation, Release);
}

/// The app's side: reads by `read`, whose loads acquire, and gives it with the number of the enabling, or 0. None: another one began
/// meanwhile.
pub fn read<R>(number: &AtomicU64, read: impl FnOnce() -> R) -> Option<(u64, R)> {
    let generation = number.load(Acquire);
    let read = read();
    (number.load(Acquire) == generation).then_some((generation, read))
}
