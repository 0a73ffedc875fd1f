//! Whole pages, counted: whoever has them keeps them.
use super::{RawPages, kernel};
use crate::{KBox, Passive, Result, Status};
use core::{
    num::NonZeroUsize,
    ptr::NonNull,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::*},
};

struct Shared {
    references: AtomicUsize,
    raw: NonNull<RawPages>,
    len: NonZeroUsize,
    is_writable: bool,
    /// A device has a part of them, by what was dropped, and all are counted as kept for it.
    is_kept: AtomicBool,
}

/// A counted reference to pages. INVARIANT: the record lives as long as it.
pub(crate) struct PageRef(NonNull<Shared>);
// SAFETY: a counted reference to plain values; the port's pages may be freed on any thread.
unsafe impl Send for PageRef {}
// SAFETY: a shared reference reads plain values, or counts references atomically.
unsafe impl Sync for PageRef {}

impl PageRef {
    /// New pages of the kernel's own. Errors: `NO_MEMORY`.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn alloc(cx: &mut Passive, len: NonZeroUsize) -> Result<Self> {
        let raw = kernel::pages_alloc(len).ok_or(Status::NO_MEMORY)?;
        // SAFETY: just made, with this length.
        unsafe { Self::new(cx, raw, len, true) }
    }

    /// Takes pages over, also if it fails. Errors: `NO_MEMORY`.
    ///
    /// # Safety
    /// `raw` is this kernel's, has `len` bytes, and is nobody else's from now on.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) unsafe fn new(
        cx: &mut Passive,
        raw: NonNull<RawPages>,
        len: NonZeroUsize,
        is_writable: bool,
    ) -> Result<Self> {
        match KBox::new(
            cx,
            Shared { references: AtomicUsize::new(1), raw, len, is_writable, is_kept: AtomicBool::new(false) },
        ) {
            Ok(shared) => Ok(Self(shared.into_raw())),
            Err(error) => {
                // SAFETY: nobody else's, and mapped for no device yet.
                unsafe { kernel::pages_free(raw) };
                Err(error)
            }
        }
    }

    fn shared(&self) -> &Shared {
        // SAFETY: the invariant.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn raw(&self) -> NonNull<RawPages> {
        self.shared().raw
    }

    /// In bytes.
    pub(crate) fn len(&self) -> NonZeroUsize {
        self.shared().len
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.shared().is_writable
    }

    /// Are they counted as kept for a device?
    pub(super) fn is_kept(&self) -> bool {
        self.shared().is_kept.load(Relaxed)
    }

    /// They are, or are not any more. Were they before?
    pub(super) fn set_kept(&self, is_kept: bool) -> bool {
        self.shared().is_kept.swap(is_kept, Relaxed)
    }

    /// Where the kernel has them side by side. Errors: `NO_MEMORY`.
    pub(crate) fn map(&self, _cx: &mut Passive) -> Result<NonNull<u8>> {
        // SAFETY: the pages are alive as long as this.
        unsafe { kernel::pages_map(self.raw()) }.ok_or(Status::NO_MEMORY.into())
    }
}

impl Clone for PageRef {
    fn clone(&self) -> Self {
        self.shared().references.fetch_add(1, Relaxed);
        Self(self.0)
    }
}

impl Drop for PageRef {
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop(&mut self) {
        if self.shared().references.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: the last reference: nobody maps or reads them. What maps them for a device has a reference until it is undone.
            unsafe { kernel::pages_free(self.raw()) };
            // SAFETY: the last reference; the record came from a KBox.
            drop(unsafe { KBox::from_raw(self.0) });
        }
    }
}
