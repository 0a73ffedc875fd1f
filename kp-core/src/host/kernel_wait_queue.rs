//! A kernel's wait queue, as the host code uses it.
use super::{RawWaitQueue, Timeout, WaitKind, Woken, kernel};
use crate::{Passive, Result, Status};
use core::{ptr::NonNull, sync::atomic::AtomicU32};

/// Something to wait on. INVARIANT: made by `wait_queue_new`, alive until dropped.
pub(crate) struct KernelWaitQueue(NonNull<RawWaitQueue>);
// SAFETY: a port's wait queue may be used from any thread.
unsafe impl Send for KernelWaitQueue {}
// SAFETY: the port synchronises waiters and wakers of all threads.
unsafe impl Sync for KernelWaitQueue {}

impl KernelWaitQueue {
    pub(crate) fn new(_: &mut Passive) -> Result<Self> {
        kernel::wait_queue_new().map(KernelWaitQueue).ok_or(Status::NO_MEMORY.into())
    }

    pub(crate) fn raw(&self) -> NonNull<RawWaitQueue> {
        self.0
    }

    /// Waits until `*word != seen`. Passive: callers hold a `&mut Passive` or are the port's entry.
    pub(crate) fn wait(&self, word: &AtomicU32, seen: u32, timeout: Timeout, kind: WaitKind) -> Woken {
        // SAFETY: alive by the invariant.
        unsafe { kernel::wait_queue_wait(self.0, word, seen, timeout, kind) }
    }

    /// Wakes all. Passive and Dispatch, and where the port allows it Irql.
    #[inline]
    pub(crate) fn wake(&self) {
        // SAFETY: alive by the invariant.
        unsafe { kernel::wait_queue_wake(self.0) }
    }
}
impl Drop for KernelWaitQueue {
    fn drop(&mut self) {
        // SAFETY: alive by the invariant, and nobody waits: a waiter would borrow it.
        unsafe { kernel::wait_queue_free(self.0) }
    }
}
