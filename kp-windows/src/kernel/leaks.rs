//! What the port has taken from the kernel and not given back: a line says so when the driver is unloaded.
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// A number of things that are alive.
pub(crate) struct Live(AtomicI32);

pub(crate) static ALLOCATIONS: Live = Live(AtomicI32::new(0));
pub(crate) static LOCKS: Live = Live(AtomicI32::new(0));
pub(crate) static MAPPINGS: Live = Live(AtomicI32::new(0));

impl Live {
    /// One more, if there is one.
    pub(crate) fn made(&self, there_is_one: bool) {
        self.0.fetch_add(i32::from(there_is_one), Relaxed);
    }

    pub(crate) fn gone(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    fn count(&self) -> i32 {
        self.0.load(Relaxed)
    }
}

/// Logs what is alive. All zero, or something has leaked.
pub(crate) fn report() {
    let (allocations, locks, mappings) = (ALLOCATIONS.count(), LOCKS.count(), MAPPINGS.count());
    kp_core::log!("unloaded; live: {} allocations, {} locks, {} mappings", allocations, locks, mappings);
}
