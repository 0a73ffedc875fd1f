//! Memory of a device that is accessed at offsets known only at run time.
use super::{Mmio, Space, Width};
use crate::{
    Result, Status,
    host::{IoMapping, kernel},
};
use core::{
    num::NonZeroUsize,
    sync::atomic::{Ordering::SeqCst, fence},
};

/// A mapped range of a BAR, of memory rather than of registers: a buffer, a frame, a table whose place is known only at run time. Offsets count
/// from the beginning of the range. Any level. Of [`Device::window`](crate::Device::window).
///
/// INVARIANT: `len` bytes at `base`, a multiple of 8, are mapped as long as this lives.
pub struct Window {
    base: NonZeroUsize,
    len: NonZeroUsize,
}

impl Window {
    /// # Safety
    /// `len` bytes at `base`, a multiple of 8, are a mapping that is this window's alone from now on.
    pub(crate) unsafe fn new(base: NonZeroUsize, len: NonZeroUsize) -> Self {
        Self { base, len }
    }

    /// How many bytes it has.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// Reads a word: `u8`, `u16`, `u32` or `u64`. `BAD_VALUE`: it is misaligned, or not inside.
    #[inline]
    pub fn load<T: Width>(&self, at: usize) -> Result<T> {
        let address = self.address(at, size_of::<T>())?;
        // SAFETY: aligned and inside, as asked; the window is mapped.
        Ok(unsafe { Mmio::read(address) })
    }

    /// Writes a word: `u8`, `u16`, `u32` or `u64`. `BAD_VALUE`, and nothing is written: it is misaligned, or not inside.
    #[inline]
    pub fn store<T: Width>(&self, at: usize, value: T) -> Result<()> {
        let address = self.address(at, size_of::<T>())?;
        // SAFETY: aligned and inside, as asked; the window is mapped.
        unsafe { Mmio::write(address, value) }
        Ok(())
    }

    /// Reads bytes, eight at a time where they are aligned, else one. `BAD_VALUE`, and nothing is read: they are not inside.
    pub fn read(&self, at: usize, into: &mut [u8]) -> Result<()> {
        self.has(at, into.len())?;
        let mut at = at;
        let (head, rest) = into.split_at_mut_checked(unaligned(at, into.len())).ok_or(Status::BAD_VALUE)?;
        let (words, tail) = rest.as_chunks_mut();
        for byte in head {
            *byte = self.load(at)?;
            at = at.wrapping_add(1);
        }
        for word in words {
            *word = self.load::<u64>(at)?.to_le_bytes();
            at = at.wrapping_add(8);
        }
        for byte in tail {
            *byte = self.load(at)?;
            at = at.wrapping_add(1);
        }
        Ok(())
    }

    /// Writes bytes, eight at a time where they are aligned, else one. `BAD_VALUE`, and nothing is written: they are not inside.
    pub fn write(&self, at: usize, from: &[u8]) -> Result<()> {
        self.has(at, from.len())?;
        let mut at = at;
        let (head, rest) = from.split_at_checked(unaligned(at, from.len())).ok_or(Status::BAD_VALUE)?;
        let (words, tail) = rest.as_chunks();
        for byte in head {
            self.store(at, *byte)?;
            at = at.wrapping_add(1);
        }
        for word in words {
            self.store(at, u64::from_le_bytes(*word))?;
            at = at.wrapping_add(8);
        }
        for byte in tail {
            self.store(at, *byte)?;
            at = at.wrapping_add(1);
        }
        Ok(())
    }

    /// From its return on the device has what was written, combined writes too: reads the window's first byte, behind what was written.
    pub fn flush(&self) {
        fence(SeqCst);
        let _: Result<u8> = self.load(0);
    }

    /// Are these bytes inside?
    #[inline]
    fn has(&self, at: usize, len: usize) -> Result<()> {
        let is_inside = at <= self.len.get() && len <= self.len.get() - at;
        if is_inside { Ok(()) } else { Err(Status::BAD_VALUE.into()) }
    }

    /// Where a word of `size` bytes is.
    #[inline]
    fn address(&self, at: usize, size: usize) -> Result<usize> {
        self.has(at, size)?;
        if at.is_multiple_of(size) { Ok(self.base.get().wrapping_add(at)) } else { Err(Status::BAD_VALUE.into()) }
    }
}

/// How many of `len` bytes come before the first aligned eight.
fn unaligned(at: usize, len: usize) -> usize {
    (at.wrapping_neg() & 7).min(len)
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: of `kernel::map_bar` with this length, and nobody uses it after this.
        unsafe { kernel::unmap_bar(IoMapping { base: self.base, len: self.len }) }
    }
}
