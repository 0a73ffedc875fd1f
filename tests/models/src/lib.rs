//! The parts of kp-core's host code, and the ring's queues, that many threads meet in, run under the interleavings that the memory model allows.
//!
//! The files are kp-core's and kp-abi's own, compiled here with loom's atomics and with a wait queue made of loom's lock and condition variable. A
//! missing wake-up is a deadlock to loom, and an access that nothing orders is a race.

/// What kp-core's and kp-abi's files find in their crate.
use kp_abi::{Error, Status, limits};

/// The level of those who may sleep.
pub struct Passive;

/// The level of those who hold a spin lock.
pub struct Dispatch;

/// A spin lock, made of loom's lock.
pub struct SpinLock<T, C> {
    data: loom::sync::Mutex<T>,
    level: core::marker::PhantomData<fn(C)>,
}

impl<T> SpinLock<T, Dispatch> {
    /// As in kp-core.
    ///
    /// # Errors
    /// None.
    pub fn new(_: &mut Passive, data: T) -> Result<Self> {
        Ok(Self { data: loom::sync::Mutex::new(data), level: core::marker::PhantomData })
    }

    /// As in kp-core.
    pub fn with<R>(&self, _: &mut Passive, f: impl FnOnce(&mut T, &mut Dispatch) -> R) -> R {
        let mut data = self.data.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        f(&mut data, &mut Dispatch)
    }
}

/// A mutex, made of loom's.
pub struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// As in kp-core.
    ///
    /// # Errors
    /// None.
    pub fn new(_: &mut Passive, data: T) -> Result<Self> {
        Ok(Self(loom::sync::Mutex::new(data)))
    }

    /// As in kp-core.
    pub fn with<R>(&self, cx: &mut Passive, f: impl FnOnce(&mut T, &mut Passive) -> R) -> R {
        let mut data = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        f(&mut data, cx)
    }
}

/// The order of locks is for a kernel: nothing here.
mod lock {
    use crate::{Passive, Result};

    pub(crate) struct LockOrder;
    pub(crate) struct InOrder<'a>(std::marker::PhantomData<&'a ()>);

    impl LockOrder {
        pub(crate) fn new(_: &mut Passive) -> Result<Self> {
            Ok(Self)
        }

        pub(crate) fn enter(&self) -> InOrder<'_> {
            InOrder(std::marker::PhantomData)
        }
    }
}

/// As in kp-core.
pub type Result<T, E = kp_abi::Error> = core::result::Result<T, E>;

/// What kp-core's files find beside them.
#[cfg_attr(not(test), expect(dead_code, reason = "only the models use them"))]
mod host {
    #[path = "../../../../kp-core/src/host/deadline.rs"]
    #[expect(dead_code, reason = "no wait here has a limit")]
    mod deadline;
    #[path = "../../../../kp-core/src/host/device_dma.rs"]
    pub(crate) mod device_dma;
    #[path = "../../../../kp-core/src/host/dma_memory.rs"]
    #[expect(dead_code, reason = "pages are freed as memory that is shared")]
    pub(crate) mod dma_memory;
    #[path = "../../../../kp-core/src/host/event_count.rs"]
    pub(crate) mod event_count;
    #[path = "../../../../kp-core/src/host/gate.rs"]
    pub(crate) mod gate;
    #[path = "../../../../kp-core/src/host/list.rs"]
    #[expect(dead_code, reason = "of its lists only the chain")]
    pub(crate) mod list;
    /// Memory that is shared is all there is.
    pub(crate) mod mapped {
        pub(crate) fn end_spare(_: &super::device_dma::DeviceDma) {}
    }
    #[path = "../../../../kp-core/src/host/pending.rs"]
    pub(crate) mod pending;
    #[path = "../../../../kp-core/src/host/read_mostly.rs"]
    pub(crate) mod read_mostly;
    #[path = "../../../../kp-core/src/host/robust_mutex.rs"]
    pub(crate) mod robust_mutex;
    #[path = "../../../../kp-core/src/host/scheduled/runs.rs"]
    #[expect(dead_code, reason = "no device is there to have a record")]
    pub(crate) mod runs;
    /// Without an app's buffers.
    pub(crate) mod session_context {
        use super::waker::Waker;
        use crate::{Passive, Result};

        pub(crate) struct SessionContext {
            pub(crate) waker: Waker,
        }

        impl SessionContext {
            pub(crate) fn new(cx: &mut Passive, _: bool) -> Result<Self> {
                Ok(Self { waker: Waker::new(cx)? })
            }
        }
    }
    #[path = "../../../../kp-core/src/host/rundown.rs"]
    pub(crate) mod rundown;
    #[path = "../../../../kp-core/src/host/stack.rs"]
    pub(crate) mod stack;
    #[path = "../../../../kp-core/src/host/stop_dma.rs"]
    #[expect(dead_code, reason = "nobody asks for figures")]
    pub(crate) mod stop_dma;
    #[path = "../../../../kp-core/src/host/waiters.rs"]
    pub(crate) mod waiters;
    #[path = "../../../../kp-core/src/host/waker.rs"]
    #[expect(dead_code, reason = "of its waits only those of a plugin's queue")]
    pub(crate) mod waker;

    pub(crate) mod sync {
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
    }
    #[path = "."]
    pub(crate) mod ring {
        use super::sync;
        use kp_abi::ring::{Completion, INLINE, Submission};
        #[path = "../../../../kp-abi/src/ring/figures.rs"]
        pub(crate) mod figures;
        #[path = "../../../../kp-abi/src/ring/queue.rs"]
        pub(crate) mod queue;
        #[path = "../../../../kp-core/src/host/ring/slot.rs"]
        #[expect(dead_code, reason = "no batch looks whether it is to end")]
        pub(crate) mod slot;
    }
    mod fake;
    pub(crate) mod fake_dma;
    pub(crate) use deadline::Deadline;
    pub(crate) use event_count::EventCount;
    pub(crate) use fake::{KernelWaitQueue, TaskId, Timeout, WaitKind, Woken, kernel};
    #[cfg(test)]
    pub(crate) use fake::{become_task, has_panicked, is_killed};
    pub(crate) use fake_dma::{CoherentMemory, DmaId, LogLine, link};
    pub(crate) use robust_mutex::{OwnerDied, RobustMutex};
}

/// What was begun is over when the lock is had.
mod pci {
    pub(crate) fn end_transfers(_: crate::host::fake_dma::DeviceId, _: u32) -> bool {
        true
    }
}

/// Memory of the kernel's, made of std's.
pub struct KBox<T>(Box<T>);

impl<T> KBox<T> {
    /// As in kp-core.
    ///
    /// # Errors
    /// None.
    pub fn new(_: &mut Passive, value: T) -> Result<Self> {
        Ok(Self(Box::new(value)))
    }

    /// As in kp-core.
    #[must_use]
    pub fn into_inner(self) -> T {
        *self.0
    }

    fn into_raw(self) -> core::ptr::NonNull<T> {
        core::ptr::NonNull::from(Box::leak(self.0))
    }

    /// # Safety
    /// It came from `into_raw`, also as another type of the same layout, and is not used again.
    unsafe fn from_raw(value: core::ptr::NonNull<T>) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { Box::from_raw(value.as_ptr()) })
    }
}

/// What a device reaches is nobody's business here.
pub struct DmaLimits;

#[cfg(test)]
mod dma;
#[cfg(test)]
mod models;
#[cfg(test)]
mod rings;
#[cfg(test)]
mod waits;
