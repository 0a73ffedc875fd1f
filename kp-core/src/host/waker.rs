//! What a session's threads wait on, and what ends their waits and sleeps.
#![deny(unsafe_code)]
use super::{
    Deadline, EventCount, KernelWaitQueue, Timeout, WaitKind, Woken, kernel,
    sync::{AtomicU32, Ordering::*},
    waiters::Waiters,
};
use crate::{Passive, Result, Status};

/// Reason for a cancellation, a bit of [`Waker::cancelled`]: the session closes, for good.
const CLOSING: u32 = 1 << 0;
/// Reason for a cancellation: the device goes to sleep, and its calls have had their time.
const SUSPENDING: u32 = 1 << 1;

/// A session's wait queue, with the words that its waiters look at.
pub(crate) struct Waker {
    /// Wakes the session's sleeps, its waits, and the drain of its gate.
    pub(super) queue: KernelWaitQueue,
    /// Why sleeps end early; 0: they don't.
    cancelled: AtomicU32,
    /// Counts every reason for which a wait may have to return (an eventcount): a waiter that reads it, looks for such a reason, and then
    /// sleeps unless it has changed, misses none.
    wake_seq: AtomicU32,
    /// Who waits elsewhere: in the plugin's wait queues.
    elsewhere: Waiters,
}

impl Waker {
    pub(crate) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self {
            queue: KernelWaitQueue::new(cx)?,
            cancelled: AtomicU32::new(0),
            wake_seq: AtomicU32::new(0),
            elsewhere: Waiters::new(cx)?,
        })
    }

    /// Has each wait look again. Passive and Dispatch, and where the port allows it Irql.
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

    /// Waits for a wake-up of `on` since `seen`, at most so long. OK; TIMEOUT, by the kernel's clock, which may be a coarse one; or
    /// one of [`sleep`](Self::sleep)'s errors. A number is returned in a register.
    #[inline]
    pub(crate) fn wait_on(&self, cx: &mut Passive, on: &EventCount, seen: u32, limit: Timeout) -> Status {
        let woken = self.elsewhere.during(cx, on, || {
            // Known by now: whoever cancels from here on moves the count.
            if self.is_cancelled() { Woken::Changed } else { on.wait(seen, limit, WaitKind::Killable) }
        });
        match woken {
            Woken::Interrupted => Status::INTERRUPTED,
            Woken::Changed if self.is_cancelled() || kernel::poisoned() => self.reason(),
            Woken::Changed => Status::OK,
            Woken::Timeout => Status::TIMEOUT,
        }
    }

    /// Do sleeps end at once?
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Acquire) != 0
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
    pub(crate) fn cancel_for_close(&self, cx: &mut Passive) {
        self.cancel(cx, CLOSING);
    }

    /// From now on sleeps end at once, until [`resume`](Self::resume): the device has to sleep.
    pub(super) fn cancel_for_suspend(&self, cx: &mut Passive) {
        self.cancel(cx, SUSPENDING);
    }

    #[cfg_attr(kp_driver, optimize(size))]
    fn cancel(&self, cx: &mut Passive, reason: u32) {
        self.cancelled.fetch_or(reason, Release);
        self.queue.wake();
        self.elsewhere.wake(cx);
    }

    /// The device is awake: sleeps last again.
    pub(super) fn resume(&self) {
        self.cancelled.fetch_and(!SUSPENDING, Release);
    }
}
