//! Power. The driver decides over its device's power as a function driver does: a change of the system's state asks for one of the
//! device's, and that is where the plugin is told.
use crate::{
    device::interrupt::Interrupt,
    driver::{device_extension::DeviceExtension, node::Node},
    io::irp,
    kernel::wait_queue::relative,
    nt::*,
};
use core::{ffi::c_void, ptr, sync::atomic::Ordering::*};
use kp_core::{
    Plugin,
    host::{BoundDevice, SUSPEND_NS, passive},
};

/// How often the device's power is asked for again.
const ASKED_AGAIN: u32 = 50;
/// How long after each time, in ns.
const ASK_AGAIN_NS: u64 = 100_000_000;

/// A power request. Passive, as the device says that its code may be paged.
pub(crate) unsafe extern "efiapi" fn dispatch<P: Plugin>(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    // SAFETY: the kernel passes this driver's devices.
    let this = unsafe { DeviceExtension::of(device) };
    if let Err(status) = this.node.enter(irp) {
        // SAFETY: this driver's, answered once.
        return unsafe { irp::complete(irp, status, 0) };
    }
    // SAFETY: this driver's.
    let location = unsafe { irp::location(irp) };
    // SAFETY: power requests have these parameters, at least those that are looked at.
    let power = unsafe { location.parameters.power };
    match (location.minor_function, power.kind, power.state) {
        // SAFETY: as above, used for the last time.
        (power::SET_POWER, power::SYSTEM, power::WORKING) => unsafe { system_wakes(this, irp) },
        // SAFETY: as above.
        (power::SET_POWER, power::SYSTEM, _) => unsafe { system_sleeps::<P>(this, irp) },
        // SAFETY: as above.
        (power::SET_POWER, power::DEVICE, power::D0) => unsafe { device_wakes::<P>(this, irp) },
        // SAFETY: as above.
        (power::SET_POWER, power::DEVICE, _) => unsafe { device_sleeps::<P>(this, irp) },
        (power::QUERY_POWER, power::SYSTEM | power::DEVICE, _) => {
            // SAFETY: this driver's.
            unsafe { (*irp).io_status.status = STATUS_SUCCESS };
            // SAFETY: as above.
            unsafe { pass_and_leave(this, irp) }
        }
        // What it does not know it leaves as it is.
        // SAFETY: as above.
        _ => unsafe { pass_and_leave(this, irp) },
    }
}

/// # Safety
/// The request is this driver's, has entered the node, and is not used again.
unsafe fn pass_and_leave(this: &DeviceExtension, irp: *mut Irp) -> NtStatus {
    // SAFETY: the caller's promise.
    let status = unsafe { irp::pass(this.lower, irp) };
    this.node.leave(irp);
    status
}

/// The system goes to sleep or off: the bus is told, then the device sleeps, and with that the request is over.
///
/// # Safety
/// As [`pass_and_leave`].
unsafe fn system_sleeps<P: Plugin>(this: &DeviceExtension, irp: *mut Irp) -> NtStatus {
    this.again.with(|system_sleeps| *system_sleeps = true);
    // SAFETY: the caller's promise.
    unsafe { irp::mark_pending(irp) };
    // SAFETY: as above; it is `bus_may_sleep`'s from here on.
    unsafe { irp::pass_then(this.lower, irp, bus_may_sleep::<P>, ptr::null_mut()) };
    STATUS_PENDING
}

/// The bus knows that the system goes to sleep: now the device. Up to DISPATCH_LEVEL.
unsafe extern "efiapi" fn bus_may_sleep<P: Plugin>(
    device: *mut DeviceObject,
    irp: *mut Irp,
    _: *mut c_void,
) -> NtStatus {
    // SAFETY: this driver's device, kept from being deleted by the request.
    let this = unsafe { DeviceExtension::of(device) };
    // SAFETY: this device's; the request stays until `device_is_asleep` completes it.
    let status = unsafe {
        PoRequestPowerIrp(this.pdo, power::SET_POWER, power::D3, Some(device_is_asleep), irp.cast(), ptr::null_mut())
    };
    if status < 0 {
        kp_core::log!("no power request: {:#x}", status);
        // SAFETY: the device's own, for this: the system sends one request to sleep at a time.
        unsafe { IoQueueWorkItem(this.unasked, sleep_unasked::<P>, DELAYED_WORK_QUEUE, irp.cast()) };
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// The device sleeps: with that the system's request is over. Up to DISPATCH_LEVEL.
unsafe extern "efiapi" fn device_is_asleep(
    _: *mut DeviceObject,
    _: u8,
    _: i32,
    irp: *mut c_void,
    done: *mut IoStatusBlock,
) {
    let irp = irp.cast::<Irp>();
    // SAFETY: the request of `system_sleeps`, which is pending.
    let device = unsafe { irp::location(irp) }.device_object;
    // SAFETY: the request keeps this driver's device from being deleted.
    let this = unsafe { DeviceExtension::of(device) };
    // SAFETY: the kernel's, for this call.
    let status = unsafe { (*done).status };
    // SAFETY: as above, answered once.
    unsafe { irp::complete_as(irp, status) };
    this.node.leave(irp);
}

/// The system goes to sleep, and the device's power cannot be asked for: at least the plugin hears of it. Passive.
unsafe extern "efiapi" fn sleep_unasked<P: Plugin>(device: *mut DeviceObject, irp: *mut c_void) {
    let irp = irp.cast::<Irp>();
    // SAFETY: this driver's device, kept from being deleted by the request.
    let this = unsafe { DeviceExtension::of(device) };
    suspend::<P>(this);
    // SAFETY: the request of `system_sleeps`, which is pending.
    let status = unsafe { (*irp).io_status.status };
    // SAFETY: as above, answered once.
    unsafe { irp::complete_as(irp, status) };
    this.node.leave(irp);
}

/// The device loses its power: the plugin first, which may take its time, then the bus.
///
/// # Safety
/// As [`pass_and_leave`].
unsafe fn device_sleeps<P: Plugin>(this: &DeviceExtension, irp: *mut Irp) -> NtStatus {
    // SAFETY: the caller's promise.
    unsafe { irp::mark_pending(irp) };
    // SAFETY: one change of a device's power at a time: it is not queued. The request stays until `sleep` passes it on.
    unsafe { IoQueueWorkItem(this.work, sleep::<P>, DELAYED_WORK_QUEUE, irp.cast()) };
    STATUS_PENDING
}

/// Nothing touches the device any more, so it may lose its power. Passive.
unsafe extern "efiapi" fn sleep<P: Plugin>(device: *mut DeviceObject, irp: *mut c_void) {
    let irp = irp.cast::<Irp>();
    // SAFETY: this driver's device, kept from being deleted by the request.
    let this = unsafe { DeviceExtension::of(device) };
    suspend::<P>(this);
    // SAFETY: the request of `device_sleeps`, which is pending.
    let parameters = &unsafe { irp::location(irp) }.parameters;
    // SAFETY: a power request's.
    let state = unsafe { parameters.power }.state;
    // SAFETY: this driver's device.
    unsafe { PoSetPowerState(device, power::DEVICE, state) };
    // SAFETY: as above.
    unsafe { (*irp).io_status.status = STATUS_SUCCESS };
    // SAFETY: as above; it is `bus_has_taken_it`'s from here on.
    unsafe { irp::pass_then(this.lower, irp, bus_has_taken_it, ptr::null_mut()) };
}

/// The device has lost its power. Up to DISPATCH_LEVEL.
unsafe extern "efiapi" fn bus_has_taken_it(device: *mut DeviceObject, irp: *mut Irp, _: *mut c_void) -> NtStatus {
    // SAFETY: this driver's device, kept from being deleted by the request.
    unsafe { DeviceExtension::of(device) }.node.leave(irp);
    STATUS_CONTINUE_COMPLETION
}

/// The system is awake: the bus first, then the device.
///
/// # Safety
/// As [`pass_and_leave`].
unsafe fn system_wakes(this: &DeviceExtension, irp: *mut Irp) -> NtStatus {
    this.again.with(|system_sleeps| *system_sleeps = false);
    // SAFETY: the caller's promise.
    unsafe { irp::mark_pending(irp) };
    // SAFETY: as above; it is `bus_is_awake`'s from here on.
    unsafe { irp::pass_then(this.lower, irp, bus_is_awake, ptr::null_mut()) };
    STATUS_PENDING
}

/// The bus is awake: the system need not wait for the device. Up to DISPATCH_LEVEL.
unsafe extern "efiapi" fn bus_is_awake(device: *mut DeviceObject, irp: *mut Irp, _: *mut c_void) -> NtStatus {
    // SAFETY: this driver's device, kept from being deleted by the request.
    let this = unsafe { DeviceExtension::of(device) };
    let status = ask_for_power(this);
    if status < 0 {
        kp_core::log!("no power request: {:#x}; asking again", status);
        ask_later(this);
    }
    this.node.leave(irp);
    STATUS_CONTINUE_COMPLETION
}

/// Asks for the device's power. Up to DISPATCH_LEVEL.
fn ask_for_power(this: &DeviceExtension) -> NtStatus {
    // SAFETY: this device's.
    unsafe { PoRequestPowerIrp(this.pdo, power::SET_POWER, power::D0, None, ptr::null_mut(), ptr::null_mut()) }
}

/// Asks for the device's power again, a while later and from another thread. Up to DISPATCH_LEVEL.
fn ask_later(this: &DeviceExtension) {
    this.again.times.store(ASKED_AGAIN, Release);
    if this.again.is_under_way.swap(true, AcqRel) {
        return; // it begins anew
    }
    if this.node.enter(this.again.work.cast()).is_err() {
        this.again.is_under_way.store(false, Release);
        return;
    }
    // SAFETY: the device's own, for this, and not queued.
    unsafe { IoQueueWorkItem(this.again.work, ask_again, DELAYED_WORK_QUEUE, ptr::null_mut()) };
}

/// Asks for the device's power until the kernel has the memory for it, unless the system goes to sleep again: the device would sleep on. Passive.
unsafe extern "efiapi" fn ask_again(device: *mut DeviceObject, _: *mut c_void) {
    // SAFETY: this driver's device, kept from being deleted by `ask_later`.
    let this = unsafe { DeviceExtension::of(device) };
    let is_settled = loop {
        let interval = relative(ASK_AGAIN_NS);
        // SAFETY: readable; a kernel-mode delay ends with its time only.
        unsafe { KeDelayExecutionThread(mode::KERNEL, 0, &interval) };
        if this.again.with(|system_sleeps| *system_sleeps || ask_for_power(this) >= 0) {
            break true;
        }
        if this.again.times.fetch_sub(1, AcqRel) <= 1 {
            break false;
        }
    };
    this.again.is_under_way.store(false, Release);
    if !is_settled {
        kp_core::log!("the device stays asleep: no power could be asked for");
    }
    this.node.leave(this.again.work.cast());
}

/// The device gets its power back: the bus first, then, at Passive, the plugin.
///
/// # Safety
/// As [`pass_and_leave`].
unsafe fn device_wakes<P: Plugin>(this: &DeviceExtension, irp: *mut Irp) -> NtStatus {
    // SAFETY: the caller's promise.
    unsafe { irp::mark_pending(irp) };
    // SAFETY: as above; it is `device_has_power`'s from here on.
    unsafe { irp::pass_then(this.lower, irp, device_has_power::<P>, ptr::null_mut()) };
    STATUS_PENDING
}

/// The bus has given the device its power back. Up to DISPATCH_LEVEL.
unsafe extern "efiapi" fn device_has_power<P: Plugin>(
    device: *mut DeviceObject,
    irp: *mut Irp,
    _: *mut c_void,
) -> NtStatus {
    // SAFETY: this driver's device, kept from being deleted by the request.
    let this = unsafe { DeviceExtension::of(device) };
    // SAFETY: one change of a device's power at a time: it is not queued. The request stays until `wake` completes it.
    unsafe { IoQueueWorkItem(this.work, wake::<P>, DELAYED_WORK_QUEUE, irp.cast()) };
    STATUS_MORE_PROCESSING_REQUIRED
}

/// The device is awake. Passive.
unsafe extern "efiapi" fn wake<P: Plugin>(device: *mut DeviceObject, irp: *mut c_void) {
    let irp = irp.cast::<Irp>();
    // SAFETY: this driver's device, kept from being deleted by the request.
    let this = unsafe { DeviceExtension::of(device) };
    // SAFETY: the request of `device_wakes`, which is pending.
    let status = unsafe { (*irp).io_status.status };
    if status >= 0 {
        // SAFETY: this driver's device.
        unsafe { PoSetPowerState(device, power::DEVICE, power::D0) };
        resume::<P>(this);
    }
    // SAFETY: as above, answered once.
    unsafe { irp::complete_as(irp, status) };
    this.node.leave(irp);
}

/// Tells the plugin that its device goes to sleep, once. Nothing of it touches the device when this returns. Passive.
fn suspend<P: Plugin>(this: &DeviceExtension) {
    this.with(|started| {
        if !core::mem::replace(&mut started.suspended, true) {
            tell::<P>(&this.node, |driver| {
                // SAFETY: under the device's `pnp_lock`, as its removal is.
                let suspend = |cx: &mut kp_core::Passive| unsafe { driver.suspend(cx, SUSPEND_NS) };
                // SAFETY: Passive.
                unsafe { passive(suspend) }
            });
            if let Some(hardware) = started.hardware {
                // SAFETY: a record that is not freed.
                Interrupt::finish_handlers(unsafe { hardware.as_ref() });
            }
        }
    });
}

/// Tells the plugin that its device is awake, if it slept. Passive.
fn resume<P: Plugin>(this: &DeviceExtension) {
    this.with(|started| {
        if core::mem::replace(&mut started.suspended, false) {
            if let Some(hardware) = started.hardware {
                // SAFETY: a record that is not freed.
                unsafe { hardware.as_ref() }.apply(); // what it knew it may have forgotten
            }
            tell::<P>(&this.node, |driver| {
                // SAFETY: under the device's `pnp_lock`, as its removal is.
                let resume = |cx: &mut kp_core::Passive| unsafe { driver.resume(cx) };
                // SAFETY: Passive.
                unsafe { passive(resume) }
            });
        }
    });
}

/// Under the device's `pnp_lock`.
fn tell<P: Plugin>(node: &Node, f: impl FnOnce(&BoundDevice<P>)) {
    // SAFETY: one of `P`; only those under `pnp_lock`, and REMOVE_DEVICE after the last power request, take it.
    unsafe { node.with::<P, _>(f) };
}
