//! What the port has taken from the kernel and not given back: a line says so when the driver is unloaded.
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

/// A number of things that are alive.
pub(crate) struct Live(AtomicI32);

pub(crate) static ALLOCATIONS: Live = Live(AtomicI32::new(0));
pub(crate) static LOCKS: Live = Live(AtomicI32::new(0));
pub(crate) static MAPPINGS: Live = Live(AtomicI32::new(0));
/// What was made for a device's transfers, and pages of the kernel's own.
pub(crate) static DMA: Live = Live(AtomicI32::new(0));
/// Apps' buffers.
pub(crate) static PINNED: Live = Live(AtomicI32::new(0));
/// One of the last two was made, so that the line has their numbers too.
static HAS_DMA: AtomicBool = AtomicBool::new(false);

impl Live {
    /// One more, if there is one.
    pub(crate) fn made(&self, there_is_one: bool) {
        self.0.fetch_add(i32::from(there_is_one), Relaxed);
    }

    /// One more, of [`DMA`] or [`PINNED`].
    pub(crate) fn made_for_dma(&self) {
        HAS_DMA.store(true, Relaxed);
        self.made(true);
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
    if HAS_DMA.load(Relaxed) {
        let (dma, pinned) = (DMA.count(), PINNED.count());
        kp_core::log!(
            "unloaded; live: {} allocations, {} locks, {} mappings, {} dma, {} pinned",
            allocations,
            locks,
            mappings,
            dma,
            pinned
        );
    } else {
        kp_core::log!("unloaded; live: {} allocations, {} locks, {} mappings", allocations, locks, mappings);
    }
}
