//! Plug and play: AddDevice, and the requests that start, stop and remove a device. What the bus must have done first is waited for;
//! everything else is passed on.
use crate::{
    device::{hardware::Hardware, mapping, resources::Resources},
    driver::{
        device_extension::{DeviceExtension, StartedState},
        node::{self, State},
    },
    io::irp,
    kernel::memory,
    nt::*,
    ntstatus,
};

use kp_abi::Status;
use kp_core::{
    Plugin,
    host::{BoundDevice, RawDevice, passive},
};

/// Devices of one plugin that have a name at a time.
const MAX_DEVICES: u32 = 256;

/// A device was found. The kernel calls it, at Passive.
pub(crate) unsafe extern "efiapi" fn add_device(driver: *mut DriverObject, pdo: *mut DeviceObject) -> NtStatus {
    // SAFETY: the kernel passes this driver's object, and a device of its bus.
    match unsafe { DeviceExtension::add(driver, pdo) } {
        Ok(()) => STATUS_SUCCESS,
        Err(status) => {
            kp_core::log!("no device: {:#x}", status);
            status
        }
    }
}

/// A plug-and-play request. Passive.
pub(crate) unsafe extern "efiapi" fn dispatch<P: Plugin>(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    // SAFETY: the kernel passes this driver's devices.
    let this = unsafe { DeviceExtension::of(device) };
    if let Err(status) = this.node.enter(irp) {
        // SAFETY: this driver's, answered once.
        return unsafe { irp::complete(irp, status, 0) };
    }
    // SAFETY: this driver's.
    let minor = unsafe { irp::location(irp) }.minor_function;
    match minor {
        pnp::START_DEVICE => {
            // SAFETY: as above, used for the last time.
            let status = unsafe { start::<P>(device, this, irp) };
            this.node.leave(irp);
            status
        }
        pnp::CANCEL_STOP_DEVICE | pnp::CANCEL_REMOVE_DEVICE => {
            // SAFETY: as above, used for the last time.
            let status = unsafe { cancel(this, irp, minor) };
            this.node.leave(irp);
            status
        }
        pnp::REMOVE_DEVICE => {
            // SAFETY: as above; the device is not used any more.
            unsafe { remove::<P>(device, this, irp) }
        }
        _ => {
            let status = match minor {
                pnp::QUERY_STOP_DEVICE => query(this, State::StopPending, true),
                pnp::QUERY_REMOVE_DEVICE => query(this, State::RemovePending, false),
                pnp::STOP_DEVICE => stop::<P>(this),
                pnp::SURPRISE_REMOVAL => surprise::<P>(this),
                _ => None,
            };
            // SAFETY: as above, used for the last time.
            let status = unsafe { pass(this, irp, status) };
            this.node.leave(irp);
            status
        }
    }
}

/// Passes a request on. `status`: what this driver says to it; None: nothing, it knows no such request. An error goes no further.
///
/// # Safety
/// The request is this driver's, and is not used again.
unsafe fn pass(this: &DeviceExtension, irp: *mut Irp, status: Option<NtStatus>) -> NtStatus {
    match status {
        // SAFETY: the caller's promise.
        Some(status) if status < 0 => return unsafe { irp::complete(irp, status, 0) },
        // SAFETY: as above.
        Some(status) => unsafe { (*irp).io_status.status = status },
        None => {}
    }
    // SAFETY: as above.
    unsafe { irp::pass(this.lower, irp) }
}

/// The bus starts first; then the plugin gets its device.
///
/// # Safety
/// A START_DEVICE of this driver for this device, which is not used again.
unsafe fn start<P: Plugin>(device: *mut DeviceObject, this: &DeviceExtension, irp: *mut Irp) -> NtStatus {
    // SAFETY: the caller's promise.
    let mut status = unsafe { irp::pass_and_wait(this.lower, irp) };
    if status >= 0 {
        // SAFETY: as above.
        let parameters = &unsafe { irp::location(irp) }.parameters;
        // SAFETY: START_DEVICE has these.
        let assigned = unsafe { parameters.start_device };
        // SAFETY: as above.
        let started = this.with(|started| unsafe { start_device::<P>(this, started, &assigned) });
        if started.is_ok() {
            // SAFETY: this driver's device, which the bus has given power.
            unsafe { PoSetPowerState(device, power::DEVICE, power::D0) };
        }
        if let Err(refused) = started {
            kp_core::log!("start refused: {} ({:#x})", refused, ntstatus(refused));
            status = ntstatus(refused);
        }
    }
    // SAFETY: as above, answered once.
    unsafe { irp::complete_as(irp, status) }
}

/// Binds the plugin, and gives it a name. After an error nothing is left.
///
/// # Safety
/// The bus has started the device; the parameters are those of START_DEVICE.
unsafe fn start_device<P: Plugin>(
    this: &DeviceExtension,
    started: &mut StartedState,
    assigned: &StartDeviceParameters,
) -> Result<(), Status> {
    let (raw, translated) = (assigned.allocated_resources, assigned.allocated_resources_translated);
    // SAFETY: the plug-and-play manager's lists.
    let resources = unsafe { Resources::read(raw, translated) }?;
    // SAFETY: the devices of this stack, alive until REMOVE_DEVICE.
    let hardware = unsafe { Hardware::new(this.pdo, this.lower, &resources) }?;
    started.hardware = Some(hardware);
    // SAFETY: made above.
    let bars = unsafe { hardware.as_ref() }.lengths();
    let id = hardware.as_ptr().expose_provenance();
    // SAFETY: the record stays until `unbind` has ended the driver; the plug-and-play manager gives a device to one stack.
    let raw = unsafe { RawDevice::new(id, bars, bus_address(this.pdo)) };
    // SAFETY: this is the port; what comes of the device's life comes under its `pnp_lock`.
    let bind = |cx: &mut kp_core::Passive| unsafe { BoundDevice::<P>::bind(cx, raw) };
    // SAFETY: START_DEVICE comes at Passive.
    match unsafe { passive(bind) } {
        Ok(driver) => this.node.put(driver),
        Err(error) => {
            kp_core::log!("init refused the device: {}", error);
            unbind::<P>(this, started);
            return Err(error.status);
        }
    }
    started.suspended = false;
    this.node.set(State::Open);
    publish::<P>(this, started).map_err(|status| {
        kp_core::log!("no node: {:#x}", status);
        unbind::<P>(this, started);
        Status::INIT_FAILED
    })
}

/// Gives the device a name for apps, the lowest that is free, and shows its interface.
fn publish<P: Plugin>(this: &DeviceExtension, started: &mut StartedState) -> Result<(), NtStatus> {
    let mut name = [0; 128];
    let target = property_name(this.pdo, &mut name)?;
    for instance in 0..MAX_DEVICES {
        let link = node::link_name::<P>(Some(instance));
        // SAFETY: two names for the call.
        match unsafe { IoCreateSymbolicLink(&link.as_unicode(), &target) } {
            STATUS_OBJECT_NAME_COLLISION => {}
            status if status < 0 => return Err(status),
            _ => {
                started.link = Some(link);
                show(this, true)?;
                started.is_shown = true;
                return Ok(());
            }
        }
    }
    Err(STATUS_OBJECT_NAME_COLLISION)
}

/// Enables or disables the device interface.
fn show(this: &DeviceExtension, on: bool) -> Result<(), NtStatus> {
    // SAFETY: the kernel's own string.
    let status = unsafe { IoSetDeviceInterfaceState(&this.interface, on.into()) };
    if status < 0 { Err(status) } else { Ok(()) }
}

/// The name of the bus's device, in `units`.
fn property_name(pdo: *mut DeviceObject, units: &mut [u16; 128]) -> Result<UnicodeString, NtStatus> {
    let mut needed = 0;
    let (len, place) = (size_of_val(units) as u32, units.as_mut_ptr().cast());
    // SAFETY: the bus's device, and a writable place of this length.
    let status = unsafe { IoGetDeviceProperty(pdo, property::PHYSICAL_DEVICE_OBJECT_NAME, len, place, &mut needed) };
    let length = needed.min(len).saturating_sub(2) as u16; // without the zero at the end
    let name = UnicodeString { length, maximum_length: length, buffer: units.as_ptr() };
    if status < 0 { Err(status) } else { Ok(name) }
}

/// PCI address as QUERY has it; the device's number and function are the halves of what Windows calls its address.
fn bus_address(pdo: *mut DeviceObject) -> u64 {
    let number = |property| {
        let (mut value, mut needed) = (0_u32, 0);
        // SAFETY: the bus's device, and a writable place of four bytes.
        let status = unsafe { IoGetDeviceProperty(pdo, property, 4, (&raw mut value).cast(), &mut needed) };
        if status < 0 { None } else { Some(value) }
    };
    match (number(property::BUS_NUMBER), number(property::ADDRESS)) {
        (Some(bus), Some(address)) if address != property::NO_ADDRESS => {
            u64::from(bus) << 8 | u64::from(address >> 16 << 3 & 0xF8 | address & 7)
        }
        _ => kp_abi::request::NO_BUS_ADDRESS,
    }
}

/// Undoes [`start_device`], as far as it came: nobody finds the device, every session ends, the plugin goes. The driver's record stays for
/// handles that are being made.
fn unbind<P: Plugin>(this: &DeviceExtension, started: &mut StartedState) {
    this.node.set(State::Closed);
    if let Some(link) = started.link.take() {
        // SAFETY: a name for the call.
        unsafe { IoDeleteSymbolicLink(&link.as_unicode()) };
    }
    if core::mem::take(&mut started.is_shown) {
        let _ = show(this, false);
    }
    // SAFETY: a record that is not freed.
    let present = started.hardware.is_some_and(|hardware| unsafe { hardware.as_ref() }.is_present());
    // SAFETY: plug-and-play requests come at Passive.
    let end = |driver: &BoundDevice<P>| unsafe { node::end(driver, present) };
    // SAFETY: `put` has put one of `P` there, and only plug-and-play requests, of which one runs at a time, take it.
    let ended = unsafe { this.node.with::<P, _>(end) };
    memory::free_late();
    mapping::free_late();
    if let Some(hardware) = started.hardware.take_if(|_| ended != Some(false)) {
        // SAFETY: the plugin is gone, and with it all that used the device.
        unsafe { Hardware::free(hardware) };
    }
}

/// May the device be stopped, or removed? From here on it cannot be opened. It is not stopped under open handles: what has been assigned
/// to it may be something else afterwards.
fn query(this: &DeviceExtension, pending: State, unless_open: bool) -> Option<NtStatus> {
    let was_closed = || this.node.change(State::Closed, State::Closed, false);
    let changed = this.node.change(State::Open, pending, unless_open) || was_closed();
    Some(if changed { STATUS_SUCCESS } else { STATUS_DEVICE_BUSY })
}

/// It is not stopped, or removed: when the drivers below know it, it can be opened again.
///
/// # Safety
/// A request of this driver that says so, which is not used again.
unsafe fn cancel(this: &DeviceExtension, irp: *mut Irp, minor: u8) -> NtStatus {
    // SAFETY: the caller's promise.
    unsafe { (*irp).io_status.status = STATUS_SUCCESS };
    // SAFETY: as above.
    let status = unsafe { irp::pass_and_wait(this.lower, irp) };
    let pending = if minor == pnp::CANCEL_STOP_DEVICE { State::StopPending } else { State::RemovePending };
    this.node.change(pending, State::Open, false);
    // SAFETY: as above, answered once.
    unsafe { irp::complete_as(irp, status) }
}

/// It is stopped, and may be started again with other resources. The device interface stays enabled meanwhile, so that apps that look for
/// it need not look again.
fn stop<P: Plugin>(this: &DeviceExtension) -> Option<NtStatus> {
    this.with(|started| {
        let is_shown = core::mem::take(&mut started.is_shown);
        unbind::<P>(this, started);
        started.is_shown = is_shown;
    });
    // SAFETY: no handle is open, and none could be made since QUERY_STOP.
    drop(unsafe { this.node.take::<P>() });
    Some(STATUS_SUCCESS)
}

/// It is gone already, or nothing may touch it from here on: everything ends here, also what has handles.
fn surprise<P: Plugin>(this: &DeviceExtension) -> Option<NtStatus> {
    this.with(|started| unbind::<P>(this, started));
    Some(STATUS_SUCCESS)
}

/// No handle is open any more; the device object goes.
///
/// # Safety
/// A REMOVE_DEVICE of this driver, for this device; neither is used again.
unsafe fn remove<P: Plugin>(device: *mut DeviceObject, this: &DeviceExtension, irp: *mut Irp) -> NtStatus {
    this.with(|started| unbind::<P>(this, started));
    // SAFETY: the caller's promise.
    let status = unsafe { pass(this, irp, Some(STATUS_SUCCESS)) };
    this.node.leave_last(irp);
    // SAFETY: nobody is inside any more, and nobody will be.
    drop(unsafe { this.node.take::<P>() });
    memory::free_late();
    // SAFETY: as above.
    unsafe { DeviceExtension::delete(device) };
    status
}

/// Passes on what the driver has no interest in. Passive.
pub(crate) unsafe extern "efiapi" fn pass_on(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    // SAFETY: the kernel passes this driver's devices.
    let this = unsafe { DeviceExtension::of(device) };
    if let Err(status) = this.node.enter(irp) {
        // SAFETY: this driver's, answered once.
        return unsafe { irp::complete(irp, status, 0) };
    }
    // SAFETY: as above, used for the last time.
    let status = unsafe { irp::pass(this.lower, irp) };
    this.node.leave(irp);
    status
}
