//! An event of the kernel's.
use crate::nt::{self, KeInitializeEvent, KeSetEvent, KeWaitForSingleObject, event_type, mode};
use core::{cell::UnsafeCell, ptr};

/// What threads wait for. A reference to one, but for [`init`](Self::init), is to one that is initialised and stays where it is.
pub(crate) struct Event(UnsafeCell<nt::Event>);

impl Event {
    /// Before it is initialised.
    pub(crate) const fn unused() -> Self {
        Self(UnsafeCell::new(nt::Event::UNUSED))
    }

    /// Makes it one that lets one waiter through each time it is set.
    ///
    /// # Safety
    /// Nobody else uses it yet, and from here on it stays where it is.
    pub(crate) unsafe fn init(&self) {
        // SAFETY: writable: the caller's own.
        unsafe { KeInitializeEvent(self.0.get(), event_type::SYNCHRONIZATION, 0) };
    }

    /// Runs `f` with an event on this stack that stays set.
    pub(crate) fn on_stack<R>(f: impl FnOnce(&Self) -> R) -> R {
        let event = Self::unused();
        // SAFETY: writable, and in this frame until `f` has returned. A kernel-mode wait keeps the stack in memory.
        unsafe { KeInitializeEvent(event.0.get(), event_type::NOTIFICATION, 0) };
        f(&event)
    }

    /// What the kernel's own functions set.
    pub(crate) fn as_raw(&self) -> *mut nt::Event {
        self.0.get()
    }

    /// Up to DISPATCH_LEVEL.
    pub(crate) fn set(&self) {
        // SAFETY: initialised.
        unsafe { KeSetEvent(self.0.get(), 0, 0) };
    }

    /// Waits until it is set, or the time is up; `timeout` as the kernel wants it, None: without a limit. Nothing else ends the wait. Passive.
    pub(crate) fn wait(&self, reason: i32, timeout: Option<i64>) {
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: initialised; the time is readable. A wait in kernel mode, not alertable.
        unsafe { KeWaitForSingleObject(self.0.get().cast(), reason, mode::KERNEL, 0, timeout) };
    }
}
