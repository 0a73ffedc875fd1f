//! The kernel page: what the driver writes and the app can only read. It is the session's, from its first ring until its end, so that
//! interrupts may count in it as long as they come.
use super::shared_memory::SharedMemory;
use crate::{Passive, Result};
use core::{
    mem::offset_of,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU64, Ordering::*},
};
use kp_abi::{
    Counters,
    ring::{KernelPage, PAGE, SHOWN_VECTORS, figures},
    zerocopy,
};

/// A session's kernel page; none before its first ring.
pub(super) struct PageSlot(AtomicPtr<SharedMemory>);

impl PageSlot {
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The page, made if there is none. One at a time: the caller has the ring.
    pub(super) fn make(&self, cx: &mut Passive) -> Result<&SharedMemory> {
        if self.get().is_none() {
            let page = SharedMemory::new(cx, PAGE)?;
            let page = crate::KBox::new(cx, page)?;
            self.0.store(page.into_raw().as_ptr(), Release);
        }
        self.get().ok_or(crate::Status::NO_MEMORY.into())
    }

    /// The page, if there is one. It stays as long as the session.
    pub(super) fn get(&self) -> Option<&SharedMemory> {
        // SAFETY: null, or of `make`, and freed only when this is dropped.
        unsafe { self.0.load(Acquire).as_ref() }
    }
}

impl Drop for PageSlot {
    fn drop(&mut self) {
        if let Some(page) = NonNull::new(*self.0.get_mut()) {
            // SAFETY: it came from a KBox, and nobody borrows it any more.
            drop(unsafe { crate::KBox::from_raw(page) });
        }
    }
}

/// Publishes an interrupt's counters in its owner's kernel page, if the owner has one, while it is enabled. Each word has one writer at a
/// time: the code that counts it.
pub(super) struct CounterPage(AtomicPtr<[Block; SHOWN_VECTORS]>);

/// A vector's counters, as the page has them.
type Block = [AtomicU64; size_of::<Counters>() / 8];

/// The first word of a vector's counters that `notifications` counts: `notified`.
const NOTIFIED_AT: usize = offset_of!(Counters, notified) / 8;
/// The word of `dpc_runs`.
const DPC_RUNS_AT: usize = offset_of!(Counters, dpc_runs) / 8;
const _: () = assert!(offset_of!(Counters, deferred) == 16 && DPC_RUNS_AT == 3 && NOTIFIED_AT == 4);

impl CounterPage {
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Publishes an enabling that counts from 0, before its first interrupt: in `slot`'s page, if there is one, until
    /// [`detach`](Self::detach).
    ///
    /// # Safety
    /// The slot lives until `detach` was called, and every `publish_…` that began before has returned.
    pub(super) unsafe fn attach(&self, slot: &PageSlot, generation: u64, vectors: usize) {
        let Some(page) = slot.get() else { return };
        let (Some([number]), Some([published]), Some(blocks)) = (
            page.words(offset_of!(KernelPage, generation), 1),
            page.words(offset_of!(KernelPage, vectors), 1),
            page.blocks(offset_of!(KernelPage, counters), SHOWN_VECTORS),
        ) else {
            return;
        };
        figures::begin(number, (published, vectors as u64), blocks.as_flattened().iter(), generation);
        self.0.store(blocks.as_ptr().cast_mut().cast(), Release);
    }

    /// Publishes nothing any more. What was published stays there.
    pub(super) fn detach(&self) {
        self.0.store(ptr::null_mut(), Release);
    }

    /// A vector's counters; `None` if they are not published.
    #[inline]
    fn block(&self, vector: u32) -> Option<&Block> {
        let blocks = self.0.load(Acquire);
        // SAFETY: null, or of `attach`, whose caller keeps them as long as this may run.
        unsafe { blocks.as_ref() }?.get(vector as usize)
    }

    /// Does the owner have a kernel page? The code that publishes is `#[cold]`, so an enabling without one pays for one load.
    #[inline(always)]
    pub(super) fn is_attached(&self) -> bool {
        !self.0.load(Relaxed).is_null()
    }

    /// Publishes all of a vector's counters, where none are published by themselves: at Dispatch, under the lock of `notifications`.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn publish(&self, vector: u32, counters: Counters) {
        let counts: [u64; size_of::<Counters>() / 8] = zerocopy::transmute!(counters);
        if let Some(block) = self.block(vector) {
            for (word, count) in block.iter().zip(counts) {
                word.store(count, Release);
            }
        }
    }

    /// Publishes what the ISR counts. At Irql.
    #[inline(always)]
    pub(super) fn publish_isr(&self, vector: u32, counts: [&AtomicU64; 3]) {
        if self.is_attached() {
            self.publish_isr_slow(vector, counts);
        }
    }

    #[cold]
    #[inline(never)]
    fn publish_isr_slow(&self, vector: u32, counts: [&AtomicU64; 3]) {
        if let Some(block) = self.block(vector) {
            for (word, count) in block.iter().zip(counts) {
                word.store(count.load(Relaxed), Release);
            }
        }
    }

    /// Publishes what the DPC counts. At Dispatch.
    #[inline(always)]
    pub(super) fn publish_dpc(&self, vector: u32, dpc_runs: &AtomicU64) {
        if self.is_attached() {
            self.publish_dpc_slow(vector, dpc_runs);
        }
    }

    #[cold]
    #[inline(never)]
    fn publish_dpc_slow(&self, vector: u32, dpc_runs: &AtomicU64) {
        if let Some(block) = self.block(vector) {
            block[DPC_RUNS_AT].store(dpc_runs.load(Relaxed), Release);
        }
    }

    /// Publishes what `notifications` counts, under its lock. `counts`: notified, delivered, available, lost.
    #[inline(always)]
    pub(super) fn publish_notifications(&self, vector: u32, counts: impl FnOnce() -> [u64; 4]) {
        if self.is_attached() {
            self.publish_notifications_slow(vector, counts);
        }
    }

    #[cold]
    #[inline(never)]
    fn publish_notifications_slow(&self, vector: u32, counts: impl FnOnce() -> [u64; 4]) {
        if let Some(block) = self.block(vector) {
            for (word, count) in block[NOTIFIED_AT..].iter().zip(counts()) {
                word.store(count, Release);
            }
        }
    }
}
