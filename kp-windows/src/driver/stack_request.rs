//! A request to a device of a stack, from its dispatch function until it is answered or passed on, with all that runs in between.
use crate::{
    driver::device_extension::DeviceExtension,
    io::{
        device_object::DeviceObject,
        dispatch::function,
        irp::{Irp, Kind},
        work_item::WorkItem,
    },
    nt::{self, *},
};
use core::{
    ffi::c_void,
    ops::{Deref, DerefMut},
    ptr,
};

/// A request with its device, whose remove lock it holds: the device is there as long as the value is.
#[must_use = "a request is completed or passed on once"]
pub(crate) struct StackRequest<K> {
    /// Not given out for longer than the lock is held.
    device: DeviceObject<'static, DeviceExtension>,
    irp: Irp<K>,
}

impl<K: Kind> StackRequest<K> {
    /// An error: the device is being removed, and the request is completed with that.
    #[inline(never)]
    pub(crate) fn enter(device: &DeviceObject<'_, DeviceExtension>, irp: Irp<K>) -> Result<Self, NtStatus> {
        match device.node.acquire_remove_lock(irp.tag()) {
            // SAFETY: a request of this driver's for this device.
            Ok(()) => Ok(unsafe { Self::from_raw(device.as_raw(), irp.into_raw()) }),
            Err(status) => Err(irp.complete(status, 0)),
        }
    }

    /// # Safety
    /// A request of this kind for this driver's device, of which it holds the remove lock; the caller's from here on.
    pub(crate) unsafe fn from_raw(device: *mut nt::DeviceObject, irp: *mut nt::Irp) -> Self {
        // SAFETY: the remove lock keeps the device as long as it is given out.
        let device = unsafe { DeviceObject::from_raw(device) };
        // SAFETY: of this kind, and the caller's.
        Self { device, irp: unsafe { Irp::from_raw(irp) } }
    }

    /// Gives the request up, which goes on holding the lock; [`from_raw`](Self::from_raw) takes it back.
    pub(crate) fn into_raw(self) -> *mut nt::Irp {
        self.irp.into_raw()
    }

    pub(crate) fn device(&self) -> &DeviceExtension {
        &self.device
    }

    /// Tells the power manager which state the device is in. Up to DISPATCH_LEVEL.
    pub(crate) fn set_power_state(&self, state: i32) {
        // SAFETY: this driver's device, which is there.
        unsafe { PoSetPowerState(self.device.as_raw(), power::DEVICE, state) };
    }

    /// Answers the request with what is already in it. Up to DISPATCH_LEVEL.
    #[inline(never)]
    pub(crate) fn complete_as(self, status: NtStatus) -> NtStatus {
        self.and_leave(|_, irp| irp.complete_as(status))
    }

    /// Answers the request. Up to DISPATCH_LEVEL.
    #[inline(never)]
    pub(crate) fn complete(self, status: NtStatus, written: usize) -> NtStatus {
        self.and_leave(|_, irp| irp.complete(status, written))
    }

    /// Passes the request on, and forgets it.
    #[inline(never)]
    pub(crate) fn forward(self) -> NtStatus {
        self.and_leave(|device, irp| irp.forward(device.lower()))
    }

    /// Gives the request up, and then the lock.
    fn and_leave(self, f: impl FnOnce(&DeviceExtension, Irp<K>) -> NtStatus) -> NtStatus {
        let tag = self.irp.tag();
        let status = f(&self.device, self.irp);
        self.device.node.release_remove_lock(tag);
        status
    }

    /// Passes a REMOVE_DEVICE on, waits until nobody else holds the device's lock, which nobody will any more, runs `f`, and deletes the
    /// device. Passive.
    pub(crate) fn forward_last(self, f: impl FnOnce(&DeviceExtension)) -> NtStatus {
        let tag = self.irp.tag();
        let status = self.irp.forward(self.device.lower());
        self.device.node.release_remove_lock_and_wait(tag);
        f(&self.device);
        // SAFETY: nobody holds its lock, and it is not used below.
        unsafe { DeviceExtension::delete(self.device.as_raw()) };
        status
    }

    /// Passes the request on and waits for the answer. Passive.
    #[inline(never)]
    pub(crate) fn forward_and_wait(&mut self) -> NtStatus {
        let lower = self.device().lower();
        self.irp.forward_and_wait(lower)
    }

    /// Passes the request on, and has `done` run when it is completed: up to DISPATCH_LEVEL. It answers with the request if the completion
    /// goes on, and keeps it otherwise.
    pub(crate) fn forward_then<F>(self, done: F)
    where
        F: Fn(Self) -> Option<Self> + Copy + Send + 'static,
    {
        let _ = done;
        let lower = self.device().lower();
        // SAFETY: `completed` makes of the request what this value is, and uses no context.
        unsafe { self.irp.forward_then(lower, completed::<K, F>, ptr::null_mut()) };
    }

    /// Has `f` run with the request in a while, at Passive. Up to DISPATCH_LEVEL.
    ///
    /// # Safety
    /// The device's work item is not queued.
    pub(crate) unsafe fn queue<F>(self, item: fn(&DeviceExtension) -> &WorkItem, f: F)
    where
        F: Fn(Self) + Copy + Send + 'static,
    {
        let _ = f;
        let item = item(self.device.extension());
        // SAFETY: not queued; the request is `worker`'s, and goes on holding the lock that keeps the device.
        unsafe { item.queue(worker::<K, F>, self.irp.into_raw().cast()) };
    }
}

/// What the kernel calls when a request that [`forward_then`](StackRequest::forward_then) has passed on is completed.
unsafe extern "efiapi" fn completed<K, F>(device: *mut nt::DeviceObject, irp: *mut nt::Irp, _: *mut c_void) -> NtStatus
where
    K: Kind,
    F: Fn(StackRequest<K>) -> Option<StackRequest<K>> + Copy + Send + 'static,
{
    // SAFETY: given up by `forward_then`, and this driver's again.
    let request = unsafe { StackRequest::<K>::from_raw(device, irp) };
    // SAFETY: `forward_then` was given one.
    match unsafe { function::<F>() }(request) {
        Some(request) => request.and_leave(|_, irp| {
            irp.into_raw();
            STATUS_CONTINUE_COMPLETION
        }),
        None => STATUS_MORE_PROCESSING_REQUIRED,
    }
}

/// What a work item calls that [`queue`](StackRequest::queue) has queued.
unsafe extern "efiapi" fn worker<K, F>(device: *mut nt::DeviceObject, irp: *mut c_void)
where
    K: Kind,
    F: Fn(StackRequest<K>) + Copy + Send + 'static,
{
    // SAFETY: given up by `queue`, for this device.
    let request = unsafe { StackRequest::<K>::from_raw(device, irp.cast()) };
    // SAFETY: `queue` was given one.
    let run = unsafe { function::<F>() };
    run(request);
}

impl<K> Deref for StackRequest<K> {
    type Target = Irp<K>;

    fn deref(&self) -> &Irp<K> {
        &self.irp
    }
}

impl<K> DerefMut for StackRequest<K> {
    fn deref_mut(&mut self) -> &mut Irp<K> {
        &mut self.irp
    }
}
