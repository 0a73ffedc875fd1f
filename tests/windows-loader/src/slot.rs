//! A slot of the PCI bus: the device in it, which is a model, and its configuration space.
use crate::{
    bus::Assigned,
    kernel::{Kernel, lock},
    observed::Observed,
    power::Power,
    resources::{self, Bar, Shape},
    transfers::View,
};
use kp_sim::device::{DeviceModel, Identity, IrqKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{
            AtomicBool, AtomicU32, AtomicUsize,
            Ordering::{Acquire, Relaxed},
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
    pub(crate) assigned: Mutex<Assigned>,
    /// It was pulled out: it reads as all ones.
    pub(crate) is_gone: AtomicBool,
    /// START is under way.
    pub(crate) is_starting: AtomicBool,
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
    /// How many times faster than the host's it is.
    haste: u32,
    /// Memory as it sees it.
    ram: View,
    table: MsixTable,
}

/// A device's messages, as the bus driver has written them at START: the entries of its MSI-X table and their masks, or its MSI.
#[derive(Default)]
struct MsixTable {
    /// Entries that have a message, and which.
    bound: BTreeMap<u16, u16>,
    /// Where its capability MSI is, if the model has one itself.
    msi: Option<u16>,
    masked: BTreeSet<u16>,
    /// Messages that were to be sent while they were masked: the table's pending bits.
    pending: BTreeSet<u16>,
}

/// Bits of the command register.
const MEMORY: u16 = 1 << 1;
const BUS_MASTER: u16 = 1 << 2;
const NO_LINE: u16 = 1 << 10;
const COMMAND: usize = 4;
const MSI_AT: usize = 0x40;
const FIRST_CAPABILITY: u16 = 0x34;
const MSI: u8 = 0x05;
const PCI_EXPRESS: u8 = 0x10;
const MSIX: u8 = 0x11;
/// Device Control, behind the capability's header, and its bit that resets.
const DEVICE_CONTROL: u16 = 0x08;
const RESET: u32 = 1 << 15;
/// Message Control, the same, and bits of it: MSI is enabled, its address has 64 bits; MSI-X is enabled.
const MESSAGE_CONTROL: u16 = 0x02;
const MSI_ENABLED: u32 = 1;
const MSI_IS_WIDE: u32 = 1 << 7;
const MSIX_ENABLED: u32 = 1 << 15;
/// What a message of MSI is, where the processors take it.
const MSI_ADDRESS: u32 = 0xFEE0_1000;
const MSI_DATA: u32 = 0x0051;

impl Model {
    /// It has a line, which is not off, and sends no messages in its place.
    fn may_raise_line(&self) -> bool {
        let messages = matches!(self.listens, Some((IrqKind::Msi | IrqKind::MsiX, _)));
        self.command & NO_LINE == 0 && self.device.vectors(IrqKind::Line) != 0 && !messages
    }

    /// Time passes for the device.
    fn advance(&mut self) {
        let now = Instant::now();
        let ns = (now.duration_since(self.clock) * self.haste).as_nanos() as u64;
        self.clock = now;
        self.device.advance(ns, &mut self.ram);
    }

    /// Has the device's signals be what the driver and the command register say. The line is the device's to raise, whether anybody listens
    /// or not.
    fn apply(&mut self) {
        let (signal, count) = match self.listens {
            Some((signal @ (IrqKind::Msi | IrqKind::MsiX), count)) => (Some(signal), count),
            _ if self.may_raise_line() => (Some(IrqKind::Line), 1),
            _ => (None, 0),
        };
        self.device.bus_master(self.command & BUS_MASTER != 0);
        self.device.select(signal, count);
    }
}

impl Model {
    /// Where a capability is that the model has itself.
    fn capability(&mut self, id: u8) -> Option<u16> {
        let mut at = self.device.config_read(FIRST_CAPABILITY, 1)? as u16 & 0xFC;
        for _ in 0..48 {
            if at == 0 {
                return None;
            }
            let header = self.device.config_read(at, 2)?;
            if header as u8 == id {
                return Some(at);
            }
            at = (header >> 8) as u16 & 0xFC;
        }
        None
    }

    /// Where MSI has its data.
    fn msi_data(&mut self, at: u16) -> u16 {
        let control = self.device.config_read(at + MESSAGE_CONTROL, 2).unwrap_or(0);
        if control & MSI_IS_WIDE != 0 { at + 0x0C } else { at + 0x08 }
    }

    /// Writes so many messages, as a bus driver does that starts the device, and enables them. "If there are more table entries than messages, the
    /// system sets the remaining table entries to correspond to message zero" ("PCI_MSIX_SET_ENTRY callback function (wdm.h)").
    fn program(&mut self, count: u16) {
        let entries = if count > 0 { self.device.vectors(IrqKind::MsiX) } else { 0 };
        let bound = (0..entries).map(|entry| (entry, if entry < count { entry } else { 0 })).collect();
        self.table = MsixTable { bound, ..MsixTable::default() };
        let at = self.capability(MSIX);
        if let (Some(at), true) = (at, count > 0) {
            let control = self.device.config_read(at + MESSAGE_CONTROL, 2).unwrap_or(0);
            self.device.config_write(at + MESSAGE_CONTROL, 2, control | MSIX_ENABLED);
        } else if let (Some(at), true) = (self.capability(MSI), count > 0) {
            let data = self.msi_data(at);
            self.device.config_write(at + 0x04, 4, MSI_ADDRESS);
            self.device.config_write(data, 2, MSI_DATA);
            let control = self.device.config_read(at + MESSAGE_CONTROL, 2).unwrap_or(0);
            self.device.config_write(at + MESSAGE_CONTROL, 2, control | MSI_ENABLED);
            self.table.msi = Some(at);
        }
    }

    /// Which message gets to a processor as one is sent. None after a reset that has cleared what was [written](Self::program), until that is there
    /// again.
    fn arrives(&mut self, sent: u16) -> Option<u16> {
        if self.device.vectors(IrqKind::MsiX) > 0 {
            return self.table.bound.get(&sent).copied();
        }
        let Some(at) = self.table.msi else { return Some(sent) };
        let data = self.msi_data(at);
        let mut is =
            |at, width, bits: u32| self.device.config_read(at, width).is_some_and(|value| value & bits == bits);
        let arrives =
            is(at + 0x04, 4, MSI_ADDRESS) && is(data, 2, MSI_DATA) && is(at + MESSAGE_CONTROL, 2, MSI_ENABLED);
        arrives.then_some(sent)
    }

    /// Device Control was written. A reset clears the command register and the table of MSI-X, and masks its entries; what else is in configuration
    /// space is the model's.
    fn express_written(&mut self, offset: u16, value: u32) {
        let control = self.capability(PCI_EXPRESS).map(|at| at + DEVICE_CONTROL);
        if control == Some(offset) && value & RESET != 0 {
            let entries = self.device.vectors(IrqKind::MsiX);
            (self.table.bound, self.table.pending) = Default::default();
            self.table.masked = (0..entries).collect();
            self.command = 0;
            self.apply();
        }
    }

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
    pub(crate) fn new(kernel: &Kernel, number: usize, device: Box<dyn DeviceModel>, shape: Shape) -> Self {
        let ram = View { slot: number, transfers: kernel.transfers.clone() };
        let bars = Mutex::new(resources::bars(number, 0, &*device, &shape));
        let (clock, haste, table) = (Instant::now(), kernel.options.device_haste.max(1), MsixTable::default());
        let model = Model { device, command: MEMORY | BUS_MASTER, listens: None, clock, haste, ram, table };
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

    /// Time passes for it.
    pub(crate) fn pass_time(&self) {
        if !self.is_gone() {
            lock(&self.model).advance();
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        lock(&self.model).device.identity()
    }

    pub(crate) fn bars(&self) -> [Option<Bar>; 6] {
        *lock(&self.bars)
    }

    /// The bus has found other places for its BARs.
    pub(crate) fn move_bars(&self) {
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
        !self.is_gone() && !self.power.is_asleep() && model.may_raise_line() && model.device.line()
    }

    pub(crate) fn take_message(&self) -> Option<u16> {
        let mut model = lock(&self.model);
        model.advance();
        if self.is_gone() || self.power.is_asleep() {
            return None;
        }
        let MsixTable { masked, pending, .. } = &mut model.table;
        if let Some(message) = pending.iter().find(|message| !masked.contains(message)).copied() {
            pending.remove(&message);
            return model.arrives(message);
        }
        loop {
            match model.device.take_message()? {
                message if model.table.masked.contains(&message) => _ = model.table.pending.insert(message),
                message => {
                    if let Some(message) = model.arrives(message) {
                        return Some(message);
                    } // else it was sent to nowhere
                }
            }
        }
    }

    /// START has assigned so many messages, which the bus driver writes.
    pub(crate) fn program(&self, count: u16) {
        lock(&self.model).program(count);
    }

    /// Writes an entry of its MSI-X table. False: there is no such entry, or no such message, or the BAR is not decoded.
    pub(crate) fn bind(&self, entry: u32, message: u32) -> bool {
        let assigned: u32 = self.assigned(IrqKind::MsiX).into();
        let mut model = lock(&self.model);
        let entry = u16::try_from(entry).ok().filter(|&entry| entry < model.device.vectors(IrqKind::MsiX));
        let is_mapped = model.command & MEMORY != 0;
        let Some(entry) = entry.filter(|_| message < assigned && is_mapped) else { return false };
        model.table.bound.insert(entry, message as u16);
        true
    }

    /// Masks an entry of its MSI-X table, or unmasks it. False: there is no such entry.
    pub(crate) fn mask(&self, kernel: &Kernel, entry: u32, mask: bool) -> bool {
        let mut model = lock(&self.model);
        let entry = u16::try_from(entry).ok().filter(|&entry| entry < model.device.vectors(IrqKind::MsiX));
        let Some(entry) = entry else { return false };
        if mask {
            model.table.masked.insert(entry);
        } else {
            model.table.masked.remove(&entry);
        }
        drop(model);
        kernel.interrupts.ring();
        true
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
        if self.is_gone() {
            return;
        }
        // What the device says itself comes before what is made up here.
        if let Ok(width @ (1 | 2 | 4)) = u8::try_from(bytes.len())
            && let Some(value) = lock(&self.model).device.config_read(offset as u16, width)
        {
            bytes.copy_from_slice(&value.to_le_bytes()[..width.into()]);
            return;
        }
        if offset + bytes.len() <= 256 {
            bytes.copy_from_slice(&self.config()[offset..offset + bytes.len()]);
        }
    }

    /// Writes configuration space: of what is writable there is the command register here.
    pub(crate) fn config_write(&self, kernel: &Kernel, offset: usize, bytes: &[u8]) {
        if self.is_gone() {
            return;
        }
        let mut model = lock(&self.model);
        if let Ok(width @ (1 | 2 | 4)) = u8::try_from(bytes.len()) {
            let value = bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
            if model.device.config_write(offset as u16, width, value) {
                model.express_written(offset as u16, value);
                return;
            }
        }
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
