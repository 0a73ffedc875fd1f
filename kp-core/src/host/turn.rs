//! Taking turns at Passive, across plugin code that may panic and never return.
//!
//! A kernel's own mutex would stay held by the dead task, and with it the task's own exit, which closes its session, would wait
//! forever. A turn whose holder panicked is given up for lost. Turns go in the order in which they were asked for: an app that
//! enables and disables without end holds up nobody's exit for longer than one turn.
use super::{
    Signal, Woken,
    gate::{FOR_EVER, time_left},
    kernel,
    sync::{AtomicU32, Ordering::*},
    wait_kind,
};
use crate::{
    Dispatch, Passive, Result, SpinLock, Status,
    lock::{InOrder, LockOrder},
};
use core::ptr::{self, NonNull};

/// How often those who still wait after a panic ask whether it was the holder's, in ns.
const POISON_CHECK_NS: u64 = 100_000_000;

/// One at a time, first come first served.
pub(crate) struct Turn {
    queue: SpinLock<Queue, Dispatch>,
    /// The task whose turn it is, as `kernel::task` names it; 0: nobody's, or somebody's who had panicked before.
    holder: AtomicU32,
    /// Woken for whoever's turn has come.
    moved: Signal,
    order: LockOrder,
}

/// Whoever had the turn panicked and will never end it; or the time for waiting is up.
#[derive(Debug)]
pub(crate) struct Lost;

/// Those who wait, in the order in which they came. INVARIANT: linked are waiters that wait in [`Turn::take`], each once.
struct Queue {
    /// It is somebody's turn.
    taken: bool,
    first: *mut Waiter,
    last: *mut Waiter,
}
// SAFETY: what is linked is shared with its own thread alone, by an atomic.
unsafe impl Send for Queue {}

/// One who waits, on its own stack: others look at it with a spin lock held, and a port keeps the stack of a thread that waits in memory.
struct Waiter {
    /// 1: it is this one's turn, and it is not linked any more.
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
    /// Takes the turn, if it is nobody's.
    fn try_take(&mut self) -> bool {
        !core::mem::replace(&mut self.taken, true)
    }

    /// Takes the turn, if it is nobody's, or else a place at the end.
    ///
    /// # Safety
    /// The waiter is alive and not linked, and stays until it is granted its turn or has left.
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

    /// The turn is over: it is the first one's now.
    #[cfg_attr(kp_driver, optimize(size))]
    fn pass_on(&mut self) {
        let Some(first) = NonNull::new(self.first) else {
            self.taken = false;
            return;
        };
        // SAFETY: what is linked is alive.
        self.first = unsafe { (*first.as_ptr()).next };
        if self.first.is_null() {
            self.last = ptr::null_mut();
        }
        // SAFETY: as above; it may be gone from here on.
        unsafe { &(*first.as_ptr()).granted }.store(1, Release);
    }

    /// Takes a waiter out, if its turn has not come.
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
        // SAFETY: as above.
        let next = unsafe { (*at).next };
        match NonNull::new(before) {
            // SAFETY: as above.
            Some(before) => unsafe { (*before.as_ptr()).next = next },
            None => self.first = next,
        }
        if next.is_null() {
            self.last = before;
        }
    }
}

impl Turn {
    #[track_caller]
    pub(crate) fn new(cx: &mut Passive) -> Result<Self> {
        let moved = Signal::new(cx)?;
        let queue = SpinLock::new(cx, Queue { taken: false, first: ptr::null_mut(), last: ptr::null_mut() })?;
        Ok(Self { queue, holder: AtomicU32::new(0), moved, order: LockOrder::new(cx)? })
    }

    /// Runs `f` when it is this one's turn. May sleep; if the holder panics, this one's and everybody's who comes later is `Lost`.
    /// Nothing else ends the wait: for tear-down.
    #[inline(always)]
    pub(crate) fn with<R>(&self, cx: &mut Passive, f: impl FnOnce(&mut Passive) -> R) -> Result<R, Lost> {
        self.with_until(cx, FOR_EVER, f)
    }

    /// As [`with`](Self::with), and `Lost` too if the turn has not come before the clock shows `until`, in ns.
    #[inline(always)]
    pub(crate) fn with_until<R>(
        &self,
        cx: &mut Passive,
        until: u64,
        f: impl FnOnce(&mut Passive) -> R,
    ) -> Result<R, Lost> {
        match self.take(cx, wait_kind::UNINTERRUPTIBLE, until) {
            Ok(held) => Ok(f(held.cx)),
            Err(_) => Err(Lost),
        }
    }

    /// As [`with`](Self::with), for a request: POISONED as soon as any plugin code panics; INTERRUPTED if the process is being killed, which
    /// then has no turn to wait for.
    #[inline(always)]
    pub(crate) fn with_killable<R>(
        &self,
        cx: &mut Passive,
        f: impl FnOnce(&mut Passive) -> R,
    ) -> core::result::Result<R, Status> {
        let held = self.take(cx, wait_kind::KILLABLE, FOR_EVER)?;
        Ok(f(held.cx))
    }

    /// Takes the turn, now or when it comes.
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn take<'a>(&'a self, cx: &'a mut Passive, kind: u32, until: u64) -> core::result::Result<Held<'a>, Status> {
        let order = self.order.enter();
        if !self.queue.with(cx, |queue, _| queue.try_take()) {
            self.wait(cx, kind, until, &mut Waiter::new())?;
        }
        self.holder.store(taker(), Release);
        Ok(Held { turn: self, cx, _order: order })
    }

    /// Waits for this one's turn.
    #[cfg_attr(kp_driver, optimize(size))]
    fn wait(&self, cx: &mut Passive, kind: u32, until: u64, waiter: &mut Waiter) -> core::result::Result<(), Status> {
        let this = ptr::from_mut(waiter);
        // SAFETY: it stays until it is granted its turn, or has left below.
        self.queue.with(cx, |queue, _| unsafe { queue.join(this) });
        // SAFETY: this function's own; others write its other field, under the lock.
        let granted = unsafe { &(*this).granted };
        while granted.load(Acquire) == 0 {
            let poisoned = kernel::poisoned();
            let lost = poisoned && (kind == wait_kind::KILLABLE || kernel::is_dead(self.holder.load(Acquire)));
            // Without a limit a kernel can tell a wait that hangs, and a panic ends it.
            let left = time_left(until);
            let lost = lost || left == 0;
            let ns = left.min(if poisoned { POISON_CHECK_NS } else { u64::MAX });
            let killed = !lost && self.moved.wait(granted, 0, ns, kind) == Woken::Signal;
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

/// The calling task, or 0 if it has panicked. Its exit closes its sessions, and ends each turn that it takes there: whoever gave that up
/// for lost would leave a turn behind that is nobody's, and everybody else waiting for it.
#[cfg_attr(kp_driver, optimize(size))]
fn taker() -> u32 {
    let task = kernel::task();
    if kernel::poisoned() && kernel::is_dead(task) { 0 } else { task }
}

/// Ends the turn, also when the simulator unwinds.
struct Held<'a> {
    turn: &'a Turn,
    cx: &'a mut Passive,
    _order: InOrder<'a>,
}

impl Drop for Held<'_> {
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn drop(&mut self) {
        self.turn.holder.store(0, Release);
        self.turn.queue.with(self.cx, |queue, _| queue.pass_on());
        self.turn.moved.wake();
    }
}
