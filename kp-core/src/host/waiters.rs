//! The calls of a session that wait in wait queues of the plugin's. What ends the session's sleeps has to wake them there, so each is in its
//! session's list while it waits: a wake-up itself knows nothing of sessions, and stays one addition and one call of the kernel.
use super::{
    EventCount,
    list::{Chain, Links},
};
use crate::{Dispatch, Passive, Result, SpinLock};
use core::ptr::NonNull;

/// See the module. What is linked is an [`EventCount`]: that which somebody waits on.
pub(super) struct Waiters(SpinLock<Chain, Dispatch>);

/// One who waits, on its own stack, until it is dropped. A port keeps the stack of a thread that waits in memory, and no code of a plugin, which
/// may panic and never return, runs on top of it.
struct Waiter<'a> {
    list: &'a Waiters,
    links: Links,
    cx: &'a mut Passive,
}

impl Waiters {
    pub(super) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self(SpinLock::new(cx, Chain::new())?))
    }

    /// Runs `wait`, which waits on `on`, and is woken there by each [`wake`](Self::wake) that comes meanwhile.
    pub(super) fn during<R>(&self, cx: &mut Passive, on: &EventCount, wait: impl FnOnce() -> R) -> R {
        let waiter = Waiter { list: self, links: Links::new(), cx };
        // SAFETY: under the lock. `on` is borrowed, and the links are in no chain; they are taken out of it below, before either goes.
        self.0.with(waiter.cx, |chain, _| unsafe { chain.insert(NonNull::from(on).cast(), &waiter.links) });
        wait()
    }

    /// Wakes all who wait.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn wake(&self, cx: &mut Passive) {
        self.0.with(cx, |chain, _| {
            let wake = |on: NonNull<()>| {
                // SAFETY: what is linked is an event count that a waiter has borrowed until it has left.
                unsafe { on.cast::<EventCount>().as_ref() }.wake();
            };
            // SAFETY: under the lock.
            unsafe { chain.each(wake) }
        });
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        // SAFETY: under the lock, and `during` has put it in.
        self.list.0.with(self.cx, |chain, _| unsafe { chain.remove(&self.links) });
    }
}
