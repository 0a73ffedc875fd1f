//! A ring's queues in shared memory, and copies between it and private memory.
use super::super::shared_memory::SharedMemory;
use core::{
    mem::offset_of,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};
use kp_abi::ring::{
    KernelPage, Layout, UserPage,
    queue::{CompletionSlot, Shared, SubmissionSlot},
};

/// A ring's queues as the driver finds them. INVARIANT: both arrays have `mask + 1` slots, a power of two.
pub(super) struct Queues<'m> {
    app: [&'m AtomicU32; 2],
    driver: [&'m AtomicU32; 2],
    submissions: &'m [SubmissionSlot],
    completions: &'m [CompletionSlot],
    mask: usize,
}

impl<'m> Queues<'m> {
    /// Of a ring of this layout: the app's words are in its memory, the driver's in the kernel page, if it has one. None: they do not fit.
    pub(super) fn new(
        memory: &'m SharedMemory,
        layout: &Layout,
        entries: u32,
        page: Option<&'m SharedMemory>,
    ) -> Option<Self> {
        if !entries.is_power_of_two() {
            return None;
        }
        let driver = match page {
            Some(page) => [page.word(offset_of!(KernelPage, sq_head))?, page.word(offset_of!(KernelPage, cq_tail))?],
            None => [memory.word(offset_of!(UserPage, sq_head))?, memory.word(offset_of!(UserPage, cq_tail))?],
        };
        Some(Self {
            app: [memory.word(offset_of!(UserPage, sq_tail))?, memory.word(offset_of!(UserPage, cq_head))?],
            driver,
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
