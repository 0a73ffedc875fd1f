//! What a device has run later, at Passive.
use crate::{
    io::irp::Tag,
    nt::{self, *},
};
use core::ffi::c_void;

/// A work item of a device's. INVARIANT: not queued when it is dropped: what is queued keeps its device.
pub(crate) struct WorkItem(*mut c_void);

impl WorkItem {
    /// None: no memory. Passive.
    ///
    /// # Safety
    /// A device of this driver's, which the value goes with.
    pub(crate) unsafe fn new(device: *mut nt::DeviceObject) -> Option<Self> {
        // SAFETY: a device of this driver's.
        let item = unsafe { IoAllocateWorkItem(device) };
        if item.is_null() { None } else { Some(Self(item)) }
    }

    /// What its own use of the device is told apart by.
    pub(crate) fn tag(&self) -> Tag {
        self.0
    }

    /// Has `routine` run with the device and the context. Up to DISPATCH_LEVEL.
    ///
    /// # Safety
    /// It is not queued. The device stays until the routine has run, which may be called with this context.
    pub(crate) unsafe fn queue(&self, routine: WorkRoutine, context: *mut c_void) {
        // SAFETY: allocated by `new`, and not queued.
        unsafe { IoQueueWorkItem(self.0, routine, DELAYED_WORK_QUEUE, context) };
    }
}

impl Drop for WorkItem {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, and not queued.
        unsafe { IoFreeWorkItem(self.0) };
    }
}
