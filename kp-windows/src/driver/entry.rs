//! The driver's entry points, for any plugin. The kernel calls them, at Passive.
use crate::{
    device::mapping,
    driver::{control_device, device_extension::DeviceExtension, pnp, power},
    io::{control, dispatch::DispatchTable, handle, node::Node},
    kernel::{clock, late, leaks, log, memory, optional, parameters, plugin_work},
    nt::*,
};
use kp_abi::Status;
use kp_core::Plugin;

/// DriverEntry. A plugin that drives no device is bound, and gets its node; one that does waits for AddDevice. An NTSTATUS; after an
/// error nothing is left. Passive.
///
/// # Safety
/// `driver` is the kernel's object for this driver, whose DriverEntry runs, and `registry` the path of its service's key; called once.
pub unsafe fn load<P: Plugin>(driver: *mut (), registry: *const ()) -> i32 {
    let driver = driver.cast::<DriverObject>();
    log::set_name(P::TABLE.name);
    plugin_work::set_driver(driver);
    optional::find_all();
    #[cfg(target_arch = "aarch64")]
    optional::find_flush();
    if clock::leaves_sleep_out() {
        optional::find_terminating(); // not Wine: see there
    }
    if !clock::is_there() {
        return ntstatus(Status::INIT_FAILED);
    }
    // SAFETY: the kernel's object, which nothing else uses while DriverEntry runs.
    let object = unsafe { &mut *driver };
    object.driver_unload = Some(unload::<P>);
    // SAFETY: the extension of each device, of either kind, begins with its node.
    let mut requests = unsafe { DispatchTable::<Node>::new(object) };
    requests.on(handle::create::<P>);
    requests.on(handle::cleanup::<P>);
    requests.on(handle::close::<P>);
    requests.on(control::dispatch::<P>);
    if P::TABLE.devices.is_empty() {
        // SAFETY: the kernel's object for this driver, whose DriverEntry runs.
        let loaded = unsafe { control_device::load::<P>(driver) };
        free_late();
        return loaded.err().unwrap_or(STATUS_SUCCESS);
    }
    late::init();
    // SAFETY: the path that DriverEntry was given.
    unsafe { parameters::read(registry.cast()) };
    // SAFETY: all devices of a driver that has no control device are added by `add_device`.
    let mut requests = unsafe { DispatchTable::<DeviceExtension>::new(object) };
    requests.on(pnp::dispatch::<P>);
    requests.on(power::dispatch::<P>);
    requests.on(pnp::pass_on);
    // SAFETY: the driver object's own.
    unsafe { (*object.driver_extension).add_device = Some(pnp::add_device) };
    STATUS_SUCCESS
}

/// The last device is gone, and the last handle closed.
unsafe extern "efiapi" fn unload<P: Plugin>(driver: *mut DriverObject) {
    if P::TABLE.devices.is_empty() {
        // SAFETY: the kernel's object, and `load` has succeeded.
        unsafe { control_device::unload::<P>(driver) };
    }
    // A timer's DPC that has let go of everything may be about to return: the code that it returns from goes now.
    KeFlushQueuedDpcs();
    free_late();
    leaks::report();
}

/// Gives back what was freed too high up.
fn free_late() {
    late::settle();
    mapping::free_late();
    memory::free_late();
}
