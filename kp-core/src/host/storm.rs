//! The storm guard: what happens when an interrupt never ends.
//!
//! ISR runs of a vector are counted from its last DPC run; one of a line that came only after [`CROWDED`] deferrals does not count, as the line
//! is not silenced. Where the ISR wakes the app itself, it queues a DPC after [`DPC_DUE`] runs, for this count alone. At [`STORM_RUNS`] the time is noted. If as many come again within [`STORM_NS`], the
//! vector is masked (or given up, if the port says that it is not this device's), one line is logged for the enabling, and waits answer
//! InterruptStorm until the interrupt is disabled. From then on the plugin's handler does not run for this vector.
#![deny(unsafe_code)]
use super::{
    interrupt::Interrupts,
    kernel,
    pending::Run,
    vector::{Vector, count},
};
use crate::Plugin;
use core::sync::atomic::Ordering::*;

/// ISR runs of one vector, without a DPC run between them, after which the clock is read; and the same again.
const STORM_RUNS: u32 = 100_000;
/// So many deferrals of a line between two DPC runs: its handler does not silence the device, and the processor gets to the DPC an instruction at
/// a time.
const CROWDED: u32 = 1_000;
/// ISR runs without a DPC run between them after which one is queued though the ISR has woken the app.
pub(super) const DPC_DUE: u32 = 1_000;
/// As many runs again within this time, in ns, are a storm: nothing real interrupts that often.
const STORM_NS: u64 = 5_000_000_000;
/// `Unserved::runs` after a storm, and perhaps some more.
const GIVEN_UP: u32 = 1 << 31;
/// Runs of a line after a storm, after which it is masked once more: the device may assert it by now. Far fewer than the kernel needs to see
/// that nobody handles it.
const RETRY_RUNS: u64 = 10_000;

impl Vector {
    /// Is an ISR run to ask the guard first?
    #[inline(always)]
    pub(super) fn is_guarded(&self) -> bool {
        self.unserved.runs.load(Relaxed) >= STORM_RUNS
    }

    /// A DPC has run: what has come is served.
    #[inline(always)]
    pub(super) fn served(&self) {
        self.unserved.runs.store(self.unserved.least.load(Relaxed), Relaxed);
    }

    /// Is it, if [`is_crowded`]? After a storm it does not matter.
    pub(super) fn is_served(&self, run: Run, is_line: impl FnOnce() -> bool) -> bool {
        run.deferred() < CROWDED || self.unserved.least.load(Relaxed) != 0 || !is_line()
    }
}

/// Is a DPC run to ask the guard whether what has come is served?
#[inline(always)]
pub(super) fn is_crowded(run: Run) -> bool {
    !run.is_below(CROWDED)
}

impl<P: Plugin> Interrupts<P> {
    /// Before an ISR run that may be one too many, or one of a poisoned plugin. Some: the plugin's handler does not run, and this is the
    /// ISR's answer. At Irql.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    pub(super) fn guard(&self, counts: &Vector, vector: u32) -> Option<bool> {
        let is_line = self.is_line();
        if kernel::poisoned() {
            // Nobody will ever quiet the device.
            return Some(kernel::irq_mask(self.device, vector) || !is_line);
        }
        let runs = counts.unserved.runs.load(Relaxed);
        if runs == STORM_RUNS {
            counts.unserved.since.store(kernel::now_ns(), Relaxed);
        }
        if runs < 2 * STORM_RUNS {
            return None;
        }
        let mut masked = false;
        if runs >= GIVEN_UP {
            if is_line && counts.spurious.load(Relaxed).is_multiple_of(RETRY_RUNS) {
                masked = kernel::irq_mask(self.device, vector);
            }
        } else if kernel::now_ns().wrapping_sub(counts.unserved.since.load(Relaxed)) < STORM_NS {
            masked = self.end_storm(counts, vector);
        } else {
            counts.unserved.runs.store(0, Relaxed);
            return None;
        }
        // From now on what comes is not the device's: it is masked, or was not the one.
        count(if masked { &counts.received } else { &counts.spurious });
        if !P::TABLE.own_interrupt {
            self.counter_page.publish_isr(vector, counts.of_isr());
        }
        Some(masked || !is_line)
    }

    /// A vector never ends. True: it is masked. At Irql.
    #[cfg_attr(kp_driver, optimize(size))]
    fn end_storm(&self, counts: &Vector, vector: u32) -> bool {
        let masked = kernel::irq_mask(self.device, vector);
        if !self.storm_is_logged.swap(true, Relaxed) {
            if masked {
                crate::log!("an interrupt never ends: masked until it is disabled");
            } else {
                crate::log!("an interrupt never ends: it is not masked, and not taken for the device's any more");
            }
        }
        counts.unserved.least.store(GIVEN_UP, Relaxed);
        counts.unserved.runs.store(GIVEN_UP, Relaxed);
        // Notifications are under a Dispatch lock: the vector's DPC ends the waits. A DPC that runs now may have set the count back; that one
        // sets it again.
        if counts.pending.storm() {
            kernel::dpc_queue(self.device, vector);
        }
        masked
    }
}
