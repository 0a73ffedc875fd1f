//! A PCI bus: devices that are models, their configuration space, and what the plug-and-play and power managers ask of their drivers.
use crate::{
    cpu, irp,
    kernel::{Kernel, Machine, lock},
    nt::{
        DeviceObject, DriverExtension, IoStackLocation, NtStatus, STATUS_DEVICE_BUSY, STATUS_NOT_SUPPORTED, major,
        minor,
    },
    objects::Device as Record,
    observed::Observed,
    pdo,
    power::{self, Power},
    resources::{self, Bar, Shape},
    rule::{Broken, Rule},
    security::{self, Dacl, Entry},
    service::{Driver, Service},
};
use kp_sim::device::{DeviceModel, Identity, IrqKind};
use std::{
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicU32, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Instant,
};

/// A slot of the bus, and the device in it.
pub(crate) struct Slot {
    /// Slots are numbered in the order of their first use.
    pub(crate) number: usize,
    pub(crate) shape: Shape,
    model: Mutex<Model>,
    /// What the last START has assigned.
    assigned: Mutex<Assigned>,
    /// It was pulled out: it reads as all ones.
    is_gone: AtomicBool,
    /// START is under way.
    is_starting: AtomicBool,
    pub(crate) observed: Observed,
    bars: Mutex<[Option<Bar>; 6]>,
    starts: AtomicUsize,
    pub(crate) power: Power,
    /// Requests that no driver knows, as they have come to the bus.
    pub(crate) unknown: AtomicU32,
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

impl Model {
    /// Time passes for the device.
    fn advance(&mut self) {
        let now = Instant::now();
        let ns = now.duration_since(self.clock).as_nanos() as u64;
        self.clock = now;
        self.device.advance(ns, &mut self.ram);
    }

    /// Has the device's signals be what the driver and the command register say. The line is the device's to raise, whether anybody listens
    /// or not.
    fn apply(&mut self) {
        let line_off = self.command & NO_LINE != 0 || self.device.vectors(IrqKind::Line) == 0;
        let (signal, count) = match self.listens {
            Some((signal @ (IrqKind::Msi | IrqKind::MsiX), count)) => (Some(signal), count),
            _ if line_off => (None, 0),
            _ => (Some(IrqKind::Line), 1),
        };
        self.device.bus_master(self.command & BUS_MASTER != 0);
        self.device.select(signal, count);
    }
}

impl Model {
    /// Would it raise its line, if that were not off? PCI Local Bus Specification 3.0, section 6.2.3, bit 3 of the status register.
    fn wants_line(&mut self) -> bool {
        if self.device.vectors(IrqKind::Line) == 0 || matches!(self.listens, Some((IrqKind::Msi | IrqKind::MsiX, _))) {
            return false;
        }
        if self.command & NO_LINE == 0 {
            return self.device.line();
        }
        self.device.select(Some(IrqKind::Line), 1);
        let wants = self.device.line();
        self.device.select(None, 0);
        wants
    }
}

impl Slot {
    fn new(number: usize, device: Box<dyn DeviceModel>, shape: Shape) -> Self {
        let bars = Mutex::new(resources::bars(number, 0, &*device, &shape));
        let model =
            Model { device, command: MEMORY | BUS_MASTER, listens: None, clock: Instant::now(), ram: vec![0; 1 << 16] };
        Self {
            number,
            shape,
            model: Mutex::new(model),
            assigned: Mutex::new(Assigned::Nothing),
            is_gone: AtomicBool::new(false),
            is_starting: AtomicBool::new(false),
            observed: Observed::default(),
            power: Power::new(),
            unknown: AtomicU32::new(0),
            bars,
            starts: AtomicUsize::new(0),
        }
    }

    /// Is it too early to open it? "The PnP manager fails create requests for the device until the IRP_MN_START_DEVICE IRP completes"
    /// ("IoSetDeviceInterfaceState function (wdm.h)").
    pub(crate) fn is_starting(&self) -> bool {
        self.is_starting.load(Acquire)
    }

    pub(crate) fn identity(&self) -> Identity {
        lock(&self.model).device.identity()
    }

    pub(crate) fn bars(&self) -> [Option<Bar>; 6] {
        *lock(&self.bars)
    }

    /// The bus has found other places for its BARs.
    fn move_bars(&self) {
        let starts = self.starts.fetch_add(1, Relaxed);
        let bars = resources::bars(self.number, starts, &*lock(&self.model).device, &self.shape);
        *lock(&self.bars) = bars;
    }

    /// Where it is.
    pub(crate) fn place(&self) -> Place {
        let n = self.number as u32;
        Place { bus: n, device: 5 + n, function: n % 8 }
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

    /// Does it raise the line of all devices? One that was not assigned it is on another.
    pub(crate) fn line(&self) -> bool {
        if *lock(&self.assigned) != Assigned::Line {
            return false;
        }
        self.is_raised()
    }

    /// Does it raise its line, whoever hears that?
    pub(crate) fn is_raised(&self) -> bool {
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

    /// The messages that it is assigned, if it has any: "For such a device, the operating system will automatically use MSI-X", of one that
    /// has MSI too ("Introduction to Message-Signaled Interrupts").
    pub(crate) fn messages(&self) -> IrqKind {
        if lock(&self.model).device.vectors(IrqKind::MsiX) > 0 { IrqKind::MsiX } else { IrqKind::Msi }
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
        let mut model = lock(&self.model);
        let mut config = [0; 256];
        let identity = model.device.identity();
        config[0..2].copy_from_slice(&identity.vendor.to_le_bytes());
        config[2..4].copy_from_slice(&identity.device.to_le_bytes());
        config[4..6].copy_from_slice(&model.command.to_le_bytes());
        config[11] = 0xFF; // a class of no class
        for (i, register) in resources::registers(&self.bars()).into_iter().enumerate() {
            config[0x10 + 4 * i..][..4].copy_from_slice(&register.to_le_bytes());
        }
        config[0x3D] = model.device.vectors(IrqKind::Line).min(1) as u8;
        let capability = match (model.device.vectors(IrqKind::MsiX), model.device.vectors(IrqKind::Msi)) {
            (0, 0) => None,
            (0, _) => Some(0x05),
            _ => Some(0x11),
        };
        if model.wants_line() {
            config[6] |= 0x08;
        }
        if let Some(id) = capability {
            config[6] |= 0x10;
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
        if (offset..offset + bytes.len()).any(|at| (COMMAND..COMMAND + 2).contains(&at)) {
            self.observed.command_written();
        }
        model.apply();
        drop(model);
        kernel.interrupts.ring();
    }
}

/// A device's place among the buses, as Windows has it in two properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bus: u32,
    pub(crate) device: u32,
    pub(crate) function: u32,
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
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) slot: Arc<Slot>,
    bus: Arc<Service>,
    /// Address of the bus's device object.
    pub(crate) pdo: usize,
    /// Resource lists of the last START, in the pool.
    lists: Mutex<Vec<usize>>,
}

impl Machine {
    /// Plugs a device in, whose BARs are below 4 GiB. No driver has it yet.
    pub fn plug(&self, model: impl DeviceModel + 'static) -> Device {
        self.plug_as(model, Shape::default())
    }

    /// Plugs a device in, whose BARs and resources have this shape.
    ///
    /// # Panics
    /// If the device cannot have it.
    pub fn plug_as(&self, model: impl DeviceModel + 'static, shape: Shape) -> Device {
        let kernel = &self.kernel;
        let number = kernel.next_slot();
        let slot = Arc::new(Slot::new(number, Box::new(model), shape));
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
            name: Some(pdo::name(number).to_lowercase()),
            dacl: Some(dacl),
            files: Vec::new(),
            service: Arc::downgrade(&bus),
        };
        let before = lock(&kernel.objects).devices.insert(pdo, record);
        assert!(
            before.is_none() && lock(&kernel.slots).insert(pdo, slot.clone()).is_none(),
            "an object of a new device"
        );
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
        self.slot.move_bars();
        let [raw, translated] = resources::lists(&self.slot, assigned).map(|words| self.list(&words));
        self.free_lists();
        *lock(&self.lists) = vec![raw, translated];
        *lock(&self.slot.assigned) = assigned;
        self.slot.observed.starts();
        self.slot.power.begins();
        self.slot.is_starting.store(true, Release);
        let started =
            self.pnp(minor::START_DEVICE, |location| location.parameters[..2].copy_from_slice(&[raw, translated]));
        self.slot.is_starting.store(false, Release);
        started?;
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
    pub(crate) fn check(&self, result: Result<(), Broken>) {
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
        let interface = self.interface();
        self.must(minor::STOP_DEVICE);
        if interface != self.interface() {
            self.check(Err(Rule::InterfaceKept.broken("the device interface is disabled in STOP_DEVICE")));
        }
        self.has_released(Rule::StoppedReleased);
        *lock(&self.slot.assigned) = Assigned::Nothing;
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
        self.failed();
    }

    /// A device that is there fails to start again, which is a SURPRISE_REMOVAL too ("Stopping a Device to Rebalance Resources").
    /// [`removed`](Self::removed) comes after the last handle is closed.
    ///
    /// # Panics
    /// If the run ends.
    pub fn failed(&self) {
        self.must(minor::SURPRISE_REMOVAL);
        self.has_released(Rule::SurpriseReleased);
    }

    /// REMOVE_DEVICE. No handle is open.
    ///
    /// # Panics
    /// If the run ends, a handle is open, or a device object stays attached.
    pub fn removed(&self) {
        assert_eq!(self.open_handles(), 0, "REMOVE_DEVICE comes after the last handle is closed");
        self.must(minor::REMOVE_DEVICE);
        self.has_released(Rule::RemovedReleased);
        // SAFETY: the bus's own device object.
        if unsafe { !(*self.object()).attached_device.is_null() } {
            let broken = Rule::Detached.broken("a device object is attached after REMOVE_DEVICE");
            cpu::attached(&self.kernel, None, || cpu::fail(broken));
        }
        self.disable_interfaces();
        *lock(&self.slot.assigned) = Assigned::Nothing;
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

    /// A CM_RESOURCE_LIST, in the pool.
    fn list(&self, words: &[u32]) -> usize {
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
