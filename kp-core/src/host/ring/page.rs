//! The kernel page: what the driver writes and the app can only read. It is the session's, from its first ring until its end, so that
//! interrupts may count in it as long as they come.
use super::memory::SharedMemory;
use crate::{Passive, Result};
use core::{
    mem::offset_of,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU64, Ordering::*},
};
use kp_abi::{
    Counters,
    ring::{KernelPage, PAGE, SHOWN_VECTORS},
};

/// A session's kernel page; none before its first ring.
pub(in super::super) struct PageSlot(AtomicPtr<SharedMemory>);

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

/// The page in which an interrupt's figures are shown while it is enabled: its owner's, if that has one. Each word has one writer at a
/// time: who counts it.
pub(in super::super) struct Shown(AtomicPtr<[Block; SHOWN_VECTORS]>);

/// A vector's counters, as they are shown.
type Block = [AtomicU64; size_of::<Counters>() / 8];

/// The first word of a vector's counters that the mailbox counts: `notified`.
const MAIL_AT: usize = offset_of!(Counters, notified) / 8;
/// The word of `dpc_runs`.
const DPC_RUNS_AT: usize = offset_of!(Counters, dpc_runs) / 8;
const _: () = assert!(offset_of!(Counters, deferred) == 16 && DPC_RUNS_AT == 3 && MAIL_AT == 4);

impl Shown {
    pub(in super::super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Shows an enabling that counts from 0, before its first interrupt: in `slot`'s page, if there is one, until [`end`](Self::end).
    ///
    /// # Safety
    /// The slot lives until `end` was called, and nobody that shows anything runs any more.
    pub(in super::super) unsafe fn start(&self, slot: &PageSlot, generation: u64, vectors: usize) {
        let Some(page) = slot.get() else { return };
        let number = &page.words(offset_of!(KernelPage, generation), 1)[0];
        number.store(0, Relaxed); // whoever sees the zeros that follow sees this too
        page.words(offset_of!(KernelPage, vectors), 1)[0].store(vectors as u64, Release);
        let blocks = page.blocks(offset_of!(KernelPage, counters), SHOWN_VECTORS);
        for word in blocks.as_flattened() {
            word.store(0, Release);
        }
        number.store(generation, Release);
        self.0.store(blocks.as_ptr().cast_mut().cast(), Release);
    }

    /// Nothing is shown any more. What was stays there.
    pub(in super::super) fn end(&self) {
        self.0.store(ptr::null_mut(), Release);
    }

    /// A vector's counters; `None` if they are not shown.
    #[inline(always)]
    fn block(&self, vector: u32) -> Option<&Block> {
        let blocks = self.0.load(Acquire);
        // SAFETY: null, or of `start`, whose caller keeps them until nobody comes here any more.
        unsafe { blocks.as_ref() }?.get(vector as usize)
    }

    /// What the ISR counts.
    #[inline(always)]
    pub(in super::super) fn isr(&self, vector: u32, counts: [&AtomicU64; 3]) {
        if let Some(block) = self.block(vector) {
            for (word, count) in block.iter().zip(counts) {
                word.store(count.load(Relaxed), Release);
            }
        }
    }

    /// What the DPC counts.
    #[inline(always)]
    pub(in super::super) fn dpc(&self, vector: u32, dpc_runs: &AtomicU64) {
        if let Some(block) = self.block(vector) {
            block[DPC_RUNS_AT].store(dpc_runs.load(Relaxed), Release);
        }
    }

    /// What the mailbox counts; under its lock. `mail`: notified, delivered, available, lost.
    #[inline(always)]
    pub(in super::super) fn mail(&self, vector: u32, mail: impl FnOnce() -> [u64; 4]) {
        if let Some(block) = self.block(vector) {
            for (word, count) in block[MAIL_AT..].iter().zip(mail()) {
                word.store(count, Release);
            }
        }
    }
}
