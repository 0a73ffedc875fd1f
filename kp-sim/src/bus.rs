//! The bus and what is on it: one device model or none, its mapped BARs, its configuration space, memory for its DMA.
use crate::{
    device::{BarKind, DeviceModel, IrqKind, ones},
    dma::DmaSpace,
    misuse::misuse,
    sync::lock,
};
use kp_core::host::{self, RawBar};
use kp_user::BusAddress;
use std::{any::Any, num::NonZeroUsize, sync::Mutex};

/// Where BAR 0 is mapped; each BAR has 4 GiB.
const MAPPED_AT: usize = 0x10_0000_0000;
const BAR_SHIFT: u32 = 32;
/// The first port of BAR 0; each BAR has 256.
const PORTS_AT: usize = 0xC000;
const PORTS_SHIFT: u32 = 8;
const CONFIG_SIZE: usize = 4096;
/// Slot 4 of the first bus.
pub(crate) const BUS_ADDRESS: BusAddress = BusAddress { domain: 0, bus: 0, device: 4, function: 0 };

/// BAR and offset in one number, for a trace; of ports the port.
pub(crate) fn place(address: usize) -> u64 {
    address.checked_sub(MAPPED_AT).unwrap_or(address) as u64
}

/// A device model that can be found again by its type.
pub(crate) trait Attached: DeviceModel + Any {}
impl<M: DeviceModel + Any> Attached for M {}

pub(crate) struct Bus {
    parts: Mutex<Parts>,
    has_device: bool,
}

struct Parts {
    model: Option<Box<dyn Attached>>,
    /// The device was pulled out: reads give all ones.
    absent: bool,
    /// No power: it does not interrupt.
    asleep: bool,
    /// What is mapped: address and length of each part.
    mapped: Vec<(usize, usize)>,
    config: Vec<u8>,
    dma: DmaSpace,
    /// The plugin wants transfers; messages switch them on for themselves.
    master: bool,
    listening: Option<(IrqKind, u16)>,
}

/// What the device signals now.
#[derive(Default)]
pub(crate) struct Signals {
    pub(crate) line: bool,
    pub(crate) messages: Vec<u16>,
}

impl Bus {
    pub(crate) fn new(model: Option<Box<dyn Attached>>, ram: usize) -> Self {
        let mut config = vec![0; CONFIG_SIZE];
        if let Some(model) = &model {
            let identity = model.identity();
            config[0..2].copy_from_slice(&identity.vendor.to_le_bytes());
            config[2..4].copy_from_slice(&identity.device.to_le_bytes());
        }
        let has_device = model.is_some();
        let parts = Parts {
            model,
            absent: false,
            asleep: false,
            mapped: Vec::new(),
            config,
            dma: DmaSpace::new(ram),
            master: false,
            listening: None,
        };
        Self { parts: Mutex::new(parts), has_device }
    }

    pub(crate) fn has_device(&self) -> bool {
        self.has_device
    }

    /// The BARs, as a port gives them.
    pub(crate) fn bars(&self) -> [Option<RawBar>; 6] {
        let parts = lock(&self.parts);
        let raw = |bar| {
            let model = parts.model.as_ref()?;
            let len = usize::try_from(model.bar_len(bar)?).ok()?;
            let kind = match model.bar_kind(bar) {
                BarKind::Memory => host::BarKind::Memory,
                BarKind::Prefetchable => host::BarKind::Prefetchable,
                BarKind::Ports => host::BarKind::Ports(NonZeroUsize::new(PORTS_AT + (bar << PORTS_SHIFT))?),
            };
            Some(RawBar { len, kind })
        };
        std::array::from_fn(raw)
    }

    /// Runs `f` with the model, if it is an `M`.
    pub(crate) fn with_model<M: DeviceModel + 'static, R>(&self, f: impl FnOnce(&mut M) -> R) -> Option<R> {
        let mut parts = lock(&self.parts);
        let model: &mut dyn Any = parts.model.as_deref_mut()?;
        model.downcast_mut().map(f)
    }

    /// Runs `f` with the memory that DMA reaches.
    pub(crate) fn with_ram<R>(&self, f: impl FnOnce(&mut [u8]) -> R) -> R {
        f(&mut lock(&self.parts).dma.ram)
    }

    /// Runs `f` with what the device reaches by itself.
    pub(crate) fn with_dma<R>(&self, f: impl FnOnce(&mut DmaSpace) -> R) -> R {
        f(&mut lock(&self.parts).dma)
    }

    /// Fails the test for what the device has done where it must not, once nobody else is kept by it. A test that fails already is told.
    fn judge(&self) {
        match lock(&self.parts).dma.take_wrong() {
            Some(wrong) if std::thread::panicking() => eprintln!("{wrong}"),
            Some(wrong) => misuse(&wrong),
            None => {}
        }
    }

    /// The device is pulled out.
    pub(crate) fn pull_out(&self) {
        lock(&self.parts).absent = true;
    }

    /// The device loses power.
    pub(crate) fn power_off(&self) {
        lock(&self.parts).asleep = true;
    }

    /// Is it without power?
    pub(crate) fn is_asleep(&self) -> bool {
        lock(&self.parts).asleep
    }

    /// It has power again.
    pub(crate) fn power_on(&self) {
        lock(&self.parts).asleep = false;
        self.reset();
    }

    /// It forgets what the plugin has set, and the PCI core restores what is its own.
    pub(crate) fn reset(&self) {
        let mut parts = lock(&self.parts);
        let (listening, master) = (parts.listening, parts.is_master());
        parts.dma.is_master = master;
        if let Some(model) = &mut parts.model {
            model.reset();
            model.bus_master(master);
            model.select(listening.map(|(kind, _)| kind), listening.map_or(0, |(_, count)| count));
        }
    }

    // Registers.

    pub(crate) fn mappings(&self) -> usize {
        lock(&self.parts).mapped.len()
    }

    pub(crate) fn map(&self, bar: usize, offset: usize, len: usize) -> usize {
        let mut parts = lock(&self.parts);
        let end = (offset + len) as u64;
        if parts.model.as_ref().and_then(|model| model.bar_len(bar)).is_none_or(|has| has < end) {
            return 0;
        }
        let address = MAPPED_AT + (bar << BAR_SHIFT) + offset;
        parts.mapped.push((address, len));
        address
    }

    pub(crate) fn unmap(&self, base: usize, len: usize) {
        let mut parts = lock(&self.parts);
        let Some(at) = parts.mapped.iter().position(|part| *part == (base, len)) else {
            drop(parts);
            misuse("a mapping was undone that is not there, or has another length")
        };
        parts.mapped.swap_remove(at);
    }

    pub(crate) fn read(&self, address: usize, width: u8) -> u64 {
        let _judgement = Judgement(self);
        let mut parts = lock(&self.parts);
        let Some((bar, offset)) = parts.find(address, width) else {
            drop(parts);
            misuse(&format!("a read of {width} bytes at {:#x} meets no mapped, aligned register", place(address)))
        };
        if parts.asleep && !parts.absent {
            drop(parts);
            misuse(&format!("a register was read, at {offset:#x} of BAR {bar}, while the device sleeps"));
        }
        let Parts { model: Some(model), absent: false, dma, .. } = &mut *parts else { return ones(width) };
        let value = model.read(bar, offset, width, dma);
        drop(parts);
        self.judge();
        value
    }

    pub(crate) fn write(&self, address: usize, width: u8, value: u64) {
        let _judgement = Judgement(self);
        let mut parts = lock(&self.parts);
        let Some((bar, offset)) = parts.find(address, width) else {
            drop(parts);
            misuse(&format!("a write of {width} bytes at {:#x} meets no mapped, aligned register", place(address)))
        };
        if parts.asleep && !parts.absent {
            drop(parts);
            misuse(&format!("a register was written, at {offset:#x} of BAR {bar}, while the device sleeps"));
        }
        if let Parts { model: Some(model), absent: false, dma, .. } = &mut *parts {
            model.write(bar, offset, width, value, dma);
        }
        drop(parts);
        self.judge();
    }

    pub(crate) fn config_read(&self, offset: u32, width: u32) -> u32 {
        let parts = &mut *lock(&self.parts);
        let at = offset as usize;
        let Parts { model: Some(model), absent: false, config, .. } = parts else { return ones(width as u8) as u32 };
        if let Some(value) = model.config_read(offset as u16, width as u8) {
            return value;
        }
        let bytes = config.get(at..at + width as usize);
        bytes.map_or(u32::MAX, |bytes| bytes.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte)))
    }

    pub(crate) fn config_write(&self, offset: u32, width: u32, value: u32) {
        let parts = &mut *lock(&self.parts);
        let at = offset as usize;
        if let Parts { model: Some(model), absent: false, config, .. } = parts
            && !model.config_write(offset as u16, width as u8, value)
            && let Some(bytes) = config.get_mut(at..at + width as usize)
        {
            bytes.copy_from_slice(&value.to_le_bytes()[..width as usize]);
        }
    }

    /// Time passes.
    pub(crate) fn advance(&self, ns: u64) {
        let _judgement = Judgement(self);
        if let Parts { model: Some(model), absent: false, asleep: false, dma, .. } = &mut *lock(&self.parts) {
            model.advance(ns, dma);
        }
        self.judge();
    }

    // Interrupts.

    /// The kinds that the device has, with how many vectors of each, best first.
    pub(crate) fn kinds(&self) -> Vec<(IrqKind, u16)> {
        let parts = lock(&self.parts);
        let Some(model) = &parts.model else { return Vec::new() };
        let counted = [IrqKind::MsiX, IrqKind::Msi, IrqKind::Line].map(|kind| (kind, model.vectors(kind)));
        counted.into_iter().filter(|&(_, count)| count > 0).collect()
    }

    /// Says how the device shall signal, and to how many vectors.
    pub(crate) fn listen(&self, listening: Option<(IrqKind, u16)>) {
        let parts = &mut *lock(&self.parts);
        parts.listening = listening;
        let master = parts.is_master();
        parts.dma.is_master = master;
        if let Some(model) = &mut parts.model {
            model.bus_master(master);
            model.select(listening.map(|(kind, _)| kind), listening.map_or(0, |(_, count)| count));
        }
    }

    /// Lets the device transfer, or not, as far as the plugin is asked. Can it?
    pub(crate) fn set_master(&self, on: bool) -> bool {
        let parts = &mut *lock(&self.parts);
        parts.master = on;
        let master = parts.is_master();
        parts.dma.is_master = master;
        if let Some(model) = &mut parts.model {
            model.bus_master(master);
        }
        master
    }

    /// Does the device raise its line?
    pub(crate) fn raises_line(&self) -> bool {
        let parts = &mut *lock(&self.parts);
        parts.is_line_up()
    }

    /// Takes what the device signals now.
    pub(crate) fn take_signals(&self) -> Signals {
        let parts = &mut *lock(&self.parts);
        let line = parts.is_line_up();
        let Parts { model: Some(model), absent: false, asleep: false, .. } = parts else { return Signals::default() };
        Signals { line, messages: std::iter::from_fn(|| model.take_message()).collect() }
    }
}

/// Comes after a model has run, however it ended: if it has panicked, as by an assertion that an access answers true, its words alone would not
/// say what the access was.
struct Judgement<'a>(&'a Bus);

impl Drop for Judgement<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.judge();
        }
    }
}

impl Parts {
    /// Does the device raise its line? It does not while it sends messages, or nobody listens.
    fn is_line_up(&mut self) -> bool {
        let Self { model: Some(model), absent: false, asleep: false, listening: Some((IrqKind::Line, _)), .. } = self
        else {
            return false;
        };
        model.line()
    }

    /// BAR and offset of an access to what is mapped, or to ports.
    fn find(&self, address: usize, width: u8) -> Option<(usize, u64)> {
        let end = address.checked_add(usize::from(width))?;
        let (bar, offset) = if address < MAPPED_AT {
            self.ports(address, end)?
        } else {
            self.mapped.iter().find(|(base, len)| *base <= address && end <= base + len)?;
            let place = address - MAPPED_AT;
            (place >> BAR_SHIFT, place & ((1 << BAR_SHIFT) - 1))
        };
        offset.is_multiple_of(usize::from(width)).then_some((bar, offset as u64))
    }

    /// BAR and offset of the ports from `first` to `end`.
    fn ports(&self, first: usize, end: usize) -> Option<(usize, usize)> {
        let place = first.checked_sub(PORTS_AT)?;
        let (bar, offset) = (place >> PORTS_SHIFT, place & ((1 << PORTS_SHIFT) - 1));
        let model = self.model.as_ref().filter(|model| bar < 6 && model.bar_kind(bar) == BarKind::Ports)?;
        (offset as u64 + (end - first) as u64 <= model.bar_len(bar)?).then_some((bar, offset))
    }

    /// A message is a write of the device's own.
    fn is_master(&self) -> bool {
        self.master || self.listening.is_some_and(|(kind, _)| kind != IrqKind::Line)
    }
}
