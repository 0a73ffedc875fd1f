//! Waiting and waking, as the host logic uses them.
use super::{RawSignal, Woken, kernel, wait_kind};
use crate::{Passive, Result, Status};
use core::{
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering::*},
};

/// Something to wait on. INVARIANT: made by `signal_new`, alive until dropped.
pub(crate) struct Signal(NonNull<RawSignal>);
// SAFETY: a port's signal may be used from any thread.
unsafe impl Send for Signal {}
// SAFETY: as above; the port synchronises waiters and wakers.
unsafe impl Sync for Signal {}

impl Signal {
    pub(crate) fn new(_: &mut Passive) -> Result<Self> {
        NonNull::new(kernel::signal_new()).map(Signal).ok_or(Status::NO_MEMORY.into())
    }

    pub(crate) fn raw(&self) -> *mut RawSignal {
        self.0.as_ptr()
    }

    /// Waits until `*word != seen`. Passive: callers hold a `&mut Passive` or are the port's entry.
    pub(crate) fn wait(&self, word: &AtomicU32, seen: u32, ns: u64, kind: u32) -> Woken {
        // SAFETY: alive by the invariant.
        unsafe { kernel::signal_wait(self.0.as_ptr(), word, seen, ns, kind) }
    }

    /// Wakes all. Passive and Dispatch.
    #[inline]
    pub(crate) fn wake(&self) {
        // SAFETY: alive by the invariant.
        unsafe { kernel::signal_wake(self.0.as_ptr()) }
    }
}
impl Drop for Signal {
    fn drop(&mut self) {
        // SAFETY: alive by the invariant, and nobody waits: a waiter would borrow it.
        unsafe { kernel::signal_free(self.0.as_ptr()) }
    }
}

/// What ends the sleeps of a session's calls: the session closes.
pub(crate) struct Stop {
    /// 0, then 1 for good.
    pub(crate) closing: AtomicU32,
    /// Wakes the session's sleeps, waits and drains.
    pub(crate) signal: Signal,
}

impl Stop {
    pub(crate) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self { closing: AtomicU32::new(0), signal: Signal::new(cx)? })
    }

    /// Sleeps `ns`. Closed: the session closes. Poisoned: plugin code has panicked. Interrupted: a fatal signal.
    /// `holding`: something that others wait for is held.
    pub(crate) fn sleep(&self, ns: u64, holding: bool) -> Result<()> {
        let kind = if holding { wait_kind::HOLDING } else { wait_kind::KILLABLE };
        match self.signal.wait(&self.closing, 0, ns, kind) {
            Woken::Timeout => Ok(()),
            Woken::Changed if self.closing.load(Acquire) == 0 => Err(Status::POISONED.into()),
            Woken::Changed => Err(Status::CLOSED.into()),
            Woken::Signal => Err(Status::INTERRUPTED.into()),
        }
    }

    /// From now on sleeps end at once.
    pub(crate) fn stop(&self) {
        self.closing.store(1, Release);
        self.signal.wake();
    }
}
