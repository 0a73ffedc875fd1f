//! QEMU's own `edu` device as a [`DeviceModel`]: the accesses go to a QEMU process, no guest runs.
//!
//! So a plugin's test can run against the device that QEMU ships, and [`crate::edu::Edu`] can be
//! compared with it. It needs `qemu-system-x86_64`, but neither a kernel image nor KVM. A start
//! takes about 50 ms, an access about 20 us.

mod process;

use std::collections::VecDeque;
use std::io;

use crate::device::{DeviceModel, Identity, IrqKind, Memory, aligned_parts, ones};
use process::Process;

/// Where BAR 0 is put. Nothing else of the machine lies there.
const BAR_AT: u64 = 0xfe00_0000;
const BAR_LEN: u64 = 1 << 20;
/// How far the guest's memory reaches for DMA: all that 28 bits address.
const RAM_LEN: u64 = 1 << 28;
/// The legacy hole, where a PC has no plain memory.
const HOLE: std::ops::Range<u64> = 0xa_0000..0x10_0000;
/// Messages are sent to this address: memory just above what DMA reaches.
const MESSAGE_AT: u64 = RAM_LEN;
/// What a message stores there. Any number but 0 does.
const MESSAGE: u32 = 1;

/// The device is put into this slot of the PCI bus.
const SLOT: u32 = 5;
const CONFIG_COMMAND: u32 = 0x04;
const CONFIG_BAR_0: u32 = 0x10;
/// `edu` has its MSI capability here: control word, address (64 bits), data.
const CONFIG_MSI: u32 = 0x40;
const COMMAND_MEMORY: u32 = 1 << 1;
const COMMAND_MASTER: u32 = 1 << 2;
const COMMAND_INTX_OFF: u32 = 1 << 10;
const MSI_ENABLE: u32 = 1 << 16;

const HPET: u64 = 0xfed0_0000;
/// QEMU's HPET counts in steps of 10 ns.
const HPET_STEP_NS: u64 = 10;

const FACTORIAL: u64 = 0x08;
const STATUS: u64 = 0x20;
const IRQ_STATUS: u64 = 0x24;
const IRQ_ACK: u64 = 0x64;
const DMA_SOURCE: u64 = 0x80;
const DMA_DESTINATION: u64 = 0x88;
const DMA_COUNT: u64 = 0x90;
const DMA_COMMAND: u64 = 0x98;

/// How long a DMA transfer takes on QEMU's clock, in ns.
const DMA_NS: u64 = 100_000_000;
/// The device's buffer, and so the longest transfer.
const BUFFER_LEN: u64 = 4096;

/// QEMU's `edu` device, in a QEMU process of its own, which ends when this is dropped.
///
/// * DMA reaches the [`Memory`] that is handed to [`DeviceModel::advance`], at bus addresses below
///   256 MiB, but for the PC's hole from 0xa0000 to 0xfffff. A transfer elsewhere meets what QEMU
///   has there.
/// * QEMU computes a factorial in a thread, which knows nothing of the virtual clock. So
///   [`DeviceModel::advance`] waits for its end, however short the time; so do a write to STATUS or
///   to interrupt acknowledge, and a change of how interrupts are sent.
/// * Acknowledge interrupt bit 0 before you start a factorial that shall raise it: while the bit is
///   set, nothing shows when the thread raises it again.
/// * If QEMU ends (as it does on a transfer that leaves the device's buffer), the device is dead and
///   [`DeviceModel::fault`] has QEMU's last words.
pub struct Qemu {
    process: Process,
    device: String,
    dma_mask: u64,
    signal: Option<IrqKind>,
    master: bool,
    messages: VecDeque<u16>,
    factorial_started: bool,
    /// Time until a running transfer ends, in ns.
    dma_ns_left: Option<u64>,
    fault: Option<String>,
}

impl Qemu {
    /// Starts a QEMU with an `edu` device whose DMA reaches 28 bits.
    ///
    /// # Errors
    /// `NotFound` if QEMU is not installed. Otherwise what QEMU or the system said, in one line.
    pub fn start() -> io::Result<Self> {
        Self::start_with(RAM_LEN - 1)
    }

    /// The same with another `dma_mask` for the device. One wider than 28 bits lets DMA reach
    /// addresses where QEMU has no memory for it, and the word that messages are written to at 256 MiB.
    ///
    /// # Errors
    /// As [`Qemu::start`].
    pub fn start_with(dma_mask: u64) -> io::Result<Self> {
        let device = format!("edu,addr={SLOT},dma_mask={dma_mask:#x}");
        let process = Process::start(&device)?;
        let mut qemu = Self {
            process,
            device,
            dma_mask,
            signal: None,
            master: false,
            messages: VecDeque::new(),
            factorial_started: false,
            dma_ns_left: None,
            fault: None,
        };
        qemu.set_up()?;
        Ok(qemu)
    }

    /// The time on QEMU's virtual clock, in ns. It stands still but while a DMA transfer ends.
    ///
    /// # Errors
    /// What QEMU or the system said, if QEMU is gone.
    pub fn virtual_ns(&mut self) -> io::Result<u64> {
        let count = self.process.command(format_args!("readq {:#x}", HPET + 0xf0))?;
        Ok(count * HPET_STEP_NS)
    }

    /// What a PC's firmware would have done.
    fn set_up(&mut self) -> io::Result<()> {
        self.process.command(format_args!("writel {:#x} 1", HPET + 0x10))?;
        self.config_write(CONFIG_BAR_0, BAR_AT as u32)?;
        self.config_write(CONFIG_MSI + 4, MESSAGE_AT as u32)?;
        self.config_write(CONFIG_MSI + 8, 0)?;
        self.config_write(CONFIG_MSI + 12, MESSAGE)?;
        self.configure()
    }

    fn config_write(&mut self, register: u32, value: u32) -> io::Result<()> {
        let address = 0x8000_0000 | (SLOT << 11) | register;
        self.process.command(format_args!("outl 0xcf8 {address:#x}"))?;
        self.process.command(format_args!("outl 0xcfc {value:#x}"))?;
        Ok(())
    }

    /// Brings PCI configuration in line with what the host chose.
    fn configure(&mut self) -> io::Result<()> {
        let mut command = COMMAND_MEMORY;
        if self.master {
            command |= COMMAND_MASTER;
        }
        if self.signal != Some(IrqKind::Line) {
            command |= COMMAND_INTX_OFF;
        }
        let msi = if self.signal == Some(IrqKind::Msi) { MSI_ENABLE } else { 0 };
        self.config_write(CONFIG_MSI, msi)?;
        self.config_write(CONFIG_COMMAND, command)
    }

    /// Does something with QEMU unless it is gone; if it goes now, notes why.
    fn try_or<T>(&mut self, otherwise: T, action: impl FnOnce(&mut Self) -> io::Result<T>) -> T {
        if self.fault.is_some() {
            return otherwise;
        }
        action(self).unwrap_or_else(|error| {
            self.fault = Some(error.to_string());
            otherwise
        })
    }

    fn load(&mut self, offset: u64, width: u8) -> io::Result<u64> {
        self.process.command(format_args!("read{} {:#x}", letter(width), BAR_AT + offset))
    }

    fn store(&mut self, offset: u64, width: u8, value: u64) -> io::Result<()> {
        let parts: Vec<_> = aligned_parts(offset, width).collect();
        if parts.contains(&(STATUS, 4)) || parts.contains(&(IRQ_ACK, 4)) {
            self.settle_factorial()?;
        }
        let (letter, value) = (letter(width), value & ones(width));
        self.process.command(format_args!("write{letter} {:#x} {value:#x}", BAR_AT + offset))?;
        self.factorial_started |= parts.contains(&(FACTORIAL, 4));
        let commanded = parts.iter().any(|&(at, size)| at == DMA_COMMAND && size >= 4);
        if commanded && self.dma_ns_left.is_none() && self.load(DMA_COMMAND, 8)? & 1 != 0 {
            self.dma_ns_left = Some(DMA_NS);
        }
        self.collect_message()
    }

    /// Takes the message that has been written, if there is one.
    fn collect_message(&mut self) -> io::Result<()> {
        if self.signal == Some(IrqKind::Msi) && self.process.command(format_args!("readl {MESSAGE_AT:#x}"))? != 0 {
            self.process.command(format_args!("writel {MESSAGE_AT:#x} 0"))?;
            self.messages.push_back(0);
        }
        Ok(())
    }

    /// Waits until a factorial that was started is done, and its interrupt sent if one was asked for.
    fn settle_factorial(&mut self) -> io::Result<()> {
        if !self.factorial_started {
            return Ok(());
        }
        let register = |process: &mut Process, at| process.command(format_args!("readl {:#x}", BAR_AT + at));
        self.process.wait_until(|process| Ok(register(process, STATUS)? & 1 == 0))?;
        if self.load(STATUS, 4)? & 0x80 != 0 {
            // The thread signals just after it clears "computing". QEMU sends the message, or raises
            // the wire, before it lets anyone see the bit.
            self.process.wait_until(|process| Ok(register(process, IRQ_STATUS)? & 1 != 0))?;
        }
        self.factorial_started = false;
        self.collect_message()
    }

    /// Lets a transfer end, with the host's memory in the place of the guest's.
    fn finish_dma(&mut self, ram: &mut dyn Memory) -> io::Result<()> {
        let to_ram = self.load(DMA_COMMAND, 8)? & 2 != 0;
        let count = self.load(DMA_COUNT, 8)?;
        let address = self.load(if to_ram { DMA_DESTINATION } else { DMA_SOURCE }, 8)? & self.dma_mask;
        let plain = count <= BUFFER_LEN
            && address.saturating_add(count) <= RAM_LEN
            && (address + count <= HOLE.start || address >= HOLE.end);
        let mut bytes = vec![0; if plain { count as usize } else { 0 }];
        if !to_ram && !bytes.is_empty() {
            if !ram.read(address, &mut bytes) {
                bytes.fill(0);
            }
            self.process.write_memory(address, &bytes)?;
        }
        let ended = |process: &mut Process| {
            let command = process.command(format_args!("readq {:#x}", BAR_AT + DMA_COMMAND))?;
            Ok(command & 1 == 0)
        };
        self.process.run_until(ended)?;
        self.dma_ns_left = None;
        if to_ram && self.master && !bytes.is_empty() {
            self.process.read_memory(address, &mut bytes)?;
            // A write that nobody takes is lost on the bus; the device does not learn of it.
            let _taken = ram.write(address, &bytes);
        }
        self.collect_message()
    }
}

impl DeviceModel for Qemu {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x11e8 }
    }

    fn bar_len(&self, bar: usize) -> Option<u64> {
        (bar == 0).then_some(BAR_LEN)
    }

    fn read(&mut self, bar: usize, offset: u64, width: u8, _ram: &mut dyn Memory) -> u64 {
        if !in_bar(bar, offset, width) {
            return ones(width);
        }
        self.try_or(ones(width), |qemu| qemu.load(offset, width))
    }

    fn write(&mut self, bar: usize, offset: u64, width: u8, value: u64, _ram: &mut dyn Memory) {
        if in_bar(bar, offset, width) {
            self.try_or((), |qemu| qemu.store(offset, width, value));
        }
    }

    fn vectors(&self, kind: IrqKind) -> u16 {
        match kind {
            IrqKind::Line | IrqKind::Msi => 1,
            IrqKind::MsiX => 0,
        }
    }

    fn select(&mut self, kind: Option<IrqKind>, _count: u16) {
        // What was sent before the change is not to be lost.
        self.try_or((), Self::settle_factorial);
        self.try_or((), Self::collect_message);
        self.signal = kind;
        self.try_or((), Self::configure);
    }

    fn line(&mut self) -> bool {
        // Any command brings news of the wire with its answer.
        self.try_or((), |qemu| qemu.load(0, 4).map(drop));
        self.process.wire() && self.fault.is_none()
    }

    fn take_message(&mut self) -> Option<u16> {
        self.try_or((), Self::collect_message);
        self.messages.pop_front()
    }

    fn bus_master(&mut self, on: bool) {
        self.try_or((), Self::settle_factorial);
        self.master = on;
        self.try_or((), Self::configure);
    }

    fn advance(&mut self, ns: u64, ram: &mut dyn Memory) {
        self.try_or((), Self::settle_factorial);
        match self.dma_ns_left {
            Some(left) if ns >= left => self.try_or((), |qemu| qemu.finish_dma(ram)),
            Some(left) => self.dma_ns_left = Some(left - ns),
            None => {}
        }
    }

    fn reset(&mut self) {
        match Process::start(&self.device) {
            Ok(process) => {
                self.process = process;
                self.signal = None;
                self.master = false;
                self.messages.clear();
                self.factorial_started = false;
                self.dma_ns_left = None;
                self.fault = None;
                self.try_or((), Self::set_up);
            }
            Err(error) => self.fault = Some(error.to_string()),
        }
    }

    fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

/// Whether an access lies in a BAR that the device has, and is one that qtest can make.
fn in_bar(bar: usize, offset: u64, width: u8) -> bool {
    bar == 0 && matches!(width, 1 | 2 | 4 | 8) && offset.checked_add(u64::from(width)).is_some_and(|end| end <= BAR_LEN)
}

/// qtest's letter for a width in bytes.
fn letter(width: u8) -> char {
    match width {
        1 => 'b',
        2 => 'w',
        4 => 'l',
        _ => 'q',
    }
}
