//! Bytes that are accessed at offsets known only at run time.
use super::{Space, Width};
use crate::{Result, Status};
use core::{marker::PhantomData, num::NonZeroUsize};

/// A range of bytes in a space. INVARIANT: `len` bytes at `base`, a multiple of 8, are mapped as long as this lives.
pub(crate) struct Span<S: Space> {
    base: NonZeroUsize,
    len: NonZeroUsize,
    _space: PhantomData<fn(S)>,
}

impl<S: Space> Span<S> {
    /// # Safety
    /// `len` bytes at `base`, a multiple of 8, are mapped in this space as long as this lives.
    pub(crate) unsafe fn new(base: NonZeroUsize, len: NonZeroUsize) -> Self {
        Self { base, len, _space: PhantomData }
    }

    pub(crate) fn base(&self) -> NonZeroUsize {
        self.base
    }

    pub(crate) fn len(&self) -> NonZeroUsize {
        self.len
    }

    /// Reads a word: `u8`, `u16`, `u32` or `u64`. `BAD_VALUE`: it is misaligned, or not inside.
    #[inline]
    pub(crate) fn load<T: Width>(&self, at: usize) -> Result<T> {
        let address = self.place(at, size_of::<T>(), size_of::<T>())?;
        // SAFETY: aligned and inside, as asked; mapped by the invariant.
        Ok(unsafe { S::read(address) })
    }

    /// Writes a word: `u8`, `u16`, `u32` or `u64`. `BAD_VALUE`, and nothing is written: it is misaligned, or not inside.
    #[inline]
    pub(crate) fn store<T: Width>(&self, at: usize, value: T) -> Result<()> {
        let address = self.place(at, size_of::<T>(), size_of::<T>())?;
        // SAFETY: aligned and inside, as asked; mapped by the invariant.
        unsafe { S::write(address, value) }
        Ok(())
    }

    /// Reads bytes, eight at a time where they are aligned, else one. `BAD_VALUE`, and nothing is read: they are not inside.
    pub(crate) fn read(&self, at: usize, into: &mut [u8]) -> Result<()> {
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
    pub(crate) fn write(&self, at: usize, from: &[u8]) -> Result<()> {
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

    /// Where `size` bytes are that lie at a multiple of `align`. `BAD_VALUE`: they do not, or are not inside.
    #[inline]
    pub(crate) fn place(&self, at: usize, size: usize, align: usize) -> Result<usize> {
        self.has(at, size)?;
        if at.is_multiple_of(align) { Ok(self.base.get().wrapping_add(at)) } else { Err(Status::BAD_VALUE.into()) }
    }

    /// Are these bytes inside?
    #[inline]
    fn has(&self, at: usize, len: usize) -> Result<()> {
        let is_inside = at <= self.len.get() && len <= self.len.get() - at;
        if is_inside { Ok(()) } else { Err(Status::BAD_VALUE.into()) }
    }
}

/// How many of `len` bytes come before the first aligned eight.
fn unaligned(at: usize, len: usize) -> usize {
    (at.wrapping_neg() & 7).min(len)
}
