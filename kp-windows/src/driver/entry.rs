//! The driver's entry points, for any plugin. The kernel calls them, at Passive.
use crate::{
    device::mapping,
    driver::{control_device, pnp, power},
    io::{control, handle},
    kernel::{leaks, memory, parameters, port},
    nt::*,
    ntstatus,
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
    if !port::start(P::TABLE.name) {
        return ntstatus(Status::INIT_FAILED);
    }
    // SAFETY: the caller's promise.
    let object = unsafe { &mut *driver };
    object.driver_unload = Some(unload::<P>);
    object.major_function[major::CREATE] = Some(handle::create::<P>);
    object.major_function[major::CLEANUP] = Some(handle::cleanup::<P>);
    object.major_function[major::CLOSE] = Some(handle::close::<P>);
    object.major_function[major::DEVICE_CONTROL] = Some(control::dispatch::<P>);
    if P::TABLE.devices.is_empty() {
        // SAFETY: the caller's promise.
        let loaded = unsafe { control_device::load::<P>(driver) };
        free_late();
        return loaded.err().unwrap_or(STATUS_SUCCESS);
    }
    // SAFETY: the caller's promise.
    unsafe { parameters::read(registry.cast()) };
    object.major_function[major::PNP] = Some(pnp::dispatch::<P>);
    object.major_function[major::POWER] = Some(power::dispatch::<P>);
    object.major_function[major::SYSTEM_CONTROL] = Some(pnp::pass_on);
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
    // A timer's deferred call that has let go of everything may be about to return: the code that it returns from goes now.
    KeFlushQueuedDpcs();
    free_late();
    leaks::report();
}

/// Gives back what was freed too high up.
fn free_late() {
    mapping::free_late();
    memory::free_late();
}
