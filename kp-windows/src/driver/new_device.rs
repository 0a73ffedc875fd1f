//! A device object that is being made: it goes if it is not finished.
use crate::{
    io::device_object::DeviceObject,
    nt::{self, *},
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::{self, from_ref},
};
use kp_abi::request::CTL_DEVICE;

/// A new device of this driver's, whose extension will be an `E`. Nobody can open it.
pub(crate) struct NewDevice<E> {
    raw: *mut nt::DeviceObject,
    extension: PhantomData<E>,
}

impl<E> NewDevice<E> {
    /// Passive.
    ///
    /// # Safety
    /// `driver` is the kernel's object for this driver.
    pub(crate) unsafe fn create(driver: *mut DriverObject, name: Option<&UnicodeString>) -> Result<Self, NtStatus> {
        let mut raw = ptr::null_mut();
        let (size, name) = (size_of::<E>() as u32, name.map_or(ptr::null(), from_ref));
        // SAFETY: the kernel's own object, no name or one for the call, a writable place.
        let status = unsafe { IoCreateDevice(driver, size, name, CTL_DEVICE, FILE_DEVICE_SECURE_OPEN, 0, &mut raw) };
        if status < 0 { Err(status) } else { Ok(Self { raw, extension: PhantomData }) }
    }

    pub(crate) fn as_raw(&self) -> *mut nt::DeviceObject {
        self.raw
    }

    /// Writes the extension, has `init` make ready what depends on its place, and sets flags of the device's. Nobody can reach the device
    /// before.
    pub(crate) fn finish<'d>(self, extension: E, init: impl FnOnce(&E), set: u32) -> DeviceObject<'d, E> {
        let raw = ManuallyDrop::new(self).raw;
        // SAFETY: the new device, whose extension is memory of this size for it alone.
        let place = unsafe { (*raw).device_extension }.cast::<E>();
        // SAFETY: that memory, aligned as the pool's.
        unsafe { place.write(extension) };
        // SAFETY: written above.
        let device = unsafe { DeviceObject::from_raw(raw) };
        init(&device);
        // SAFETY: the new device, which nobody can reach yet: it is in no stack, or the manager keeps opens of it out until DriverEntry returns.
        unsafe { (*raw).flags |= set };
        device
    }
}

impl<E> Drop for NewDevice<E> {
    fn drop(&mut self) {
        // SAFETY: the new device, which nobody could open.
        unsafe { IoDeleteDevice(self.raw) };
    }
}
