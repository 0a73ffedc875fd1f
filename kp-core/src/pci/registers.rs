//! Configuration space while its device is held: nobody else accesses it through the same link, and the removal waits.
use crate::host::{ConfigWidth, DeviceId, kernel};

/// The registers of configuration space, at aligned offsets in bytes; where nothing answers they read as all ones, as behind its end, where a
/// device may say that it has some.
#[derive(Clone, Copy)]
pub(super) struct Registers(pub(super) DeviceId);

impl Registers {
    pub(super) fn read(self, offset: u16, width: ConfigWidth) -> u32 {
        if offset < SIZE { kernel::config_read(self.0, offset.into(), width) } else { u32::MAX }
    }

    pub(super) fn write(self, offset: u16, width: ConfigWidth, value: u32) {
        if offset < SIZE {
            kernel::config_write(self.0, offset.into(), width, value);
        }
    }

    pub(super) fn read8(self, offset: u16) -> u8 {
        self.read(offset, ConfigWidth::Byte) as u8
    }

    pub(super) fn read16(self, offset: u16) -> u16 {
        self.read(offset, ConfigWidth::Word) as u16
    }

    pub(super) fn read32(self, offset: u16) -> u32 {
        self.read(offset, ConfigWidth::Dword)
    }

    pub(super) fn write16(self, offset: u16, value: u16) {
        self.write(offset, ConfigWidth::Word, value.into());
    }
}

// The header. PCI Local Bus Specification 3.0, section 6.1.
/// Vendor ID, 16 bits: all ones if nothing answers.
pub(super) const VENDOR: u16 = 0x00;
/// Command, 16 bits.
pub(super) const COMMAND: u16 = 0x04;
/// Bit of the command register: the device may start transfers.
pub(super) const BUS_MASTER: u16 = 1 << 2;
/// Status, 16 bits.
pub(super) const STATUS: u16 = 0x06;
/// Bit of the status register: there is a list of capabilities.
pub(super) const HAS_CAPABILITIES: u16 = 1 << 4;
/// Where the first capability is, 8 bits.
pub(super) const FIRST_CAPABILITY: u16 = 0x34;
/// Bytes of the header.
pub(super) const HEADER: u16 = 0x40;
/// Where the extended capabilities begin.
pub(super) const EXTENDED: u16 = 0x100;
/// Bytes of configuration space.
pub(super) const SIZE: u16 = 0x1000;
