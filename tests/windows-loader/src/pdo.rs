//! The bus driver: its device object at the bottom of each stack, and its answers to plug-and-play and power requests. What changes the
//! device is answered later, from a thread of the system, as a real bus does.
use crate::{
    cpu::{self, checked},
    irp,
    kernel::{Kernel, lock},
    nt::{
        DeviceObject, DriverObject, IoStackLocation, Irp, NtStatus, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED,
        STATUS_PENDING, STATUS_SUCCESS, control, device_flags, major, minor,
    },
    power,
    rule::Rule,
    service::Service,
    slot::Slot,
};
use kp_sim::device::IrqKind;
use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// A success that is not STATUS_SUCCESS.
const ANOTHER_SUCCESS: NtStatus = 0x4000_0000;

/// The name of the device object of a slot.
pub(crate) fn name(slot: usize) -> String {
    format!(r"\Device\NTPNP_PCI{:04}", slot + 5)
}

/// BUS_INTERFACE_STANDARD.
#[repr(C)]
struct BusInterface {
    size: u16,
    version: u16,
    context: usize,
    reference: usize,
    dereference: usize,
    translate: usize,
    dma_adapter: usize,
    set_bus_data: usize,
    get_bus_data: usize,
}

/// GUID_BUS_INTERFACE_STANDARD, {496b8280-6f25-11d0-beaf-08002be2092f}.
const BUS_INTERFACE: [u8; 16] =
    [0x80, 0x82, 0x6B, 0x49, 0x25, 0x6F, 0xD0, 0x11, 0xBE, 0xAF, 0x08, 0x00, 0x2B, 0xE2, 0x09, 0x2F];

/// PCI_MSIX_TABLE_CONFIG_INTERFACE.
#[repr(C)]
struct MsixTableInterface {
    size: u16,
    version: u16,
    context: usize,
    reference: usize,
    dereference: usize,
    set_entry: usize,
    mask_entry: usize,
    unmask_entry: usize,
    get_entry: usize,
    get_size: usize,
}

/// The name of the interface of a device's MSI-X table, which a bus need not give.
pub const NAME_OF_MSIX_TABLE: &str = "GUID_MSIX_TABLE_CONFIG_INTERFACE";

/// GUID_MSIX_TABLE_CONFIG_INTERFACE, {1a6a460b-194f-455d-b34b-b84c5b05712b}.
const MSIX_TABLE_INTERFACE: [u8; 16] =
    [0x0B, 0x46, 0x6A, 0x1A, 0x4F, 0x19, 0x5D, 0x45, 0xB3, 0x4B, 0xB8, 0x4C, 0x5B, 0x05, 0x71, 0x2B];

/// The bus driver's own driver object: dispatch functions of this crate.
pub(crate) fn dispatch(driver: *mut DriverObject) {
    // SAFETY: a new driver object.
    let functions = unsafe { &mut (*driver).major_function };
    functions[usize::from(major::PNP)] = (on_pnp as *const ()).expose_provenance();
    functions[usize::from(major::POWER)] = (on_power as *const ()).expose_provenance();
    functions[usize::from(major::SYSTEM_CONTROL)] = (on_system_control as *const ()).expose_provenance();
}

/// A device object of the bus.
pub(crate) fn make(kernel: &Kernel, bus: &Arc<Service>) -> usize {
    let address = kernel.allocate(size_of::<DeviceObject>(), b"PciD", true);
    let object = ptr::with_exposed_provenance_mut::<DeviceObject>(address);
    // SAFETY: fresh memory of this size, zeroed.
    unsafe {
        (*object).kind = 3;
        (*object).size = size_of::<DeviceObject>() as u16;
        (*object).driver_object = bus.driver();
        (*object).stack_size = 1;
        (*object).flags &= !device_flags::INITIALIZING;
    }
    address
}

/// Is the device one of those above the bus's?
pub(crate) fn is_in_stack(pdo: usize, device: *mut DeviceObject) -> bool {
    let mut at = ptr::with_exposed_provenance_mut::<DeviceObject>(pdo);
    while !at.is_null() && at != device {
        // SAFETY: a device object, or what is attached to one.
        at = unsafe { (*at).attached_device };
    }
    !at.is_null()
}

/// The topmost device object of a stack.
pub(crate) fn top(mut device: *mut DeviceObject) -> *mut DeviceObject {
    loop {
        // SAFETY: a device object, or what is attached to one.
        let above = unsafe { (*device).attached_device };
        if above.is_null() {
            return device;
        }
        device = above;
    }
}

/// Answers a request at once; as Driver Verifier has it, later and with another success.
fn answer(irp: *mut Irp, status: NtStatus) -> NtStatus {
    if cpu::kernel().options.verifier {
        return answer_later(irp, status, || {});
    }
    complete(irp, status)
}

fn complete(irp: *mut Irp, status: NtStatus) -> NtStatus {
    // SAFETY: the request that the bus was sent.
    unsafe { (*irp).io_status.status = status };
    checked(irp::complete(&cpu::kernel(), irp));
    status
}

/// Marks a request pending, and has it answered by a thread of the system, after `first`: every other one at DISPATCH_LEVEL, at which
/// completion routines may be called.
fn answer_later(irp: *mut Irp, status: NtStatus, first: impl FnOnce() + Send + 'static) -> NtStatus {
    // SAFETY: the request that the bus was sent.
    unsafe { (*(*irp).current_stack_location).control |= control::PENDING_RETURNED };
    let address = irp.expose_provenance();
    let kernel = cpu::kernel();
    let is_adjusted = kernel.options.verifier && status == STATUS_SUCCESS;
    let status = if is_adjusted { ANOTHER_SUCCESS } else { status };
    kernel.works.later(move || {
        first();
        let before = cpu::set_irql(cpu::kernel().completion_level());
        complete(ptr::with_exposed_provenance_mut(address), status);
        cpu::set_irql(before);
    });
    STATUS_PENDING
}

/// The device's slot.
fn slot(device: *mut DeviceObject) -> Option<Arc<Slot>> {
    lock(&cpu::kernel().slots).get(&device.expose_provenance()).cloned()
}

/// What a request has as it comes to the bus: not a failure, which its driver should have completed.
fn arrives(device: *mut DeviceObject, irp: *mut Irp, is_known: bool) -> (IoStackLocation, NtStatus) {
    // SAFETY: the request that the bus was sent.
    let location = unsafe { *(*irp).current_stack_location };
    // SAFETY: as above.
    let status = unsafe { (*irp).io_status.status };
    if status < 0 && status != STATUS_NOT_SUPPORTED {
        let (major, minor) = (location.major_function, location.minor_function);
        let what = format!("the request of major function {major} and minor function {minor:#x} with {status:#x}");
        cpu::fail(Rule::FailureNotPassed.broken(format!("{what} was passed down")));
    }
    if let Some(slot) = slot(device).filter(|_| !is_known) {
        slot.unknown.fetch_add(1, Relaxed);
    }
    (location, status)
}

extern "efiapi" fn on_pnp(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    // SAFETY: the request that the bus was sent.
    let minor = unsafe { (*(*irp).current_stack_location).minor_function };
    let is_known = minor <= minor::QUERY_STOP_DEVICE + 3 || minor == minor::SURPRISE_REMOVAL;
    let (location, status) = arrives(device, irp, is_known);
    match location.minor_function {
        minor::START_DEVICE | minor::STOP_DEVICE => answer_later(irp, STATUS_SUCCESS, || {}),
        minor::QUERY_REMOVE_DEVICE
        | minor::REMOVE_DEVICE
        | minor::CANCEL_REMOVE_DEVICE
        | minor::QUERY_STOP_DEVICE
        | minor::CANCEL_STOP_DEVICE
        | minor::SURPRISE_REMOVAL => answer(irp, STATUS_SUCCESS),
        minor::QUERY_INTERFACE => answer(irp, query_interface(device, location.parameters)),
        // What a bus does not know it leaves as it is.
        _ => complete(irp, status),
    }
}

extern "efiapi" fn on_power(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    const DEVICE: usize = 1;
    // SAFETY: the request that the bus was sent.
    let minor = unsafe { (*(*irp).current_stack_location).minor_function };
    let is_known = [minor::SET_POWER, minor::QUERY_POWER].contains(&minor);
    let (location, status) = arrives(device, irp, is_known);
    if !is_known {
        return complete(irp, status);
    }
    let [_, kind, state, _] = location.parameters;
    if let Some(slot) = slot(device).filter(|_| minor == minor::SET_POWER) {
        match (kind, state as i32) {
            (DEVICE, power::D0) => {
                return answer_later(irp, STATUS_SUCCESS, move || slot.power.wakes(&cpu::kernel()));
            }
            (DEVICE, state) => checked(slot.power.falls_asleep(state)),
            _ => slot.power.system_passes(),
        }
    }
    answer_later(irp, STATUS_SUCCESS, || {})
}

extern "efiapi" fn on_system_control(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    let (_, status) = arrives(device, irp, false);
    complete(irp, status)
}

fn query_interface(device: *mut DeviceObject, [kind, size_and_version, place, _]: [usize; 4]) -> NtStatus {
    // SAFETY: the parameters of QUERY_INTERFACE: a GUID, and a place of the size that is given.
    let kind = unsafe { ptr::with_exposed_provenance::<[u8; 16]>(kind).read_unaligned() };
    if kind == MSIX_TABLE_INTERFACE {
        return query_msix_table(device, size_and_version as u16 as usize, place);
    }
    if kind != BUS_INTERFACE || (size_and_version as u16 as usize) < size_of::<BusInterface>() {
        return STATUS_NOT_SUPPORTED;
    }
    let function = |f: *const ()| f.expose_provenance();
    let interface = BusInterface {
        size: size_of::<BusInterface>() as u16,
        version: 1,
        context: device.expose_provenance(),
        reference: function(reference as *const ()),
        dereference: function(dereference as *const ()),
        translate: 0,
        dma_adapter: 0,
        set_bus_data: function(set_bus_data as *const ()),
        get_bus_data: function(get_bus_data as *const ()),
    };
    // SAFETY: as above.
    unsafe { ptr::with_exposed_provenance_mut::<BusInterface>(place).write(interface) };
    // The bus counts an interface that it gives.
    cpu::kernel().count_interface(1);
    STATUS_SUCCESS
}

/// Of a device that has such a table.
fn query_msix_table(device: *mut DeviceObject, size: usize, place: usize) -> NtStatus {
    let is_absent = cpu::kernel().options.absent.iter().any(|name| name == NAME_OF_MSIX_TABLE);
    let has_table = !is_absent && slot(device).is_some_and(|slot| slot.messages() == IrqKind::MsiX);
    if !has_table || size < size_of::<MsixTableInterface>() {
        return STATUS_NOT_SUPPORTED;
    }
    let function = |f: *const ()| f.expose_provenance();
    let interface = MsixTableInterface {
        size: size_of::<MsixTableInterface>() as u16,
        version: 1,
        context: device.expose_provenance(),
        reference: function(reference as *const ()),
        dereference: function(dereference as *const ()),
        set_entry: function(set_entry as *const ()),
        mask_entry: function(mask_entry as *const ()),
        unmask_entry: function(unmask_entry as *const ()),
        get_entry: 0,
        get_size: 0,
    };
    // SAFETY: the place of QUERY_INTERFACE, of the size that is given.
    unsafe { ptr::with_exposed_provenance_mut::<MsixTableInterface>(place).write(interface) };
    cpu::kernel().count_interface(1);
    STATUS_SUCCESS
}

/// Up to a handler's level ("PCI_MSIX_SET_ENTRY callback function (wdm.h)").
extern "efiapi" fn set_entry(context: usize, entry: u32, message: u32) -> NtStatus {
    let slot = lock(&cpu::kernel().slots).get(&context).cloned();
    if slot.is_some_and(|slot| slot.bind(entry, message)) { STATUS_SUCCESS } else { STATUS_INVALID_PARAMETER }
}

extern "efiapi" fn mask_entry(context: usize, entry: u32) -> NtStatus {
    mask(context, entry, true)
}

extern "efiapi" fn unmask_entry(context: usize, entry: u32) -> NtStatus {
    mask(context, entry, false)
}

/// Up to a handler's level ("PCI_MSIX_MASKUNMASK_ENTRY callback function (wdm.h)").
fn mask(context: usize, entry: u32, mask: bool) -> NtStatus {
    let kernel = cpu::kernel();
    let slot = lock(&kernel.slots).get(&context).cloned();
    let masked = slot.is_some_and(|slot| slot.mask(&kernel, entry, mask));
    if masked { STATUS_SUCCESS } else { STATUS_INVALID_PARAMETER }
}

extern "efiapi" fn reference(_: usize) {
    cpu::kernel().count_interface(1);
}

extern "efiapi" fn dereference(_: usize) {
    cpu::kernel().count_interface(-1);
}

/// The functions of the interface may be called up to DISPATCH_LEVEL.
fn check_level(name: &str) {
    if cpu::irql() > cpu::level::DISPATCH {
        let what = format!("{name} of the bus's interface was called at IRQL {}", cpu::irql());
        cpu::fail(Rule::BusInterfaceLevel.broken(what));
    }
}

extern "efiapi" fn set_bus_data(context: usize, kind: u32, buffer: *const c_void, offset: u32, len: u32) -> u32 {
    check_level("SetBusData");
    let kernel = cpu::kernel();
    let slot = lock(&kernel.slots).get(&context).cloned();
    let Some(slot) = slot.filter(|_| kind == 0) else { return 0 };
    // SAFETY: the driver's buffer of this length.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), len as usize) };
    slot.config_write(&kernel, offset as usize, bytes);
    len
}

extern "efiapi" fn get_bus_data(context: usize, kind: u32, buffer: *mut c_void, offset: u32, len: u32) -> u32 {
    check_level("GetBusData");
    let kernel = cpu::kernel();
    let slot = lock(&kernel.slots).get(&context).cloned();
    let Some(slot) = slot.filter(|_| kind == 0) else { return 0 };
    // SAFETY: the driver's buffer of this length.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), len as usize) };
    slot.config_read(offset as usize, bytes);
    len
}
