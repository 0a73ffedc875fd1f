//! Which request has a session's ring. One at a time has it; who takes it away does so at once, or else the request that has it frees it on
//! its way out. A tear-down takes it away for good; whose memory it was, until there is another.
use super::sync::{AtomicU32, Ordering::*};
use core::cell::UnsafeCell;
use kp_abi::Status;

/// Somebody has it.
const BUSY: u32 = 1;
/// The session is torn down: nobody gets it any more.
const REVOKED: u32 = 2;
/// Who has it drops it on its way out.
const DISCARDED: u32 = 4;

/// Something that one request at a time may have.
pub(crate) struct Slot<T> {
    word: AtomicU32,
    /// INVARIANT: used by the thread that has set BUSY; that has set REVOKED while nothing was set; or that has taken BUSY away and left one of the
    /// others, until it takes DISCARDED away.
    value: UnsafeCell<Option<T>>,
}
// SAFETY: the value is used by one thread at a time.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        Self { word: AtomicU32::new(0), value: UnsafeCell::new(None) }
    }

    /// Runs `f` with it. Busy: another request has it. Closed: it was revoked.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Option<T>) -> R) -> Result<R, Status> {
        match self.word.compare_exchange(0, BUSY, Acquire, Relaxed) {
            Ok(_) => {}
            Err(word) if word & REVOKED != 0 => return Err(Status::CLOSED),
            Err(_) => return Err(Status::BUSY),
        }
        let guard = RingGuard(self);
        // SAFETY: BUSY was set here.
        Ok(f(unsafe { &mut *guard.0.value.get() }))
    }

    /// Drops the value, now or when the request that has it is through, and lets nobody have it any more. Idempotent.
    pub(crate) fn revoke(&self) {
        if self.word.fetch_or(REVOKED, AcqRel) == 0 {
            // SAFETY: REVOKED was set here, and nothing was set.
            unsafe { self.clear() };
        }
    }

    /// Drops the value.
    ///
    /// # Safety
    /// The caller may use it, and REVOKED or DISCARDED keeps others out.
    #[cfg_attr(kp_driver, optimize(size), inline(never))]
    unsafe fn clear(&self) {
        // SAFETY: the caller's promise.
        drop(unsafe { (*self.value.get()).take() });
        self.word.fetch_and(!DISCARDED, Release);
    }

    /// Takes the value out, or has the request that has it drop it when it is through. There may be another one then. Not while
    /// [`keep`](Self::keep) is called.
    pub(crate) fn discard(&self) -> Option<T> {
        loop {
            if let Ok(value) = self.with(Option::take) {
                return value;
            }
            // Nobody gets it any more, or who has it drops it; or it was let go just now.
            match self.word.compare_exchange(BUSY, BUSY | DISCARDED, Relaxed, Relaxed) {
                Ok(_) => return None,
                Err(word) if word & (REVOKED | DISCARDED) != 0 => return None,
                Err(_) => {}
            }
        }
    }

    /// What was discarded before is not what is to be put there. By the request that has it.
    pub(crate) fn keep(&self) {
        self.word.fetch_and(!DISCARDED, Relaxed);
    }

    /// Is it dropped when the request that has it is through?
    pub(crate) fn is_discarded(&self) -> bool {
        self.word.load(Relaxed) & DISCARDED != 0
    }
}

/// Having it. Also when the simulator unwinds.
struct RingGuard<'a, T>(&'a Slot<T>);

impl<T> Drop for RingGuard<'_, T> {
    fn drop(&mut self) {
        if self.0.word.fetch_and(!BUSY, AcqRel) & (REVOKED | DISCARDED) != 0 {
            // SAFETY: one of them was set while it was BUSY, so the value was left to this thread.
            unsafe { self.0.clear() };
        }
    }
}
