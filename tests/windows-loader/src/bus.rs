//! A PCI bus: devices that are models, their configuration space, and what the plug-and-play and power managers ask of their drivers.
use crate::{
    cpu,
    interrupt::{LINE_IRQL, MESSAGE_IRQL},
    irp,
    kernel::{Kernel, Machine, lock},
    nt::{
        DeviceObject, DriverExtension, IoStackLocation, NtStatus, STATUS_DEVICE_BUSY, STATUS_NOT_SUPPORTED, major,
        minor,
    },
    objects::Device as Record,
    pdo,
    power::{self, Power},
    rule::{Broken, Rule},
    security::{self, Dacl, Entry},
    service::{Driver, Service},
};
use kp_sim::device::{DeviceModel, IrqKind};
use std::{
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Instant,
};

/// Memory of a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    /// Its address on the bus.
    bus: u64,
    /// Its address for the processor.
    pub(crate) physical: u64,
    pub(crate) len: u64,
}

/// A slot of the bus, and the device in it.
pub(crate) struct Slot {
    model: Mutex<Model>,
    /// What the last START has assigned.
    assigned: Mutex<Assigned>,
    /// It was pulled out: it reads as all ones.
    is_gone: AtomicBool,
    pub(crate) power: Power,
    /// Requests that no driver knows, as they have come to the bus.
    pub(crate) unknown: AtomicU32,
    pub(crate) bars: [Option<Bar>; 6],
}

struct Model {
    device: Box<dyn DeviceModel>,
    /// The command register, 16 bits.
    command: u16,
    /// What a driver listens to.
    listens: Option<(IrqKind, u16)>,
    /// The last moment that the device knows of.
    clock: Instant,
    ram: Vec<u8>,
}

/// Bits of the command register.
const MEMORY: u16 = 1 << 1;
const BUS_MASTER: u16 = 1 << 2;
const NO_LINE: u16 = 1 << 10;
const COMMAND: usize = 4;
const MSI_AT: usize = 0x40;
/// Where BARs are on the bus.
const BUS_START: u64 = 0xE000_0000;
/// What the processor adds to that: addresses of the bus and of the processor are two things.
const TRANSLATION: u64 = 0x40_0000_0000;

impl Model {
    /// Time passes for the device.
    fn advance(&mut self) {
        let now = Instant::now();
        let ns = now.duration_since(self.clock).as_nanos() as u64;
        self.clock = now;
        self.device.advance(ns, &mut self.ram);
    }

    /// Has the device's signals be what the driver and the command register say.
    fn apply(&mut self) {
        let line_off = self.command & NO_LINE != 0;
        let (signal, count) = match self.listens {
            Some((IrqKind::Line, _)) if line_off => (None, 0),
            Some((signal, count)) => (Some(signal), count),
            None => (None, 0),
        };
        self.device.bus_master(self.command & BUS_MASTER != 0);
        self.device.select(signal, count);
    }
}

impl Slot {
    fn new(device: Box<dyn DeviceModel>) -> Self {
        let mut next = BUS_START;
        let bars = std::array::from_fn(|i| {
            let len = device.bar_len(i)?;
            let bus = next.next_multiple_of(len);
            next = bus + len;
            Some(Bar { bus, physical: bus + TRANSLATION, len })
        });
        let model =
            Model { device, command: MEMORY | BUS_MASTER, listens: None, clock: Instant::now(), ram: vec![0; 1 << 16] };
        Self {
            model: Mutex::new(model),
            assigned: Mutex::new(Assigned::Nothing),
            is_gone: AtomicBool::new(false),
            power: Power::new(),
            unknown: AtomicU32::new(0),
            bars,
        }
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(Acquire)
    }

    pub(crate) fn read(&self, kernel: &Kernel, bar: usize, offset: u64, width: u8) -> u64 {
        if self.is_gone() {
            return u64::MAX;
        }
        let mut model = lock(&self.model);
        model.advance();
        let Model { device, ram, .. } = &mut *model;
        let value = device.read(bar, offset, width, ram);
        drop(model);
        kernel.interrupts.ring();
        value
    }

    pub(crate) fn write(&self, kernel: &Kernel, bar: usize, offset: u64, width: u8, value: u64) {
        if self.is_gone() {
            return;
        }
        let mut model = lock(&self.model);
        model.advance();
        let Model { device, ram, .. } = &mut *model;
        device.write(bar, offset, width, value, ram);
        drop(model);
        kernel.interrupts.ring();
    }

    /// Is the line raised?
    pub(crate) fn line(&self) -> bool {
        let mut model = lock(&self.model);
        model.advance();
        !self.is_gone() && !self.power.is_asleep() && model.device.line()
    }

    pub(crate) fn take_message(&self) -> Option<u16> {
        let mut model = lock(&self.model);
        model.advance();
        if self.is_gone() || self.power.is_asleep() { None } else { model.device.take_message() }
    }

    /// A driver listens to the device from now on, or no more.
    pub(crate) fn listen(&self, kernel: &Kernel, signal: Option<IrqKind>, count: u16) {
        let mut model = lock(&self.model);
        model.listens = signal.map(|signal| (signal, count));
        model.apply();
        drop(model);
        kernel.interrupts.ring();
    }

    pub(crate) fn vectors(&self, signal: IrqKind) -> u16 {
        lock(&self.model).device.vectors(signal)
    }

    /// How many interrupts of a kind START has assigned.
    pub(crate) fn assigned(&self, signal: IrqKind) -> u16 {
        match (*lock(&self.assigned), signal) {
            (Assigned::Line, IrqKind::Line) => 1,
            (Assigned::Messages(count), IrqKind::Msi | IrqKind::MsiX) => count,
            _ => 0,
        }
    }

    /// Configuration space, 256 bytes.
    fn config(&self) -> [u8; 256] {
        let model = lock(&self.model);
        let mut config = [0; 256];
        let identity = model.device.identity();
        config[0..2].copy_from_slice(&identity.vendor.to_le_bytes());
        config[2..4].copy_from_slice(&identity.device.to_le_bytes());
        config[4..6].copy_from_slice(&model.command.to_le_bytes());
        config[11] = 0xFF; // a class of no class
        for (i, bar) in self.bars.iter().enumerate() {
            if let Some(bar) = bar {
                config[0x10 + 4 * i..][..4].copy_from_slice(&(bar.bus as u32).to_le_bytes());
            }
        }
        config[0x3D] = model.device.vectors(IrqKind::Line).min(1) as u8;
        let capability = match (model.device.vectors(IrqKind::MsiX), model.device.vectors(IrqKind::Msi)) {
            (0, 0) => None,
            (0, _) => Some(0x05),
            _ => Some(0x11),
        };
        if let Some(id) = capability {
            config[6] = 0x10;
            config[0x34] = MSI_AT as u8;
            config[MSI_AT] = id;
        }
        config
    }

    /// Reads configuration space; all ones of a device that is gone.
    pub(crate) fn config_read(&self, offset: usize, bytes: &mut [u8]) {
        bytes.fill(0xFF);
        if !self.is_gone() && offset + bytes.len() <= 256 {
            bytes.copy_from_slice(&self.config()[offset..offset + bytes.len()]);
        }
    }

    /// Writes configuration space: of what is writable there is the command register here.
    pub(crate) fn config_write(&self, kernel: &Kernel, offset: usize, bytes: &[u8]) {
        if self.is_gone() {
            return;
        }
        let mut model = lock(&self.model);
        let mut command = model.command.to_le_bytes();
        for (i, &byte) in bytes.iter().enumerate() {
            if let Some(place) = (offset + i).checked_sub(COMMAND).and_then(|at| command.get_mut(at)) {
                *place = byte;
            }
        }
        model.command = u16::from_le_bytes(command);
        model.apply();
        drop(model);
        kernel.interrupts.ring();
    }
}

/// A minor function that no driver knows.
const UNKNOWN: u8 = 0xFF;

/// What START assigns of interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// A line.
    Line,
    /// This many messages.
    Messages(u16),
    /// No interrupt.
    Nothing,
}

/// A device on the bus.
pub struct Device {
    kernel: Arc<Kernel>,
    slot: Arc<Slot>,
    bus: Arc<Service>,
    /// Address of the bus's device object.
    pdo: usize,
    /// Resource lists of the last START, in the pool.
    lists: Mutex<Vec<usize>>,
}

impl Machine {
    /// Plugs a device in. No driver has it yet.
    ///
    /// # Panics
    /// If there is one already: the bus has one slot.
    pub fn plug(&self, model: impl DeviceModel + 'static) -> Device {
        let kernel = &self.kernel;
        let slot = Arc::new(Slot::new(Box::new(model)));
        let bus = Service::bus(kernel);
        let pdo = pdo::make(kernel, &bus);
        let dacl = Dacl {
            is_protected: true,
            entries: ["S-1-5-18", "S-1-5-32-544"]
                .into_iter()
                .chain(kernel.options.open_to_all.then_some("S-1-1-0"))
                .map(|account| Entry { allows: true, mask: security::access::ALL, account: account.into() })
                .collect(),
        };
        let record = Record {
            name: Some(pdo::NAME.to_lowercase()),
            characteristics: 0x100,
            dacl: Some(dacl),
            files: Vec::new(),
            service: Arc::downgrade(&bus),
        };
        let before = lock(&kernel.objects).devices.insert(pdo, record);
        assert!(
            before.is_none() && lock(&kernel.slots).insert(pdo, slot.clone()).is_none(),
            "an object of a new device"
        );
        assert_eq!(lock(&kernel.slots).len(), 1, "the bus has one slot");
        Device { kernel: kernel.clone(), slot, bus, pdo, lists: Mutex::default() }
    }
}

impl Device {
    /// AddDevice: the driver adds its device object to the stack.
    ///
    /// # Errors
    /// What the driver answers; then it must have added nothing.
    ///
    /// # Panics
    /// If the run ends.
    pub fn add(&self, driver: &Driver) -> Result<(), NtStatus> {
        // SAFETY: the driver object is there while the driver is.
        let extension: &DriverExtension = unsafe { &*(*driver.service.driver()).driver_extension };
        if extension.add_device == 0 {
            return Err(STATUS_NOT_SUPPORTED);
        }
        let arguments = [driver.service.object, self.pdo];
        let answer = cpu::attached(&self.kernel, None, || {
            cpu::call("AddDevice", extension.add_device, cpu::level::PASSIVE, &arguments)
                .unwrap_or_else(|| cpu::abandon())
        });
        match answer as NtStatus {
            status if status < 0 => Err(status),
            _ => Ok(()),
        }
    }

    /// START_DEVICE, with the device's BARs and these interrupts.
    ///
    /// # Errors
    /// What the drivers answer.
    ///
    /// # Panics
    /// If the run ends.
    pub fn start(&self, assigned: Assigned) -> Result<(), NtStatus> {
        let [raw, translated] = [false, true].map(|translated| self.resources(assigned, translated));
        self.free_lists();
        *lock(&self.lists) = vec![raw, translated];
        *lock(&self.slot.assigned) = assigned;
        self.slot.power.begins();
        self.pnp(minor::START_DEVICE, |location| location.parameters[..2].copy_from_slice(&[raw, translated]))?;
        self.check(self.slot.power.started());
        for (major, minor) in [
            (major::PNP, UNKNOWN),
            (major::POWER, UNKNOWN),
            (major::POWER, minor::WAIT_WAKE),
            (major::POWER, minor::POWER_SEQUENCE),
            (major::SYSTEM_CONTROL, UNKNOWN),
        ] {
            self.unknown(major, minor);
        }
        Ok(())
    }

    /// A request that the driver cannot know, as Driver Verifier sends some: it must come to the bus as it is, and so go back.
    fn unknown(&self, major: u8, minor: u8) {
        let before = self.slot.unknown.load(Relaxed);
        let answer = self.ask(major, minor, |_| {}).err();
        let what = format!("the request of major function {major} and minor function {minor:#x}, which nobody knows,");
        if self.slot.unknown.load(Relaxed) == before {
            self.check(Err(Rule::UnknownPassedOn.broken(format!("{what} has not come to the bus"))));
        }
        if answer != Some(STATUS_NOT_SUPPORTED) {
            self.check(Err(Rule::UnknownUntouched.broken(format!("{what} was answered {:#x}", answer.unwrap_or(0)))));
        }
    }

    /// Ends the run if a rule is broken.
    fn check(&self, result: Result<(), Broken>) {
        if let Err(broken) = result {
            cpu::attached(&self.kernel, None, || cpu::fail(broken));
        }
    }

    /// QUERY_STOP_DEVICE and STOP_DEVICE: the device may be started again with other resources.
    ///
    /// # Errors
    /// A driver refuses; the device goes on as it was.
    ///
    /// # Panics
    /// If the run ends.
    pub fn stop(&self) -> Result<(), NtStatus> {
        if let Err(refused) = self.pnp(minor::QUERY_STOP_DEVICE, |_| {}) {
            self.must(minor::CANCEL_STOP_DEVICE);
            return Err(refused);
        }
        self.must(minor::STOP_DEVICE);
        Ok(())
    }

    /// An orderly removal: QUERY_REMOVE_DEVICE and REMOVE_DEVICE. The device can be added again.
    ///
    /// # Errors
    /// A driver refuses, or handles are open; the device goes on as it was.
    ///
    /// # Panics
    /// If the run ends.
    pub fn remove(&self) -> Result<(), NtStatus> {
        let answer = self.pnp(minor::QUERY_REMOVE_DEVICE, |_| {});
        let refused = answer.err().or((self.open_handles() > 0).then_some(STATUS_DEVICE_BUSY));
        if let Some(refused) = refused {
            self.must(minor::CANCEL_REMOVE_DEVICE);
            return Err(refused);
        }
        self.removed();
        Ok(())
    }

    /// The device is pulled out: SURPRISE_REMOVAL. [`removed`](Self::removed) comes after the last handle is closed.
    ///
    /// # Panics
    /// If the run ends.
    pub fn surprise_removal(&self) {
        self.slot.is_gone.store(true, Release);
        self.must(minor::SURPRISE_REMOVAL);
    }

    /// REMOVE_DEVICE. No handle is open.
    ///
    /// # Panics
    /// If the run ends, a handle is open, or a device object stays attached.
    pub fn removed(&self) {
        assert_eq!(self.open_handles(), 0, "REMOVE_DEVICE comes after the last handle is closed");
        self.must(minor::REMOVE_DEVICE);
        // SAFETY: the bus's own device object.
        if unsafe { !(*self.object()).attached_device.is_null() } {
            let broken = Rule::Detached.broken("a device object is attached after REMOVE_DEVICE");
            cpu::attached(&self.kernel, None, || cpu::fail(broken));
        }
        let left = std::mem::take(&mut lock(&self.kernel.objects).interfaces);
        // Disabling one may have been failed on purpose; then the plug-and-play manager does it.
        if let Some(name) = left.first().filter(|_| !self.kernel.faults.are_planned()) {
            let what = format!("the device interface {name} is enabled after REMOVE_DEVICE");
            cpu::attached(&self.kernel, None, || cpu::fail(Rule::InterfaceDisabled.broken(what)));
        }
        self.free_lists();
    }

    /// How many handles to it are open.
    pub fn open_handles(&self) -> usize {
        lock(&self.kernel.objects)
            .devices
            .get(&self.pdo)
            .map_or(0, |device| device.files.iter().filter_map(std::sync::Weak::upgrade).count())
    }

    /// Sends a plug-and-play request to the top of the stack, and waits for its end.
    fn pnp(&self, minor: u8, fill: impl FnOnce(&mut IoStackLocation)) -> Result<(), NtStatus> {
        self.ask(major::PNP, minor, fill)
    }

    /// SET_POWER of the system: `true` is on, `false` asleep. Drivers ask for their device's power in turn; this waits for that too.
    ///
    /// # Errors
    /// What the drivers answer.
    ///
    /// # Panics
    /// If the run ends.
    pub fn set_system_power(&self, on: bool) -> Result<(), NtStatus> {
        let answer = self.begin_system_power(on);
        self.kernel.works.wait_until_idle(&self.kernel);
        answer
    }

    /// As [`set_system_power`](Self::set_system_power), and returns as soon as the system's own request is over: when it wakes, that is before
    /// the device has its power back, and apps run already.
    ///
    /// # Errors
    /// What the drivers answer.
    ///
    /// # Panics
    /// If the run ends.
    pub fn begin_system_power(&self, on: bool) -> Result<(), NtStatus> {
        const SYSTEM: usize = 0;
        const S3: usize = 4;
        if on {
            self.kernel.has_slept();
        } else {
            self.slot.power.sleep_begins();
        }
        let state = if on { power::S0 } else { S3 };
        let status = self.send(major::POWER, minor::SET_POWER, |location| location.parameters = [0, SYSTEM, state, 0]);
        if !on {
            self.check(self.slot.power.sleep_is_over(status));
        }
        if status >= 0 { Ok(()) } else { Err(status) }
    }

    /// Keeps the device from getting its power back, or lets it. While it is kept, the system wakes all the same.
    pub fn hold_power(&self, hold: bool) {
        self.slot.power.hold(hold);
    }

    /// Waits until the bus has been asked for the device's power, which [is held](Self::hold_power).
    ///
    /// # Panics
    /// If the run ends.
    pub fn wait_until_power_is_held(&self) {
        if !self.slot.power.wait_until_held(&self.kernel) {
            cpu::attached(&self.kernel, None, || cpu::abandon());
        }
    }

    /// Waits until the threads of the system have nothing to do: until a change of power is over for the device too.
    pub fn settle(&self) {
        self.kernel.works.wait_until_idle(&self.kernel);
    }

    /// Sends a request to the top of the stack, and waits for its end, and until the threads of the system that had to do with it have left
    /// the drivers: they do so long before a driver can be unloaded.
    fn ask(&self, major: u8, minor: u8, fill: impl FnOnce(&mut IoStackLocation)) -> Result<(), NtStatus> {
        let status = self.send(major, minor, fill);
        self.kernel.works.wait_until_idle(&self.kernel);
        if status >= 0 { Ok(()) } else { Err(status) }
    }

    /// Sends a request to the top of the stack, and waits for its end.
    fn send(&self, major: u8, minor: u8, fill: impl FnOnce(&mut IoStackLocation)) -> NtStatus {
        let kernel = &self.kernel;
        cpu::attached(kernel, None, || {
            let top = pdo::top(self.object());
            // SAFETY: the top device of the bus's stack.
            let stack = unsafe { (*top).stack_size } as u8;
            let request = irp::make(kernel, stack, None, |irp, location| {
                irp.io_status.status = STATUS_NOT_SUPPORTED;
                irp.thread = cpu::thread_id();
                (location.major_function, location.minor_function) = (major, minor);
                fill(location);
            });
            let sent = irp::send(kernel, top, &request).and_then(|()| request.wait(kernel, true));
            sent.unwrap_or_else(|| cpu::abandon()).status
        })
    }

    /// A request that no driver may refuse.
    fn must(&self, minor: u8) {
        if let Err(status) = self.pnp(minor, |_| {}) {
            let what = format!("the plug-and-play request {minor:#x}, which may not fail, was answered {status:#x}");
            cpu::attached(&self.kernel, None, || cpu::fail(Rule::MayNotFail.broken(what)));
        }
    }

    fn object(&self) -> *mut DeviceObject {
        ptr::with_exposed_provenance_mut(self.pdo)
    }

    fn free_lists(&self) {
        for list in std::mem::take(&mut *lock(&self.lists)) {
            cpu::attached(&self.kernel, None, || cpu::checked(self.kernel.pool.free(list, None)));
        }
    }

    /// CM_RESOURCE_LIST, in the pool.
    fn resources(&self, assigned: Assigned, translated: bool) -> usize {
        let mut descriptors: Vec<[u32; 5]> = Vec::new();
        for bar in self.slot.bars.iter().flatten() {
            let start = if translated { bar.physical } else { bar.bus };
            descriptors.push([3, start as u32, (start >> 32) as u32, bar.len as u32, 0]);
        }
        const SHARED: u32 = 3 << 8;
        const DEVICE_EXCLUSIVE: u32 = 1 << 8;
        const LATCHED_MESSAGE: u32 = 3 << 16;
        match (assigned, translated) {
            (Assigned::Nothing, _) => {}
            (Assigned::Line, true) => descriptors.push([2 | SHARED, LINE_IRQL.into(), 0x81, 1, 0]),
            (Assigned::Line, false) => descriptors.push([2 | SHARED, 11, 11, u32::MAX, u32::MAX]),
            (Assigned::Messages(_), true) => {
                descriptors.push([2 | DEVICE_EXCLUSIVE | LATCHED_MESSAGE, MESSAGE_IRQL.into(), 0x91, 1, 0]);
            }
            (Assigned::Messages(count), false) => {
                let first = u32::from(count) << 16;
                descriptors.push([2 | DEVICE_EXCLUSIVE | LATCHED_MESSAGE, first, u32::MAX - 1, u32::MAX, u32::MAX]);
            }
        }
        const PCI_BUS: u32 = 5;
        let mut words = vec![1, PCI_BUS, 0, 1 << 16 | 1, descriptors.len() as u32];
        words.extend(descriptors.into_iter().flatten());
        let address = self.kernel.allocate(4 * words.len(), b"CmRe", false);
        // SAFETY: fresh memory for as many words.
        unsafe { ptr::copy_nonoverlapping(words.as_ptr(), ptr::with_exposed_provenance_mut(address), words.len()) };
        address
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.kernel.is_stopped() || std::thread::panicking() {
            return;
        }
        self.free_lists();
        lock(&self.kernel.slots).remove(&self.pdo);
        lock(&self.kernel.objects).devices.remove(&self.pdo);
        cpu::attached(&self.kernel, None, || cpu::checked(self.kernel.pool.free(self.pdo, None)));
        self.bus.free(&self.kernel);
    }
}
