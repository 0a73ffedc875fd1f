//! The driver's dispatch functions: the kernel's calls become calls of functions that take a [`DeviceObject`] and an [`Irp`].
use crate::{
    io::{
        device_object::DeviceObject,
        irp::{Irp, Kind},
    },
    nt::{self, DriverObject, NtStatus},
};
use core::{marker::PhantomData, ptr::NonNull};

/// The dispatch functions of a driver for which devices are an `E`.
pub(crate) struct DispatchTable<'a, E> {
    driver: &'a mut DriverObject,
    extension: PhantomData<E>,
}

impl<'a, E> DispatchTable<'a, E> {
    /// # Safety
    /// The extension of each device of this driver begins with an `E`, or is one.
    pub(crate) unsafe fn new(driver: &'a mut DriverObject) -> Self {
        Self { driver, extension: PhantomData }
    }

    /// Has `f` serve the requests of its kind.
    pub(crate) fn on<K: Kind, F>(&mut self, f: F)
    where
        F: Fn(DeviceObject<'_, E>, Irp<K>) -> NtStatus + Copy + Send + 'static,
    {
        let _ = f;
        self.driver.major_function[K::MAJOR] = Some(dispatch::<E, K, F>);
    }
}

/// What the kernel calls for a request.
unsafe extern "efiapi" fn dispatch<E, K: Kind, F>(device: *mut nt::DeviceObject, irp: *mut nt::Irp) -> NtStatus
where
    F: Fn(DeviceObject<'_, E>, Irp<K>) -> NtStatus + Copy + Send + 'static,
{
    // SAFETY: the kernel passes this driver's devices, which nobody deletes before their own REMOVE_DEVICE does, as the last thing.
    let device = unsafe { DeviceObject::from_raw(device) };
    // SAFETY: the kernel passes requests of this major function, and gives them to the driver with that.
    let irp = unsafe { Irp::from_raw(irp) };
    // SAFETY: `on` was given one.
    let serve = unsafe { function::<F>() };
    serve(device, irp)
}

/// A function without a state of its own, for what the kernel calls through a pointer that carries none.
///
/// # Safety
/// There has been a value of this type.
pub(crate) unsafe fn function<F: Copy + Send + 'static>() -> F {
    const { assert!(size_of::<F>() == 0, "it has a state") };
    // SAFETY: it has no bytes, and may be copied.
    unsafe { NonNull::<F>::dangling().read() }
}
