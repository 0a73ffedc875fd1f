//! The kernel page: what the driver writes and the app can only read. It is the session's, from its first ring until its end, so that
//! interrupts may count in it as long as they come.
use super::memory::SharedMemory;
use crate::{Passive, Result};
use core::{
    mem::offset_of,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU32, Ordering::*},
};
use kp_abi::ring::{KernelPage, PAGE};

/// A session's kernel page; none before its first ring.
pub(crate) struct PageSlot(AtomicPtr<SharedMemory>);

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

/// The two words of the queues.
pub(super) fn queue_words(page: &SharedMemory) -> Option<(&AtomicU32, &AtomicU32)> {
    Some((page.word(offset_of!(KernelPage, sq_head))?, page.word(offset_of!(KernelPage, cq_tail))?))
}
