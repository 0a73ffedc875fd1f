//! What ends the sleeps of a session's calls early: its close, or a device that has to sleep.
use super::{WaitQueue, Woken, kernel, wait_kind};
use crate::{Passive, Result, Status};
use core::sync::atomic::{AtomicU32, Ordering::*};

/// Reason for a cancellation, a bit of [`Cancellation::why`]: the session closes, for good.
const CLOSING: u32 = 1 << 0;
/// Reason for a cancellation: the device goes to sleep, and its calls have had their time.
const SUSPENDING: u32 = 1 << 1;

/// What ends the sleeps of a session's calls.
pub(crate) struct Cancellation {
    why: AtomicU32,
    /// Wakes the session's sleeps, waits and drains.
    pub(crate) queue: WaitQueue,
}

impl Cancellation {
    pub(crate) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self { why: AtomicU32::new(0), queue: WaitQueue::new(cx)? })
    }

    /// Sleeps `ns`. Closed: the session closes. Suspended: the device has to sleep. Poisoned: plugin code has panicked. Interrupted: a fatal
    /// signal.
    pub(crate) fn sleep(&self, ns: u64) -> Result<()> {
        match self.queue.wait(&self.why, 0, ns, wait_kind::KILLABLE) {
            Woken::Timeout => Ok(()),
            Woken::Changed => Err(self.reason().into()),
            Woken::Interrupted => Err(Status::INTERRUPTED.into()),
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
        self.queue.wake();
    }

    /// From now on sleeps end at once, until [`resume`](Self::resume): the device has to sleep.
    pub(crate) fn suspend(&self) {
        self.why.fetch_or(SUSPENDING, Release);
        self.queue.wake();
    }

    /// The device is awake.
    pub(crate) fn resume(&self) {
        self.why.fetch_and(!SUSPENDING, Release);
    }
}
