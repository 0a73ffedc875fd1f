//! A robust, fair mutex for Passive: it may be held across plugin code that panics and never returns.
//!
//! A kernel's own mutex would stay held by the dead task, and that task's own exit, which closes its session, would wait forever. If
//! the owner of this one panics, every later lock attempt returns [`OwnerDied`]. It is handed over in the order in which it was asked for
//! (first in, first out): an app that enables and disables without end delays another's exit by one critical section at most.
use super::{
    Deadline, KernelWaitQueue, TaskId, WaitKind, Woken, kernel,
    sync::{AtomicU32, Ordering::*},
};
use crate::{
    Dispatch, Passive, Result, SpinLock, Status,
    lock::{InOrder, LockOrder},
};
use core::{
    num::NonZeroU32,
    ptr::{self, NonNull},
};

/// See the module.
pub(crate) struct RobustMutex {
    queue: SpinLock<Queue, Dispatch>,
    /// The task that owns it, as `kernel::task` names it; 0: none, or one that had panicked before.
    owner: AtomicU32,
    /// Wakes the waiter that was granted the mutex.
    granted: KernelWaitQueue,
    order: LockOrder,
}

/// The owner panicked and will never unlock it.
#[derive(Debug)]
pub(crate) struct OwnerDied;

/// Those who wait, in the order in which they came. INVARIANT: linked are waiters that wait in [`RobustMutex::lock`], each once.
struct Queue {
    /// The mutex is owned.
    taken: bool,
    first: *mut Waiter,
    last: *mut Waiter,
}
// SAFETY: what is linked is shared with its own thread alone, by an atomic.
unsafe impl Send for Queue {}

/// One who waits, on its own stack: others look at it with a spin lock held, and a port keeps the stack of a thread that waits in memory.
struct Waiter {
    /// 1: the mutex is this waiter's, which is not linked any more.
    granted: AtomicU32,
    /// Under the queue's lock.
    next: *mut Waiter,
}

impl Waiter {
    fn new() -> Self {
        Self { granted: AtomicU32::new(0), next: ptr::null_mut() }
    }
}

impl Queue {
    /// Locks, if nobody owns it.
    fn try_take(&mut self) -> bool {
        !core::mem::replace(&mut self.taken, true)
    }

    /// Locks, if nobody owns it, or else queues at the end.
    ///
    /// # Safety
    /// The waiter is alive and not linked, and stays until it is granted the mutex or has left.
    #[cfg_attr(kp_driver, optimize(size))]
    unsafe fn join(&mut self, waiter: *mut Waiter) {
        if self.try_take() {
            // SAFETY: alive.
            unsafe { &(*waiter).granted }.store(1, Release);
            return;
        }
        match NonNull::new(self.last) {
            // SAFETY: what is linked is alive.
            Some(last) => unsafe { (*last.as_ptr()).next = waiter },
            None => self.first = waiter,
        }
        self.last = waiter;
    }

    /// Unlocks: the first waiter owns it now.
    #[cfg_attr(kp_driver, optimize(size))]
    fn unlock(&mut self) {
        let Some(first) = NonNull::new(self.first) else {
            self.taken = false;
            return;
        };
        // SAFETY: what is linked is alive.
        self.first = unsafe { (*first.as_ptr()).next };
        if self.first.is_null() {
            self.last = ptr::null_mut();
        }
        // SAFETY: a linked waiter is alive, until it is granted the mutex: so not after this line.
        unsafe { &(*first.as_ptr()).granted }.store(1, Release);
    }

    /// Takes a waiter out of the queue, if it was not granted the mutex.
    ///
    /// # Safety
    /// It has joined.
    #[cfg_attr(kp_driver, optimize(size))]
    unsafe fn leave(&mut self, waiter: *mut Waiter) {
        let (mut before, mut at) = (ptr::null_mut::<Waiter>(), self.first);
        while !at.is_null() && at != waiter {
            // SAFETY: what is linked is alive.
            (before, at) = (at, unsafe { (*at).next });
        }
        if at.is_null() {
            return;
        }
        // SAFETY: `at` is linked, and what is linked is alive.
        let next = unsafe { (*at).next };
        match NonNull::new(before) {
            // SAFETY: `before` is linked, and what is linked is alive.
            Some(before) => unsafe { (*before.as_ptr()).next = next },
            None => self.first = next,
        }
        if next.is_null() {
            self.last = before;
        }
    }
}

impl RobustMutex {
    #[track_caller]
    pub(crate) fn new(cx: &mut Passive) -> Result<Self> {
        let granted = KernelWaitQueue::new(cx)?;
        let queue = SpinLock::new(cx, Queue { taken: false, first: ptr::null_mut(), last: ptr::null_mut() })?;
        Ok(Self { queue, owner: AtomicU32::new(0), granted, order: LockOrder::new(cx)? })
    }

    /// Runs `f` with the mutex held. May sleep. `OwnerDied`: its owner has panicked.
    /// Nothing else ends the wait: for tear-down.
    #[inline(always)]
    pub(crate) fn with<R>(&self, cx: &mut Passive, f: impl FnOnce(&mut Passive) -> R) -> Result<R, OwnerDied> {
        self.with_until(cx, Deadline::NEVER, f).ok_or(OwnerDied)
    }

    /// As [`with`](Self::with). None: its owner has panicked, or it was not granted before `until`.
    #[inline(always)]
    pub(crate) fn with_until<R>(
        &self,
        cx: &mut Passive,
        until: Deadline,
        f: impl FnOnce(&mut Passive) -> R,
    ) -> Option<R> {
        let held = self.lock(cx, WaitKind::Uninterruptible, until).ok()?;
        Some(f(held.cx))
    }

    /// As [`with`](Self::with), for a request: POISONED as soon as any plugin code panics; INTERRUPTED if the process is being killed.
    #[inline(always)]
    pub(crate) fn with_killable<R>(
        &self,
        cx: &mut Passive,
        f: impl FnOnce(&mut Passive) -> R,
    ) -> core::result::Result<R, Status> {
        let held = self.lock(cx, WaitKind::Killable, Deadline::NEVER)?;
        Ok(f(held.cx))
    }

    /// As [`with`](Self::with), and never waits. None: somebody owns it, or has panicked with it; perhaps the calling thread. So it has no
    /// place in the order of locks.
    #[inline(always)]
    pub(crate) fn try_with<R>(&self, cx: &mut Passive, f: impl FnOnce(&mut Passive) -> R) -> Option<R> {
        if !self.queue.with(cx, |queue, _| queue.try_take()) {
            return None;
        }
        self.owner.store(owner(), Release);
        let held = TryGuard { mutex: self, cx };
        Some(f(held.cx))
    }

    #[cfg_attr(kp_driver, optimize(size))]
    fn unlock(&self, cx: &mut Passive) {
        self.owner.store(0, Release);
        self.queue.with(cx, |queue, _| queue.unlock());
        self.granted.wake();
    }

    /// Locks, or waits for it.
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn lock<'a>(
        &'a self,
        cx: &'a mut Passive,
        kind: WaitKind,
        until: Deadline,
    ) -> core::result::Result<RobustGuard<'a>, Status> {
        let order = self.order.enter();
        if !self.queue.with(cx, |queue, _| queue.try_take()) {
            self.wait(cx, kind, until, &mut Waiter::new())?;
        }
        self.owner.store(owner(), Release);
        Ok(RobustGuard { mutex: self, cx, _order: order })
    }

    /// Waits until it is granted.
    #[cfg_attr(kp_driver, optimize(size))]
    fn wait(
        &self,
        cx: &mut Passive,
        kind: WaitKind,
        until: Deadline,
        waiter: &mut Waiter,
    ) -> core::result::Result<(), Status> {
        let this = ptr::from_mut(waiter);
        // SAFETY: it stays until it is granted the mutex, or has left below.
        self.queue.with(cx, |queue, _| unsafe { queue.join(this) });
        // SAFETY: this function's own; others write its other field, under the lock.
        let granted = unsafe { &(*this).granted };
        while granted.load(Acquire) == 0 {
            let poisoned = kernel::poisoned();
            let lost = poisoned && (kind == WaitKind::Killable || is_dead(self.owner.load(Acquire)));
            let lost = lost || until.is_over();
            let killed = !lost && self.granted.wait(granted, 0, until.next_look(poisoned), kind) == Woken::Interrupted;
            if lost || killed {
                // SAFETY: it joined above.
                self.queue.with(cx, |queue, _| unsafe { queue.leave(this) });
                if granted.load(Acquire) == 0 {
                    return Err(if killed { Status::INTERRUPTED } else { Status::POISONED });
                }
            }
        }
        Ok(())
    }
}

/// The calling task, or 0 if it has panicked. A task that panicked still closes its sessions as it exits, and unlocks each mutex that it
/// locks there: if waiters took it for dead, each would give up with `OwnerDied` a mutex that is about to be free.
#[cfg_attr(kp_driver, optimize(size))]
fn owner() -> u32 {
    let TaskId(task) = kernel::task();
    if kernel::poisoned() && is_dead(task.get()) { 0 } else { task.get() }
}

/// Has this owner panicked, never to return? No: none owns it.
#[cfg_attr(kp_driver, optimize(size))]
fn is_dead(owner: u32) -> bool {
    NonZeroU32::new(owner).is_some_and(|task| kernel::is_dead(TaskId(task)))
}

/// Unlocks, also when the simulator unwinds.
struct RobustGuard<'a> {
    mutex: &'a RobustMutex,
    cx: &'a mut Passive,
    _order: InOrder<'a>,
}

impl Drop for RobustGuard<'_> {
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn drop(&mut self) {
        self.mutex.unlock(self.cx);
    }
}

/// As [`RobustGuard`], for who has not waited.
struct TryGuard<'a> {
    mutex: &'a RobustMutex,
    cx: &'a mut Passive,
}

impl Drop for TryGuard<'_> {
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop(&mut self) {
        self.mutex.unlock(self.cx);
    }
}
