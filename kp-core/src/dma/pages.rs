//! Whole pages: an app's, or the kernel's own.
use crate::{
    Memory, Passive, RegisterMap, Regs, Result, Status,
    host::PageRef,
    regs::{Span, Width},
};
use core::{num::NonZeroUsize, ops::Range};
use kp_abi::ring::PAGE;

/// Whole pages of 4096 bytes: an app's buffer, or memory of the kernel's own. Counted: they stay as long as anybody has them, the device too.
///
/// Whoever has them may change them at any moment, so nothing here lends a reference to their bytes.
#[derive(Clone)]
pub struct Pages(PageRef);

impl Pages {
    /// New pages of the kernel's own: `len` bytes of zeros, rounded up to whole pages. They need not lie side by side for a device. Passive.
    ///
    /// Errors: `BAD_VALUE` for none, `NO_MEMORY`.
    pub fn new(cx: &mut Passive, len: usize) -> Result<Self> {
        let len = len.checked_next_multiple_of(PAGE).ok_or(Status::NO_MEMORY)?;
        let len = NonZeroUsize::new(len).ok_or(Status::BAD_VALUE)?;
        Ok(Self(PageRef::alloc(cx, len)?))
    }

    pub(crate) fn of(pages: PageRef) -> Self {
        Self(pages)
    }

    pub(super) fn reference(&self) -> &PageRef {
        &self.0
    }

    /// In bytes.
    #[allow(clippy::len_without_is_empty, reason = "they are never empty")]
    pub fn len(&self) -> usize {
        self.0.len().get()
    }

    /// May they be written, by the device and here? Not if an app has registered them for reading only.
    pub fn is_writable(&self) -> bool {
        self.0.is_writable()
    }

    /// The range of `len` bytes from `at` on, as an app names one. `BAD_VALUE`: it is empty, or not inside.
    pub fn range(&self, at: u64, len: u64) -> Result<Range<usize>> {
        let end = at.checked_add(len).filter(|end| len != 0 && *end <= self.len() as u64).ok_or(Status::BAD_VALUE)?;
        Ok(at as usize..end as usize)
    }

    /// The same pages, to read and write here. Passive. Errors: `NO_MEMORY`.
    pub fn area(&self, cx: &mut Passive) -> Result<Area> {
        let start = self.0.map(cx)?;
        let base = start.as_ptr().expose_provenance();
        let base = NonZeroUsize::new(base).ok_or(Status::NO_MEMORY)?;
        // SAFETY: so many bytes are there, at the beginning of a page, as long as `pages` are.
        let span = unsafe { Span::new(base, self.0.len()) };
        Ok(Area { span, pages: self.clone() })
    }
}

/// [`Pages`] as the plugin reads and writes them, at any level. Each word is accessed atomically: a read acquires, a write releases.
pub struct Area {
    span: Span<Memory>,
    pages: Pages,
}

impl Area {
    /// The pages.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Reads a word: `u8`, `u16`, `u32` or `u64`. `BAD_VALUE`: it is misaligned, or not inside.
    #[inline]
    pub fn load<T: Width>(&self, at: usize) -> Result<T> {
        self.span.load(at)
    }

    /// Writes a word. `BAD_VALUE`, and nothing is written: it is misaligned, or not inside; `READ_ONLY`.
    #[inline]
    pub fn store<T: Width>(&self, at: usize, value: T) -> Result<()> {
        self.writable()?.store(at, value)
    }

    /// Reads bytes. `BAD_VALUE`, and nothing is read: they are not inside.
    pub fn read(&self, at: usize, into: &mut [u8]) -> Result<()> {
        self.span.read(at, into)
    }

    /// Writes bytes. `BAD_VALUE`, and nothing is written: they are not inside; `READ_ONLY`.
    pub fn write(&self, at: usize, from: &[u8]) -> Result<()> {
        self.writable()?.write(at, from)
    }

    /// A register map at byte `at`: a header, a descriptor. `BAD_VALUE`: it is misaligned, or not inside; `READ_ONLY`.
    pub fn at<M: RegisterMap>(&self, at: usize) -> Result<Regs<'_, M, Memory>> {
        let address = self.writable()?.place(at, M::LEN, M::ALIGN)?;
        // SAFETY: inside and aligned, as asked; the pages are there as long as this is borrowed.
        Ok(unsafe { Regs::new(address) })
    }

    /// If it may be written.
    #[inline]
    fn writable(&self) -> Result<&Span<Memory>> {
        if self.pages.is_writable() { Ok(&self.span) } else { Err(Status::READ_ONLY.into()) }
    }
}
