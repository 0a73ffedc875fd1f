//! Memory that an app has mapped too: the kernel's own, or a buffer of the app's. Whatever stands in it may change at any moment: it is read and
//! written by single atomic words, and no reference to its bytes exists.
use super::{kernel, page_ref::PageRef};
use crate::{Passive, Result, Status};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU32, AtomicU64},
};

/// Pages that an app can map, zeroed when they were made, or a buffer of the app's. INVARIANT: `len` bytes, a multiple of 8, alive until dropped.
pub(super) struct SharedMemory {
    start: NonNull<u8>,
    len: usize,
    /// None: of `alloc_mmap_pages`.
    lent: Option<Lent>,
}

/// Whose memory it is, and what gives it back: by an address, so that a plugin without buffers is not linked with it.
struct Lent {
    pages: ManuallyDrop<PageRef>,
    give_back: unsafe fn(&mut ManuallyDrop<PageRef>),
}
// SAFETY: plain memory, used by atomic words only.
unsafe impl Send for SharedMemory {}
// SAFETY: threads share its words as atomics only.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Errors: `NO_MEMORY`.
    pub(super) fn new(_: &mut Passive, len: usize) -> Result<Self> {
        let start = kernel::alloc_mmap_pages(len).ok_or(Status::NO_MEMORY)?;
        Ok(Self { start, len, lent: None })
    }

    /// The first `len` bytes of a buffer, a multiple of 8. Errors: `READ_ONLY`, `BAD_FIELD` if it has not as many, `NO_MEMORY`.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn over(cx: &mut Passive, pages: PageRef, len: usize) -> Result<Self> {
        if !pages.is_writable() {
            return Err(Status::READ_ONLY.into());
        }
        if len > pages.len().get() {
            return Err(Status::BAD_FIELD.into());
        }
        let start = pages.map(cx)?;
        let lent = Lent { pages: ManuallyDrop::new(pages), give_back: ManuallyDrop::drop };
        Ok(Self { start, len, lent: Some(lent) })
    }

    /// Is it a buffer of the app's?
    pub(super) fn is_lent(&self) -> bool {
        self.lent.is_some()
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// A word that is always used as one of 32 bits. None: it would lie outside.
    pub(super) fn word(&self, at: usize) -> Option<&AtomicU32> {
        self.array(at, 1)?.first()
    }

    /// `count` words of 64 bits from `at` on. None: they would lie outside.
    pub(super) fn words(&self, at: usize, count: usize) -> Option<&[AtomicU64]> {
        self.array(at, count)
    }

    /// `count` times eight words from `at` on. None: they would lie outside.
    pub(super) fn blocks(&self, at: usize, count: usize) -> Option<&[[AtomicU64; 8]]> {
        self.array(at, count)
    }

    /// All `count` of them, or none.
    pub(super) fn array<T: Words>(&self, at: usize, count: usize) -> Option<&[T]> {
        let fits = at <= self.len && count <= (self.len - at) / size_of::<T>();
        if !fits || !at.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: inside the memory.
        let first = unsafe { self.start.add(at) }.cast::<T>();
        // SAFETY: alive, in bounds and aligned, as was found; atomics may be shared with an app that writes there, and any bytes are
        // values of them.
        Some(unsafe { slice::from_raw_parts(first.as_ptr(), count) })
    }
}

impl Drop for SharedMemory {
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop(&mut self) {
        match &mut self.lent {
            // SAFETY: of `alloc_mmap_pages` with this length, given up once.
            None => unsafe { kernel::free_mmap_pages(self.start, self.len) },
            // SAFETY: the pages' own drop, once.
            Some(lent) => unsafe { (lent.give_back)(&mut lent.pages) },
        }
    }
}

/// Atomic words, and arrays of them.
///
/// # Safety
/// Any bytes are a value, and shared references to it may be used while others write.
pub(super) unsafe trait Words {}
// SAFETY: an atomic.
unsafe impl Words for AtomicU32 {}
// SAFETY: an atomic.
unsafe impl Words for AtomicU64 {}
// SAFETY: atomics, side by side.
unsafe impl<const N: usize> Words for [AtomicU64; N] {}
