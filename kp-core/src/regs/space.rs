//! Where registers are, and how wide: by which instruction one is reached.
use crate::host::{IoMapping, kernel};
use core::{
    ptr,
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::*},
};

mod sealed {
    pub trait Sealed {}
}

/// What registers are in. It decides by which instruction they are reached.
pub trait Space: sealed::Sealed + 'static {
    /// The widest access, in bytes.
    #[doc(hidden)]
    const WIDEST: usize;
    /// # Safety
    /// `address` is aligned and in a mapping of this space; `W` is not wider than `WIDEST`.
    #[doc(hidden)]
    unsafe fn read<W: Width>(address: usize) -> W;
    /// # Safety
    /// As for `read`.
    #[doc(hidden)]
    unsafe fn write<W: Width>(address: usize, value: W);
}

/// Memory of the device: a BAR.
#[derive(Debug)]
pub enum Mmio {}
impl sealed::Sealed for Mmio {}
impl Space for Mmio {
    const WIDEST: usize = 8;
    #[inline(always)]
    unsafe fn read<W: Width>(address: usize) -> W {
        // SAFETY: aligned and mapped, by the caller's promise.
        unsafe { W::read(address) }
    }
    #[inline(always)]
    unsafe fn write<W: Width>(address: usize, value: W) {
        // SAFETY: aligned and mapped, by the caller's promise.
        unsafe { W::write(address, value) }
    }
}

/// Ports of an x86 processor: a BAR of them.
#[derive(Debug)]
pub enum Ports {}
impl sealed::Sealed for Ports {}
impl Space for Ports {
    const WIDEST: usize = 4;
    #[inline(always)]
    unsafe fn read<W: Width>(port: usize) -> W {
        let value = match size_of::<W>() {
            // SAFETY: aligned and the device's, by the caller's promise.
            1 => u64::from(unsafe { kernel::port_read8(port) }),
            // SAFETY: as for 8 bits.
            2 => u64::from(unsafe { kernel::port_read16(port) }),
            // SAFETY: as for 8 bits. No access is wider.
            _ => u64::from(unsafe { kernel::port_read32(port) }),
        };
        W::cut(value)
    }
    #[inline(always)]
    unsafe fn write<W: Width>(port: usize, value: W) {
        let value = value.widen();
        match size_of::<W>() {
            // SAFETY: aligned and the device's, by the caller's promise.
            1 => unsafe { kernel::port_write8(port, value as u8) },
            // SAFETY: as for 8 bits.
            2 => unsafe { kernel::port_write16(port, value as u16) },
            // SAFETY: as for 8 bits. No access is wider.
            _ => unsafe { kernel::port_write32(port, value as u32) },
        }
    }
}

/// Memory of the machine that a device, or an app, reads and writes too. Each read acquires and each write releases: what a word says of others is
/// true of them.
#[derive(Debug)]
pub enum Memory {}
impl sealed::Sealed for Memory {}
impl Space for Memory {
    const WIDEST: usize = 8;
    #[inline(always)]
    unsafe fn read<W: Width>(address: usize) -> W {
        // SAFETY: aligned and alive, by the caller's promise.
        unsafe { W::load(address) }
    }
    #[inline(always)]
    unsafe fn write<W: Width>(address: usize, value: W) {
        // SAFETY: aligned and alive, by the caller's promise.
        unsafe { W::store(address, value) }
    }
}

/// A space that BARs are in.
pub trait BarSpace: Space {
    /// # Safety
    /// The mapping is one of this space, and nobody uses it after this.
    #[doc(hidden)]
    unsafe fn unmap(mapping: IoMapping);
}
impl BarSpace for Mmio {
    unsafe fn unmap(mapping: IoMapping) {
        // SAFETY: of `kernel::map_bar`, by the caller's promise.
        unsafe { kernel::unmap_bar(mapping) }
    }
}
impl BarSpace for Ports {
    unsafe fn unmap(_: IoMapping) {
        // Ports are there as long as the device is.
    }
}

/// A register's width: `u8`, `u16`, `u32` or `u64`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no register's width",
    label = "write `u8`, `u16`, `u32` or `u64`"
)]
pub trait Width: sealed::Sealed + Copy {
    /// # Safety
    /// `address` is aligned and in a mapped BAR.
    #[doc(hidden)]
    unsafe fn read(address: usize) -> Self;
    /// # Safety
    /// `address` is aligned and in a mapped BAR.
    #[doc(hidden)]
    unsafe fn write(address: usize, value: Self);
    /// # Safety
    /// `address` is aligned and in memory that only atomics access.
    #[doc(hidden)]
    unsafe fn load(address: usize) -> Self;
    /// # Safety
    /// As for `load`.
    #[doc(hidden)]
    unsafe fn store(address: usize, value: Self);
    #[doc(hidden)]
    fn cut(value: u64) -> Self;
    #[doc(hidden)]
    fn widen(self) -> u64;
}

macro_rules! widths {
    ($($type:ty: $read:ident $write:ident, $atomic:ident;)*) => { $(
        impl sealed::Sealed for $type {}
        impl Width for $type {
            #[inline(always)]
            unsafe fn read(address: usize) -> Self {
                // SAFETY: aligned and mapped, by the caller's promise.
                unsafe { kernel::$read(address) }
            }
            #[inline(always)]
            unsafe fn write(address: usize, value: Self) {
                // SAFETY: aligned and mapped, by the caller's promise.
                unsafe { kernel::$write(address, value) }
            }
            #[inline(always)]
            unsafe fn load(address: usize) -> Self {
                // SAFETY: aligned, and accessed by atomics alone, by the caller's promise.
                unsafe { $atomic::from_ptr(ptr::with_exposed_provenance_mut(address)) }.load(Acquire)
            }
            #[inline(always)]
            unsafe fn store(address: usize, value: Self) {
                // SAFETY: as for `load`.
                unsafe { $atomic::from_ptr(ptr::with_exposed_provenance_mut(address)) }.store(value, Release)
            }
            #[inline(always)]
            fn cut(value: u64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn widen(self) -> u64 {
                self.into()
            }
        }
    )* };
}
widths! {
    u8: mmio_read8 mmio_write8, AtomicU8;
    u16: mmio_read16 mmio_write16, AtomicU16;
    u32: mmio_read32 mmio_write32, AtomicU32;
    u64: mmio_read64 mmio_write64, AtomicU64;
}
