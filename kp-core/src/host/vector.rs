//! What ISR and DPC of one vector count.
#![deny(unsafe_code)]
use super::pending::Pending;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// One vector's counts, of one enabling. Each field has one writer at a time, but for `pending`.
#[derive(Default)]
pub(super) struct Vector {
    /// Deferrals that no DPC run has finished.
    pub(super) pending: Pending,
    /// ISR runs that claimed or deferred.
    pub(super) received: AtomicU64,
    /// ISR runs that did neither, or came after a storm.
    pub(super) spurious: AtomicU64,
    /// ISR runs that deferred.
    pub(super) deferred: AtomicU64,
    /// Runs of `int_at_dpc`.
    pub(super) dpc_runs: AtomicU64,
    /// The storm guard's words: see `storm`.
    pub(super) unserved: Unserved,
}

impl Vector {
    /// The interrupt is enabled again, and goes on counting. What the storm guard knows is of the enabling before.
    pub(super) fn start_again(&self) {
        self.unserved.least.store(0, Relaxed);
        self.unserved.runs.store(0, Relaxed);
    }

    /// What the ISR counts, in the order of [`Counters`](kp_abi::Counters).
    #[inline(always)]
    pub(super) fn of_isr(&self) -> [&AtomicU64; 3] {
        [&self.received, &self.spurious, &self.deferred]
    }
}

/// ISR runs of one vector that claimed or deferred, since the last DPC run that served it.
#[derive(Default)]
pub(super) struct Unserved {
    /// How many.
    pub(super) runs: AtomicU32,
    /// What a DPC run sets `runs` to: 0, or after a storm what keeps the guard on.
    pub(super) least: AtomicU32,
    /// When the guard began to look at the clock.
    pub(super) since: AtomicU64,
}

/// One more, where there is one writer: no locked instruction.
#[inline]
pub(super) fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Release);
}
