//! The control device of a plugin that drives no hardware: one, from DriverEntry to unload.
use crate::{
    driver::{node, node::Node, node::State, security},
    kernel::names::Name,
    nt::*,
    ntstatus,
};
use core::ptr;
use kp_abi::request::CTL_DEVICE;
use kp_core::{
    Plugin,
    host::{BoundDevice, RawDevice, passive},
};

fn device_name<P: Plugin>() -> Name {
    Name::new(&["\\Device\\kp-", P::TABLE.name])
}

/// Binds the plugin, and makes its node `\\.\kp-<name>`. After an error nothing is left. Passive.
///
/// # Safety
/// `driver` is the kernel's object for this driver, whose DriverEntry runs.
pub(crate) unsafe fn load<P: Plugin>(driver: *mut DriverObject) -> Result<(), NtStatus> {
    // SAFETY: this is the port; a driver without a device is never suspended, and is removed at unload alone.
    let bind = |cx: &mut kp_core::Passive| unsafe { BoundDevice::<P>::bind(cx, RawDevice::none()) };
    // SAFETY: DriverEntry runs at Passive.
    let bound = unsafe { passive(bind) }.map_err(|error| {
        kp_core::log!("init refused: {}", error);
        ntstatus(error.status)
    })?;
    // SAFETY: the caller's promise.
    match unsafe { make::<P>(driver) } {
        Ok(device) => {
            // SAFETY: made by `make`.
            let node = unsafe { Node::of(device) };
            node.put(bound);
            node.set(State::Open);
            Ok(())
        }
        Err(status) => {
            kp_core::log!("no node: {:#x}", status);
            // SAFETY: as above.
            unsafe { node::end(&bound, true) };
            Err(status)
        }
    }
}

/// The device, closed to all but administrators, and then its name for apps. The kernel lets nobody open it before DriverEntry has
/// returned.
///
/// # Safety
/// As [`load`].
unsafe fn make<P: Plugin>(driver: *mut DriverObject) -> Result<*mut DeviceObject, NtStatus> {
    let (name, link) = (device_name::<P>(), node::link_name::<P>(None));
    let (name, link) = (name.as_unicode(), link.as_unicode());
    let mut device = ptr::null_mut();
    let extension = size_of::<Node>() as u32;
    // SAFETY: the kernel's own object, a name for the call, a writable place.
    let status =
        unsafe { IoCreateDevice(driver, extension, &name, CTL_DEVICE, FILE_DEVICE_SECURE_OPEN, 0, &mut device) };
    if status < 0 {
        return Err(status);
    }
    // SAFETY: the device of above.
    let place = unsafe { (*device).device_extension };
    // SAFETY: as above: its own memory, of this size.
    unsafe { Node::write(place.cast()) };
    // SAFETY: the device of above.
    let mut status = unsafe { security::protect(device) };
    if status >= 0 {
        // SAFETY: two names for the call.
        status = unsafe { IoCreateSymbolicLink(&link, &name) };
    }
    if status < 0 {
        // SAFETY: the device of above; nobody could open it.
        unsafe { IoDeleteDevice(device) };
        return Err(status);
    }
    Ok(device)
}

/// The last handle is closed, and the driver was told to stop. Passive.
///
/// # Safety
/// `driver` is the kernel's object, for which [`load`] has succeeded.
pub(crate) unsafe fn unload<P: Plugin>(driver: *mut DriverObject) {
    let link = node::link_name::<P>(None);
    // SAFETY: a name for the call. Nobody finds the device from here on.
    unsafe { IoDeleteSymbolicLink(&link.as_unicode()) };
    // SAFETY: the kernel's object, and its one device, made by `load`.
    let device = unsafe { (*driver).device_object };
    // SAFETY: as above.
    let node = unsafe { Node::of(device) };
    // SAFETY: no request comes any more.
    if let Some(bound) = unsafe { node.take::<P>() } {
        // SAFETY: unload runs at Passive.
        unsafe { node::end(&bound, true) };
    }
    // SAFETY: the device of above, used for the last time.
    unsafe { IoDeleteDevice(device) };
}
