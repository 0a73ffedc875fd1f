//! Memory of a device that is accessed at offsets known only at run time.
use super::{Mmio, Span, Width};
use crate::{
    Result,
    host::{IoMapping, kernel},
};
use core::{
    num::NonZeroUsize,
    sync::atomic::{Ordering::SeqCst, fence},
};

/// A mapped range of a BAR, of memory rather than of registers: a buffer, a frame, a table whose place is known only at run time. Offsets count
/// from the beginning of the range. Any level. Of [`Device::window`](crate::Device::window).
pub struct Window(Span<Mmio>);

impl Window {
    /// # Safety
    /// `len` bytes at `base`, a multiple of 8, are a mapping that is this window's alone from now on.
    pub(crate) unsafe fn new(base: NonZeroUsize, len: NonZeroUsize) -> Self {
        // SAFETY: mapped, by the caller's promise, until this is dropped.
        Self(unsafe { Span::new(base, len) })
    }

    /// How many bytes it has.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len().get()
    }

    /// Reads a word: `u8`, `u16`, `u32` or `u64`. `BAD_VALUE`: it is misaligned, or not inside.
    #[inline]
    pub fn load<T: Width>(&self, at: usize) -> Result<T> {
        self.0.load(at)
    }

    /// Writes a word: `u8`, `u16`, `u32` or `u64`. `BAD_VALUE`, and nothing is written: it is misaligned, or not inside.
    #[inline]
    pub fn store<T: Width>(&self, at: usize, value: T) -> Result<()> {
        self.0.store(at, value)
    }

    /// Reads bytes, eight at a time where they are aligned, else one. `BAD_VALUE`, and nothing is read: they are not inside.
    pub fn read(&self, at: usize, into: &mut [u8]) -> Result<()> {
        self.0.read(at, into)
    }

    /// Writes bytes, eight at a time where they are aligned, else one. `BAD_VALUE`, and nothing is written: they are not inside.
    pub fn write(&self, at: usize, from: &[u8]) -> Result<()> {
        self.0.write(at, from)
    }

    /// From its return on the device has what was written, combined writes too: reads the window's first byte, behind what was written.
    pub fn flush(&self) {
        fence(SeqCst);
        let _: Result<u8> = self.load(0);
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: of `kernel::map_bar` with this length, and nobody uses it after this.
        unsafe { kernel::unmap_bar(IoMapping { base: self.0.base(), len: self.0.len() }) }
    }
}
