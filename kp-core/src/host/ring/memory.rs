//! Memory that an app has mapped too. Whatever stands in it may change at any moment: it is read and written by single atomic words,
//! and no reference to its bytes exists.
use super::super::kernel;
use crate::{Passive, Result, Status};
use core::{
    mem::offset_of,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use kp_abi::ring::{
    KernelPage, Layout, UserPage,
    queue::{CompletionSlot, Shared, SubmissionSlot},
};

/// Pages of `alloc_mmap_pages`, zeroed when they were made. INVARIANT: `len` bytes, a multiple of 8, alive until dropped.
pub(super) struct SharedMemory {
    start: NonNull<u8>,
    len: usize,
}
// SAFETY: plain memory, used by atomic words only.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Errors: `NO_MEMORY`.
    pub(super) fn new(_: &mut Passive, len: usize) -> Result<Self> {
        let start = NonNull::new(kernel::alloc_mmap_pages(len)).ok_or(Status::NO_MEMORY)?;
        Ok(Self { start, len })
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
    fn array<T: Words>(&self, at: usize, count: usize) -> Option<&[T]> {
        let fits = at <= self.len && count <= (self.len - at) / size_of::<T>();
        if !fits || !at.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: inside the memory.
        let first = unsafe { self.start.add(at) }.cast::<T>();
        // SAFETY: alive, in bounds and aligned, as was found; atomics may be shared with whoever else writes there, and any bytes are
        // values of them.
        Some(unsafe { slice::from_raw_parts(first.as_ptr(), count) })
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: of `alloc_mmap_pages` with this length, given up once.
        unsafe { kernel::free_mmap_pages(self.start.as_ptr(), self.len) }
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

/// A ring's queues as the driver finds them. INVARIANT: both arrays have `mask + 1` slots, a power of two.
pub(super) struct Queues<'m> {
    pub(super) app: [&'m AtomicU32; 2],
    pub(super) driver: [&'m AtomicU32; 2],
    submissions: &'m [SubmissionSlot],
    completions: &'m [CompletionSlot],
    mask: usize,
}

impl<'m> Queues<'m> {
    /// Of a ring of this layout: the app's words are in its memory, the driver's in the kernel page. None: they do not fit.
    pub(super) fn new(memory: &'m SharedMemory, layout: &Layout, entries: u32, page: &'m SharedMemory) -> Option<Self> {
        if !entries.is_power_of_two() {
            return None;
        }
        Some(Self {
            app: [memory.word(offset_of!(UserPage, sq_tail))?, memory.word(offset_of!(UserPage, cq_head))?],
            driver: [page.word(offset_of!(KernelPage, sq_head))?, page.word(offset_of!(KernelPage, cq_tail))?],
            submissions: memory.array(layout.sq_at, entries as usize)?,
            completions: memory.array(layout.cq_at, entries as usize)?,
            mask: entries as usize - 1,
        })
    }
}

impl<'m> Shared<'m> for Queues<'m> {
    fn entries(&self) -> u32 {
        self.mask as u32 + 1
    }
    fn sq_tail(&self) -> &'m AtomicU32 {
        self.app[0]
    }
    fn cq_head(&self) -> &'m AtomicU32 {
        self.app[1]
    }
    fn sq_head(&self) -> &'m AtomicU32 {
        self.driver[0]
    }
    fn cq_tail(&self) -> &'m AtomicU32 {
        self.driver[1]
    }
    // The mask is private, so no guess of the processor leaves the arrays.
    #[inline(always)]
    fn submission(&self, index: u32) -> &'m SubmissionSlot {
        // SAFETY: below `mask + 1`.
        unsafe { self.submissions.get_unchecked(index as usize & self.mask) }
    }
    #[inline(always)]
    fn completion(&self, index: u32) -> &'m CompletionSlot {
        // SAFETY: below `mask + 1`.
        unsafe { self.completions.get_unchecked(index as usize & self.mask) }
    }
}

/// Copies shared words into private ones, each read once.
#[inline(always)]
pub(super) fn copy_in(shared: &[AtomicU64], private: &mut [u64]) {
    for (from, to) in shared.iter().zip(private) {
        *to = from.load(Relaxed);
    }
}

/// Copies private bytes out, wherever they lie; those behind them, up to the next word, become zeros.
#[inline(always)]
pub(super) fn copy_out(private: &[u8], shared: &[AtomicU64]) {
    let (whole, rest) = private.as_chunks::<8>();
    for (from, to) in whole.iter().zip(shared) {
        to.store(u64::from_le_bytes(*from), Relaxed);
    }
    if !rest.is_empty()
        && let Some(to) = shared.get(whole.len())
    {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        to.store(u64::from_le_bytes(last), Relaxed);
    }
}
