//! What drivers of devices use: stacks, device interfaces, registers, interrupts, power.
use crate::{
    cpu,
    exports::exports,
    interrupt::{Connection, LINE_IRQL, MESSAGE_IRQL},
    irp,
    kernel::lock,
    nt::{
        DeviceObject, Irp, NtStatus, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER, STATUS_NOT_FOUND,
        STATUS_OBJECT_NAME_NOT_FOUND, STATUS_PENDING, STATUS_SUCCESS, UnicodeString, major, minor,
    },
    pdo, power, raw,
    rule::Rule,
};
use kp_sim::device::IrqKind;
use std::{ffi::c_void, ptr};

/// Properties of a device, as IoGetDeviceProperty numbers them.
mod property {
    pub(super) const PHYSICAL_DEVICE_OBJECT_NAME: i32 = 11;
    pub(super) const BUS_NUMBER: i32 = 14;
    pub(super) const ADDRESS: i32 = 16;
}

/// The device's place on its bus: slot 5, function 0.
const ADDRESS: u32 = 5 << 16;

/// IO_CONNECT_INTERRUPT_PARAMETERS of the versions for lines and for messages.
#[repr(C)]
struct ConnectParameters {
    version: u32,
    physical_device: *mut DeviceObject,
    connection: *mut usize,
    routine: usize,
    context: usize,
    spin_lock: usize,
    synchronize_irql: u8,
    floating_save: u8,
    fallback: usize,
}

#[repr(C)]
struct DisconnectParameters {
    version: u32,
    connection: usize,
}

/// The version that asks for a line, and the one that asks for messages.
const LINE_BASED: u32 = 2;
const MESSAGE_BASED: u32 = 3;

/// IO_INTERRUPT_MESSAGE_INFO up to its entries, and one of them.
const MESSAGE_INFO: usize = 8;
const MESSAGE_ENTRY: usize = 48;

fn map(physical: u64, len: usize) -> *mut c_void {
    let kernel = cpu::kernel();
    let found = lock(&kernel.slots).values().find_map(|slot| {
        let bar = slot.bars.iter().position(|bar| {
            bar.is_some_and(|bar| physical >= bar.physical && physical + len as u64 <= bar.physical + bar.len)
        })?;
        Some((slot.clone(), bar, physical - slot.bars[bar]?.physical))
    });
    let Some((slot, bar, offset)) = found else {
        cpu::fail(
            Rule::RegistersMapped
                .broken(format!("{len} bytes at {physical:#x} are mapped, which are no device's registers")),
        );
    };
    ptr::with_exposed_provenance_mut(kernel.mappings.map(&kernel, &slot, bar, offset, len))
}

exports! {
    [0..=0] fails null fn IoAttachDeviceToDeviceStack(source: *mut DeviceObject, target: *mut DeviceObject) -> *mut DeviceObject {
        let top = pdo::top(target);
        // SAFETY: two device objects.
        unsafe {
            (*top).attached_device = source;
            (*source).stack_size = (*top).stack_size + 1;
        }
        top
    }

    [0..=0] fn IoDetachDevice(lower: *mut DeviceObject) {
        // SAFETY: a device object that another is attached to.
        unsafe { (*lower).attached_device = ptr::null_mut() };
    }

    [0..=0] fails status fn IoRegisterDeviceInterface(physical: *mut DeviceObject, _class: *const [u8; 16], _reference: *const UnicodeString, link: *mut UnicodeString) -> NtStatus {
        let kernel = cpu::kernel();
        if !lock(&kernel.slots).contains_key(&physical.expose_provenance()) {
            return crate::nt::STATUS_INVALID_DEVICE_REQUEST;
        }
        let name: Vec<u16> = r"\??\PCI#VEN_1234&DEV_11E8#0#{kp}".encode_utf16().collect();
        let buffer = kernel.allocate(2 * name.len() + 2, b"IoIf", true);
        let length = 2 * name.len() as u16;
        // SAFETY: fresh memory for as many units; the driver's place for the string.
        unsafe {
            let place = ptr::with_exposed_provenance_mut::<u16>(buffer);
            ptr::copy_nonoverlapping(name.as_ptr(), place, name.len());
            *link = UnicodeString { length, maximum_length: length + 2, buffer: place };
        }
        STATUS_SUCCESS
    }

    [0..=0] fails status fn IoSetDeviceInterfaceState(link: *const UnicodeString, enable: u8) -> NtStatus {
        let Some(name) = raw::string(link).filter(|name| !name.is_empty()) else { return STATUS_INVALID_PARAMETER };
        let kernel = cpu::kernel();
        let mut objects = lock(&kernel.objects);
        match enable != 0 {
            true => {
                objects.interfaces.insert(name);
                STATUS_SUCCESS
            }
            false if objects.interfaces.remove(&name) => STATUS_SUCCESS,
            false => STATUS_OBJECT_NAME_NOT_FOUND,
        }
    }

    [0..=0] fn RtlFreeUnicodeString(text: *mut UnicodeString) {
        // SAFETY: the driver's string.
        let buffer = unsafe { (*text).buffer };
        if !buffer.is_null() {
            cpu::checked(cpu::kernel().pool.free(buffer.expose_provenance(), None));
            // SAFETY: as above.
            unsafe { *text = UnicodeString { length: 0, maximum_length: 0, buffer: ptr::null() } };
        }
    }

    [0..=0] fails status fn IoGetDeviceProperty(physical: *mut DeviceObject, which: i32, len: u32, buffer: *mut c_void, needed: *mut u32) -> NtStatus {
        if !lock(&cpu::kernel().slots).contains_key(&physical.expose_provenance()) {
            return crate::nt::STATUS_INVALID_DEVICE_REQUEST;
        }
        let bytes: Vec<u8> = match which {
            property::PHYSICAL_DEVICE_OBJECT_NAME => pdo::NAME.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect(),
            property::BUS_NUMBER => 0u32.to_le_bytes().into(),
            property::ADDRESS => ADDRESS.to_le_bytes().into(),
            _ => return STATUS_INVALID_PARAMETER,
        };
        // SAFETY: the driver's place for the length.
        unsafe { *needed = bytes.len() as u32 };
        if (len as usize) < bytes.len() {
            return STATUS_BUFFER_TOO_SMALL;
        }
        // SAFETY: the driver's buffer of this length.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast(), bytes.len()) };
        STATUS_SUCCESS
    }

    [0..=0] fails null fn IoBuildSynchronousFsdRequest(major: u32, device: *mut DeviceObject, _buffer: *mut c_void, _len: u32, _offset: *const i64, event: usize, status: usize) -> *mut Irp {
        if major != u32::from(major::PNP) {
            cpu::fail(Rule::SynchronousMajor.broken(format!("IoBuildSynchronousFsdRequest of major function {major}")));
        }
        // SAFETY: the driver's target.
        let stack = unsafe { (*device).stack_size } as u8;
        let request = irp::make(&cpu::kernel(), stack, None, |irp, location| {
            (irp.user_event, irp.user_iosb) = (event, status);
            irp.thread = cpu::thread_id();
            location.major_function = major as u8;
        });
        ptr::with_exposed_provenance_mut(request.address())
    }

    [0..=2] fails status fn PoRequestPowerIrp(physical: *mut DeviceObject, minor: u8, state: i32, done: usize, context: usize, out: *mut *mut Irp) -> NtStatus {
        const DEVICE: usize = 1;
        if minor != minor::SET_POWER && minor != minor::QUERY_POWER {
            return STATUS_INVALID_PARAMETER;
        }
        let kernel = cpu::kernel();
        let slot = lock(&kernel.slots).get(&physical.expose_provenance()).cloned();
        if let Some(slot) = slot.as_ref().filter(|_| minor == minor::SET_POWER && state != power::D0) {
            cpu::checked(slot.power.sleep_is_asked_for());
        }
        let top = pdo::top(physical);
        // SAFETY: the top device of the stack.
        let stack = unsafe { (*top).stack_size } as u8;
        let top_address = top.expose_provenance();
        let then = move |over: &irp::Over| {
            if let Some(slot) = &slot {
                cpu::checked(slot.power.asked_is_over(&cpu::kernel(), state, over.status));
            }
            if done != 0 {
                let block = crate::nt::IoStatusBlock { status: over.status, information: over.information };
                let block = (&raw const block).expose_provenance();
                let arguments = [top_address, minor.into(), state as usize, context, block];
                cpu::call("a power request's completion", done, cpu::irql(), &arguments);
            }
        };
        let request = irp::make_then(&kernel, stack, None, Some(Box::new(then)), |irp, location| {
            irp.io_status.status = crate::nt::STATUS_NOT_SUPPORTED;
            (location.major_function, location.minor_function) = (major::POWER, minor);
            location.parameters = [0, DEVICE, state as usize, 0];
        });
        if !out.is_null() {
            // SAFETY: the driver's place for the request.
            unsafe { *out = ptr::with_exposed_provenance_mut(request.address()) };
        }
        // The power manager sends it from a thread of its own, at Passive.
        let sender = kernel.clone();
        kernel.works.later(move || {
            let top = ptr::with_exposed_provenance_mut(top_address);
            if irp::send(&sender, top, &request).is_none() {
                sender.works.changed();
            }
        });
        STATUS_PENDING
    }

    [0..=2] fn PoSetPowerState(device: *mut DeviceObject, _kind: i32, state: i32) -> i32 {
        let kernel = cpu::kernel();
        let slot = lock(&kernel.slots).iter().find(|(pdo, _)| pdo::is_in_stack(**pdo, device)).map(|(_, slot)| slot.clone());
        if let Some(slot) = slot {
            cpu::checked(slot.power.tell(state));
        }
        state
    }

    [0..=2] fn PoStartNextPowerIrp(_irp: *mut Irp) {}

    [0..=2] fails null fn MmMapIoSpace(physical: u64, len: usize, _cache: i32) -> *mut c_void {
        map(physical, len)
    }

    [0..=2] fails null fn MmMapIoSpaceEx(physical: u64, len: usize, protection: u32) -> *mut c_void {
        const READ_WRITE: u32 = 4;
        if protection & 0xFF != READ_WRITE {
            cpu::fail(Rule::RegistersProtection.broken(format!("MmMapIoSpaceEx: the protection {protection:#x}")));
        }
        map(physical, len)
    }

    [0..=2] fn MmUnmapIoSpace(address: *mut c_void, len: usize) {
        if !cpu::kernel().mappings.unmap(address.expose_provenance(), len) {
            cpu::fail(Rule::RegistersUnmapped.broken(format!("MmUnmapIoSpace: {len} bytes at {address:p} are not mapped")));
        }
    }

    [0..=0] fails status fn IoConnectInterruptEx(parameters: *mut ConnectParameters) -> NtStatus {
        let kernel = cpu::kernel();
        // SAFETY: the driver's parameters.
        let p = unsafe { &*parameters };
        let slot = lock(&kernel.slots).get(&p.physical_device.expose_provenance()).cloned();
        let Some(slot) = slot else { return STATUS_INVALID_PARAMETER };
        let (signal, irql) = match p.version {
            LINE_BASED => (IrqKind::Line, LINE_IRQL),
            MESSAGE_BASED if slot.vectors(IrqKind::MsiX) > 0 => (IrqKind::MsiX, MESSAGE_IRQL),
            MESSAGE_BASED => (IrqKind::Msi, MESSAGE_IRQL),
            version => cpu::fail(Rule::ConnectVersion.broken(format!("IoConnectInterruptEx of version {version}"))),
        };
        let count = slot.assigned(signal);
        if count == 0 {
            return STATUS_NOT_FOUND;
        }
        if p.synchronize_irql != 0 && p.synchronize_irql < irql {
            cpu::fail(Rule::SynchronizeIrql.broken(format!("IoConnectInterruptEx: the level {} is below the interrupt's, {irql}", p.synchronize_irql)));
        }
        let irql = irql.max(p.synchronize_irql);
        let size = 64 + MESSAGE_INFO + MESSAGE_ENTRY * usize::from(count);
        let object = kernel.allocate(size, b"Intr", true);
        // The lock is behind the table.
        let own_lock = object + size - 8;
        if signal != IrqKind::Line {
            // SAFETY: fresh memory for the table.
            unsafe {
                ptr::with_exposed_provenance_mut::<u8>(object).write(irql);
                ptr::with_exposed_provenance_mut::<u32>(object + 4).write(count.into());
            }
        }
        let lock = if p.spin_lock != 0 { p.spin_lock } else { own_lock };
        // SAFETY: the driver's place for the object, which handlers may look at from the start.
        unsafe { *p.connection = object };
        let (routine, context) = (p.routine, p.context);
        kernel.interrupts.connect(&kernel, Connection { object, slot, signal, count, routine, context, lock, irql });
        STATUS_SUCCESS
    }

    [0..=0] fn IoDisconnectInterruptEx(parameters: *mut DisconnectParameters) {
        let kernel = cpu::kernel();
        // SAFETY: the driver's parameters.
        let DisconnectParameters { version, connection } = unsafe { ptr::read(parameters) };
        match cpu::checked(kernel.interrupts.disconnect(&kernel, connection)) {
            None => cpu::abandon(),
            Some(gone) => {
                let wanted = if gone.signal == IrqKind::Line { LINE_BASED } else { MESSAGE_BASED };
                if version != wanted {
                    cpu::fail(Rule::DisconnectVersion.broken(format!("IoDisconnectInterruptEx of version {version}, of what was connected with {wanted}")));
                }
                cpu::checked(kernel.pool.free(connection, None));
            }
        }
    }

    [0..=15] fn KeStallExecutionProcessor(us: u32) {
        let end = std::time::Instant::now() + std::time::Duration::from_micros(us.into());
        while std::time::Instant::now() < end {
            std::hint::spin_loop();
        }
    }
}
