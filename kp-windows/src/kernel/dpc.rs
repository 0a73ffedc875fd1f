//! Deferred procedure calls, and the timers that queue them.
use crate::nt::{self, DpcRoutine, KeCancelTimer, KeInitializeDpc, KeInitializeTimer, KeInsertQueueDpc, KeSetTimer};
use core::{cell::UnsafeCell, ffi::c_void, ptr};

/// A DPC. A reference to one, but for [`init`](Self::init), is to one that is initialised and stays where it is.
pub(crate) struct Dpc(UnsafeCell<nt::Dpc>);

impl Dpc {
    /// Before it is initialised.
    pub(crate) const fn unused() -> Self {
        Self(UnsafeCell::new(nt::Dpc::UNUSED))
    }

    /// # Safety
    /// It is not queued, and from here on stays where it is. Whenever it is queued, the routine may be called with this context.
    pub(crate) unsafe fn init(&self, routine: DpcRoutine, context: *mut c_void) {
        // SAFETY: writable: nobody else uses it.
        unsafe { KeInitializeDpc(self.0.get(), routine, context) };
    }

    /// Has it run, once if it is queued already. Any level.
    #[inline]
    pub(crate) fn queue(&self) {
        // SAFETY: initialised.
        unsafe { KeInsertQueueDpc(self.0.get(), ptr::null_mut(), ptr::null_mut()) };
    }

    pub(crate) fn as_raw(&self) -> *mut nt::Dpc {
        self.0.get()
    }
}

/// A timer with the DPC that it queues. As with [`Dpc`], what is referred to is initialised.
pub(crate) struct Timer {
    raw: UnsafeCell<nt::Timer>,
    dpc: Dpc,
}

impl Timer {
    /// Before it is initialised.
    pub(crate) const fn unused() -> Self {
        Self { raw: UnsafeCell::new(nt::Timer::UNUSED), dpc: Dpc::unused() }
    }

    /// # Safety
    /// As for [`Dpc::init`]; when the timer is set, the routine may be called with this context.
    pub(crate) unsafe fn init(&self, routine: DpcRoutine, context: *mut c_void) {
        // SAFETY: writable: nobody else uses it.
        unsafe { KeInitializeTimer(self.raw.get()) };
        // SAFETY: not queued, and it stays where it is.
        unsafe { self.dpc.init(routine, context) };
    }

    /// Has its DPC queued at a time, as the kernel wants it. Up to DISPATCH_LEVEL.
    pub(crate) fn set(&self, due: i64) {
        // SAFETY: both initialised.
        unsafe { KeSetTimer(self.raw.get(), due, self.dpc.as_raw()) };
    }

    /// Takes it back. True: it was set, and its DPC is not called for that. Up to DISPATCH_LEVEL.
    pub(crate) fn cancel(&self) -> bool {
        // SAFETY: initialised.
        unsafe { KeCancelTimer(self.raw.get()) != 0 }
    }
}
