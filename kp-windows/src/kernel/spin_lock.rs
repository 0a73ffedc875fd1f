//! A spin lock of the kernel's, with what it guards.
use crate::nt::{self, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock};
use core::cell::UnsafeCell;

/// A value that is looked at on one processor at a time, at DISPATCH_LEVEL. Zero is a free lock.
pub(crate) struct SpinLock<T> {
    lock: UnsafeCell<nt::SpinLock>,
    value: UnsafeCell<T>,
}

impl<T> SpinLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { lock: UnsafeCell::new(0), value: UnsafeCell::new(value) }
    }

    /// Runs `f` with the value, at DISPATCH_LEVEL. Up to that level; not inside itself, where it would wait for itself.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: zero when it was made, and where its owner is.
        let irql = unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        // SAFETY: under the lock.
        let result = f(unsafe { &mut *self.value.get() });
        // SAFETY: taken above.
        unsafe { KeReleaseSpinLock(self.lock.get(), irql) };
        result
    }
}
