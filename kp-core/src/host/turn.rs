//! Taking turns at Passive, across plugin code that may panic and never return.
//!
//! A kernel's own mutex would stay held by the dead task, and with it the task's own exit, which closes its session, would wait
//! for ever. A turn is given up for lost once the plugin is poisoned.
use super::{Signal, kernel, wait_kind};
use crate::{Passive, Result};
use core::sync::atomic::{AtomicU32, Ordering::*};

/// How often those who wait ask whether the plugin has panicked, in ns.
const POISON_CHECK_NS: u64 = 100_000_000;

/// One at a time.
pub(crate) struct Turn {
    taken: AtomicU32,
    free: Signal,
}

/// Whoever had the turn panicked and will never end it.
#[derive(Debug)]
pub(crate) struct Lost;

impl Turn {
    pub(crate) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self { taken: AtomicU32::new(0), free: Signal::new(cx)? })
    }

    /// Runs `f` when it is this one's turn. May sleep; nothing but a panic of the plugin ends the wait.
    pub(crate) fn with<R>(&self, cx: &mut Passive, f: impl FnOnce(&mut Passive) -> R) -> Result<R, Lost> {
        while self.taken.swap(1, Acquire) != 0 {
            self.free.wait(&self.taken, 1, POISON_CHECK_NS, wait_kind::UNINTERRUPTIBLE);
            if kernel::poisoned() && self.taken.load(Relaxed) != 0 {
                return Err(Lost);
            }
        }
        let _held = Held(self);
        Ok(f(cx))
    }
}

/// Ends the turn, also when the simulator unwinds.
struct Held<'a>(&'a Turn);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.taken.store(0, Release);
        self.0.free.wake();
    }
}
