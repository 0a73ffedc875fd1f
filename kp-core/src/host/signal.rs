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

/// Reason for a stop, a bit of [`Stop::why`]: the session closes, for good.
const CLOSING: u32 = 1 << 0;
/// Reason for a stop: the device goes to sleep, and its calls have had their time.
const SUSPENDING: u32 = 1 << 1;

/// What ends the sleeps of a session's calls.
pub(crate) struct Stop {
    why: AtomicU32,
    /// Wakes the session's sleeps, waits and drains.
    pub(crate) signal: Signal,
}

impl Stop {
    pub(crate) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self { why: AtomicU32::new(0), signal: Signal::new(cx)? })
    }

    /// Sleeps `ns`. Closed: the session closes. Suspended: the device has to sleep. Poisoned: plugin code has panicked. Interrupted: a fatal
    /// signal.
    pub(crate) fn sleep(&self, ns: u64) -> Result<()> {
        match self.signal.wait(&self.why, 0, ns, wait_kind::KILLABLE) {
            Woken::Timeout => Ok(()),
            Woken::Changed => Err(self.reason().into()),
            Woken::Signal => Err(Status::INTERRUPTED.into()),
        }
    }

    /// Why a sleep was ended.
    #[cfg_attr(kp_driver, optimize(size))]
    fn reason(&self) -> Status {
        let why = self.why.load(Acquire);
        if kernel::poisoned() {
            Status::POISONED
        } else if why == SUSPENDING {
            Status::SUSPENDED
        } else {
            Status::CLOSED
        }
    }

    /// Does the session close?
    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.why.load(Acquire) & CLOSING != 0
    }

    /// From now on sleeps end at once: the session closes.
    pub(crate) fn close(&self) {
        self.why.fetch_or(CLOSING, Release);
        self.signal.wake();
    }

    /// From now on sleeps end at once, until [`go_on`](Self::go_on): the device has to sleep.
    pub(crate) fn suspend(&self) {
        self.why.fetch_or(SUSPENDING, Release);
        self.signal.wake();
    }

    /// The device is awake.
    pub(crate) fn go_on(&self) {
        self.why.fetch_and(!SUSPENDING, Release);
    }
}
