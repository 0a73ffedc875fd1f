//! Whose turn a session's ring is. One request at a time has it; a tear-down takes it away at once, or else has whoever is in it free
//! it on the way out.
use super::sync::{AtomicU32, Ordering::*};
use core::cell::UnsafeCell;
use kp_abi::Status;

/// Somebody has it.
const BUSY: u32 = 1;
/// The session is torn down: nobody gets it any more.
const REVOKED: u32 = 2;

/// Something that one request at a time may have.
pub(crate) struct Slot<T> {
    word: AtomicU32,
    /// INVARIANT: used by whoever has set BUSY, and by whoever set REVOKED while it was not BUSY.
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
        let turn = RingGuard(self);
        // SAFETY: BUSY was set here.
        Ok(f(unsafe { &mut *turn.0.value.get() }))
    }

    /// Drops the value, now or when the request that has it is through, and lets nobody have it any more. Idempotent.
    pub(crate) fn revoke(&self) {
        if self.word.fetch_or(REVOKED, AcqRel) == 0 {
            // SAFETY: REVOKED was set here, and it was not BUSY.
            drop(unsafe { (*self.value.get()).take() });
        }
    }
}

/// Having it. Also when the simulator unwinds.
struct RingGuard<'a, T>(&'a Slot<T>);

impl<T> Drop for RingGuard<'_, T> {
    fn drop(&mut self) {
        if self.0.word.fetch_and(!BUSY, AcqRel) & REVOKED != 0 {
            // SAFETY: whoever revoked it saw it BUSY, and left it to this one.
            drop(unsafe { (*self.0.value.get()).take() });
        }
    }
}
