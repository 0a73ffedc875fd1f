//! How often a vector's ISR has deferred since its DPC last looked, and who queues the DPC.
//!
//! The DPC is queued when the count leaves 0, and by the DPC itself at its end if more came meanwhile. So its runs never overlap,
//! on kernels too that may start a queued DPC while an earlier run of it has not returned.
#![deny(unsafe_code)]
use super::sync::{AtomicU32, Ordering::*};

/// Bit: the vector never ended, and was masked.
const STORM: u32 = 1 << 31;

/// Deferrals of one vector that no DPC run has finished yet.
pub(crate) struct Pending(AtomicU32);

/// What a DPC run is for. Given back to [`Pending::done`].
#[derive(Clone, Copy)]
pub(crate) struct Run(u32);

impl Run {
    /// How many deferrals.
    #[inline]
    pub(crate) fn deferred(self) -> u32 {
        self.0 & !STORM
    }

    /// The vector was masked.
    #[inline]
    pub(crate) fn storm(self) -> bool {
        self.0 & STORM != 0
    }

    /// Is it for no storm, and for fewer deferrals than these? One comparison.
    #[inline]
    pub(crate) fn is_below(self, deferrals: u32) -> bool {
        self.0 < deferrals
    }
}

impl Pending {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// One deferral. True: queue the DPC. At Irql.
    #[inline]
    #[must_use]
    pub(crate) fn defer(&self) -> bool {
        self.0.fetch_add(1, AcqRel) == 0
    }

    /// The vector was masked. True: queue the DPC. At Irql.
    #[must_use]
    pub(crate) fn storm(&self) -> bool {
        self.0.fetch_or(STORM, AcqRel) == 0
    }

    /// A DPC run begins. None: it was queued for nothing. At Dispatch.
    #[inline]
    pub(crate) fn begin(&self) -> Option<Run> {
        let pending = self.0.load(Acquire);
        (pending != 0).then_some(Run(pending))
    }

    /// A DPC run is over. True: queue it again. At Dispatch.
    #[inline]
    #[must_use]
    pub(crate) fn done(&self, run: Run) -> bool {
        self.0.fetch_sub(run.0, AcqRel) != run.0
    }

    /// Deferrals that no DPC will see any more. Neither ISR nor DPC runs.
    pub(crate) fn drain(&self) -> u32 {
        self.0.swap(0, AcqRel) & !STORM
    }
}

impl Default for Pending {
    fn default() -> Self {
        Self::new()
    }
}
