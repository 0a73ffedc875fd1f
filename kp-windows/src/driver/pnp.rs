//! Plug and play: AddDevice, and the requests that start, stop and remove a device. What the bus must have done first is waited for;
//! everything else is passed on.
use crate::{
    device::{hardware::Hardware, mapping, resources::Resources, stack_device::StackDevice},
    driver::{
        device_extension::{DeviceExtension, StartedState},
        stack_request::StackRequest,
    },
    io::{
        device_object::DeviceObject,
        irp::{Irp, Pnp, SystemControl},
        node::{self, State},
    },
    kernel::{late, memory},
    nt::{self, *},
};
use core::mem::{ManuallyDrop, take};
use kp_abi::Status;
use kp_core::{
    Plugin,
    host::{BoundDevice, RawDevice, passive},
};

/// Devices of one plugin that have a name at a time.
const MAX_DEVICES: u32 = 256;

/// A device was found. The kernel calls it, at Passive.
pub(crate) unsafe extern "efiapi" fn add_device(driver: *mut DriverObject, pdo: *mut nt::DeviceObject) -> NtStatus {
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
pub(crate) fn dispatch<P: Plugin>(device: DeviceObject<'_, DeviceExtension>, irp: Irp<Pnp>) -> NtStatus {
    let request = match StackRequest::enter(&device, irp) {
        Ok(request) => request,
        Err(status) => return status,
    };
    match request.minor() {
        pnp::START_DEVICE => start::<P>(request),
        pnp::CANCEL_STOP_DEVICE => cancel(request, State::StopPending),
        pnp::CANCEL_REMOVE_DEVICE => cancel(request, State::RemovePending),
        pnp::REMOVE_DEVICE => remove::<P>(request),
        pnp::QUERY_STOP_DEVICE => {
            let status = query(request.device(), State::StopPending, true);
            answer(request, status)
        }
        pnp::QUERY_REMOVE_DEVICE => {
            let status = query(request.device(), State::RemovePending, false);
            answer(request, status)
        }
        pnp::STOP_DEVICE => {
            stop::<P>(request.device());
            answer(request, STATUS_SUCCESS)
        }
        pnp::SURPRISE_REMOVAL => {
            // It is gone already, or nothing may touch it from here on: everything ends here, also what has handles.
            request.device().with(|started| unbind::<P>(request.device(), started));
            answer(request, STATUS_SUCCESS)
        }
        _ => request.forward(), // the driver knows no such request
    }
}

/// Passes a request on with what this driver says to it. An error goes no further.
fn answer(mut request: StackRequest<Pnp>, status: NtStatus) -> NtStatus {
    if status < 0 {
        return request.complete(status, 0);
    }
    request.set_status(status);
    request.forward()
}

/// The bus starts first; then the plugin gets its device.
fn start<P: Plugin>(mut request: StackRequest<Pnp>) -> NtStatus {
    let mut status = request.forward_and_wait();
    if status >= 0 {
        let (this, assigned) = (request.device(), request.start_device());
        // SAFETY: the bus has started the device; these are the parameters of START_DEVICE.
        let started = this.with(|started| unsafe { start_device::<P>(this, started, &assigned) });
        if started.is_ok() {
            request.set_power_state(power::D0); // the bus has given it power
        }
        if let Err(refused) = started {
            kp_core::log!("start refused: {} ({:#x})", refused, ntstatus(refused));
            status = ntstatus(refused);
        }
    }
    request.complete_as(status)
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
    // SAFETY: the devices of this stack, and its resources.
    let hardware = unsafe { Hardware::new(this.pdo, this.lower(), &resources) }?;
    let (id, bars) = (hardware.id().ok_or(Status::WRONG_DEVICE)?, hardware.bars());
    started.hardware = Some(ManuallyDrop::new(hardware));
    // SAFETY: the record stays until `unbind` has ended the driver; the plug-and-play manager gives a device to one stack.
    let raw = unsafe { RawDevice::new(id, bars, bus_address(this.pdo)) };
    // SAFETY: this is the port; what comes of the device's life comes under the lock of its started state.
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
    this.node.end_by(end_device::<P>);
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
    let target = this.pdo.text(property::PHYSICAL_DEVICE_OBJECT_NAME, &mut name)?;
    for instance in 0..MAX_DEVICES {
        let link = node::link_name::<P>(Some(instance));
        match link.link_to(&target) {
            STATUS_OBJECT_NAME_COLLISION => {}
            status if status < 0 => return Err(status),
            _ => {
                started.link = Some(link);
                this.enable_interface(true)?;
                started.interface_is_enabled = true;
                return Ok(());
            }
        }
    }
    Err(STATUS_OBJECT_NAME_COLLISION)
}

/// PCI address as QUERY has it; the device's number and function are the halves of what Windows calls its address.
fn bus_address(pdo: StackDevice) -> u64 {
    match (pdo.number(property::BUS_NUMBER), pdo.number(property::ADDRESS)) {
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
        link.unlink();
    }
    if take(&mut started.interface_is_enabled) {
        let _ = this.enable_interface(false);
    }
    let present = started.hardware.as_ref().is_some_and(|hardware| hardware.is_present());
    // SAFETY: plug-and-play requests come at Passive.
    let end = |driver: &BoundDevice<P>| unsafe { node::end(driver, present) };
    // SAFETY: `put` has put one of `P` there, and only plug-and-play requests, of which one runs at a time, take it.
    let ended = unsafe { this.node.with::<P, _>(end) };
    late::settle();
    memory::free_late();
    mapping::free_late();
    // After a panic what the plugin may use stays.
    if let Some(hardware) = started.hardware.take_if(|_| ended != Some(false)) {
        hardware.retire();
        drop(ManuallyDrop::into_inner(hardware));
    }
}

/// The device does not let go of memory whose app has ended: it ends here, as if it had been pulled out.
///
/// # Safety
/// A device of a stack, which is not deleted meanwhile; Passive.
unsafe fn end_device<P: Plugin>(device: *mut nt::DeviceObject) {
    // SAFETY: a device that `add` has made: its node has this function.
    let device = unsafe { DeviceObject::<DeviceExtension>::from_raw(device) };
    device.with(|started| unbind::<P>(&device, started));
}

/// May the device be stopped, or removed? From here on it cannot be opened. It is not stopped under open handles: what has been assigned
/// to it may be something else afterwards.
fn query(this: &DeviceExtension, pending: State, unless_open: bool) -> NtStatus {
    let was_closed = || this.node.change(State::Closed, State::Closed, false);
    let changed = this.node.change(State::Open, pending, unless_open) || was_closed();
    if changed { STATUS_SUCCESS } else { STATUS_DEVICE_BUSY }
}

/// It is not stopped, or removed: when the drivers below know it, it can be opened again.
fn cancel(mut request: StackRequest<Pnp>, pending: State) -> NtStatus {
    request.set_status(STATUS_SUCCESS);
    let status = request.forward_and_wait();
    request.device().node.change(pending, State::Open, false);
    request.complete_as(status)
}

/// It is stopped, and may be started again with other resources. The device interface stays enabled meanwhile, so that apps that look for
/// it need not look again.
fn stop<P: Plugin>(this: &DeviceExtension) {
    this.with(|started| {
        let interface_is_enabled = take(&mut started.interface_is_enabled);
        unbind::<P>(this, started);
        started.interface_is_enabled = interface_is_enabled;
    });
    // SAFETY: no handle is open, and none could be made since QUERY_STOP.
    drop(unsafe { this.node.take::<P>() });
}

/// No handle is open any more; the device object goes.
fn remove<P: Plugin>(mut request: StackRequest<Pnp>) -> NtStatus {
    let this = request.device();
    this.with(|started| unbind::<P>(this, started));
    request.set_status(STATUS_SUCCESS);
    request.forward_last(|this| {
        // SAFETY: nobody is inside any more, and nobody will be.
        drop(unsafe { this.node.take::<P>() });
        memory::free_late();
    })
}

/// Passes on what the driver has no interest in. Passive.
pub(crate) fn pass_on(device: DeviceObject<'_, DeviceExtension>, irp: Irp<SystemControl>) -> NtStatus {
    StackRequest::enter(&device, irp).map_or_else(|status| status, StackRequest::forward)
}
