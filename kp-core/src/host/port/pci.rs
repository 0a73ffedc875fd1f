//! A PCI function: its BARs and its configuration space.
use super::contract;
use core::num::NonZeroUsize;

/// A device, as the port names it: from [`RawDevice::new`](crate::host::RawDevice::new) until its removal has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceId(NonZeroUsize);

impl DeviceId {
    /// None for 0, which names no device.
    pub const fn new(id: usize) -> Option<Self> {
        match NonZeroUsize::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The port's number or address.
    #[inline]
    pub const fn get(self) -> usize {
        self.0.get()
    }
}

/// Which base address register: 0 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarIndex(u8);

impl BarIndex {
    /// None: there are six.
    pub const fn new(index: usize) -> Option<Self> {
        if index < 6 { Some(Self(index as u8)) } else { None }
    }

    /// The index, below 6.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// A base address register that a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawBar {
    /// Length of what it decodes, in bytes.
    pub len: usize,
    /// What that is.
    pub kind: BarKind,
}

/// What a base address register decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// Memory.
    Memory,
    /// Memory of which reading has no effects, so that the processor may combine what is written.
    Prefetchable,
    /// Ports, from this one on.
    Ports(NonZeroUsize),
}

/// How the processor accesses mapped memory of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Each access as it is written down.
    Uncached = 0,
    /// Writes may be combined, and come later.
    WriteCombining = 1,
}

/// A part of a BAR that is mapped for register access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoMapping {
    /// Address of its first byte, for [`Mmio`](super::Mmio).
    pub base: NonZeroUsize,
    /// Length, in bytes.
    pub len: NonZeroUsize,
}

/// Width of an access to configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigWidth {
    /// 8 bits.
    Byte = 1,
    /// 16 bits.
    Word = 2,
    /// 32 bits.
    Dword = 4,
}

impl ConfigWidth {
    /// In bytes.
    #[inline]
    pub const fn bytes(self) -> u32 {
        self as u32
    }
}

contract! { ($)
    /// A PCI function: its BARs and its configuration space.
    unsafe trait Pci, exported by __export_pci;

    /// Maps `len` bytes of a memory BAR from `offset` on, which are inside of it; None: they cannot be mapped. What is mapped with write
    /// combining are whole pages of 4096 bytes, prefetchable. Passive.
    safe fn map_bar(device: DeviceId, bar: BarIndex, offset: usize, len: NonZeroUsize, caching: Caching) -> Option<IoMapping>;
    /// Undoes `map_bar`. Any level, as `free`.
    unsafe fn unmap_bar(mapping: IoMapping) -> ();
    /// Lets the device start transfers of its own, or stops it. Can it start them now? It can although it was stopped while an interrupt by messages
    /// is enabled. Passive.
    safe fn bus_master(device: DeviceId, on: bool) -> bool;
    /// Reads configuration space at `offset`, in bytes and aligned; all ones if the device is not there any more. Passive.
    safe fn config_read(device: DeviceId, offset: u32, width: ConfigWidth) -> u32;
    /// Writes configuration space at `offset`, in bytes and aligned. Passive.
    safe fn config_write(device: DeviceId, offset: u32, width: ConfigWidth, value: u32) -> ();
    /// The device is about to be reset by configuration space, which kp-core has read, and writes back. False: it must not be, for the kernel has
    /// written something elsewhere that it could not write again. Passive, while nothing is connected.
    safe fn reset_begins(device: DeviceId) -> bool;
    /// It was reset, and has its configuration space back: has what the kernel has written elsewhere written again, as the messages of
    /// a table of MSI-X. Not called if it has not answered. Passive.
    safe fn reset_ended(device: DeviceId) -> ();
}
