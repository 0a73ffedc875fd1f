//! Taking turns at Passive, across plugin code that may panic and never return.
//!
//! A kernel's own mutex would stay held by the dead task, and with it the task's own exit, which closes its session, would wait
//! for ever. A turn whose holder panicked is given up for lost. Turns go in the order in which they were asked for: an app that
//! enables and disables without end holds up nobody's exit for longer than one turn.
use super::{
    Signal, kernel,
    sync::{AtomicU32, Ordering::*},
    wait_kind,
};
use crate::{Passive, Result};

/// How often those who wait ask whether the holder has panicked, in ns.
const POISON_CHECK_NS: u64 = 100_000_000;

/// One at a time, first come first served.
pub(crate) struct Turn {
    /// The next ticket.
    next: AtomicU32,
    /// The ticket whose turn it is.
    serving: AtomicU32,
    /// The task whose turn it is, as `kernel::task` names it; 0: nobody's, or somebody's who had panicked before.
    holder: AtomicU32,
    moved: Signal,
}

/// Whoever had the turn panicked and will never end it.
#[derive(Debug)]
pub(crate) struct Lost;

impl Turn {
    pub(crate) fn new(cx: &mut Passive) -> Result<Self> {
        let moved = Signal::new(cx)?;
        Ok(Self { next: AtomicU32::new(0), serving: AtomicU32::new(0), holder: AtomicU32::new(0), moved })
    }

    /// Runs `f` when it is this one's turn. May sleep; nothing but the holder's panic ends the wait, and then nobody's turn comes
    /// ever again.
    #[inline(always)]
    pub(crate) fn with<R>(&self, cx: &mut Passive, f: impl FnOnce(&mut Passive) -> R) -> Result<R, Lost> {
        let _held = self.take()?;
        Ok(f(cx))
    }

    /// Waits for this one's turn.
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn take(&self) -> Result<Held<'_>, Lost> {
        let ticket = self.next.fetch_add(1, AcqRel);
        loop {
            let serving = self.serving.load(Acquire);
            if serving == ticket {
                break;
            }
            if kernel::poisoned() && kernel::is_dead(self.holder.load(Acquire)) {
                return Err(Lost);
            }
            self.moved.wait(&self.serving, serving, POISON_CHECK_NS, wait_kind::UNINTERRUPTIBLE);
        }
        self.holder.store(taker(), Release);
        Ok(Held(self))
    }
}

/// The calling task, or 0 if it has panicked. Its exit closes its sessions, and ends each turn that it takes there: whoever gave that up
/// for lost would leave a turn behind that is nobody's, and everybody else waiting for it.
#[cfg_attr(kp_driver, optimize(size))]
fn taker() -> u32 {
    let task = kernel::task();
    if kernel::poisoned() && kernel::is_dead(task) { 0 } else { task }
}

/// Ends the turn, also when the simulator unwinds.
struct Held<'a>(&'a Turn);

impl Drop for Held<'_> {
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn drop(&mut self) {
        self.0.holder.store(0, Release);
        self.0.serving.fetch_add(1, Release);
        self.0.moved.wake();
    }
}
