//! What a session's threads wait on, and what ends their waits and sleeps.
#![deny(unsafe_code)]
use super::{Deadline, Timeout, WaitKind, WaitQueue, Woken, kernel};
use crate::{Passive, Result, Status};
use core::sync::atomic::{AtomicU32, Ordering::*};

/// Reason for a cancellation, a bit of [`Waker::cancelled`]: the session closes, for good.
const CLOSING: u32 = 1 << 0;
/// Reason for a cancellation: the device goes to sleep, and its calls have had their time.
const SUSPENDING: u32 = 1 << 1;

/// A session's wait queue, with the words that its waiters look at.
pub(crate) struct Waker {
    /// Wakes the session's sleeps, its waits, and the drain of its gate.
    pub(super) queue: WaitQueue,
    /// Why sleeps end early; 0: they don't.
    cancelled: AtomicU32,
    /// Counts every reason for which a wait may have to return (an eventcount): a waiter that reads it, looks for such a reason, and then
    /// sleeps unless it has changed, misses none.
    wake_seq: AtomicU32,
}

impl Waker {
    pub(super) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self { queue: WaitQueue::new(cx)?, cancelled: AtomicU32::new(0), wake_seq: AtomicU32::new(0) })
    }

    /// Has each wait look again. Passive and Dispatch.
    #[inline]
    pub(super) fn wake(&self) {
        self.wake_seq.fetch_add(1, Release);
        self.queue.wake();
    }

    /// What [`wait`](Self::wait) is given: read it before looking for a reason to return.
    pub(super) fn wake_seq(&self) -> u32 {
        self.wake_seq.load(Acquire)
    }

    /// Waits for a wake since `wake_seq`. Any signal ends it. Passive.
    pub(super) fn wait(&self, wake_seq: u32, until: Deadline) -> Woken {
        self.queue.wait(&self.wake_seq, wake_seq, until.left(), WaitKind::Interruptible)
    }

    /// Sleeps `ns`. Closed: the session closes. Suspended: the device has to sleep. Poisoned: plugin code has panicked. Interrupted: a fatal
    /// signal.
    pub(crate) fn sleep(&self, ns: u64) -> Result<()> {
        match self.queue.wait(&self.cancelled, 0, Timeout::from_ns(ns), WaitKind::Killable) {
            Woken::Timeout => Ok(()),
            Woken::Changed => Err(self.reason().into()),
            Woken::Interrupted => Err(Status::INTERRUPTED.into()),
        }
    }

    /// Why a sleep was ended.
    #[cfg_attr(kp_driver, optimize(size))]
    fn reason(&self) -> Status {
        let cancelled = self.cancelled.load(Acquire);
        if kernel::poisoned() {
            Status::POISONED
        } else if cancelled == SUSPENDING {
            Status::SUSPENDED
        } else {
            Status::CLOSED
        }
    }

    /// Does the session close?
    #[inline]
    pub(super) fn is_closing(&self) -> bool {
        self.cancelled.load(Acquire) & CLOSING != 0
    }

    /// From now on sleeps end at once: the session closes.
    pub(super) fn cancel_for_close(&self) {
        self.cancelled.fetch_or(CLOSING, Release);
        self.queue.wake();
    }

    /// From now on sleeps end at once, until [`resume`](Self::resume): the device has to sleep.
    pub(super) fn cancel_for_suspend(&self) {
        self.cancelled.fetch_or(SUSPENDING, Release);
        self.queue.wake();
    }

    /// The device is awake: sleeps last again.
    pub(super) fn resume(&self) {
        self.cancelled.fetch_and(!SUSPENDING, Release);
    }
}
