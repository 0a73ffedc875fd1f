//! The control device of a plugin that drives no hardware: one, from DriverEntry to unload.
use crate::{
    driver::{new_device::NewDevice, security},
    io::{
        device_object::DeviceObject,
        node::{self, Node, State},
    },
    kernel::{late, memory, names::Name},
    nt::{self, *},
};
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
    // SAFETY: this is the port; a driver without a device is never suspended, and is removed once, by its unload or by what ends it sooner.
    let bind = |cx: &mut kp_core::Passive| unsafe { BoundDevice::<P>::bind(cx, RawDevice::none()) };
    // SAFETY: DriverEntry runs at Passive.
    let bound = unsafe { passive(bind) }.map_err(|error| {
        kp_core::log!("init refused: {}", error);
        ntstatus(error.status)
    })?;
    // SAFETY: the kernel's object for this driver.
    match unsafe { make::<P>(driver) } {
        Ok(node) => {
            node.put(bound);
            node.end_by(end_device::<P>);
            node.set(State::Open);
            Ok(())
        }
        Err(status) => {
            kp_core::log!("no node: {:#x}", status);
            // SAFETY: DriverEntry runs at Passive, and nobody else knows the driver.
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
unsafe fn make<'d, P: Plugin>(driver: *mut DriverObject) -> Result<DeviceObject<'d, Node>, NtStatus> {
    let name = device_name::<P>();
    // SAFETY: the kernel's object for this driver.
    let device = unsafe { NewDevice::<Node>::create(driver, Some(&name.as_unicode())) }?;
    let mut status = security::protect(&device);
    if status >= 0 {
        status = node::link_name::<P>(None).link_to(&name.as_unicode());
    }
    if status < 0 {
        return Err(status);
    }
    // SAFETY: once, and the extension stays where it is.
    let init = |node: &Node| unsafe { node.init_remove_lock() };
    Ok(device.finish(Node::new(), init, 0))
}

/// The plugin does not let go of memory whose app has ended: it ends here, and nobody opens its device until the driver is loaded again.
///
/// # Safety
/// The device that [`load`] has made, whose driver is not unloaded meanwhile; Passive.
unsafe fn end_device<P: Plugin>(device: *mut nt::DeviceObject) {
    // SAFETY: made by `load`: its extension is a node.
    let node = unsafe { DeviceObject::<Node>::from_raw(device) };
    // Once, whoever else's time is up.
    if node.change(State::Open, State::Closed, false) {
        // SAFETY: Passive; a driver without a device is never suspended, and unload ends it after the request that this serves.
        let end = |bound: &BoundDevice<P>| unsafe { node::end(bound, true) };
        // SAFETY: `put` has put one of `P` there, and unload alone takes it.
        unsafe { node.with::<P, _>(end) };
        late::settle();
        memory::free_late();
    }
}

/// The last handle is closed, and the driver was told to stop. Passive.
///
/// # Safety
/// `driver` is the kernel's object, for which [`load`] has succeeded.
pub(crate) unsafe fn unload<P: Plugin>(driver: *mut DriverObject) {
    node::link_name::<P>(None).unlink(); // nobody finds the device from here on
    // SAFETY: the kernel's object, and its one device, made by `load`.
    let device = unsafe { (*driver).device_object };
    // SAFETY: made by `load`, and deleted below.
    let node = unsafe { DeviceObject::<Node>::from_raw(device) };
    // SAFETY: no request comes any more.
    if let Some(bound) = unsafe { node.take::<P>() } {
        // SAFETY: unload runs at Passive, and a driver without a device is never suspended.
        unsafe { node::end(&bound, true) };
    }
    // SAFETY: this driver's, used for the last time.
    unsafe { IoDeleteDevice(device) };
}
