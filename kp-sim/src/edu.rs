//! A model of QEMU's teaching device `edu`.
//!
//! The registers are those of QEMU's documentation (docs/specs/edu). Where that is silent the model
//! does what QEMU 7.2 was seen to do through its qtest port; `tests/edu_against_qemu.rs` compares
//! the two access by access.
//!
//! Two things differ, because a model has no threads and no process to lose:
//!
//! * A factorial is worked out at once, but STATUS shows "computing" until it has been read once,
//!   or until time passes. [`Edu::factorial_takes`] changes that.
//! * A transfer that leaves the device's buffer makes QEMU abort. Here it makes the device dead, and
//!   [`DeviceModel::fault`] says why. QEMU 7.2 counts two transfers as leaving it which the
//!   documentation allows: one of 0 bytes, and one that reaches the last of the 4096 bytes.

use std::collections::VecDeque;

use crate::device::{DeviceModel, Identity, IrqKind, Memory, aligned_parts, ones};

/// The length of BAR 0 in bytes.
const BAR_LEN: u64 = 1 << 20;
/// What the identification register reads: version 1.0 of the device.
const IDENTIFICATION: u32 = 0x0100_00ed;

const REG_IDENTIFICATION: u64 = 0x00;
const REG_LIVENESS: u64 = 0x04;
const REG_FACTORIAL: u64 = 0x08;
const REG_STATUS: u64 = 0x20;
const REG_IRQ_STATUS: u64 = 0x24;
const REG_IRQ_RAISE: u64 = 0x60;
const REG_IRQ_ACK: u64 = 0x64;
/// Below this only accesses of 4 bytes are answered, from here on those of 8 bytes too.
const REG_WIDE: u64 = 0x80;
const REG_DMA_SOURCE: u64 = 0x80;
const REG_DMA_DESTINATION: u64 = 0x88;
const REG_DMA_COUNT: u64 = 0x90;
const REG_DMA_COMMAND: u64 = 0x98;

const STATUS_COMPUTING: u32 = 0x01;
const STATUS_IRQ_FACTORIAL: u32 = 0x80;

const IRQ_FACTORIAL: u32 = 0x001;
const IRQ_DMA: u32 = 0x100;

const DMA_RUN: u64 = 1;
const DMA_TO_RAM: u64 = 2;
const DMA_IRQ: u64 = 4;

/// Where the device's buffer lies in the device's own address space.
const BUFFER_AT: u64 = 0x4_0000;
const BUFFER_LEN: usize = 4096;
/// How long a transfer takes, in ns.
const DMA_NS: u64 = 100_000_000;
/// How far the device's DMA reaches: 28 bits of address.
const DMA_MASK: u64 = (1 << 28) - 1;

/// The device. Begins as after power on.
pub struct Edu {
    dma_mask: u64,
    dma_ns: u64,
    factorial_polls: u32,
    factorial_ns: u64,
    state: State,
}

/// Everything that a reset forgets.
struct State {
    liveness: u32,
    factorial: u32,
    computing: Option<Computing>,
    irq_after_factorial: bool,
    irq_status: u32,
    /// The device's end of the INTx wire; the host may have masked it.
    pin: bool,
    signal: Option<IrqKind>,
    master: bool,
    messages: VecDeque<u16>,
    source: u64,
    destination: u64,
    count: u64,
    command: u64,
    dma_ns_left: u64,
    buffer: Box<[u8; BUFFER_LEN]>,
    fault: Option<String>,
}

/// A factorial that is not finished.
struct Computing {
    polls_left: u32,
    ns_left: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            liveness: 0,
            factorial: 0,
            computing: None,
            irq_after_factorial: false,
            irq_status: 0,
            pin: false,
            signal: None,
            master: false,
            messages: VecDeque::new(),
            source: 0,
            destination: 0,
            count: 0,
            command: 0,
            dma_ns_left: 0,
            buffer: Box::new([0; BUFFER_LEN]),
            fault: None,
        }
    }
}

impl Default for Edu {
    fn default() -> Self {
        Self::new()
    }
}

impl Edu {
    /// The device as `-device edu` makes it: DMA reaches 28 bits.
    pub fn new() -> Self {
        Self { dma_mask: DMA_MASK, dma_ns: DMA_NS, factorial_polls: 1, factorial_ns: 1, state: State::default() }
    }

    /// The device as `-device edu,dma_mask=…` makes it. Bits of a bus address outside the mask are
    /// dropped, as QEMU does.
    #[must_use]
    pub fn dma_mask(mut self, mask: u64) -> Self {
        self.dma_mask = mask;
        self
    }

    /// How long a transfer takes, in ns. The default is 100 ms, as QEMU's.
    #[must_use]
    pub fn transfers_take(mut self, ns: u64) -> Self {
        self.dma_ns = ns;
        self
    }

    /// How long a factorial takes: until STATUS has shown `polls` times that it is computing, or
    /// until `ns` nanoseconds have passed, whichever is first. The default is one of each.
    #[must_use]
    pub fn factorial_takes(mut self, polls: u32, ns: u64) -> Self {
        self.factorial_polls = polls;
        self.factorial_ns = ns;
        self
    }

    /// One aligned read of 4 or 8 bytes.
    fn load(&mut self, offset: u64, width: u8) -> u64 {
        if width == 8 && offset < REG_WIDE {
            return u64::MAX;
        }
        let state = &self.state;
        match offset {
            REG_IDENTIFICATION => u64::from(IDENTIFICATION),
            REG_LIVENESS => u64::from(state.liveness),
            REG_FACTORIAL => u64::from(state.factorial),
            REG_STATUS => u64::from(self.poll_status()),
            REG_IRQ_STATUS => u64::from(state.irq_status),
            REG_DMA_SOURCE => state.source,
            REG_DMA_DESTINATION => state.destination,
            REG_DMA_COUNT => state.count,
            REG_DMA_COMMAND => state.command,
            _ => u64::MAX,
        }
    }

    /// One aligned write of 4 or 8 bytes.
    fn store(&mut self, offset: u64, width: u8, value: u64) {
        if offset >= REG_WIDE {
            return self.store_dma(offset, value);
        }
        if width != 4 {
            return;
        }
        let value = value as u32;
        match offset {
            REG_LIVENESS => self.state.liveness = !value,
            REG_FACTORIAL => self.start_factorial(value),
            REG_STATUS => self.state.irq_after_factorial = value & STATUS_IRQ_FACTORIAL != 0,
            REG_IRQ_RAISE => self.raise(value),
            REG_IRQ_ACK => self.acknowledge(value),
            _ => {}
        }
    }

    /// A write to the DMA registers, which are locked while a transfer runs.
    fn store_dma(&mut self, offset: u64, value: u64) {
        let state = &mut self.state;
        if state.command & DMA_RUN != 0 {
            return;
        }
        match offset {
            REG_DMA_SOURCE => state.source = value,
            REG_DMA_DESTINATION => state.destination = value,
            REG_DMA_COUNT => state.count = value,
            REG_DMA_COMMAND if value & DMA_RUN != 0 => {
                state.command = value;
                state.dma_ns_left = self.dma_ns;
            }
            _ => {}
        }
    }

    fn start_factorial(&mut self, n: u32) {
        if self.state.computing.is_none() {
            self.state.factorial = n;
            self.state.computing = Some(Computing { polls_left: self.factorial_polls, ns_left: self.factorial_ns });
        }
    }

    fn finish_factorial(&mut self) {
        self.state.computing = None;
        self.state.factorial = factorial(self.state.factorial);
        if self.state.irq_after_factorial {
            self.raise(IRQ_FACTORIAL);
        }
    }

    fn poll_status(&mut self) -> u32 {
        let wanted = if self.state.irq_after_factorial { STATUS_IRQ_FACTORIAL } else { 0 };
        let Some(computing) = &mut self.state.computing else { return wanted };
        computing.polls_left = computing.polls_left.saturating_sub(1);
        if computing.polls_left == 0 {
            self.finish_factorial();
        }
        wanted | STATUS_COMPUTING
    }

    /// Adds to the interrupt status and signals. An event whose bit is set already signals again.
    fn raise(&mut self, bits: u32) {
        let state = &mut self.state;
        state.irq_status |= bits;
        if state.irq_status == 0 {
            return;
        }
        if state.signal != Some(IrqKind::Msi) {
            state.pin = true;
        } else if state.master {
            state.messages.push_back(0);
        }
    }

    fn acknowledge(&mut self, bits: u32) {
        self.state.irq_status &= !bits;
        if self.state.irq_status == 0 {
            self.state.pin = false;
        }
    }

    /// Carries out the transfer whose time is up.
    fn finish_dma(&mut self, ram: &mut dyn Memory) {
        let state = &mut self.state;
        let to_ram = state.command & DMA_TO_RAM != 0;
        let (inside, outside) =
            if to_ram { (state.source, state.destination) } else { (state.destination, state.source) };
        let Some(span) = buffer_span(inside, state.count) else {
            state.fault = Some(format!(
                "edu: a DMA transfer of {:#x} bytes at {inside:#x} leaves the device's buffer, where QEMU 7.2 aborts: \
                 stay within 0x40000 to 0x40ffe, at least one byte",
                state.count
            ));
            return;
        };
        let address = outside & self.dma_mask;
        let bytes = &mut state.buffer[span];
        if to_ram {
            // A write that nobody takes is lost on the bus; the device does not learn of it.
            let _taken = state.master && ram.write(address, bytes);
        } else if !(state.master && ram.read(address, bytes)) {
            bytes.fill(0);
        }
        state.command &= !DMA_RUN;
        if state.command & DMA_IRQ != 0 {
            self.raise(IRQ_DMA);
        }
    }
}

impl DeviceModel for Edu {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x11e8 }
    }

    fn bar_len(&self, bar: usize) -> Option<u64> {
        (bar == 0).then_some(BAR_LEN)
    }

    fn read(&mut self, bar: usize, offset: u64, width: u8, _ram: &mut dyn Memory) -> u64 {
        if self.state.fault.is_some() || !in_bar(bar, offset, width) {
            return ones(width);
        }
        let mut value = 0;
        for (at, size) in aligned_parts(offset, width) {
            // The device refuses parts of 1 and 2 bytes; on this bus they read as zero.
            if size >= 4 {
                value |= (self.load(at, size) & ones(size)) << (8 * (at - offset));
            }
        }
        value
    }

    fn write(&mut self, bar: usize, offset: u64, width: u8, value: u64, _ram: &mut dyn Memory) {
        if self.state.fault.is_some() || !in_bar(bar, offset, width) {
            return;
        }
        for (at, size) in aligned_parts(offset, width) {
            if size >= 4 {
                self.store(at, size, (value >> (8 * (at - offset))) & ones(size));
            }
        }
    }

    fn vectors(&self, kind: IrqKind) -> u16 {
        match kind {
            IrqKind::Line | IrqKind::Msi => 1,
            IrqKind::MsiX => 0,
        }
    }

    fn select(&mut self, kind: Option<IrqKind>, _count: u16) {
        self.state.signal = kind;
        // PCI: a function with MSI enabled does not use its wire.
        if kind == Some(IrqKind::Msi) {
            self.state.pin = false;
        }
    }

    fn line(&mut self) -> bool {
        self.state.pin && self.state.signal == Some(IrqKind::Line) && self.state.fault.is_none()
    }

    fn take_message(&mut self) -> Option<u16> {
        self.state.messages.pop_front()
    }

    fn bus_master(&mut self, on: bool) {
        self.state.master = on;
    }

    fn advance(&mut self, ns: u64, ram: &mut dyn Memory) {
        if self.state.fault.is_some() {
            return;
        }
        if let Some(computing) = &mut self.state.computing {
            computing.ns_left = computing.ns_left.saturating_sub(ns);
            if computing.ns_left == 0 {
                self.finish_factorial();
            }
        }
        if self.state.command & DMA_RUN != 0 {
            self.state.dma_ns_left = self.state.dma_ns_left.saturating_sub(ns);
            if self.state.dma_ns_left == 0 {
                self.finish_dma(ram);
            }
        }
    }

    fn reset(&mut self) {
        self.state = State::default();
    }

    fn fault(&self) -> Option<&str> {
        self.state.fault.as_deref()
    }
}

/// n! in 32 bits, which wraps. From 34 on it is 0, as 34! has 32 factors of two.
fn factorial(n: u32) -> u32 {
    if n >= 34 { 0 } else { (1..=n).fold(1, u32::wrapping_mul) }
}

/// The indices of a transfer's bytes in the device's buffer, if QEMU 7.2 carries it out.
fn buffer_span(at: u64, count: u64) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(at.checked_sub(BUFFER_AT)?).ok()?;
    let end = start.checked_add(usize::try_from(count).ok()?)?;
    // QEMU 7.2 asks that the address after the last byte be inside the buffer as well.
    (count > 0 && end < BUFFER_LEN).then_some(start..end)
}

/// Whether an access lies in a BAR that the device has.
fn in_bar(bar: usize, offset: u64, width: u8) -> bool {
    bar == 0 && offset.checked_add(u64::from(width)).is_some_and(|end| end <= BAR_LEN)
}
