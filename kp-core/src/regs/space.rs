//! Where registers are, and how wide: by which instruction one is reached.
use crate::host::kernel;

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
    #[doc(hidden)]
    fn cut(value: u64) -> Self;
    #[doc(hidden)]
    fn widen(self) -> u64;
}

macro_rules! widths {
    ($($type:ty: $read:ident $write:ident;)*) => { $(
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
    u8: mmio_read8 mmio_write8;
    u16: mmio_read16 mmio_write16;
    u32: mmio_read32 mmio_write32;
    u64: mmio_read64 mmio_write64;
}
