//! Addresses as devices have them.
#![deny(unsafe_code)]

/// Where a device finds memory: a bus address. It comes of an [`OnDevice`](crate::OnDevice) alone, and is to be written into one of the device's
/// registers or descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusAddress(u64);

impl BusAddress {
    pub(crate) const fn new(address: u64) -> Self {
        Self(address)
    }

    /// All of it.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Its low 32 bits.
    #[inline]
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// Its high 32 bits.
    #[inline]
    pub const fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A piece of memory that is contiguous for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins.
    pub at: BusAddress,
    /// Its length in bytes, at least 1.
    pub len: u32,
}
