//! The calls of a session that wait in wait queues of the plugin's. What ends the session's sleeps has to wake them there, so each is known to its
//! session while it waits: a wake-up itself knows nothing of sessions, and stays one addition and one call of the kernel.
//!
//! Most times it is one, and that one takes no lock: its place is one word, which it takes and leaves by a compare-and-exchange each. The others are
//! in a list. Who wakes them all holds the list's lock, and has the word say so: nobody takes that place meanwhile, and who leaves it waits for
//! the lock.
use super::{
    EventCount,
    list::{Chain, Links},
    sync::{AtomicPtr, Ordering::*},
};
use crate::{Dispatch, Passive, Result, SpinLock};
use core::ptr::{self, NonNull};

/// See the module. INVARIANT: what is in the one place or linked is an [`EventCount`] that somebody waits on.
pub(super) struct Waiters {
    /// Where the one waits. Null: the place is free. [`WAKING`]: whoever holds the lock has taken out what was in it, and puts it back.
    one: AtomicPtr<EventCount>,
    more: SpinLock<Chain, Dispatch>,
}

/// The address of nothing.
const WAKING: *mut EventCount = ptr::without_provenance_mut(1);

/// One who waits, on its own stack, until it is dropped. A port keeps the stack of a thread that waits in memory, and no code of a plugin, which
/// may panic and never return, runs on top of it.
struct Waiter<'a> {
    list: &'a Waiters,
    on: &'a EventCount,
    /// None: it has the one place.
    links: Option<Links>,
    cx: &'a mut Passive,
}

impl Waiters {
    pub(super) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self { one: AtomicPtr::new(ptr::null_mut()), more: SpinLock::new(cx, Chain::new())? })
    }

    /// Runs `wait`, which waits on `on`, and is woken there by each [`wake`](Self::wake) that comes meanwhile. What was written before that is seen by
    /// `wait` if it came too early for this.
    #[inline(always)]
    pub(super) fn during<R>(&self, cx: &mut Passive, on: &EventCount, wait: impl FnOnce() -> R) -> R {
        let mut waiter = Waiter { list: self, on, links: None, cx };
        if !self.replace(ptr::null_mut(), waiter.place()) {
            waiter.link();
        }
        wait()
    }

    /// Puts `new` into the one place, if `old` is in it.
    #[inline(always)]
    fn replace(&self, old: *mut EventCount, new: *mut EventCount) -> bool {
        self.one.compare_exchange(old, new, AcqRel, Relaxed).is_ok()
    }

    /// Wakes all who wait.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn wake(&self, cx: &mut Passive) {
        self.more.with(cx, |chain, _| {
            let one = self.one.swap(WAKING, AcqRel);
            // SAFETY: null, or by the invariant: who waits there has borrowed it, and leaves the place with the lock held.
            if let Some(on) = unsafe { one.as_ref() } {
                on.wake();
            }
            self.one.store(one, Release);
            let wake = |on: NonNull<()>| {
                // SAFETY: what is linked is an event count that a waiter has borrowed until it has left.
                unsafe { on.cast::<EventCount>().as_ref() }.wake();
            };
            // SAFETY: under the lock.
            unsafe { chain.each(wake) }
        });
    }
}

impl Waiter<'_> {
    #[inline(always)]
    fn place(&self) -> *mut EventCount {
        ptr::from_ref(self.on).cast_mut()
    }

    /// The one place is taken.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    fn link(&mut self) {
        let (on, links) = (NonNull::from(self.on).cast(), self.links.insert(Links::new()));
        // SAFETY: under the lock. `on` is borrowed, and the links are in no chain; they are taken out of it by the drop, before either goes.
        self.list.more.with(self.cx, |chain, _| unsafe { chain.insert(on, links) });
    }

    /// Leaves the list; or the one place, out of which somebody has taken it to wake it.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    fn leave(&mut self) {
        let (list, links) = (self.list, &self.links);
        list.more.with(self.cx, |chain, _| match links {
            // SAFETY: under the lock, and `link` has put it in.
            Some(links) => unsafe { chain.remove(links) },
            // Back in it, since the lock is held.
            None => list.one.store(ptr::null_mut(), Release),
        });
    }
}

impl Drop for Waiter<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.links.is_some() || !self.list.replace(self.place(), ptr::null_mut()) {
            self.leave();
        }
    }
}
