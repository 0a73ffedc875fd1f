//! Configuration space, through the bus driver's interface: up to DISPATCH_LEVEL.
use crate::{device::stack_device::StackDevice, nt::*};
use core::ffi::c_void;

/// The bus's interface for one device. It is counted, and given back when it is dropped.
pub(crate) struct Bus(BusInterface);

impl Bus {
    /// Asks the bus for it, through the device below, which it has started. Passive.
    pub(crate) fn of(lower: StackDevice) -> Result<Self, NtStatus> {
        lower.bus_interface().map(Self)
    }

    /// Reads bytes of configuration space; all ones where nothing answers.
    pub(crate) fn read(&self, offset: u32, bytes: &mut [u8]) {
        bytes.fill(0xFF);
        let mut copy = [0xFF; 64];
        let len = bytes.len().min(copy.len());
        let Some(get) = self.0.get_bus_data else { return };
        // SAFETY: the bus's own function and context; the buffer is writable for this length.
        let got = unsafe { get(self.0.context, CONFIG_SPACE, copy.as_mut_ptr().cast::<c_void>(), offset, len as u32) };
        if got as usize == len {
            bytes[..len].copy_from_slice(&copy[..len]);
        }
    }

    /// Writes bytes of configuration space.
    pub(crate) fn write(&self, offset: u32, bytes: &[u8]) {
        let mut copy = [0; 4];
        let len = bytes.len().min(copy.len());
        copy[..len].copy_from_slice(&bytes[..len]);
        let Some(set) = self.0.set_bus_data else { return };
        // SAFETY: the bus's own function and context; the buffer is readable for this length.
        unsafe { set(self.0.context, CONFIG_SPACE, copy.as_mut_ptr().cast::<c_void>(), offset, len as u32) };
    }

    pub(crate) fn read_u8(&self, offset: u32) -> u8 {
        let mut bytes = [0; 1];
        self.read(offset, &mut bytes);
        bytes[0]
    }

    pub(crate) fn read_u16(&self, offset: u32) -> u16 {
        let mut bytes = [0; 2];
        self.read(offset, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    /// Does the device answer?
    pub(crate) fn is_present(&self) -> bool {
        self.read_u16(VENDOR) != 0xFFFF
    }

    /// How many entries its table of MSI-X has; 0: it has none.
    pub(crate) fn msix_entries(&self) -> u32 {
        let control = self.capability(MSIX).map(|at| self.read_u16(at + MSIX_CONTROL));
        control.map_or(0, |control| u32::from(control & MSIX_ENTRIES) + 1)
    }

    /// Where a capability stands, if the device has it.
    pub(crate) fn capability(&self, id: u8) -> Option<u32> {
        if self.read_u16(STATUS) & HAS_CAPABILITIES == 0 {
            return None;
        }
        let mut at = self.read_u8(CAPABILITIES) & !3;
        // A list that runs in a circle ends too: there is room for 48.
        for _ in 0..48 {
            if at < 0x40 {
                return None;
            }
            if self.read_u8(at.into()) == id {
                return Some(at.into());
            }
            at = self.read_u8(u32::from(at) + 1) & !3;
        }
        None
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if let Some(dereference) = self.0.dereference {
            // SAFETY: the bus's own function and context; it was counted when the bus gave it.
            unsafe { dereference(self.0.context) };
        }
    }
}

// PCI Local Bus Specification 3.0, sections 6.1, 6.2.2, 6.2.3, 6.2.5.1 and 6.7.
const VENDOR: u32 = 0x00;
/// The command register, 16 bits.
pub(crate) const COMMAND: u32 = 0x04;
/// The status register, 16 bits.
pub(crate) const STATUS: u32 = 0x06;
/// Bit of the status register: the device interrupts, or would, if it might raise its line.
pub(crate) const INTERRUPTS: u16 = 1 << 3;
/// Base address registers: six of 32 bits.
pub(crate) const BARS: u32 = 0x10;
/// Bit of a base address register: it is of ports.
pub(crate) const BAR_IS_PORTS: u32 = 1;
/// Bits of one of memory: how many bits of address it has; and their value for 64.
pub(crate) const BAR_WIDTH: u32 = 6;
pub(crate) const BAR_IS_WIDE: u32 = 4;
/// Bit of one of memory: reading has no effects.
pub(crate) const BAR_IS_PREFETCHABLE: u32 = 8;
/// Bits of one of ports: the first port.
pub(crate) const BAR_PORT: u32 = !0x3;
/// Bits of one of memory: the address.
pub(crate) const BAR_ADDRESS: u32 = !0xF;
const CAPABILITIES: u32 = 0x34;
const HAS_CAPABILITIES: u16 = 1 << 4;
/// Bit of the command register: the device may start transfers.
pub(crate) const BUS_MASTER: u16 = 1 << 2;
/// Bit of the command register: the device may not raise its line.
pub(crate) const NO_LINE: u16 = 1 << 10;
/// Capability: MSI-X.
pub(crate) const MSIX: u8 = 0x11;
/// Its Message Control, 16 bits, and the bits of that with the number of entries, less one.
const MSIX_CONTROL: u32 = 0x02;
const MSIX_ENTRIES: u16 = 0x7FF;
