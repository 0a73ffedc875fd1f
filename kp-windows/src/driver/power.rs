//! Power. The driver decides over its device's power as a function driver does: a change of the system's state asks for one of the
//! device's, and that is where the plugin is told.
use crate::{
    driver::{device_extension::DeviceExtension, stack_request::StackRequest},
    io::{
        device_object::DeviceObject,
        irp::{Irp, Power},
        node::Node,
    },
    kernel::clock,
    nt::{self, *},
};
use core::{ffi::c_void, mem::replace, ptr, sync::atomic::Ordering::*};
use kp_core::{
    Plugin,
    host::{BoundDevice, SUSPEND_NS, passive},
};

/// How often the device's power is asked for again.
const ASKED_AGAIN: u32 = 50;
/// How long after each time, in ns.
const ASK_AGAIN_NS: u64 = 100_000_000;

/// A power request. Passive, as the device says that its code may be paged.
pub(crate) fn dispatch<P: Plugin>(device: DeviceObject<'_, DeviceExtension>, irp: Irp<Power>) -> NtStatus {
    let mut request = match StackRequest::enter(&device, irp) {
        Ok(request) => request,
        Err(status) => return status,
    };
    let power = request.parameters();
    match (request.minor(), power.kind, power.state) {
        (power::SET_POWER, power::SYSTEM, power::WORKING) => system_wakes(request),
        (power::SET_POWER, power::SYSTEM, _) => system_sleeps::<P>(request),
        (power::SET_POWER, power::DEVICE, power::D0) => device_wakes::<P>(request),
        (power::SET_POWER, power::DEVICE, _) => device_sleeps::<P>(request),
        (power::QUERY_POWER, power::SYSTEM | power::DEVICE, _) => {
            request.set_status(STATUS_SUCCESS);
            request.forward()
        }
        // What it does not know it leaves as it is.
        _ => request.forward(),
    }
}

/// The system goes to sleep or off: the bus is told, then the device sleeps, and with that the request is over.
fn system_sleeps<P: Plugin>(mut request: StackRequest<Power>) -> NtStatus {
    request.device().power_retry.system_sleeps.with(|system_sleeps| *system_sleeps = true);
    request.mark_pending();
    request.forward_then(bus_may_sleep::<P>);
    STATUS_PENDING
}

/// The bus knows that the system goes to sleep: now the device. Up to DISPATCH_LEVEL.
fn bus_may_sleep<P: Plugin>(request: StackRequest<Power>) -> Option<StackRequest<Power>> {
    let (pdo, irp) = (request.device().pdo, request.into_raw());
    // SAFETY: the context is the system's request, which is pending until `device_is_asleep` has run.
    let status = unsafe { pdo.request_power(power::D3, Some(device_is_asleep), irp.cast()) };
    if status < 0 {
        kp_core::log!("no power request: {:#x}", status);
        // SAFETY: `device_is_asleep` is not called, so the request is this function's again.
        let request = unsafe { again(irp) };
        // SAFETY: the system sends one request to sleep at a time, so it is not queued.
        unsafe { request.queue(|device| &device.system_sleep_work, sleep_unasked::<P>) };
    }
    None
}

/// A system's request that [`bus_may_sleep`] has given up.
///
/// # Safety
/// It is the caller's, and pending.
unsafe fn again(irp: *mut nt::Irp) -> StackRequest<Power> {
    // SAFETY: pending, so this driver's location is the current one.
    let location = unsafe { (*irp).current_stack_location };
    // SAFETY: this driver's location, which is there as long as the request.
    let device = unsafe { (*location).device_object };
    // SAFETY: the caller's, and for this device.
    unsafe { StackRequest::from_raw(device, irp) }
}

/// The device sleeps: with that the system's request is over. Up to DISPATCH_LEVEL.
unsafe extern "efiapi" fn device_is_asleep(
    _: *mut nt::DeviceObject,
    _: u8,
    _: i32,
    irp: *mut c_void,
    done: *mut IoStatusBlock,
) {
    // SAFETY: the request of `bus_may_sleep`, for which the kernel calls this once.
    let request = unsafe { again(irp.cast()) };
    // SAFETY: the kernel's, for this call.
    let status = unsafe { (*done).status };
    request.complete_as(status);
}

/// The system goes to sleep, and the device's power cannot be asked for: at least the plugin is told. Passive.
fn sleep_unasked<P: Plugin>(request: StackRequest<Power>) {
    suspend::<P>(request.device());
    let status = request.status();
    request.complete_as(status);
}

/// The device loses its power: the plugin first, which may take its time, then the bus.
fn device_sleeps<P: Plugin>(mut request: StackRequest<Power>) -> NtStatus {
    request.mark_pending();
    // SAFETY: one change of a device's power at a time, so it is not queued.
    unsafe { request.queue(|device| &device.power_work, sleep::<P>) };
    STATUS_PENDING
}

/// Nothing touches the device any more, so it may lose its power. Passive.
fn sleep<P: Plugin>(mut request: StackRequest<Power>) {
    suspend::<P>(request.device());
    request.set_power_state(request.parameters().state);
    request.set_status(STATUS_SUCCESS);
    request.forward_then(bus_has_taken_it);
}

/// The device has lost its power. Up to DISPATCH_LEVEL.
fn bus_has_taken_it(request: StackRequest<Power>) -> Option<StackRequest<Power>> {
    Some(request)
}

/// The system is awake: the bus first, then the device.
fn system_wakes(mut request: StackRequest<Power>) -> NtStatus {
    request.device().power_retry.system_sleeps.with(|system_sleeps| *system_sleeps = false);
    request.mark_pending();
    request.forward_then(bus_is_awake);
    STATUS_PENDING
}

/// The bus is awake: the system need not wait for the device. Up to DISPATCH_LEVEL.
fn bus_is_awake(request: StackRequest<Power>) -> Option<StackRequest<Power>> {
    let status = ask_for_power(request.device());
    if status < 0 {
        kp_core::log!("no power request: {:#x}; asking again", status);
        ask_later(request.device());
    }
    Some(request)
}

/// Asks for the device's power. Up to DISPATCH_LEVEL.
fn ask_for_power(this: &DeviceExtension) -> NtStatus {
    // SAFETY: nothing is called.
    unsafe { this.pdo.request_power(power::D0, None, ptr::null_mut()) }
}

/// Asks for the device's power again, a while later and from another thread. Up to DISPATCH_LEVEL.
fn ask_later(this: &DeviceExtension) {
    this.power_retry.left.store(ASKED_AGAIN, Release);
    if this.power_retry.is_under_way.swap(true, AcqRel) {
        return; // it begins anew
    }
    if this.node.acquire_remove_lock(this.power_retry.work.tag()).is_err() {
        this.power_retry.is_under_way.store(false, Release);
        return;
    }
    // SAFETY: not under way, so not queued; the device is kept by its remove lock until `ask_again` releases that.
    unsafe { this.power_retry.work.queue(ask_again, ptr::null_mut()) };
}

/// Asks for the device's power until the kernel has the memory for it, unless the system goes to sleep again: the device would sleep on. Passive.
unsafe extern "efiapi" fn ask_again(device: *mut nt::DeviceObject, _: *mut c_void) {
    // SAFETY: this driver's device, kept from being deleted by `ask_later`.
    let this = unsafe { DeviceObject::<DeviceExtension>::from_raw(device) };
    let is_settled = loop {
        clock::sleep(ASK_AGAIN_NS);
        if this.power_retry.system_sleeps.with(|system_sleeps| *system_sleeps || ask_for_power(&this) >= 0) {
            break true;
        }
        if this.power_retry.left.fetch_sub(1, AcqRel) <= 1 {
            break false;
        }
    };
    this.power_retry.is_under_way.store(false, Release);
    if !is_settled {
        kp_core::log!("the device stays asleep: no power could be asked for");
    }
    this.node.release_remove_lock(this.power_retry.work.tag());
}

/// The device gets its power back: the bus first, then, at Passive, the plugin.
fn device_wakes<P: Plugin>(mut request: StackRequest<Power>) -> NtStatus {
    request.mark_pending();
    request.forward_then(device_has_power::<P>);
    STATUS_PENDING
}

/// The bus has given the device its power back. Up to DISPATCH_LEVEL.
fn device_has_power<P: Plugin>(request: StackRequest<Power>) -> Option<StackRequest<Power>> {
    // SAFETY: one change of a device's power at a time, so it is not queued.
    unsafe { request.queue(|device| &device.power_work, wake::<P>) };
    None
}

/// The device is awake. Passive.
fn wake<P: Plugin>(request: StackRequest<Power>) {
    let status = request.status();
    if status >= 0 {
        request.set_power_state(power::D0);
        resume::<P>(request.device());
    }
    request.complete_as(status);
}

/// Tells the plugin that its device goes to sleep, once. Nothing of it touches the device when this returns. Passive.
fn suspend<P: Plugin>(this: &DeviceExtension) {
    this.with(|started| {
        if !replace(&mut started.suspended, true) {
            tell::<P>(&this.node, |driver| {
                // SAFETY: under the device's `started` lock, as its removal is.
                let suspend = |cx: &mut kp_core::Passive| unsafe { driver.suspend(cx, SUSPEND_NS) };
                // SAFETY: Passive.
                unsafe { passive(suspend) }
            });
            if let Some(hardware) = &started.hardware {
                hardware.interrupt.finish_handlers();
            }
        }
    });
}

/// Tells the plugin that its device is awake, if it slept. Passive.
fn resume<P: Plugin>(this: &DeviceExtension) {
    this.with(|started| {
        if replace(&mut started.suspended, false) {
            if let Some(hardware) = &started.hardware {
                hardware.apply(); // what it knew it may have forgotten
            }
            tell::<P>(&this.node, |driver| {
                // SAFETY: under the device's `started` lock, as its removal is.
                let resume = |cx: &mut kp_core::Passive| unsafe { driver.resume(cx) };
                // SAFETY: Passive.
                unsafe { passive(resume) }
            });
        }
    });
}

/// Under the device's `started` lock.
fn tell<P: Plugin>(node: &Node, f: impl FnOnce(&BoundDevice<P>)) {
    // SAFETY: one of `P`; only those under `started` lock, and REMOVE_DEVICE after the last power request, take it.
    unsafe { node.with::<P, _>(f) };
}
