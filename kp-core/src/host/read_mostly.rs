//! What is read in each call and changed now and then: who reads takes no lock, but counts itself; who changes it has a lock, has further readers wait
//! for that, and waits until nobody reads.
//!
//! A reader is as short as those in a [`Rundown`](super::rundown::Rundown): a few instructions, in which it neither sleeps nor waits. So who changes waits by
//! looking again, and leaving wakes nobody.
use super::{
    kernel,
    sync::{AtomicU32, Ordering::*},
};
use crate::{Mutex, Passive, Result};
use core::cell::UnsafeCell;

/// It is being changed. The other bits count who reads.
const CHANGING: u32 = 1 << 31;
/// How long who changes it waits between two looks, in ns.
const LOOK_NS: u64 = 20_000;

/// See the module. INVARIANT: who reads is counted in `word`, from a time on at which it was not CHANGING, or holds `lock`.
pub(crate) struct ReadMostly<T> {
    word: AtomicU32,
    /// Held by who changes it.
    lock: Mutex<()>,
    value: UnsafeCell<T>,
}
// SAFETY: readers share the value, and who changes it is alone with it.
unsafe impl<T: Send + Sync> Sync for ReadMostly<T> {}

impl<T> ReadMostly<T> {
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn new(cx: &mut Passive, value: T) -> Result<Self> {
        Ok(Self { word: AtomicU32::new(0), lock: Mutex::new(cx, ())?, value: UnsafeCell::new(value) })
    }

    /// Runs `f`, which neither sleeps nor waits.
    #[inline(always)]
    pub(crate) fn read<R>(&self, cx: &mut Passive, f: impl FnOnce(&T) -> R) -> R {
        if self.word.fetch_add(1, Acquire) & CHANGING == 0 {
            // SAFETY: who changes it waits until this reader has left.
            let read = f(unsafe { &*self.value.get() });
            self.word.fetch_sub(1, Release);
            return read;
        }
        self.word.fetch_sub(1, Release);
        self.read_later(cx, f)
    }

    /// It is being changed.
    #[cfg_attr(kp_driver, optimize(size))]
    #[cold]
    #[inline(never)]
    fn read_later<R>(&self, cx: &mut Passive, f: impl FnOnce(&T) -> R) -> R {
        // SAFETY: who changes it holds the lock.
        self.lock.with(cx, |(), _| f(unsafe { &*self.value.get() }))
    }

    /// Runs `f` alone with the value.
    pub(crate) fn change<R>(&self, cx: &mut Passive, f: impl FnOnce(&mut T, &mut Passive) -> R) -> R {
        self.lock.with(cx, |(), cx| {
            self.word.fetch_or(CHANGING, AcqRel);
            while self.word.load(Acquire) != CHANGING {
                kernel::sleep_ns(LOOK_NS);
            }
            // SAFETY: the lock is held, and nobody is counted who does not leave at once.
            let changed = f(unsafe { &mut *self.value.get() }, cx);
            self.word.fetch_and(!CHANGING, Release);
            changed
        })
    }
}
