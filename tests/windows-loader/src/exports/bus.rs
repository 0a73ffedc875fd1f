//! What drivers of devices use: stacks, device interfaces, registers, interrupts, power.
use crate::{
    counted_text, cpu,
    device_interface::{self, Guid},
    exports::exports,
    interrupt::{Connection, Interrupt},
    irp,
    kernel::{Kernel, lock},
    nt::{
        DeviceObject, Irp, NtStatus, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER,
        STATUS_NOT_FOUND, STATUS_PENDING, STATUS_SUCCESS, UnicodeString, major, minor,
    },
    pdo, power, remove_lock, resources,
    rule::Rule,
    slot::Place,
};
use kp_sim::device::IrqKind;
use std::{ffi::c_void, ptr};

/// Properties of a device, as IoGetDeviceProperty numbers them.
mod property {
    pub(super) const PHYSICAL_DEVICE_OBJECT_NAME: i32 = 11;
    pub(super) const BUS_NUMBER: i32 = 14;
    pub(super) const ADDRESS: i32 = 16;
}

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

/// IO_INTERRUPT_MESSAGE_INFO up to its entries.
#[repr(C)]
struct MessageInfo {
    unified_irql: u8,
    count: u32,
}

/// IO_INTERRUPT_MESSAGE_INFO_ENTRY.
#[repr(C)]
struct MessageEntry {
    address: u64,
    processors: usize,
    interrupt: usize,
    data: u32,
    vector: u32,
    irql: u8,
    mode: u32,
    polarity: u32,
}

/// What this kernel keeps of an interrupt object, in bytes.
const INTERRUPT_OBJECT: usize = 16;
/// KINTERRUPT_MODE: edges, as messages have.
const LATCHED: u32 = 1;

fn map(physical: u64, len: usize) -> *mut c_void {
    let kernel = cpu::kernel();
    let found = lock(&kernel.slots).values().find_map(|slot| {
        let bars = slot.bars();
        let bar = bars.iter().position(|bar| bar.is_some_and(|bar| bar.has(physical, len)))?;
        Some((slot.clone(), bar, physical - bars[bar]?.physical))
    });
    let Some((slot, bar, offset)) = found else {
        cpu::fail(
            Rule::RegistersMapped
                .broken(format!("{len} bytes at {physical:#x} are mapped, which are no device's registers")),
        );
    };
    ptr::with_exposed_provenance_mut(kernel.mappings.map(&kernel, &slot, bar, offset, len))
}

/// What IoConnectInterruptEx gives: the object that stands for the connection, and each vector's interrupt object. One allocation.
///
/// "The system only uses this value if it is greater than the maximum IRQL of the set of interrupts; otherwise, the system uses the maximum
/// IRQL" ("IO_CONNECT_INTERRUPT_PARAMETERS structure (wdm.h)"), at which handlers of messages run ("IO_INTERRUPT_MESSAGE_INFO structure
/// (wdm.h)"). But: "If the driver uses the CONNECT_MESSAGE_BASED version ... and specifies a NULL spin lock, the system will allocate a spin
/// lock for each interrupt message. The system also determines the value of the synchronization IRQL for each message (drivers can
/// optionally specify a higher value that will be common to all messages)" ("Synchronizing Access to Device Data"). Without a lock of the
/// driver's, each message has a lock and a level of its own here, as a driver must expect.
fn interrupt_objects(
    kernel: &Kernel,
    signal: IrqKind,
    vectors: &[resources::Vector],
    (spin_lock, least): (usize, u8),
) -> (usize, Vec<Interrupt>) {
    let table = match signal {
        IrqKind::Line => 0,
        _ => size_of::<MessageInfo>() + size_of::<MessageEntry>() * vectors.len(),
    };
    let address = kernel.allocate(table + INTERRUPT_OBJECT * vectors.len(), b"Intr", true);
    let unified = vectors.iter().map(|vector| vector.irql).fold(least, u8::max);
    let interrupt = |n: usize, vector: &resources::Vector| {
        let object = address + table + INTERRUPT_OBJECT * n;
        // An interrupt object of this kernel's is a lock.
        match spin_lock {
            0 => Interrupt { object, lock: object, irql: least.max(vector.irql) },
            lock => Interrupt { object, lock, irql: unified },
        }
    };
    let interrupts: Vec<Interrupt> = vectors.iter().enumerate().map(|(n, vector)| interrupt(n, vector)).collect();
    if table != 0 {
        let info = MessageInfo { unified_irql: unified, count: vectors.len() as u32 };
        // SAFETY: fresh memory, of which the table is the beginning.
        unsafe { ptr::with_exposed_provenance_mut::<MessageInfo>(address).write(info) };
        for (n, vector) in vectors.iter().enumerate() {
            let entry = MessageEntry {
                address: 0xFEE0_0000,
                processors: 1,
                interrupt: interrupts[n].object,
                data: vector.number,
                vector: vector.number,
                irql: vector.irql,
                mode: LATCHED,
                polarity: 0,
            };
            let at = address + size_of::<MessageInfo>() + size_of::<MessageEntry>() * n;
            // SAFETY: as above: the table has as many entries.
            unsafe { ptr::with_exposed_provenance_mut::<MessageEntry>(at).write(entry) };
        }
    }
    (address, interrupts)
}

exports! {
    [0..=0] fails null fn IoAttachDeviceToDeviceStack(source: *mut DeviceObject, target: *mut DeviceObject) -> *mut DeviceObject {
        // From here on requests may come, on any processor.
        // SAFETY: the driver's new device object.
        let (extension, len) = unsafe { ((*source).device_extension, usize::from((*source).size) - size_of::<DeviceObject>()) };
        if !remove_lock::is_in(extension.addr(), len) {
            cpu::fail(Rule::AttachedReady.broken(format!("IoAttachDeviceToDeviceStack: {source:p} has no remove lock yet")));
        }
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

    [0..=0] fails status fn IoRegisterDeviceInterface(physical: *mut DeviceObject, class: *const Guid, reference: *const UnicodeString, link: *mut UnicodeString) -> NtStatus {
        let kernel = cpu::kernel();
        let pdo = physical.expose_provenance();
        let slot = lock(&kernel.slots).get(&pdo).cloned();
        let Some(slot) = slot else { return STATUS_INVALID_DEVICE_REQUEST };
        if counted_text::string(reference).is_some_and(|reference| !reference.is_empty()) {
            cpu::fail(Rule::InterfaceReference.broken("IoRegisterDeviceInterface: a reference string"));
        }
        // SAFETY: the driver's GUID.
        let name = device_interface::name(&slot, &unsafe { *class });
        let units: Vec<u16> = name.encode_utf16().collect();
        let buffer = kernel.allocate(2 * units.len() + 2, b"IoIf", true);
        let length = 2 * units.len() as u16;
        // SAFETY: fresh memory for as many units; the driver's place for the string.
        unsafe {
            let place = ptr::with_exposed_provenance_mut::<u16>(buffer);
            ptr::copy_nonoverlapping(units.as_ptr(), place, units.len());
            *link = UnicodeString { length, maximum_length: length + 2, buffer: place };
        }
        lock(&kernel.objects).register(pdo, name)
    }

    [0..=0] fails status fn IoSetDeviceInterfaceState(link: *const UnicodeString, enable: u8) -> NtStatus {
        let name = counted_text::string(link).unwrap_or_default();
        let changed = lock(&cpu::kernel().objects).enable(&name, enable != 0);
        cpu::checked(changed)
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
        let slot = lock(&cpu::kernel().slots).get(&physical.expose_provenance()).cloned();
        let Some(slot) = slot else { return STATUS_INVALID_DEVICE_REQUEST };
        let Place { bus, device, function } = slot.place();
        let bytes: Vec<u8> = match which {
            property::PHYSICAL_DEVICE_OBJECT_NAME => pdo::name(slot.number).encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect(),
            property::BUS_NUMBER => bus.to_le_bytes().into(),
            // "An address value of 0xFFFFFFFF indicates that the underlying bus driver did not supply a bus address for the device"
            // ("IoGetDeviceProperty function (wdm.h)").
            property::ADDRESS if slot.shape.has_no_address => u32::MAX.to_le_bytes().into(),
            property::ADDRESS => (device << 16 | function).to_le_bytes().into(),
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
        let signal = match p.version {
            LINE_BASED => IrqKind::Line,
            MESSAGE_BASED => slot.messages(),
            version => cpu::fail(Rule::ConnectVersion.broken(format!("IoConnectInterruptEx of version {version}"))),
        };
        let count = slot.assigned(signal);
        if count == 0 {
            return STATUS_NOT_FOUND;
        }
        let vectors: Vec<resources::Vector> = match signal {
            IrqKind::Line => vec![resources::LINE],
            _ => (0..count).map(|n| resources::message(slot.number, signal, n)).collect(),
        };
        let (object, interrupts) = interrupt_objects(&kernel, signal, &vectors, (p.spin_lock, p.synchronize_irql));
        // SAFETY: the driver's place for the object, which handlers may look at from the start.
        unsafe { *p.connection = object };
        let (routine, context) = (p.routine, p.context);
        kernel.interrupts.connect(&kernel, Connection { object, slot, signal, routine, context, interrupts });
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
